"""What the commands for committees by replicated seeds take: arguments, options and help.

The work itself is imported when a command is run, so that `secagg --help` stays quick.
"""

from pathlib import Path
from typing import Annotated

import typer


def member(
    folder: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", help="Folder of the member. At first use it must be empty or not exist."),
    ],
    days: Annotated[
        int | None,
        typer.Option(
            help="Days for which the new key can be used, from now on. 1 to 3650. A shorter time protects more past "
            "sessions from who takes the keys later. Default: 90.",
            show_default=False,
        ),
    ] = None,
    *,
    delete_expired: Annotated[
        bool,
        typer.Option(
            "--delete-expired",
            help="Make no key. Delete the secret keys that have expired, and say which. What was encrypted to them can "
            "then never be decrypted again.",
        ),
    ] = False,
) -> None:
    """Make the keys of a member of a committee without a dealer.

    The first use makes the member's identity and its key for epoch 0. Each
    further use makes the key of the next epoch; the identity stays. Run it on
    the member's own machine. The secret keys never leave it.
    """
    from secagg.commands.seed_keys import delete_on_terminal, make_member

    if delete_expired:
        delete_on_terminal(folder, days=days)
    else:
        make_member(folder, days=days)


def seed_committee(
    certificate: Annotated[
        list[Path],
        typer.Argument(
            metavar="CERTIFICATE...", help="Public file of each member, in the order of the members. 2 to 10."
        ),
    ],
    *,
    colluding: Annotated[
        int,
        typer.Option(
            help="Number of members that may collude and still learn only the sums that are opened. From 1 to the "
            "number of members less 1. One more can decrypt everything. A client draws a seed for each choice of them."
        ),
    ],
    out: Annotated[Path, typer.Option(help="File of the committee, which must not exist.")],
    quorum: Annotated[
        int | None,
        typer.Option(
            help="Number of members that must agree on a sum. Default: the least number that is accepted, (members + "
            "colluding) / 2 rounded down, plus 1. Then two quorums have an honest member in common.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Put a committee together from the public files of its members.

    No secret is needed. The members make their files with `secagg keys member`.
    """
    from secagg.commands.seed_keys import make_seed_committee

    make_seed_committee(certificate, colluding=colluding, quorum=quorum, out=out)
