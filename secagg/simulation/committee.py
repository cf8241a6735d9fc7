"""The committee of a simulation: its key from a folder, and all members played by this process.

Their records of what they have opened (`MemoryOpenings`) are made afresh and forgotten with the process, like the
clients' identities.  So a run that is resumed may do its last round again, in another session of the same context: that
is a release of its own, and the budget's ledger has counted the one that was interrupted.  Outside of a simulation each
member keeps its file and its `secagg.storage.opening_store.OpeningStore` to itself, and refuses a second sum under one
context whose contributors differ in few.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from protocols import Committee, Keyholder, KeyShare, MemoryOpenings, Roster
from protocols.crypto.integers import PYTHON, fastest
from secagg.errors import ConfigurationError
from secagg.paths import expanded
from secagg.storage.key_files import PUBLIC_NAME, member_name, read_committee_key, read_key_share

MAKE: Final = "secagg keys committee --members 5 --threshold 3 --out DIR"
"""A command that makes a committee's folder."""


def warn_without_gmpy2() -> None:
    """Say on standard error that long integers will be Python's, if they will."""
    if fastest().name == PYTHON.name:
        sys.stderr.write(
            "secagg: gmpy2 is not installed, so this takes about ten times as long; it comes with the extra paillier: "
            'pip install ".[paillier]" in a clone of secagg\n'
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedCommittee:
    """A committee and all of its shares.

    Attributes:
        committee: The key, and its members' ids.
        shares: Of all members, in their order.
    """

    committee: Committee
    shares: tuple[KeyShare, ...] = field(repr=False)

    @classmethod
    def read(cls, folder: str | Path, *, clients: int) -> "SimulatedCommittee":
        """The committee of a folder that `secagg keys committee` has made, with the files of all members.

        Args:
            folder: The folder.
            clients: How many there are, 0, 1, ...: the members are parties of their own, with the ids that follow.

        Raises:
            ConfigurationError: Files are missing, or the key could open two sums of one session.
            KeyFileError: A file is damaged, another committee's, or not for its owner's eyes alone.
        """
        path = expanded(folder)
        if not (path / PUBLIC_NAME).exists():
            found = f"is no folder; name {path.parent}" if path.is_file() else f"holds no {PUBLIC_NAME}"
            raise ConfigurationError(f"committee: {path} {found}; a new one would be made by: {MAKE}")
        key = read_committee_key(path / PUBLIC_NAME)
        if 2 * key.threshold <= key.members:
            raise ConfigurationError(
                f"committee: any {key.threshold} of the {key.members} members of {path} open a sum, and two sets of "
                "them with nobody in common could open two different ones; a key with a threshold of "
                f"{key.members // 2 + 1} would do"
            )
        names = [member_name(index) for index in range(1, key.members + 1)]
        missing = [name for name in names if not (path / name).exists()]
        if missing:
            raise ConfigurationError(
                f"committee: {path} lacks {', '.join(missing)}; a simulation plays all {key.members} members, so it "
                "needs the files of all"
            )
        shares = tuple(read_key_share(path / name, key) for name in names)
        for index, (name, share) in enumerate(zip(names, shares, strict=True), start=1):
            if share.index != index:
                raise ConfigurationError(f"committee: {path / name} is the file of member {share.index}")
        return cls(committee=Committee(key=key, members=tuple(range(clients, clients + key.members))), shares=shares)

    def keyholders(self, *, minimum_contributors: int, roster: Roster | None) -> dict[int, Keyholder]:
        """What each member brings, by its id.

        Args:
            minimum_contributors: See `Keyholder`.
            roster: See `Keyholder`.
        """
        return {
            member: Keyholder(
                share=share, openings=MemoryOpenings(), minimum_contributors=minimum_contributors, roster=roster
            )
            for member, share in zip(self.committee.members, self.shares, strict=True)
        }
