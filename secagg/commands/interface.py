"""What the commands `train`, `keys committee` and `protocols` take: their arguments, options and help.

The work itself is imported when a command is run, so that `secagg --help` stays quick.
"""

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from secagg.commands.options import with_settings
from secagg.runs.settings import Group

_OUTPUT: Final = Group.OUTPUT.value


@with_settings
def train(
    config: Annotated[
        Path | None,
        typer.Argument(metavar="CONFIG.toml", help="File of settings. Options override it."),
    ] = None,
    *,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the run. Default: runs/ and the data set's name.", rich_help_panel=_OUTPUT),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Continue the run in the folder, with its own settings. With --rounds N: up to round N.",
            rich_help_panel=_OUTPUT,
        ),
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace the run in the folder. Its ledger is kept, and the cost of both adds up.",
            rich_help_panel=_OUTPUT,
        ),
    ] = False,
    record: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write a transcript, all that the server sees, to a new file. With --resume: or add to one.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print the summary as JSON on standard output.", rich_help_panel=_OUTPUT),
    ] = False,
    **settings: Any,
) -> None:
    """Train a model over simulated clients with secure aggregation and differential privacy.

    The run's folder holds the model, the privacy ledger, the metrics and a
    report. Exit code 0: the run has ended; 2: a setting or a file was refused;
    130, 143 or 129: the run was interrupted. Go on with --resume.
    """
    from secagg.commands.train import train_on_terminal

    given = {name: value for name, value in settings.items() if value is not None}
    train_on_terminal(config, given, out=out, resume=resume, overwrite=overwrite, record=record, as_json=as_json)


def committee(
    members: Annotated[int, typer.Option(help="Number of members that share the key. 2 to 64.")],
    threshold: Annotated[
        int,
        typer.Option(
            help="Number of members needed to decrypt a sum. Must be more than half. As many colluding members can "
            "decrypt everything."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the key files. It must be empty, or is made.")],
    bits: Annotated[
        int,
        typer.Option(
            help="Size of the key. An even number from 3072 to 8192. 3072 bits correspond to about 128-bit security. "
            "Default: 3072.",
            show_default=False,
        ),
    ] = 3072,
    allow_112_bit_security: Annotated[
        bool,
        typer.Option(
            "--allow-112-bit-security",
            help="Weaken the key: allow 2048 bits and more, which correspond to about 112-bit security.",
        ),
    ] = False,
) -> None:
    """Make the Paillier key of a committee: one public file, and one secret file for each member.

    WARNING: this process sees the complete key and could decrypt everything.
    Run it once, on a machine that all members trust and that is wiped
    afterwards.
    """
    from secagg.commands.keys import deal_on_terminal

    deal_on_terminal(
        out,
        members=members,
        threshold=threshold,
        bits=bits,
        allow_112_bit_security=allow_112_bit_security,
    )


def protocols(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")] = False,
) -> None:
    """List the installed protocols. For one that cannot be loaded, say why."""
    from secagg.commands.protocols import list_on_terminal

    list_on_terminal(as_json=as_json)
