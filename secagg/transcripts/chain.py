"""The chain of a transcript's records: their frames in the file, and how damage is told from an interrupted write.

A frame is the length of a record (4 bytes, big-endian), a check of that length (4 bytes), the record, and its digest
(32 bytes). The digest covers the record and the digest before it. The check covers the length and the digest before it.
So a length that was altered is not mistaken for a record that was not written to its end.

The chain has no key: anyone who can write the file can also rebuild all of it, cut its end or replace it. Only a head
that was kept elsewhere, the digest of a record, shows that.
"""

import hashlib
import re
from typing import BinaryIO, Final

from dp.ledger.log import chained_digest
from secagg.errors import ConfigurationError, TranscriptAltered, TranscriptError, TranscriptTruncated

DIGEST_BYTES: Final = 32
FRAME_BYTES: Final = 40
"""The number of bytes that a frame adds to a record."""
GENESIS: Final = hashlib.sha256(b"secagg transcript, format 1").digest()
"""The digest before the first record."""
MAX_RECORD_BYTES: Final = 2**32 - 1

_LENGTH_BYTES: Final = 4
_CHECK_BYTES: Final = 4
_CHECK_DOMAIN: Final = b"secagg transcript length v1"
_RESTORE: Final = "Use a copy that was not altered; every record before this one can still be read."


def framed(previous: bytes, body: bytes) -> tuple[bytes, bytes]:
    """Return the frame of a record after the digest `previous`, and the record's own digest.

    Raises:
        TranscriptError: The record is longer than a frame can be.
    """
    if len(body) > MAX_RECORD_BYTES:
        raise TranscriptError(
            f"record: expected at most {MAX_RECORD_BYTES} bytes, found {len(body)}. Do not record vectors of this size."
        )
    digest, length = chained_digest(previous, body), len(body).to_bytes(_LENGTH_BYTES, "big")
    return b"".join((length, length_check(previous, length), body, digest)), digest


def kept_head(head: object) -> bytes:
    """Return the bytes of a head that somebody has kept.

    Raises:
        ConfigurationError: It is not 64 hexadecimal digits.
    """
    if not isinstance(head, str) or not re.fullmatch("[0-9a-fA-F]{64}", head):
        raise ConfigurationError(
            "head: expected 64 hexadecimal digits, found something else. Use the head that was noted when the "
            "transcript was recorded."
        )
    return bytes.fromhex(head)


class FrameReader:
    """The records of a file, one at a time, each checked against the chain before it is returned.

    No length in the file is trusted. A record is read only if it is below the caller's limit and ends within the file.

    Args:
        file: The file, at its start.
        size: The number of bytes of the file that are read.
        name: What the file is called in errors.

    Attributes:
        head: The digest of the last record that was read.
        count: The number of records that were read.
        position: The number of bytes of these records and their frames.
    """

    def __init__(self, file: BinaryIO, size: int, *, name: str) -> None:
        self.head = GENESIS
        self.count = 0
        self.position = 0
        self._file = file
        self._size = size
        self._name = name

    def next(self, limit: int) -> bytes | None:
        """Return the next record, of at most `limit` bytes; None at the end of the file.

        Raises:
            TranscriptAltered: The record, its length or its digest was altered, or the record is longer than the limit.
            TranscriptTruncated: The file ends within the record.
            TranscriptError: The file does not begin like a transcript.
        """
        left = self._size - self.position
        if not left and self.count:
            return None
        if left < _LENGTH_BYTES + _CHECK_BYTES and (self.count or not left):
            raise self._truncated()
        length, check = self._file.read(_LENGTH_BYTES), self._file.read(_CHECK_BYTES)
        if check != length_check(self.head, length):
            if not self.count:
                raise TranscriptError(f"{self._name}: expected a transcript, found another file. Check the path.")
            raise self.altered("the length that was written, found another one")
        size = int.from_bytes(length, "big")
        if size > limit:
            raise self.altered(f"at most {limit} bytes, found {size}")
        if size + FRAME_BYTES > left:
            raise self._truncated()
        body, digest = self._file.read(size), self._file.read(DIGEST_BYTES)
        if digest != chained_digest(self.head, body):
            raise self.altered("the bytes that its digest stands for, found others")
        self.head, self.count, self.position = digest, self.count + 1, self.position + size + FRAME_BYTES
        return body

    def altered(self, what: str) -> TranscriptAltered:
        """Return the error that record `count` is not as a recorder writes it; `what` says what was expected."""
        return TranscriptAltered(f"{self._name}: record {self.count}: expected {what}. {_RESTORE}")

    def _truncated(self) -> TranscriptTruncated:
        return TranscriptTruncated(
            f"{self._name}: record {self.count}: expected a whole record, found the first bytes of one. The recording "
            "was interrupted, or the file was cut; every record before this one can still be read."
        )


def length_check(previous: bytes, length: bytes) -> bytes:
    """Return the check of the 4 bytes of a record's length, given the digest before the record."""
    return hashlib.sha256(_CHECK_DOMAIN + previous + length).digest()[:_CHECK_BYTES]
