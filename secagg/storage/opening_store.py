"""Which sums a committee member has opened, on the disk, so that no two of them give away a third.

A member opens one sum of a session, and never two under one context whose contributors differ in few clients: their
difference would be the sum of those few (`protocols.committee`, whose rule this is).  A member that was restarted must
still know, so each opening is recorded before it is answered.  A member has one store for all of its keys and shares,
made when it receives the first of them: what was opened under one key counts under every other.  Whoever has made a
store for each key brings them together by `take_over`.  `secagg.storage.store` says how durable a store is, and what it
cannot tell.
"""

import hashlib
import itertools
import struct
from typing import Any, ClassVar, Final

from protocols.errors import ParameterError, SessionReused
from protocols.replay import check_apart
from protocols.session import MAX_CLIENT_ID
from secagg.storage.store import Store, StoreCorrupt, check_bytes

_ID_BYTES: Final = 4


class OpeningStore(Store):
    """The sums that a member has opened, by session and context, with any of its shares; a context manager.

    It is a `protocols.committee.OpeningRecord`, for one process and any of its threads, and closes on the first
    failure.  A set of n contributors takes 4 * n bytes, and a new one is compared with all others of its context.

    Args:
        path: Of a store that `create` has made.

    Raises:
        StoreError: It is in use, damaged or missing, or is no store of openings.
    """

    kind: ClassVar[str] = "store of openings"
    remedy: ClassVar[str] = "a new committee key with new stores, under contexts never used before,"
    application_id: ClassVar[int] = 0x5EC09E
    format_version: ClassVar[int] = 1
    table: ClassVar[str] = "openings"
    schema: ClassVar[str] = (
        "CREATE TABLE openings (key BLOB NOT NULL, session_id BLOB NOT NULL, context BLOB NOT NULL, "
        "contributors BLOB NOT NULL, minimum INTEGER NOT NULL, digest BLOB NOT NULL, PRIMARY KEY (key, session_id)) "
        "STRICT, WITHOUT ROWID"
    )
    rows: ClassVar[str] = "SELECT key, session_id, context, contributors, minimum, digest FROM openings"

    def record(
        self, *, key: bytes, session_id: bytes, context: bytes, contributors: tuple[int, ...], minimum: int
    ) -> None:
        """Record that a sum is about to be opened; it is on the disk when this returns.

        Args:
            key: 32 bytes that stand for the member's share.
            session_id: 16 to 64 bytes.
            context: The session's, any bytes.
            contributors: Whose inputs are in the sum: ids in [0, 2^32 - 2], ascending, at least one.
            minimum: Other sets of contributors under this context, earlier or later, must differ from this one in at
                least so many clients; below 2^32.

        Raises:
            SessionReused: This share has opened a sum of this session before.
            UnsafeOpening: A sum has been opened under this context, with this share or any other, whose contributors
                differ in fewer than this minimum, or than that sum's own.
            StoreError: It was not recorded for certain; the store is closed.
            ParameterError: An argument is none of these.
        """
        check_bytes("key", key, least=32, most=32)
        check_bytes("session_id", session_id, least=16, most=64)
        if type(context) is not bytes:
            raise ParameterError(f"context must be bytes, not {type(context).__name__}")
        if type(minimum) is not int or not 1 <= minimum <= MAX_CLIENT_ID:
            raise ParameterError(f"minimum must be an int in [1, {MAX_CLIENT_ID}]")
        packed, hashed = _packed(contributors), hashlib.sha256(context).digest()
        with self._turn:
            with self._typed():
                found = self._run("SELECT 1 FROM openings WHERE key = ? AND session_id = ?", key, session_id).fetchone()
                # Nobody else writes, so what is read here still holds when the row is added.
                # Openings with every share count: under two keys as under one, two sums have a difference.
                others = self._run(
                    "SELECT contributors, MAX(minimum) FROM openings WHERE context = ? AND contributors <> ? "
                    "GROUP BY contributors",
                    *(hashed, packed),
                ).fetchall()
            if found is not None:
                raise SessionReused(
                    f"session {session_id.hex()}: this committee member has opened a sum of it before; a new session "
                    "would do"
                )
            if any(len(other) % _ID_BYTES for other, _ in others):
                self.close()
                raise StoreCorrupt("the store of openings holds a set of contributors that is none")
            for other, its_minimum in others:
                check_apart(contributors, _unpacked(other), max(minimum, its_minimum))
            with self._typed():
                row = (key, session_id, hashed, packed, minimum)
                self._run("INSERT INTO openings VALUES (?, ?, ?, ?, ?, ?)", *row, self._digest(*row))

    def take_over(self, earlier: "OpeningStore") -> None:
        """Record all that another store of the same member holds; it is on the disk when this returns.

        Both stores stay open.  The earlier one is not changed, and is to be used no more.

        Args:
            earlier: An open store, such as one that was made for another key.

        Raises:
            StoreCorrupt: Both stores hold an opening of one session with one share, and not the same; nothing has been
                taken over, and this store is closed.
            StoreError: It was not recorded for certain; the store that failed is closed.
            ParameterError: The argument is no other store.
        """
        if type(earlier) is not OpeningStore or earlier is self:
            raise ParameterError("take_over: expected another OpeningStore that is open")
        with earlier._turn, earlier._typed():
            rows = earlier._run(self.rows).fetchall()
        with self._turn, self._typed():
            self._run("BEGIN EXCLUSIVE")
            for row in rows:
                known = self._run(f"{self.rows} WHERE key = ? AND session_id = ?", *row[:2]).fetchone()
                if known is None:
                    self._run("INSERT INTO openings VALUES (?, ?, ?, ?, ?, ?)", *row)
                elif known != row:
                    raise StoreCorrupt(
                        f"session {row[1].hex()}: both stores hold an opening of it with the same share, and not the "
                        "same one; nothing has been taken over"
                    )
            self._run("COMMIT")

    @staticmethod
    def _digest(*row: Any) -> bytes:
        key, session_id, hashed, packed, minimum = row
        sizes = len(session_id).to_bytes(8, "big") + minimum.to_bytes(8, "big")
        return hashlib.sha256(key + hashed + sizes + session_id + packed).digest()


def _packed(contributors: tuple[int, ...]) -> bytes:
    if type(contributors) is not tuple or not contributors or any(type(client) is not int for client in contributors):
        raise ParameterError("contributors must be a tuple of ints, not empty")
    if not 0 <= contributors[0] <= contributors[-1] <= MAX_CLIENT_ID:
        raise ParameterError(f"contributors must lie in [0, {MAX_CLIENT_ID}]")
    if any(one >= other for one, other in itertools.pairwise(contributors)):
        raise ParameterError("contributors must be ascending, each once")
    return struct.pack(f">{len(contributors)}I", *contributors)


def _unpacked(packed: bytes) -> tuple[int, ...]:
    return struct.unpack(f">{len(packed) // _ID_BYTES}I", packed)
