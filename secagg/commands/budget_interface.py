"""What the commands `budget plan`, `report` and `verify` take: their arguments, options and help."""

from pathlib import Path
from typing import Annotated, Final

import typer

from dp.noise.distributed import LatticeNoise
from secagg.privacy.contributors import ADVERSARIAL, DROPOUT
from secagg.privacy.delta import DELTA

_NOISE: Final = "Noise or budget (give exactly one)"
_PARTICIPATION: Final = "Participation"
_SHARES: Final = "Who is counted on in a round"
_LATTICE: Final = "Mechanism"


def report(
    ledgers: Annotated[
        list[Path],
        typer.Argument(help="Ledger of a run (ledger.sqlite), or its folder. The costs of several are added up."),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")] = False,
    html: Annotated[
        Path | None, typer.Option(help="File for a self-contained HTML page. Applies only to one ledger.")
    ] = None,
    organisation: Annotated[
        str | None,
        typer.Option(help="Name of the responsible organisation, for this report only, if the ledger names none."),
    ] = None,
    title: Annotated[
        str | None, typer.Option(help="Name of the run, for this report only, if the ledger names none.")
    ] = None,
) -> None:
    """Report what the releases of a ledger cost and what that guarantees. Several ledgers are added up."""
    from secagg.commands.budget import report_on_terminal

    report_on_terminal(*ledgers, as_json=as_json, html=html, organisation=organisation, title=title)


def plan(
    rounds: Annotated[
        int,
        typer.Option(
            help="Number of training rounds. Each makes one release. With --ledger, number of further rounds."
        ),
    ],
    clients: Annotated[
        int | None,
        typer.Option(help="Size of the population: all clients that may ever take part. Required without --ledger."),
    ] = None,
    noise_multiplier: Annotated[
        float | None,
        typer.Option(
            help="Compute the epsilon for this noise multiplier (standard deviation over sensitivity).",
            rich_help_panel=_NOISE,
        ),
    ] = None,
    epsilon: Annotated[
        float | None,
        typer.Option(help="Compute the least noise that keeps this epsilon.", rich_help_panel=_NOISE),
    ] = None,
    delta: Annotated[
        float | None,
        typer.Option(
            help=f"Delta of the budget. Must be below 1/clients. Default: {DELTA:g}, or clients^-1.1 if {DELTA:g} is "
            "not below 1/clients, as in secagg train.",
        ),
    ] = None,
    cohort: Annotated[
        int | None,
        typer.Option(
            help="Number of clients that each round asks, in turn or at random. Each client is charged for the rounds "
            "that ask it. A cohort gets no amplification, even if it is secret: its size is fixed, so with one client "
            "in it another one is out. Default: all clients.",
            rich_help_panel=_PARTICIPATION,
        ),
    ] = None,
    cap: Annotated[
        int | None,
        typer.Option(
            help="The most rounds that may ask one client, whether it answers or not. Default: the least that is "
            "feasible, rounds * cohort / clients, rounded up. A larger cap leaves places for rounds that fail, and "
            "costs more.",
            rich_help_panel=_PARTICIPATION,
        ),
    ] = None,
    more_rounds: Annotated[
        int | None,
        typer.Option(help="Also tell what this number of further rounds would cost.", rich_help_panel=_PARTICIPATION),
    ] = None,
    per_round: Annotated[
        int | None,
        typer.Option(
            help="Average number of clients that are sampled for each round, in secret. WARNING: the resulting epsilon "
            "holds only towards readers of the models, and only if the server is trusted to draw honestly and to keep "
            "the draw and every roster secret, and the noise does not depend on who was drawn. Default: no sample.",
            rich_help_panel=_PARTICIPATION,
        ),
    ] = None,
    sampling: Annotated[
        float | None,
        typer.Option(
            help="Probability with which each client is sampled, in (0, 1]: --per-round as a fraction of --clients. "
            "The same warning applies.",
            rich_help_panel=_PARTICIPATION,
        ),
    ] = None,
    mechanism: Annotated[
        str,
        typer.Option(
            help=f"Noise: gaussian (continuous, one party adds it), {' or '.join(LatticeNoise)} (shares in a secure "
            "sum). Default: gaussian.",
            show_default=False,
            rich_help_panel=_LATTICE,
        ),
    ] = "gaussian",
    bits: Annotated[
        int | None,
        typer.Option(
            help=f"Bits of the secure sum's modulus. Applies only to {' and '.join(LatticeNoise)}. "
            "Default: those that secagg train --modulus-bits auto chooses.",
            rich_help_panel=_LATTICE,
        ),
    ] = None,
    dimension: Annotated[
        int | None,
        typer.Option(
            help=f"Number of coordinates of an update. Applies only to {' and '.join(LatticeNoise)}, which require it.",
            rich_help_panel=_LATTICE,
        ),
    ] = None,
    compression: Annotated[
        float,
        typer.Option(
            help="Fraction of the coordinates that each client sends, in (0, 1]. Applies only to "
            f"{' and '.join(LatticeNoise)}. Default: 1.",
            show_default=False,
            rich_help_panel=_LATTICE,
        ),
    ] = 1.0,
    dropout: Annotated[
        float,
        typer.Option(
            help="Fraction of a round's clients that are expected to drop out. The plan allows for 1.5 times as many. "
            f"At least 0 and below 1. Default: {DROPOUT:g}.",
            show_default=False,
            rich_help_panel=_SHARES,
        ),
    ] = DROPOUT,
    adversarial: Annotated[
        float,
        typer.Option(
            help="Largest fraction of a round's clients that may collude with the server, rounded down. At least one "
            f"noise share is not counted. At least 0 and below 1. Default: {ADVERSARIAL:g}.",
            show_default=False,
            rich_help_panel=_SHARES,
        ),
    ] = ADVERSARIAL,
    minimum_contributors: Annotated[
        int | None,
        typer.Option(
            help="Smallest number of contributors for which a round is released. Default: as in secagg train.",
            rich_help_panel=_SHARES,
        ),
    ] = None,
    adversary: Annotated[
        str,
        typer.Option(
            help="Server that is assumed: curious or malicious. Against a malicious one, the default of "
            "--minimum-contributors is larger. Default: curious.",
            show_default=False,
            rich_help_panel=_SHARES,
        ),
    ] = "curious",
    table: Annotated[
        bool, typer.Option("--table", help="Also compute epsilon for other numbers of rounds and other noise.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")] = False,
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="File for a self-contained HTML page: the plan, the table and a chart."),
    ] = None,
    ledger: Annotated[
        Path | None,
        typer.Option(
            metavar="LEDGER",
            help="Ledger of a run (ledger.sqlite), or its folder: compute what noise --rounds more rounds need. Only "
            "--cohort, --cap and --json apply with it; --cap is the most of these rounds that may ask one client.",
        ),
    ] = None,
) -> None:
    """Compute what training rounds cost with given noise, or what noise keeps a given epsilon.

    Give exactly one of --noise-multiplier and --epsilon; or --ledger, to
    compute what noise more rounds need under a ledger that exists. Nothing is
    trained, and no ledger is changed.
    """
    from secagg.commands.budget_plan import plan_on_terminal

    plan_on_terminal(
        clients=clients,
        rounds=rounds,
        noise_multiplier=noise_multiplier,
        epsilon=epsilon,
        delta=delta,
        cohort=cohort,
        cap=cap,
        per_round=per_round,
        sampling=sampling,
        more_rounds=more_rounds,
        mechanism=mechanism,
        bits=bits,
        dimension=dimension,
        compression=compression,
        dropout=dropout,
        adversarial=adversarial,
        minimum_contributors=minimum_contributors,
        adversary=adversary,
        table=table,
        as_json=as_json,
        html=html,
        ledger=ledger,
    )


def verify(
    ledger: Annotated[Path, typer.Argument(help="Ledger of a run (ledger.sqlite), or its folder.")],
    head: Annotated[
        str | None, typer.Option(help="Ledger head that was kept earlier, elsewhere. Blanks in it are ignored.")
    ] = None,
) -> None:
    """Check that a ledger is consistent.

    Without --head, a ledger that was rebuilt, replaced or truncated is not
    detected. With --head, also check that it still contains every record up to
    that head. Exit code 0: consistent; 2: cannot be read, or HEAD is not a
    digest; 3: damaged, over budget, less noise than was reserved, or without
    the record of HEAD (truncated, rebuilt or older).
    """
    from secagg.commands.budget import verify_on_terminal

    raise typer.Exit(verify_on_terminal(ledger, head=head))
