"""What parties remember across restarts, so that they give no answer twice: two interfaces, two records in memory.

A client remembers which steps of which sessions it has answered (`SessionRecord`). A committee member remembers which
sums it has opened (`OpeningRecord`). Durable records are in `secagg.storage`.
"""

from collections.abc import Collection
from typing import Protocol

from protocols.crypto.integers import shown
from protocols.errors import SessionReused, UnsafeOpening


class SessionRecord(Protocol):
    """Remembers what a client has answered; what it must survive is a restart of that client."""

    def record(self, identity: bytes, session_id: bytes, number: int) -> None:
        """Note, durably before it returns, that step `number` of a session is about to be answered.

        Args:
            identity: The client's public identity key.
            session_id: The session's id.
            number: The step, from 0.

        Raises:
            SessionReused: The step, or a later one, was recorded before; or the session is resumed in the middle
                without a record of how it began.
        """


class MemoryRecord:
    """A `SessionRecord` for simulations and tests: it forgets everything when the process ends."""

    def __init__(self) -> None:
        self._steps: dict[tuple[bytes, bytes], int] = {}

    def record(self, identity: bytes, session_id: bytes, number: int) -> None:
        """See `SessionRecord.record`."""
        last = self._steps.get((identity, session_id), -1)
        if number <= last or (last == -1 and number != 0):
            raise SessionReused(f"step {number} of a session whose last recorded step is {last}")
        self._steps[identity, session_id] = number


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
