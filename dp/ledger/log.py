"""A log of records that are chained by SHA-256: what a ledger needs of it, wherever the records are kept.

Each record's digest covers its bytes and the digest before it, so altering a record or taking one out of the middle
changes every digest after it. The chain has no key: anyone who can write the log can also rebuild it whole, cut its end
or put an older copy in its place, and only a `head` that was kept elsewhere shows that.
"""

import hashlib
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Final, Protocol

GENESIS: Final = hashlib.sha256(b"secagg budget ledger, format 1").digest()
"""The digest before the first record."""


class RecordLog(Protocol):
    """Records in the order they were written, each of them durable before `append` returns.

    A log has one writer, which holds it from opening to closing. Threads may share a log, one at a time.
    """

    @property
    def name(self) -> str:
        """What errors call it, such as the path of its file."""

    @property
    def bodies(self) -> tuple[bytes, ...]:
        """The records, in order; their chain was verified when the log was opened."""

    @property
    def head(self) -> bytes:
        """The digest of the last record, 32 bytes."""

    def append(self, body: bytes) -> None:
        """Add a record; it is durable when this returns.

        After a failure or an interruption it is unknown whether the record is there, so the log must close; opening it
        again tells.

        Raises:
            LedgerUnavailable: The log is closed, read-only or failing.
        """

    def check_writable(self) -> None:
        """Refuse if nothing could be added.

        Raises:
            LedgerUnavailable: The log is closed, read-only, or was moved.
        """

    def exclusively(self) -> AbstractContextManager[object]:
        """Keep other threads out meanwhile.

        Raises:
            LedgerUnavailable: This process is a fork of the one that opened the log.
        """

    def position(self, digest: bytes) -> int | None:
        """Return which record has this digest, counted from 0, or None."""

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
    """Return which record has this digest, counted from 0, or None."""
    head = GENESIS
    for position, body in enumerate(bodies):
        head = chained_digest(head, body)
        if head == digest:
            return position
    return None
