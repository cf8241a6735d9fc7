"""A log of records that are chained by SHA-256: what a ledger needs, wherever the records are kept.

Each record's digest covers its bytes and the digest before it. So altering a record, or removing one from the middle,
changes every digest after it. The chain has no key: anyone who can write the log can also rebuild all of it, cut its
end or replace it with an older copy. Only a `head` that was kept elsewhere shows that.
"""

import hashlib
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Final, Protocol

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
    return hashlib.sha256(previous + body).digest()


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
