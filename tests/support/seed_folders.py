"""Folders with a whole committee by replicated seeds, as a simulation reads them, and homes of its members."""

import shutil
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from protocols import SeedCommittee
from protocols.seeds.member_keys import MemberKeys
from protocols.seeds.sets import quorum
from secagg.storage.key_files import PUBLIC_NAME
from secagg.storage.seed_keys import COMMITTEE_NAME, KEYS_NAME, write_member, write_seed_committee

_DAY_S = 86_400


def seed_folder(
    folder: Path, members: int, colluding: int = 1, *, begins: int = -_DAY_S, ends: int = 30 * _DAY_S
) -> Path:
    """Make a folder with new members and their committee, against a malicious server, and return it.

    Args:
        folder: The folder.
        members: The number of members, whose folders are member0, member1, ...
        colluding: The most corrupt members.
        begins: When the epoch begins, in seconds after now.
        ends: When it ends, in seconds after now.
    """
    now = int(time.time())
    keys = [MemberKeys.generate().with_epoch(now + begins, now + ends) for _ in range(members)]
    for index, each in enumerate(keys):
        write_member(folder / f"member{index}", each)
    committee = SeedCommittee(
        certificates=tuple(each.epochs[-1].certificate for each in keys),
        colluding=colluding,
        quorum=quorum(members, colluding),
    )
    write_seed_committee(folder / COMMITTEE_NAME, committee)
    return folder


def give_seed_committee(folder: Path, members: Sequence[Path], others: Iterable[Path]) -> None:
    """Make a committee of which one member may be corrupt, and give its files to homes and other folders of parties.

    Args:
        folder: The folder of the committee, which is made.
        members: The homes of the members, in order.
        others: Folders of parties that are no members.
    """
    seed_folder(folder, len(members))
    for index, home in enumerate(members):
        shutil.copy(folder / f"member{index}" / KEYS_NAME, home)
    for party in (*members, *others):
        shutil.copy(folder / COMMITTEE_NAME, party / PUBLIC_NAME)
