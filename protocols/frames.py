"""Frames: a reply cut into pieces of 1 MiB, so that no party needs all of it in memory.

Each frame has its place and a hash of all frames so far.

The payloads of all frames, joined, are the bytes of the reply (`protocols.codec`). So frames change no message and no
signature: the end of a reply, such as a signature, is in the last frame. A frame has these fields, big-endian:

    magic     4 bytes, "SGF1"
    digest    32 bytes, the session's
    sender    4 bytes, the party's id
    step      2 bytes, the number of the step that the reply answers
    index     4 bytes, from 0
    last      1 byte, 1 in the last frame and 0 in all others
    hash      32 bytes, SHA-256 over a label, and over the fields above and the payload of each frame so far, this one
              included
    payload   1 MiB; in the last frame, 1 byte to 1 MiB

The hash finds damage and mistakes in the frame where they occur. It authenticates nobody: the transport vouches for the
sender, as it does for a whole reply. Where clients sign, the reply itself is signed.
"""

import hashlib
import struct
from collections.abc import Iterable, Iterator
from typing import Final

from protocols.errors import RefusedFrame

PAYLOAD_BYTES: Final = 2**20
"""Number of bytes of a payload, except the last one, which may be shorter."""

_LABEL: Final = b"secagg frames v1"
_MAGIC: Final = b"SGF1"
_PLACE: Final = struct.Struct(">4s32sIHIB")
_HASH_BYTES: Final = 32
HEADER_BYTES: Final = _PLACE.size + _HASH_BYTES
"""Number of bytes of a frame before its payload."""


def cut(pieces: Iterable[bytes | memoryview], *, digest: bytes, sender: int, step: int) -> Iterator[bytes]:
    """Yield the frames of a reply, each as soon as the pieces of the reply fill it.

    Args:
        pieces: The bytes of the reply, in pieces of any length, at least one byte in all.
        digest: The session's digest, 32 bytes.
        sender: The party's id.
        step: The number of the step.
    """
    running, index, filled = hashlib.sha256(_LABEL), 0, 0
    frame = bytearray(HEADER_BYTES + PAYLOAD_BYTES)

    def finished(*, last: bool) -> bytes:
        place = _PLACE.pack(_MAGIC, digest, sender, step, index, last)
        end = HEADER_BYTES + filled
        running.update(place)
        running.update(memoryview(frame)[HEADER_BYTES:end])
        frame[:HEADER_BYTES] = place + running.digest()
        return bytes(memoryview(frame)[:end])

    for piece in pieces:
        view = memoryview(piece)
        while view:
            if filled == PAYLOAD_BYTES:
                yield finished(last=False)
                index, filled = index + 1, 0
            size = min(len(view), PAYLOAD_BYTES - filled)
            frame[HEADER_BYTES + filled : HEADER_BYTES + filled + size] = view[:size]
            view, filled = view[size:], filled + size
    yield finished(last=True)


def is_first_step(frame: object) -> bool:
    """Return whether a frame says that it is of a reply to the first step."""
    return isinstance(frame, bytes) and len(frame) >= _PLACE.size and _PLACE.unpack_from(frame)[3] == 0


class FrameReader:
    """The frames of one reply, checked one by one; it keeps no payload, and refuses everything after an error.

    Args:
        digest: The session's digest, 32 bytes.
        sender: The id of the party that sends them, for which the transport vouches.
        step: The number of the step.
        limit: The largest number of bytes of the reply.
    """

    def __init__(self, *, digest: bytes, sender: int, step: int, limit: int) -> None:
        self._digest, self._sender, self._step, self._left = digest, sender, step, limit
        self._running = hashlib.sha256(_LABEL)
        self._next = 0
        self._refused = False
        self._complete = False

    @property
    def step(self) -> int:
        """The number of the step that the reply answers."""
        return self._step

    @property
    def begun(self) -> bool:
        """Whether the first frame has been taken."""
        return self._next > 0

    @property
    def refused(self) -> bool:
        """Whether a frame was refused, and so is everything that follows."""
        return self._refused

    @property
    def complete(self) -> bool:
        """Whether the last frame has been taken."""
        return self._complete

    def take(self, frame: bytes) -> memoryview:
        """Check the next frame, and return its payload.

        The cost is bounded by the length of the frame, which is refused unread if it is too long.

        Raises:
            RefusedFrame: It is not the next frame of this reply, or a frame before it was refused.
        """
        if self._refused:
            raise self._error("expected no frame after one that was refused, found another one")
        try:
            return self._checked(frame)
        except RefusedFrame:
            self._refused = True
            raise

    def _checked(self, frame: bytes) -> memoryview:
        if type(frame) is not bytes:
            raise self._error(f"expected bytes, found {type(frame).__name__}")
        if self._complete:
            raise self._error(f"expected none after the last one, number {self._next - 1}, found another one")
        size = len(frame) - HEADER_BYTES
        if not 0 < size <= PAYLOAD_BYTES:
            longest = HEADER_BYTES + PAYLOAD_BYTES
            raise self._error(f"expected {HEADER_BYTES + 1} to {longest} bytes, found {len(frame)}")
        magic, digest, sender, step, index, last = _PLACE.unpack_from(frame)
        if magic != _MAGIC:
            raise self._error("expected one of version 1, found other bytes")
        if digest != self._digest:
            raise self._error("expected one of this session, found one of another session")
        if (sender, step) != (self._sender, self._step):
            raise self._error(f"expected one of party {self._sender} in step {self._step}, found another reply's")
        if index != self._next:
            what = "a repeated one" if index < self._next else "one out of order"
            raise self._error(f"expected number {self._next}, found number {index}, {what}")
        if last not in (0, 1) or (not last and size != PAYLOAD_BYTES):
            raise self._error(f"expected {PAYLOAD_BYTES} bytes of payload before the last frame, found {size}")
        if size > self._left:
            raise self._error(f"expected a reply that ends within the next {self._left} bytes, found {size} more")
        payload = memoryview(frame)[HEADER_BYTES:]
        self._running.update(memoryview(frame)[: _PLACE.size])
        self._running.update(payload)
        if self._running.digest() != frame[_PLACE.size : HEADER_BYTES]:
            raise self._error("expected the hash of all frames so far, found another")
        self._next, self._left, self._complete = index + 1, self._left - size, bool(last)
        return payload

    def _error(self, what: str) -> RefusedFrame:
        advice = "The reply is dropped, and the step goes on without it."
        return RefusedFrame(f"frame of party {self._sender}: {what}. {advice}", culprits=[self._sender])
