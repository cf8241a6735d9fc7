"""What the commands `plan` and `bench` take: their options and help."""

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from secagg.privacy.contributors import ADVERSARIAL, DROPOUT

_MOST_DIGITS: Final = 100


def whole_number(text: Any) -> int:
    """Return the whole number that a text is; it may have an exponent, as 1e9 has.

    Raises:
        typer.BadParameter: The text is no whole number.
    """
    try:
        found = Decimal(str(text))
        if found == found.to_integral_value() and found.adjusted() < _MOST_DIGITS:
            return int(found)
    except ArithmeticError:
        pass
    raise typer.BadParameter(f"expected a whole number, such as 1000 or 1e6, found {str(text)!r}.")


def plan(
    clients: Annotated[int, typer.Option(parser=whole_number, metavar="N", help="Clients of a round. At least 2.")],
    parameters: Annotated[
        int,
        typer.Option(parser=whole_number, metavar="N", help="Parameters of the model that are trained. At least 1."),
    ],
    dropout: Annotated[
        float,
        typer.Option(
            help="Fraction of a round's clients that are expected to drop out. The plan allows for 1.5 times as many. "
            f"At least 0 and below 1. Default: {DROPOUT:g}.",
            show_default=False,
        ),
    ] = DROPOUT,
    adversarial: Annotated[
        float,
        typer.Option(
            help="Largest fraction of a round's clients that may collude with the server, rounded down to whole "
            f"clients. At least 0 and below 1. Default: {ADVERSARIAL:g}.",
            show_default=False,
        ),
    ] = ADVERSARIAL,
    committee: Annotated[
        int | None,
        typer.Option(
            help="Number of committee members, 2 to 64. Default: no committee, and no protocol that needs one."
        ),
    ] = None,
    uplink_mbps: Annotated[
        float,
        typer.Option(help="A client's link, in Mbit/s, in either direction. Default: 100.", show_default=False),
    ] = 100.0,
    engine: Annotated[
        str,
        typer.Option(help="Engine: nvflare, flower or memory. Default: nvflare.", show_default=False),
    ] = "nvflare",
    protocol: Annotated[str | None, typer.Option(help="The only protocol to plan for. Default: all that fit.")] = None,
    adversary: Annotated[
        str,
        typer.Option(help="What the server may do: curious or malicious. Default: curious.", show_default=False),
    ] = "curious",
    compression: Annotated[
        float,
        typer.Option(
            help="Fraction of the rotated coordinates of an update that each client sends. Above 0 and at most 1. "
            "Default: 1.",
            show_default=False,
        ),
    ] = 1.0,
    constants: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="File of constants that secagg bench --calibrate has written. Default: those of the package, which "
            "were measured on another machine.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")] = False,
) -> None:
    """Compute what a round costs with each protocol, and recommend one.

    For each protocol, it states the steps, seconds, bytes, CPU seconds and
    memory, and how many clients may drop out or collude. Nothing is run, so
    any numbers can be given. If one server is not enough, it proposes a
    layout of several.
    """
    from secagg.commands.cost import plan_on_terminal

    plan_on_terminal(
        clients=clients,
        parameters=parameters,
        dropout=dropout,
        adversarial=adversarial,
        committee=committee,
        uplink_mbps=uplink_mbps,
        engine=engine,
        protocol=protocol,
        adversary=adversary,
        compression=compression,
        constants=constants,
        as_json=as_json,
    )


def bench(
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Measure the constants of this machine. Required.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="File of the constants. It is replaced. Default: constants.json."),
    ] = None,
) -> None:
    """Measure the constants that secagg plan multiplies its counts by.

    It runs a few small real sums with each protocol, which takes less than a
    minute on an idle machine. What engines add to a step is not measured: it
    is copied from the package.
    """
    from secagg.commands.cost import bench_on_terminal

    bench_on_terminal(calibrate=calibrate, out=out)
