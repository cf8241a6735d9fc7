"""Frames of records: what is altered, what is truncated, and what is no transcript at all."""

import tracemalloc
from io import BytesIO

import pytest

from secagg.errors import ConfigurationError, TranscriptAltered, TranscriptError, TranscriptTruncated
from secagg.transcripts.chain import DIGEST_BYTES, FRAME_BYTES, GENESIS, FrameReader, framed, kept_head, length_check
from tests.support.transcripts import chained, flipped, frames

BODIES = [b"first", b"", b"a third record" * 9]


def read(data: bytes, *, limit: int = 1000) -> list[bytes]:
    """Return all records of a file, or raise what its reader raises."""
    reader = FrameReader(BytesIO(data), len(data), name="file")
    found = []
    while (body := reader.next(limit)) is not None:
        found.append(body)
    assert reader.position == len(data)
    return found


def test_frames_are_read_as_they_were_written() -> None:
    data = chained(BODIES)
    assert read(data) == BODIES
    assert len(data) == sum(map(len, BODIES)) + FRAME_BYTES * len(BODIES)


def test_head_depends_on_every_record_and_on_their_order() -> None:
    heads = {chained(bodies)[-DIGEST_BYTES:] for bodies in (BODIES, BODIES[::-1], BODIES[:2], [b"fir", b"st"])}
    assert len(heads) == 4


def test_every_altered_bit_but_of_the_first_frames_header_is_an_alteration() -> None:
    data = chained(BODIES)
    for at in range(8, len(data)):
        with pytest.raises(TranscriptAltered):
            read(flipped(data, at))


def test_file_that_does_not_begin_like_a_transcript_is_another_file() -> None:
    for data in (b"abc", b"a file of other software", flipped(chained(BODIES), 0), flipped(chained(BODIES), 5)):
        with pytest.raises(TranscriptError, match="expected a transcript, found another file"):
            read(data)


def test_every_cut_between_records_is_read_and_every_other_one_is_a_truncation() -> None:
    data = chained(BODIES)
    ends = [len(b"".join(frames(data)[:count])) for count in range(1, 4)]
    for length in (0, *range(8, len(data))):
        if length in ends:
            assert read(data[:length]) == BODIES[: ends.index(length) + 1]
        else:
            with pytest.raises(TranscriptTruncated):
                read(data[:length])


def test_records_that_changed_places_are_an_alteration() -> None:
    one, other, last = frames(chained(BODIES))
    for data in (one + last + other, one + last, other + last, one + other + other):
        with pytest.raises(TranscriptError):
            read(data)


def test_record_above_the_limit_is_refused_before_it_is_read() -> None:
    with pytest.raises(TranscriptAltered, match="at most 100 bytes, found 126"):
        read(chained(BODIES), limit=100)


def test_length_that_a_file_claims_takes_no_memory() -> None:
    """A length of almost 4 GiB with a right check, in a file of 1 kB."""
    huge = 2**32 - 1
    whole, _ = framed(GENESIS, b"first")
    frame, _ = framed(whole[-DIGEST_BYTES:], b"")
    length = huge.to_bytes(4, "big")
    data = whole + length + length_check(whole[-DIGEST_BYTES:], length) + frame * 20
    tracemalloc.start()
    try:
        with pytest.raises(TranscriptTruncated):
            read(data, limit=2**40)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_kept_head_is_64_hexadecimal_digits() -> None:
    assert kept_head("AB" * 32) == b"\xab" * 32
    for head in ("ab" * 31, "xy" * 32, "ab" * 32 + "\n", 5):
        with pytest.raises(ConfigurationError, match="64 hexadecimal digits"):
            kept_head(head)
