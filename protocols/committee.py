"""A committee: parties that hold a decryption key together, and the rules by which each of them opens a sum.

A committee's members hold shares of one threshold key (`protocols.crypto.paillier.threshold`), any `threshold` of them
open a ciphertext, fewer learn nothing.  They may be clients of a session or parties of their own.  The key outlives
sessions; `Committee` says which party of a session holds which share.

Adversary: a server that asks for what it likes.  Each member looks at nothing but its own rules (`Keyholder`): it opens
one sum of each session, of at least its own minimum of distinct clients, and never sums of two sets of clients under
the same session context that differ in fewer clients than that, or than either session's threshold, since their
difference would be a sum of too few.  (More than two sets can be combined in more ways than pairs show; one set may be
opened again, in another session; use one context for one set of inputs.)  The second rule is about the clients' inputs,
so a member compares across all of its keys and shares: its record is the member's, and not one of a key.  That a
session has one sum needs more than half of the members: two sets of `threshold` members share 2 * threshold - members
of them, and one of these must be honest.
"""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from protocols.crypto.integers import shown
from protocols.crypto.paillier.threshold import KeyShare, ThresholdKey
from protocols.errors import ParameterError, SessionReused, UnsafeOpening, UnsafeSession
from protocols.identity import Roster


@dataclass(frozen=True, slots=True, kw_only=True)
class Committee:
    """Who of a session's parties holds which share of a key.

    Attributes:
        key: The threshold key, from its file.
        members: Distinct ids, as many as the key has shares; the first one holds share 1.

    Raises:
        ParameterError: The ids are none of these.
    """

    key: ThresholdKey
    members: tuple[int, ...]

    def __post_init__(self) -> None:
        if type(self.key) is not ThresholdKey:
            raise ParameterError(f"a committee needs a ThresholdKey, not a {type(self.key).__name__}")
        if type(self.members) is not tuple or any(type(member) is not int for member in self.members):
            raise ParameterError("a committee's members must be a tuple of ints")
        if len(set(self.members)) != len(self.members) or len(self.members) != self.key.members:
            raise ParameterError(
                f"the key has {self.key.members} shares, so a committee needs as many different members, not "
                f"{len(self.members)} of whom {len(set(self.members))} differ"
            )

    def index(self, member: int) -> int:
        """Which share a member holds, from 1.

        Raises:
            ParameterError: It is no member.
        """
        if member not in self.members:
            raise ParameterError(f"party {shown(member)} is no member of the committee")
        return self.members.index(member) + 1


class OpeningRecord(Protocol):
    """Remembers what a committee member has opened; what it must survive is a restart of that member.

    A member has one record for all of its keys and shares.  A second record beside it would not know what the first
    one has seen, and two sums whose difference is one client's vector could be opened under two keys.
    """

    def record(
        self, *, key: bytes, session_id: bytes, context: bytes, contributors: tuple[int, ...], minimum: int
    ) -> None:
        """Note, durably before it returns, that a sum is about to be opened.

        Args:
            key: 32 bytes that stand for the member's share; a session may be opened once with each share.
            session_id: The session's id.
            context: The session's context.
            contributors: Whose inputs are in the sum, ascending.
            minimum: Other sets of contributors under this context, earlier or later, must differ from this one in at
                least so many clients.

        Raises:
            SessionReused: This share has opened a sum of this session before.
            UnsafeOpening: A sum has been opened under this context, with this share or any other, whose contributors
                differ in fewer than this minimum, or than that sum's own.
        """


def check_apart(contributors: Collection[int], earlier: Collection[int], minimum: int) -> None:
    """Raise `UnsafeOpening` where two sets of contributors differ, but in fewer than `minimum` clients."""
    apart = len(set(contributors) ^ set(earlier))
    if 0 < apart < minimum:
        raise UnsafeOpening(
            "contributors: expected the same set as in an earlier sum under this context, or one that differs in at "
            f"least {shown(minimum)} clients, found a difference of {apart}. The two sums would reveal the sum of "
            "these clients. Repeat the sum with the same contributors; never change the context for the same inputs."
        )


class MemoryOpenings:
    """An `OpeningRecord` for simulations and tests: it forgets everything when the process ends."""

    def __init__(self) -> None:
        self._sessions: set[tuple[bytes, bytes]] = set()
        self._opened: dict[bytes, list[tuple[tuple[int, ...], int]]] = {}

    def record(
        self, *, key: bytes, session_id: bytes, context: bytes, contributors: tuple[int, ...], minimum: int
    ) -> None:
        """See `OpeningRecord.record`."""
        if (key, session_id) in self._sessions:
            raise SessionReused("this member has opened a sum of this session before")
        opened = self._opened.setdefault(context, [])  # whichever share opened it
        for earlier, its_minimum in opened:
            check_apart(contributors, earlier, max(minimum, its_minimum))
        self._sessions.add((key, session_id))
        opened.append((contributors, minimum))


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyholder:
    """What a committee member brings to a session: its share, and its own rules.

    Attributes:
        share: Its share of the committee's key.
        openings: Its memory of what it has opened, the same one for every share that it holds.
        minimum_contributors: It opens no sum of fewer vectors; at least 2.
        roster: The clients' identities that it has pinned; without them it trusts the server's word on who sent what.
            Openings are compared by the clients' ids, so the rosters of all its keys give a client the same id.

    Raises:
        ParameterError: A field is none of these.
    """

    share: KeyShare = field(repr=False)
    openings: OpeningRecord
    minimum_contributors: int
    roster: Roster | None = None

    def __post_init__(self) -> None:
        if type(self.share) is not KeyShare:
            raise ParameterError(f"a keyholder needs a KeyShare, not a {type(self.share).__name__}")
        if self.roster is not None and type(self.roster) is not Roster:
            raise ParameterError("a keyholder's roster must be a Roster")
        if not callable(getattr(self.openings, "record", None)):
            raise ParameterError("a keyholder needs a record of what it has opened; see OpeningRecord")
        if type(self.minimum_contributors) is not int or self.minimum_contributors < 2:
            raise ParameterError(
                f"minimum_contributors must be an int of at least 2, not {shown(self.minimum_contributors)}"
            )

    @property
    def fingerprint(self) -> bytes:
        """32 bytes that stand for the share, and say nothing about it: of the committee's key, and of the index."""
        return hashlib.sha256(b"secagg keyholder v1" + self.share.key.fingerprint + bytes([self.share.index])).digest()

    def accept(self, *, member: int, committee: Committee, threshold: int, roster: Mapping[int, bytes] | None) -> None:
        """Compare what a session says with this member's share and rules.

        Raises:
            UnsafeSession: The key, the member's place or an identity is another one, or sums of too few may be opened.
        """
        if committee.key.fingerprint != self.share.key.fingerprint or committee.index(member) != self.share.index:
            raise UnsafeSession(f"member {member} holds another share than the session says, or one of another key")
        if threshold < self.minimum_contributors:
            raise UnsafeSession(
                f"the session opens sums of {threshold} clients, this committee member none below "
                f"{shown(self.minimum_contributors)}"
            )
        if self.roster is None:
            if roster is not None:
                raise UnsafeSession("the session has a roster, and this committee member has pinned none")
            return
        if roster is None or any(self.roster.get(client) != key for client, key in roster.items()):
            raise UnsafeSession("the session's identities are not those that this committee member has pinned")
