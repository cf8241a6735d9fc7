"""The committee of a simulation, all of whose members this process plays.

This module reads one with a Paillier key from a folder. `secagg.simulation.seed_committee` has those by replicated
seeds.

The members' records of the sums that they have opened (`MemoryOpenings`) start empty and end with the process, like the
clients' identities. So a resumed run may repeat its last round, in another session with the same context. The repeated
round is a release of its own, and the budget's ledger has counted the interrupted one as well. Outside a simulation
each member keeps its key file and its `secagg.storage.opening_store.OpeningStore` to itself. It then refuses a second
sum under one context if the contributors of the two sums differ, but by fewer clients than its minimum.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from protocols import Committee, CommitteeShare, Keyholder, MemoryOpenings, Roster
from protocols.crypto.integers import PYTHON, fastest
from secagg.errors import ConfigurationError
from secagg.paths import expanded
from secagg.storage.key_files import PUBLIC_NAME, member_name, read_committee_key, read_key_share

MAKE: Final = "secagg keys committee --members 5 --threshold 3 --out DIR"
"""A command that makes the folder of a committee."""


def warn_without_gmpy2() -> None:
    """Warn on standard error if gmpy2 is not installed, since Python's own long integers are slower."""
    if fastest().name == PYTHON.name:
        sys.stderr.write(
            "secagg: gmpy2 is not installed, so this takes about ten times as long. The extra paillier brings it. "
            'Install it in a clone of secagg: pip install ".[paillier]"\n'
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedCommittee:
    """A committee and the key shares of all its members.

    Attributes:
        committee: The public key and the members' ids.
        shares: The key shares of all members, in the order of the members.
    """

    committee: Committee
    shares: tuple[CommitteeShare, ...] = field(repr=False)

    @classmethod
    def read(cls, folder: str | Path, *, clients: int) -> "SimulatedCommittee":
        """Return the committee of a folder that `secagg keys committee` has made, with the files of all members.

        Args:
            folder: The folder.
            clients: The number of clients, whose ids are 0, 1, ...; the members are other parties, with the next ids.

        Raises:
            ConfigurationError: Files are missing, or the key's threshold is so low that two groups of members without a
                common member could open two sums of one session.
            KeyFileError: A file is damaged or belongs to another committee, other users may read or write it, or it
                belongs to another user.
        """
        path = expanded(folder)
        if not (path / PUBLIC_NAME).exists():
            found = f"a file. Name the folder {path.parent}" if path.is_file() else "none. Name another folder"
            raise ConfigurationError(
                f"committee: expected a folder with a file {PUBLIC_NAME} at {path}, found {found}, or make a new "
                f"committee: {MAKE}"
            )
        key = read_committee_key(path / PUBLIC_NAME)
        if 2 * key.threshold <= key.members:
            raise ConfigurationError(
                f"committee: expected a threshold of at least {key.members // 2 + 1} of the {key.members} members of "
                f"{path}, found {key.threshold}. Two groups without a common member could open two different sums. "
                f"Use a key with a threshold of {key.members // 2 + 1} or more."
            )
        names = [member_name(index) for index in range(1, key.members + 1)]
        missing = [name for name in names if not (path / name).exists()]
        if missing:
            raise ConfigurationError(
                f"committee: expected the files of all {key.members} members in {path}, since a simulation plays all "
                f"of them, found that {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing"
            )
        shares = tuple(read_key_share(path / name, key) for name in names)
        for index, (name, share) in enumerate(zip(names, shares, strict=True), start=1):
            if share.index != index:
                raise ConfigurationError(
                    f"committee: expected the file of member {index} at {path / name}, found that of member "
                    f"{share.index}. Give each file its own name back."
                )
        return cls(committee=Committee(key=key, members=tuple(range(clients, clients + key.members))), shares=shares)

    def keyholders(self, *, minimum_contributors: int, roster: Roster | None) -> dict[int, Keyholder]:
        """Return what each member brings to a session, by its id.

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
