"""A record on disk of the steps of each session that a client has answered, and of the sessions that count for its cap.

A client that was restarted, or restored from an old snapshot, must not answer a step again, and must not use a session
id again. Two answers to one step may together unmask the client's vector. So each step is recorded before it is
answered. The row of a session says too whether the client took part in it, which it does from just before its first
reply that depends on its vector. The step and this mark are one row, and one statement writes both.

The store is made once, together with the identity. If session ids begin with a serial number, it is also the memory of
these numbers (`SessionStore.latest`). `secagg.storage.store` says how durable the store is, and what it cannot detect:
an older copy has forgotten steps and participations.

The row says under which context the session was, and with which committee. A client does not send its vector to two
committees under one context.

A store of format 1 says nothing of participations, and each of its sessions counts as one. A store of format 2 says
nothing of committees. When such a store is opened, all its rows are checked and written anew in format 3, in one
transaction. An earlier version of the software refuses format 3.
"""

import hashlib
from typing import Any, ClassVar, Final

from protocols.errors import ParameterError, SessionReused
from protocols.replay import check_cap, check_committees, check_participations
from secagg.storage.store import Layout, Store, check_bytes
from secagg.storage.store import StoreCorrupt as SessionStoreCorrupt
from secagg.storage.store import StoreError as SessionStoreError
from secagg.storage.store import StoreLocked as SessionStoreLocked
from secagg.storage.store import StoreUnavailable as SessionStoreUnavailable

__all__ = [
    "SessionStore",
    "SessionStoreCorrupt",
    "SessionStoreError",
    "SessionStoreLocked",
    "SessionStoreUnavailable",
]

_KNOWN: Final = "SELECT round, counted, context, committee FROM sessions WHERE identity = ?1 AND session_id = ?2"
_COMMITTEES: Final = "SELECT DISTINCT committee FROM sessions WHERE identity = ?1 AND context = ?2 AND counted = 1"
_COUNT: Final = "SELECT COUNT(*) FROM sessions WHERE identity = ?1 AND counted = 1"
_LATEST: Final = "SELECT session_id FROM sessions WHERE identity = ?1 ORDER BY session_id DESC LIMIT 1"


def _first_digest(identity: bytes, session_id: bytes, number: int) -> bytes:
    return hashlib.sha256(identity + number.to_bytes(8, "big", signed=True) + session_id).digest()


_FIRST: Final = Layout(
    version=1,
    schema=(
        "CREATE TABLE sessions (identity BLOB NOT NULL, session_id BLOB NOT NULL, round INTEGER NOT NULL, "
        "digest BLOB NOT NULL, PRIMARY KEY (identity, session_id)) STRICT, WITHOUT ROWID"
    ),
    rows="SELECT identity, session_id, round, digest FROM sessions",
    digest=_first_digest,
    added=(1,),
)
"""The format of stores that do not say which sessions count: each of them does."""


def _second_digest(identity: bytes, session_id: bytes, number: int, counted: int) -> bytes:
    numbers = number.to_bytes(8, "big", signed=True) + counted.to_bytes(8, "big", signed=True)
    return hashlib.sha256(identity + numbers + session_id).digest()


_SECOND: Final = Layout(
    version=2,
    schema=(
        "CREATE TABLE sessions (identity BLOB NOT NULL, session_id BLOB NOT NULL, round INTEGER NOT NULL, "
        "counted INTEGER NOT NULL CHECK (counted IN (0, 1)), digest BLOB NOT NULL, "
        "PRIMARY KEY (identity, session_id)) STRICT, WITHOUT ROWID"
    ),
    rows="SELECT identity, session_id, round, counted, digest FROM sessions",
    digest=_second_digest,
    added=(b"", b""),
)
"""The format of stores that do not say which committee a session has."""


