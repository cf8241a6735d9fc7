"""Records that parties keep across restarts, so that they answer nothing twice: two interfaces, two in-memory records.

A client remembers which steps of which sessions it has answered (`SessionRecord`). A committee member remembers which
sums it has opened (`OpeningRecord`). Durable records are in `secagg.storage`.
"""

from collections.abc import Collection
from typing import Protocol

from protocols.crypto.integers import shown
from protocols.errors import SessionReused, UnsafeOpening


class SessionRecord(Protocol):
    """A record of what a client has answered. It must survive a restart of that client."""

    def record(self, identity: bytes, session_id: bytes, number: int) -> None:
        """Note, durably before it returns, that step `number` of a session is about to be answered.

        Args:
            identity: The client's public identity key.
            session_id: The session's id.
            number: The step, from 0.

        Raises:
            SessionReused: The step, or a later one, was recorded before; or the session is resumed at a later step
                without a record of step 0.
        """


class MemoryRecord:
    """A `SessionRecord` for simulations and tests: it forgets everything when the process ends."""

    def __init__(self) -> None:
        self._steps: dict[tuple[bytes, bytes], int] = {}

    def record(self, identity: bytes, session_id: bytes, number: int) -> None:
        """See `SessionRecord.record`."""
        last = self._steps.get((identity, session_id), -1)
        if number <= last or (last == -1 and number != 0):
            expected = f"a step after {last}" if last >= 0 else "step 0 first"
            raise SessionReused(f"session record: expected {expected}, found step {number}")
        self._steps[identity, session_id] = number


class OpeningRecord(Protocol):
    """A record of what a committee member has opened. It must survive a restart of that member.

    A member has one record for all of its keys and key shares. Do not use a second record beside it: neither would know
    the sums in the other one. Two sums whose difference is one client's vector could then be opened under two keys.
    """

    def record(
        self, *, key: bytes, session_id: bytes, context: bytes, contributors: tuple[int, ...], minimum: int
    ) -> None:
        """Note, durably before it returns, that a sum is about to be opened.

        Args:
            key: 32 bytes that identify the member's key share; a session may be opened once with each key share.
            session_id: The session's id.
            context: The session's context.
            contributors: Ids of the clients whose inputs are in the sum, ascending.
            minimum: The smallest number of clients in which another set of contributors under this context, earlier or
                later, must differ from this one.

        Raises:
            SessionReused: This key share has opened a sum of this session before.
            UnsafeOpening: A sum was opened under this context, with this key share or another, whose contributors are
                not the same but differ in fewer clients than this minimum, or than the minimum of that sum.
        """


def check_apart(contributors: Collection[int], earlier: Collection[int], minimum: int) -> None:
    """Raise `UnsafeOpening` if two sets of contributors differ, but in fewer than `minimum` clients."""
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
        opened = self._opened.setdefault(context, [])  # Opened with any of the member's key shares.
        for earlier, its_minimum in opened:
            check_apart(contributors, earlier, max(minimum, its_minimum))
        self._sessions.add((key, session_id))
        opened.append((contributors, minimum))
