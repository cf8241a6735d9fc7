"""A committee: parties that hold a decryption key together. Any `threshold` of them can decrypt.

The members of a committee hold key shares of one key; at most `colluding` of them learn nothing. They may be clients of
a session or other parties. One key serves many sessions. `Committee` says which party of a session holds which key
share. Each member opens sums by its own rules (`protocols.terms.Keyholder`).

A session can have two different sums unless any two sets of `threshold` members have an honest member in common. Two
such sets have at least 2 * threshold - members of them in common. So `threshold` must be more than half of the members,
and 2 * threshold - members must exceed the number of corrupt members.

The protocol decides what a key consists of. `CommitteeKey` and `CommitteeShare` are what sessions, committees and terms
need of it. There are two kinds: Paillier keys that a dealer has shared out (`protocols.crypto.paillier.threshold`), and
committees by replicated seeds, whose members make their own keys (`protocols.seeds.committee`). With seeds, `threshold`
members agree on a sum, and fewer corrupt members may be enough to learn the vectors: `colluding` is the largest number
that learns nothing.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from protocols.crypto.integers import shown
from protocols.errors import ParameterError


@runtime_checkable
class CommitteeKey(Protocol):
    """The public side of a key that a committee holds together."""

    @property
    def members(self) -> int:
        """The number of members that hold a key share; key shares are numbered from 1."""

    @property
    def threshold(self) -> int:
        """The number of members that open a sum together."""

    @property
    def colluding(self) -> int:
        """The most corrupt members that learn nothing but the sums that are opened; below the number of members."""

    @property
    def fingerprint(self) -> bytes:
        """32 bytes that identify the key: a hash of everything in it."""

    @property
    def pin(self) -> bytes:
        """32 bytes that clients pin: a hash of all that must not change from one session to the next."""

    @property
    def expires(self) -> int | None:
        """The time from which on the key must not be used, in seconds since 1970-01-01 00:00 UTC; None if never."""

    @property
    def bits(self) -> int:
        """The size of the key, in the usual measure of its kind."""

    def to_bytes(self) -> bytes:
        """Return the key as bytes for a file."""


@runtime_checkable
class CommitteeShare(Protocol):
    """The secret key share of one member."""

    @property
    def key(self) -> CommitteeKey:
        """The committee's key."""

    @property
    def index(self) -> int:
        """The number of the key share, from 1."""

    @property
    def record_key(self) -> bytes:
        """32 bytes under which the member records what it opens; they reveal nothing of the key share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Committee:
    """An assignment of a key's shares to parties of a session.

    Attributes:
        key: The committee's key, from its file.
        members: Distinct ids, one for each key share; the first member holds key share 1.

    Raises:
        ParameterError: `key` is not a committee's key, or the ids do not fit it.
    """

    key: CommitteeKey
    members: tuple[int, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.key, CommitteeKey):
            raise ParameterError(
                f"key: expected the key of a committee, such as a ThresholdKey, found {type(self.key).__name__}"
            )
        if type(self.members) is not tuple or any(type(member) is not int for member in self.members):
            raise ParameterError("members: expected a tuple of ints, the ids of the committee's members")
        if len(set(self.members)) != len(self.members) or len(self.members) != self.key.members:
            raise ParameterError(
                f"members: expected {self.key.members} different ids, one for each share of the key, found "
                f"{len(self.members)}, of which {len(set(self.members))} differ"
            )

    def index(self, member: int) -> int:
        """Return the number of the key share that a member holds, from 1.

        Raises:
            ParameterError: The party is not a member.
        """
        if member not in self.members:
            raise ParameterError(f"party {shown(member)} is not a member of the committee")
        return self.members.index(member) + 1