class SessionStore(Store):
    """The steps that were answered, and whether the session counts, by identity and session.

    A session store is a context manager and a `protocols.replay.SessionRecord`. Any thread of one process may use it.
    It closes on the first failure.

    Args:
        path: The path of a store that `create` has made. A store of format 1 or 2 becomes one of format 3.

    Raises:
        SessionStoreError: The store is in use, damaged or missing, or the file is not a session store.
    """

    kind: ClassVar[str] = "session store"
    remedy: ClassVar[str] = "Make a new identity with a new store."
    application_id: ClassVar[int] = 0x5EC5E5
    format_version: ClassVar[int] = 3
    table: ClassVar[str] = "sessions"
    schema: ClassVar[str] = (
        "CREATE TABLE sessions (identity BLOB NOT NULL, session_id BLOB NOT NULL, round INTEGER NOT NULL, "
        "counted INTEGER NOT NULL CHECK (counted IN (0, 1)), context BLOB NOT NULL, committee BLOB NOT NULL, "
        "digest BLOB NOT NULL, PRIMARY KEY (identity, session_id)) STRICT, WITHOUT ROWID"
    )
    rows: ClassVar[str] = "SELECT identity, session_id, round, counted, context, committee, digest FROM sessions"
    insert: ClassVar[str] = "INSERT OR REPLACE INTO sessions VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"
    earlier: ClassVar[tuple[Layout, ...]] = (_FIRST, _SECOND)

    def record(
        self,
        identity: bytes,
        session_id: bytes,
        number: int,
        *,
        vector: bool = False,
        cap: int | None = None,
        context: bytes = b"",
        committee: bytes = b"",
    ) -> None:
        """Record that a step is about to be answered, and count its session. Both are on the disk when this returns.

        If the session does not count yet, the cap is compared with the sessions of this identity that do. The same
        session counts once.

        Args:
            identity: The client's Ed25519 public key, or `protocols.replay.NO_IDENTITY`, 32 bytes.
            session_id: The session's id, 16 to 64 bytes.
            number: The number of the step, counted from 0.
            vector: Whether the reply is the first one that depends on the client's vector, so that the session counts.
            cap: The most sessions that may count, at least 1; None for any number.
            context: The session's context, any bytes.
            committee: 32 bytes that stand for the session's committee; empty if it has none.

        Raises:
            SessionReused: The step is neither step 0 of a session never seen before, nor later than all recorded steps
                of its session.
            ParticipationRefused: The session does not count yet, and `cap` others do. Nothing was recorded.
            UnsafeSession: A session of this identity under the same context, with another committee, counts. Nothing
                was recorded.
            SessionStoreError: It is not certain that the step was recorded. The store is closed.
            ParameterError: An argument has another type or is out of range.
        """
        check_bytes("identity", identity, least=32, most=32)
        check_bytes("session_id", session_id, least=16, most=64)
        if type(number) is not int or not 0 <= number < 2**31:
            raise ParameterError(f"number: expected the number of a step, an int in [0, 2^31), found {number!r}")
        if type(vector) is not bool:
            raise ParameterError(f"vector: expected a bool, found {type(vector).__name__}")
        check_cap(cap)
        if type(context) is not bytes:
            raise ParameterError(f"context: expected bytes, found {type(context).__name__}")
        if committee:
            check_bytes("committee", committee, least=32, most=32)
        hashed = hashlib.sha256(context).digest()
        with self._turn:
            with self._typed():
                # No other process writes to the file, so what is read here still holds when the row is written.
                known = self._run(_KNOWN, identity, session_id).fetchone()
                last, counted, its_context, its_committee = known or (-1, 0, b"", b"")
                others = 0 if cap is None or counted else self._count(identity)
                committees = [found for (found,) in self._run(_COMMITTEES, identity, hashed).fetchall()]
            if number <= last or (last == -1 and number):
                raise SessionReused(
                    f"session {session_id.hex()}: expected step 0 of a new session, or a step after all those "
                    f"answered, found step {number} again or out of order. Use a new session."
                )
            if not counted:
                check_participations(others, cap)
            check_committees(committees, committee)
            # What the vector was sent under stays, whatever a later step says. (Rows of earlier formats do not say it.)
            where = (its_context, its_committee) if counted and its_context else (hashed, committee)
            with self._typed():
                row = (identity, session_id, number, int(counted or vector), *where)
                self._run(self.insert, *row, self._digest(*row))  # One statement is one transaction.

    def participations(self, identity: bytes) -> int:
        """Return the number of sessions that count for an identity.

        Args:
            identity: The client's Ed25519 public key, or `protocols.replay.NO_IDENTITY`, 32 bytes.

        Raises:
            SessionStoreError: The store cannot be read. It is closed.
            ParameterError: The identity has another type or length.
        """
        check_bytes("identity", identity, least=32, most=32)
        with self._turn, self._typed():
            return self._count(identity)

    def latest(self, identity: bytes) -> bytes | None:
        """Return the greatest session id that was recorded for an identity, in byte order; None if there is none.

        If session ids begin with a serial number in big-endian bytes, this is the session of the greatest serial.

        Args:
            identity: The client's Ed25519 public key, 32 bytes.

        Raises:
            SessionStoreError: The store cannot be read. It is closed.
            ParameterError: The identity has another type or length.
        """
        check_bytes("identity", identity, least=32, most=32)
        with self._turn, self._typed():
            found = self._run(_LATEST, identity).fetchone()
        return None if found is None else bytes(found[0])

    def _count(self, identity: bytes) -> int:
        (found,) = self._run(_COUNT, identity).fetchone()
        return int(found)

    @staticmethod
    def _digest(*row: Any) -> bytes:
        identity, session_id, number, counted, context, committee = row
        numbers = (number, counted, len(session_id), len(context), len(committee))
        sizes = b"".join(each.to_bytes(8, "big", signed=True) for each in numbers)
        return hashlib.sha256(identity + sizes + session_id + context + committee).digest()
