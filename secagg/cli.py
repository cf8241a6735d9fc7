"""The command `secagg`: train, plan, report on and verify a budget, list protocols, make a committee's keys.

Errors that the user can mend are one line on standard error and exit code 2; an interruption is exit code 130 (Ctrl-C),
143 (SIGTERM) or 129 (a terminal that closes).
"""
# ruff: noqa: E402 - an interruption is answered from here on: the imports take a second, and more from a cold disk.

from contextlib import ExitStack

from secagg.interruption import ending_at_once, raising

_starting = ExitStack()
_starting.enter_context(ending_at_once())

import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from dp.errors import DpError
from dp.version import SOFTWARE, VERSION
from protocols.errors import ProtocolError
from secagg.errors import SecaggError

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Secure, private federated training.",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"{SOFTWARE} {VERSION}\n")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options of the command itself."""


budget = typer.Typer(no_args_is_help=True, help="Privacy budgets.")
app.add_typer(budget, name="budget")
keys = typer.Typer(no_args_is_help=True, help="Keys of parties.")
app.add_typer(keys, name="keys")


@app.command()
def train(
    config: Annotated[Path | None, typer.Argument(metavar="[CONFIG.toml]", help="Settings; options override.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run; runs/DATASET where none is given.")] = None,
    dataset: Annotated[str | None, typer.Option(help="digits, breast-cancer, fashion-mnist or a .npz file.")] = None,
    model: Annotated[str | None, typer.Option(help="softmax, mlp, cnn, or numpy-softmax (no TensorFlow).")] = None,
    clients: Annotated[int | None, typer.Option(help="Simulated devices.")] = None,
    rounds: Annotated[int | None, typer.Option(help="Global rounds.")] = None,
    protocol: Annotated[str | None, typer.Option(help="See `secagg protocols`.")] = None,
    committee: Annotated[str | None, typer.Option(help="Folder of `secagg keys committee`, if one is needed.")] = None,
    committee_fingerprint: Annotated[str | None, typer.Option(help="Take no other committee's key.")] = None,
    adversary: Annotated[str | None, typer.Option(help="The server: curious or malicious.")] = None,
    unit: Annotated[str | None, typer.Option(help="What the budget protects: client or example.")] = None,
    epsilon: Annotated[float | None, typer.Option(help="Budget of the run; inf: no noise.")] = None,
    delta: Annotated[float | None, typer.Option(help="Of the budget; below 1/clients, or 1/examples.")] = None,
    example_clip_l2: Annotated[float | None, typer.Option(help="Bound on an example's gradient; unit example.")] = None,
    mechanism: Annotated[str | None, typer.Option(help="Noise: discrete-gaussian or skellam.")] = None,
    trust: Annotated[str | None, typer.Option(help="Noise is distributed, local or central.")] = None,
    noise_removal: Annotated[
        bool | None, typer.Option(help="Take off what noise dropouts did not need; with skellam.")
    ] = None,
    adversarial: Annotated[
        float | None,
        typer.Option(
            help="Largest fraction of clients that may collude with the server, rounded down to whole clients: 0.05 of "
            "10 clients is none."
        ),
    ] = None,
    dropout: Annotated[
        float | None,
        typer.Option(help="Fraction of clients that vanish in every round, rounded down: 0.1 of 9 clients is none."),
    ] = None,
    minimum_contributors: Annotated[int | None, typer.Option(help="Fewer release nothing.")] = None,
    clipping: Annotated[str | None, typer.Option(help="Of updates: global, per-layer or adaptive.")] = None,
    clip_l2: Annotated[float | None, typer.Option(help="Bound on a client's update; adaptive: the first.")] = None,
    clip_quantile: Annotated[float | None, typer.Option(help="Adaptive: the fraction left unclipped.")] = None,
    server_learning_rate: Annotated[float | None, typer.Option(help="Factor on the mean update.")] = None,
    server_momentum: Annotated[float | None, typer.Option(help="What is left of earlier mean updates.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Local epochs a round.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Local minibatch.")] = None,
    optimizer: Annotated[str | None, typer.Option(help="Local Keras optimizer.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Of the local optimizer.")] = None,
    alpha: Annotated[float | None, typer.Option(help="Dirichlet label skew; without it, shards are alike.")] = None,
    weighting: Annotated[str | None, typer.Option(help="uniform or weighted (by examples).")] = None,
    max_examples: Annotated[float | None, typer.Option(help="Weighted: a client counts for no more.")] = None,
    modulus_bits: Annotated[int | None, typer.Option(help="Bits a coordinate on the wire.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything but masks, keys and noise.")] = None,
    compare: Annotated[bool | None, typer.Option(help="Also run without noise and in the clear.")] = None,
    organisation: Annotated[
        str | None, typer.Option(help="Organisation responsible for the run; recorded in ledger and reports.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run in the folder; with --rounds N, up to round N.")
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", help="Replace the run in the folder. Its ledger is kept, and the cost of both adds up."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Summary as JSON on standard output.")] = False,
) -> None:
    """Train a model over simulated devices, privately and securely, and report what it cost."""
    from secagg.commands.train import train_on_terminal

    given = {name: value for name, value in locals().items() if name in _settings() and value is not None}
    train_on_terminal(config, given, out=out, resume=resume, overwrite=overwrite, as_json=as_json)


