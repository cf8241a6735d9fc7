"""A committee: parties that hold a decryption key together, and any `threshold` of which decrypt.

The members of a committee hold shares of one key; fewer than `threshold` of them learn nothing. They may be clients of
a session or parties of their own. The key outlives sessions; `Committee` says which party of a session holds which
share. Each member opens sums by rules of its own (`protocols.terms.Keyholder`).

A session has one sum only if `threshold` is more than half of the members: two sets of `threshold` members then share
at least 2 * threshold - members of them, and one of these must be honest.

What a key is made of is the protocol's business. `CommitteeKey` and `CommitteeShare` are what sessions, committees and
terms ask of it.
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
        """How many members share the key; shares are counted from 1."""

    @property
    def threshold(self) -> int:
        """How many members decrypt together."""

    @property
    def fingerprint(self) -> bytes:
        """32 bytes that stand for everything in the key."""

    @property
    def bits(self) -> int:
        """The size of the key, in the usual measure of its kind."""

    def to_bytes(self) -> bytes:
        """Return the key as bytes for a file."""


@runtime_checkable
class CommitteeShare(Protocol):
    """The secret share of one member."""

    @property
    def key(self) -> CommitteeKey:
        """The committee's key."""

    @property
    def index(self) -> int:
        """Which share it is, from 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Committee:
    """Who of a session's parties holds which share of a key.

    Attributes:
        key: The committee's key, from its file.
        members: Distinct ids, as many as the key has shares; the first one holds share 1.

    Raises:
        ParameterError: `key` is no key of a committee, or the ids do not fit it.
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
        """Return which share a member holds, from 1.

        Raises:
            ParameterError: The party is not a member.
        """
        if member not in self.members:
            raise ParameterError(f"party {shown(member)} is not a member of the committee")
        return self.members.index(member) + 1
