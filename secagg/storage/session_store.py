"""Which rounds of which sessions a client has answered, on the disk, so that it answers none of them twice.

A client that was restarted, or restored from an old snapshot, must not answer a round again, and must not use a
session id again: two answers to one round may together unmask its vector.  So each is recorded before it is answered.
The store is made once, together with the identity; `secagg.storage.store` says how durable it is, and what it cannot
tell.
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


class SessionStore(Store):
    """The rounds that were answered, by identity and session; a context manager.

    It is a `protocols.identity.SessionRecord`, for one process and any of its threads, and closes on the first failure.

    Args:
        path: Of a store that `create` has made.

    Raises:
        SessionStoreError: It is in use, damaged or missing, or is no session store.
    """

    kind: ClassVar[str] = "session store"
    remedy: ClassVar[str] = "a new identity with a new store"
    application_id: ClassVar[int] = 0x5EC5E5
    format_version: ClassVar[int] = 1
    table: ClassVar[str] = "sessions"
    schema: ClassVar[str] = (
        "CREATE TABLE sessions (identity BLOB NOT NULL, session_id BLOB NOT NULL, round INTEGER NOT NULL, "
        "digest BLOB NOT NULL, PRIMARY KEY (identity, session_id)) STRICT, WITHOUT ROWID"
    )
    rows: ClassVar[str] = "SELECT identity, session_id, round, digest FROM sessions"

    def record(self, identity: bytes, session_id: bytes, number: int) -> None:
        """Record that a round is about to be answered; it is on the disk when this returns.

        Args:
            identity: The client's Ed25519 public key, 32 bytes.
            session_id: 16 to 64 bytes.
            number: The round, from 0.

        Raises:
            SessionReused: The round is neither 0 of a session never seen, nor above all those recorded of a session.
            SessionStoreError: It was not recorded for certain; the store is closed.
            ParameterError: An argument is none of these.
        """
        check_bytes("identity", identity, least=32, most=32)
        check_bytes("session_id", session_id, least=16, most=64)
        if type(number) is not int or not 0 <= number < 2**31:
            raise ParameterError("a round's number must be an int in [0, 2^31)")
        with self._turn, self._typed():
            # One statement is one transaction.
            row = (identity, session_id, number, self._digest(identity, session_id, number))
            changed = self._run(_LATER if number else _FIRST, *row).rowcount
        if changed != 1:
            raise SessionReused(
                f"session {session_id.hex()}: expected round 0 of a new session, or a round after all those answered, "
                f"found round {number} again or out of order; a new session would do"
            )

    @staticmethod
    def _digest(*row: Any) -> bytes:
        identity, session_id, number = row
        return hashlib.sha256(identity + number.to_bytes(8, "big", signed=True) + session_id).digest()