@budget.command()
def report(
    ledgers: Annotated[list[Path], typer.Argument(help="A run's ledger.sqlite, or its folder; several are added up.")],
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write a self-contained page to this file; one ledger.")] = None,
    organisation: Annotated[
        str | None, typer.Option(help="Who is responsible, for this report only, if the ledger does not say.")
    ] = None,
    title: Annotated[
        str | None, typer.Option(help="Name of the run, for this report only, if the ledger does not say.")
    ] = None,
) -> None:
    """What a ledger's releases have cost and what that guarantees, or what those of several ledgers cost together."""
    from secagg.commands.budget import report_on_terminal

    report_on_terminal(*ledgers, as_json=as_json, html=html, organisation=organisation, title=title)


@budget.command()
def plan(
    clients: Annotated[int, typer.Option(help="All that may ever take part.")],
    rounds: Annotated[int, typer.Option(help="Global rounds, one release each.")],
    noise_multiplier: Annotated[float | None, typer.Option(help="Noise over sensitivity: what does it cost?")] = None,
    epsilon: Annotated[float | None, typer.Option(help="Budget: what noise keeps it?")] = None,
    delta: Annotated[float | None, typer.Option(help="Below 1/clients; clients^-1.1 where none is given.")] = None,
    per_round: Annotated[int | None, typer.Option(help="Clients a round on average, drawn in secret.")] = None,
    sampling: Annotated[float | None, typer.Option(help="The same as a probability, in (0, 1].")] = None,
    mechanism: Annotated[str, typer.Option(help="gaussian, discrete-gaussian or skellam.")] = "gaussian",
    bits: Annotated[int | None, typer.Option(help="Of a secure sum's modulus, 24 by default; not gaussian.")] = None,
    dimension: Annotated[int | None, typer.Option(help="Coordinates of an update; not gaussian.")] = None,
    dropout: Annotated[
        float,
        typer.Option(
            help="Expected fraction of a round's clients that vanish; the plan allows for one and a half times as many."
        ),
    ] = 0.1,
    adversarial: Annotated[
        float,
        typer.Option(
            help="Largest fraction of a round's clients that may collude with the server, rounded down; at least one "
            "share is left out."
        ),
    ] = 0.05,
    minimum_contributors: Annotated[
        int | None, typer.Option(help="Least contributors of a release; by default as in train.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False,
) -> None:
    """What rounds will cost with given noise, or the noise that they need for a given epsilon."""
    from secagg.commands.budget import plan_on_terminal

    plan_on_terminal(
        clients=clients,
        rounds=rounds,
        noise_multiplier=noise_multiplier,
        epsilon=epsilon,
        delta=delta,
        per_round=per_round,
        sampling=sampling,
        mechanism=mechanism,
        bits=bits,
        dimension=dimension,
        dropout=dropout,
        adversarial=adversarial,
        minimum_contributors=minimum_contributors,
        as_json=as_json,
    )


@budget.command()
def verify(
    ledger: Annotated[Path, typer.Argument(help="A run's ledger.sqlite, or its folder.")],
    head: Annotated[str | None, typer.Option(help="A head kept earlier; blanks in it are ignored.")] = None,
) -> None:
    """Check that a ledger is consistent.

    Without --head, a ledger that was rebuilt, replaced or truncated is not detected. With --head, also check that it
    still contains every record up to that head. Exit code 0: consistent; 2: cannot be read, or HEAD is not a digest; 3:
    damaged, over budget, less noise than was reserved, or without the record of HEAD (truncated, rebuilt or older).
    """
    from secagg.commands.budget import verify_on_terminal

    raise typer.Exit(verify_on_terminal(ledger, head=head))


@keys.command()
def committee(
    members: Annotated[int, typer.Option(help="Who share the key, 2 to 64.")],
    threshold: Annotated[int, typer.Option(help="How many of them open a sum; more than half.")],
    out: Annotated[Path, typer.Option(help="Folder of the key files; empty, or made.")],
    bits: Annotated[int, typer.Option(help="Of the key; 3072 stand for 128 bits of security.")] = 3072,
    allow_only_112_bits_of_security: Annotated[
        bool, typer.Option("--allow-only-112-bits-of-security", help="Allow keys of 2048 bits and above.")
    ] = False,
) -> None:
    """Make the Paillier key of a committee: a public file, and a secret one for each member."""
    from secagg.commands.keys import deal_on_terminal

    deal_on_terminal(
        out,
        members=members,
        threshold=threshold,
        bits=bits,
        allow_only_112_bits_of_security=allow_only_112_bits_of_security,
    )


@app.command()
def protocols(as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False) -> None:
    """The installed protocols; of one that cannot be loaded, why."""
    from secagg.commands.protocols import list_on_terminal

    list_on_terminal(as_json=as_json)


def _settings() -> frozenset[str]:
    from secagg.runs.config import TrainingConfig

    return frozenset(TrainingConfig.__struct_fields__)


def main() -> NoReturn:
    """Run the command."""
    with raising():
        code = _run()
    sys.exit(code)


def _run() -> int:
    try:
        app(prog_name="secagg")  # Also where it is run as `python -m secagg`.
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except (SecaggError, DpError, ProtocolError, OSError) as error:
        Console(stderr=True).print(f"[red]secagg:[/] {escape(str(error))}", soft_wrap=True)
        return 2
    return 0


_starting.close()
