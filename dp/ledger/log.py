"""A log of records that are chained by SHA-256: what a ledger needs, wherever the records are kept.

Each record's digest covers its bytes and the digest before it. So altering a record, or removing one from the middle,
changes every digest after it. The chain has no key: anyone who can write the log can also rebuild all of it, cut its
end or replace it with an older copy. Only a `head` that was kept elsewhere shows that.
"""

import hashlib
import re
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Final, Protocol

from dp.errors import InvalidParameter, LedgerCorrupt

GENESIS: Final = hashlib.sha256(b"secagg budget ledger, format 1").digest()
"""The digest before the first record."""

RESTORE: Final = "Restore a copy only if its head is the last that was noted: an older copy has forgotten releases."
"""What to do about a damaged ledger, for errors."""


class RecordLog(Protocol):
    """Records in the order they were written, each of them durable before `append` returns.

    A log has one writer, which holds it from opening to closing. Threads may share a log, one at a time.
    """

    @property
    def name(self) -> str:
        """The name of the log in errors, such as the path of its file."""

    @property
    def bodies(self) -> tuple[bytes, ...]:
        """The records, in order; their chain was verified when the log was opened."""

    @property
    def head(self) -> bytes:
        """The digest of the last record, 32 bytes."""

    def append(self, body: bytes) -> None:
        """Add a record, and return when it is durable.

        After a failure or an interruption it is unknown whether the record was added, so the log must close. Opening it
        again shows whether it was.

        Raises:
            LedgerUnavailable: The log is closed, read-only or failing.
        """

    def check_writable(self) -> None:
        """Raise an error if no record can be added.

        Raises:
            LedgerUnavailable: The log is closed, read-only, or was moved.
        """

    def exclusively(self) -> AbstractContextManager[object]:
        """Return a context that keeps other threads out.

        Raises:
            LedgerUnavailable: This process is a fork of the one that opened the log.
        """

    def close(self) -> None:
        """Release the log; closing twice is harmless."""


def chained_digest(previous: bytes, body: bytes) -> bytes:
    """Return the digest of a record: SHA-256 over the 32-byte digest before it and its bytes."""
    digest = hashlib.sha256(previous)
    digest.update(body)  # A sum of both would be a copy of the record.
    return digest.digest()


def head_after(bodies: Iterable[bytes], *, previous: bytes = GENESIS) -> bytes:
    """Return the digest of the last of these records, given the digest before the first of them."""
    for body in bodies:
        previous = chained_digest(previous, body)
    return previous


def position_of(digest: bytes, bodies: Iterable[bytes]) -> int | None:
    """Return the number of the record with this digest, counted from 0, or None if there is none."""
    head = GENESIS
    for position, body in enumerate(bodies):
        head = chained_digest(head, body)
        if head == digest:
            return position
    return None


def kept_head(head: object) -> bytes:
    """Return the bytes of a head that somebody has kept.

    Raises:
        InvalidParameter: It is not 64 hexadecimal digits.
    """
    if not isinstance(head, str) or not re.fullmatch("[0-9a-fA-F]{64}", head):
        raise InvalidParameter(
            "head: expected 64 hexadecimal digits, found something else. Use the head that was noted: `Ledger.head`, "
            "or the last line of `secagg train`."
        )
    return bytes.fromhex(head)


def checked_bodies(log: RecordLog) -> list[bytes]:
    """Return the records of a log, asked for once, after a check that they are those of its head.

    The log may be somebody else's. The ledger relies on nothing else that the log says of its records.

    Raises:
        LedgerCorrupt: They are not a tuple of bytes, or are not those that the log's head stands for.
    """
    bodies: object = log.bodies
    if type(bodies) is not tuple or any(type(body) is not bytes for body in bodies):
        raise LedgerCorrupt(f"{log.name}: expected records as a tuple of bytes, found another value. {RESTORE}")
    if log.head != head_after(bodies):
        raise LedgerCorrupt(f"{log.name}: expected the records of the log's head, found others. {RESTORE}")
    return list(bodies)
