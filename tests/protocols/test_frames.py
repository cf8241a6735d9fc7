"""Frames: any cut joins to the same bytes, and whatever is not the next frame is refused, with everything after it."""

import hashlib
from collections.abc import Callable, Iterator

import pytest

from protocols.errors import MalformedMessage, RefusedFrame
from protocols.frames import HEADER_BYTES, PAYLOAD_BYTES, FrameReader, cut

DIGEST = bytes(range(32))
SENDER, STEP = 7, 2


def reply(size: int) -> bytes:
    return bytes(i * 7 % 251 for i in range(1000)) * (size // 1000 + 1) if size > 1000 else bytes(range(256))[:size]


def frames_of(data: bytes, *, digest: bytes = DIGEST, sender: int = SENDER, step: int = STEP) -> list[bytes]:
    return list(cut([data], digest=digest, sender=sender, step=step))


def reader(limit: int = 2**30) -> FrameReader:
    return FrameReader(digest=DIGEST, sender=SENDER, step=STEP, limit=limit)


DATA = reply(2 * PAYLOAD_BYTES + 500)[: 2 * PAYLOAD_BYTES + 500]
FRAMES = frames_of(DATA)


@pytest.mark.parametrize("size", [1, 2, 255, PAYLOAD_BYTES - 1, PAYLOAD_BYTES, PAYLOAD_BYTES + 1, 2 * PAYLOAD_BYTES])
def test_payloads_of_all_frames_are_the_reply(size: int) -> None:
    data, read = reply(size)[:size], reader()
    frames = frames_of(data)
    assert b"".join(read.take(frame) for frame in frames) == data
    assert read.complete
    assert len(frames) == -(-size // PAYLOAD_BYTES)
    assert all(len(frame) <= HEADER_BYTES + PAYLOAD_BYTES for frame in frames)


@pytest.mark.parametrize("size", [1, 1000, PAYLOAD_BYTES, 2 * PAYLOAD_BYTES + 5])
def test_frames_do_not_depend_on_the_pieces_of_the_reply(size: int) -> None:
    pieces = [DATA[start : start + size] for start in range(0, len(DATA), size)][: 2**12]
    joined = b"".join(pieces)
    assert list(cut(pieces, digest=DIGEST, sender=SENDER, step=STEP)) == frames_of(joined)


def test_frame_leaves_before_the_next_piece_is_made() -> None:
    made = list[int]()

    def lazily() -> Iterator[bytes]:
        for number in range(3):
            made.append(number)
            yield bytes(PAYLOAD_BYTES)

    stream = cut(lazily(), digest=DIGEST, sender=SENDER, step=STEP)
    next(stream)
    assert made == [0, 1]


def changed(frame: bytes, position: int) -> bytes:
    data = bytearray(frame)
    data[position] ^= 1
    return bytes(data)


REFUSED: dict[str, tuple[Callable[[], list[bytes]], str]] = {
    "out of order": (lambda: [FRAMES[0], FRAMES[2]], "expected number 1, found number 2, one out of order"),
    "twice": (lambda: [FRAMES[0], FRAMES[0]], "expected number 1, found number 0, a repeated one"),
    "not the first": (lambda: [FRAMES[1]], "expected number 0, found number 1, one out of order"),
    "after the end": (lambda: [*FRAMES, FRAMES[2]], "expected none after the last one, number 2, found another one"),
    "last one twice": (lambda: [*FRAMES, FRAMES[0]], "expected none after the last one"),
    "truncated": (lambda: [FRAMES[0][:-1]], f"expected {PAYLOAD_BYTES} bytes of payload before the last frame"),
    "header alone": (lambda: [FRAMES[0][:HEADER_BYTES]], f"expected {HEADER_BYTES + 1} to"),
    "empty": (lambda: [b""], "found 0"),
    "too long": (lambda: [FRAMES[0] + b"0"], f"found {HEADER_BYTES + PAYLOAD_BYTES + 1}"),
    "last one truncated": (lambda: [*FRAMES[:2], FRAMES[2][:-1]], "expected the hash of all frames so far"),
    "of another session": (lambda: frames_of(DATA, digest=bytes(32)), "found one of another session"),
    "of another party": (lambda: frames_of(DATA, sender=8), "found another reply's"),
    "of another step": (lambda: frames_of(DATA, step=1), "found another reply's"),
    "wrong hash": (lambda: [changed(FRAMES[0], HEADER_BYTES - 1)], "expected the hash of all frames so far"),
    "wrong payload": (lambda: [FRAMES[0], changed(FRAMES[1], -1)], "expected the hash of all frames so far"),
    "of a reply with another beginning": (
        lambda: [FRAMES[0], frames_of(changed(DATA, 0))[1]],
        "expected the hash of all frames so far",
    ),
    "other version": (lambda: [changed(FRAMES[0], 3)], "expected one of version 1"),
    "last too early": (lambda: [changed(FRAMES[0], 46)], "expected the hash of all frames so far"),
    "neither last nor not": (lambda: [FRAMES[0][:46] + b"\2" + FRAMES[0][47:]], "bytes of payload before the last"),
    "no bytes": (lambda: [bytearray(FRAMES[0])], "expected bytes, found bytearray"),  # type: ignore[list-item]  # Refused.
}


@pytest.mark.parametrize("case", REFUSED)
def test_frame_is_refused_with_everything_after_it(case: str) -> None:
    make, message = REFUSED[case]
    read, frames = reader(), make()
    for frame in frames[:-1]:
        if case.startswith("of another"):
            break
        read.take(frame)
    with pytest.raises(RefusedFrame, match=message) as caught:
        read.take(frames[0] if case.startswith("of another") else frames[-1])
    assert caught.value.culprits == {SENDER}
    assert isinstance(caught.value, MalformedMessage)
    with pytest.raises(RefusedFrame, match="expected no frame after one that was refused"):
        read.take(FRAMES[0])


def test_reply_that_is_longer_than_any_of_the_session_is_refused_before_its_end() -> None:
    read = reader(limit=PAYLOAD_BYTES + 5)
    read.take(FRAMES[0])
    with pytest.raises(RefusedFrame, match="expected a reply that ends within the next 5 bytes, found 1048576 more"):
        read.take(FRAMES[1])


def test_frames_have_the_bytes_that_the_module_describes() -> None:
    running, at = hashlib.sha256(b"secagg frames v1"), 0
    for index, frame in enumerate(FRAMES):
        payload = DATA[at : at + 2**20]
        at += len(payload)
        last = b"\1" if at == len(DATA) else b"\0"
        place = b"SGF1" + DIGEST + (7).to_bytes(4, "big") + (2).to_bytes(2, "big") + index.to_bytes(4, "big") + last
        running.update(place + payload)
        assert frame == place + running.digest() + payload
    assert at == len(DATA)
