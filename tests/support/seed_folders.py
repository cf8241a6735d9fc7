"""Folders with a whole committee by replicated seeds, as a simulation reads them."""

import time
from pathlib import Path

from protocols import SeedCommittee
from protocols.seeds.member_keys import MemberKeys
from protocols.seeds.sets import quorum
from secagg.storage.seed_keys import COMMITTEE_NAME, write_member, write_seed_committee

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
