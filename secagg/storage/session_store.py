"""A record on disk of the steps of each session that a client has answered, so that it answers no step twice.

A client that was restarted, or restored from an old snapshot, must not answer a step again, and must not use a session
id again. Two answers to one step may together unmask the client's vector. So each step is recorded before it is
answered. The store is made once, together with the identity. If session ids begin with a serial number, it is also the
memory of these numbers (`SessionStore.latest`). `secagg.storage.store` says how durable the store is, and what it
cannot detect.
"""

import hashlib
from typing import Any, ClassVar, Final

from protocols.errors import ParameterError, SessionReused
from secagg.storage.store import Store, check_bytes
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

_FIRST: Final = "INSERT INTO sessions VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING"
_LATER: Final = "UPDATE sessions SET round = ?3, digest = ?4 WHERE identity = ?1 AND session_id = ?2 AND round < ?3"
_LATEST: Final = "SELECT session_id FROM sessions WHERE identity = ?1 ORDER BY session_id DESC LIMIT 1"


class SessionStore(Store):
    """The steps that were answered, by identity and session.

    A session store is a context manager and a `protocols.replay.SessionRecord`. Any thread of one process may use it.
    It closes on the first failure.

    Args:
        path: The path of a store that `create` has made.

    Raises:
        SessionStoreError: The store is in use, damaged or missing, or the file is not a session store.
    """

    kind: ClassVar[str] = "session store"
    remedy: ClassVar[str] = "Make a new identity with a new store."
    application_id: ClassVar[int] = 0x5EC5E5
    format_version: ClassVar[int] = 1
    table: ClassVar[str] = "sessions"
    schema: ClassVar[str] = (
        "CREATE TABLE sessions (identity BLOB NOT NULL, session_id BLOB NOT NULL, round INTEGER NOT NULL, "
        "digest BLOB NOT NULL, PRIMARY KEY (identity, session_id)) STRICT, WITHOUT ROWID"
    )
    rows: ClassVar[str] = "SELECT identity, session_id, round, digest FROM sessions"

    def record(self, identity: bytes, session_id: bytes, number: int) -> None:
        """Record that a step is about to be answered. The record is on the disk when this returns.

        Args:
            identity: The client's Ed25519 public key, 32 bytes.
            session_id: The session's id, 16 to 64 bytes.
            number: The number of the step, counted from 0.

        Raises:
            SessionReused: The step is neither step 0 of a session never seen before, nor later than all recorded steps
                of its session.
            SessionStoreError: It is not certain that the step was recorded. The store is closed.
            ParameterError: An argument has another type or is out of range.
        """
        check_bytes("identity", identity, least=32, most=32)
        check_bytes("session_id", session_id, least=16, most=64)
        if type(number) is not int or not 0 <= number < 2**31:
            raise ParameterError(f"number: expected the number of a step, an int in [0, 2^31), found {number!r}")
        with self._turn, self._typed():
            # One statement is one transaction.
            row = (identity, session_id, number, self._digest(identity, session_id, number))
            changed = self._run(_LATER if number else _FIRST, *row).rowcount
        if changed != 1:
            raise SessionReused(
                f"session {session_id.hex()}: expected step 0 of a new session, or a step after all those answered, "
                f"found step {number} again or out of order. Use a new session."
            )

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

    @staticmethod
    def _digest(*row: Any) -> bytes:
        identity, session_id, number = row
        return hashlib.sha256(identity + number.to_bytes(8, "big", signed=True) + session_id).digest()
