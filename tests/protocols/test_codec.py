"""The codec takes canonical bytes alone, says what is wrong with others, and copies nothing large."""

import tracemalloc

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protocols import MalformedMessage
from protocols.codec import Codec, Message, limit


class Empty(Message, frozen=True):
    """No field."""


class Pair(Message, frozen=True):
    """Two byte strings, copied on decoding."""

    one: bytes
    other: bytes


class Mixed(Message, frozen=True):
    """Every kind of field that messages have."""

    packed: memoryview
    numbers: tuple[int, ...]
    views: tuple[memoryview, ...]
    pairs: tuple[Pair, ...]
    last: memoryview


class Named(Message, frozen=True):
    """A field of text, as a protocol of somebody else may have it."""

    name: str


DIGEST = b"d" * 32
CODEC = Codec(DIGEST, limit=120)
WIDE = Codec(DIGEST, limit=5_000_000)
HONEST = CODEC.encode(3, Pair(b"s" * 32, b"m" * 32))
HEAD = b"\x94\x01\xc4\x20" + DIGEST + b"\x03"


def test_message_is_an_array_of_version_digest_round_and_body() -> None:
    assert HEAD + b"\x92\xc4\x20" + b"s" * 32 + b"\xc4\x20" + b"m" * 32 == HONEST
    assert CODEC.encode(0, Empty()) == HEAD[:-1] + b"\x00\x90"
    assert CODEC.decode(0, Empty, CODEC.encode(0, Empty())) == Empty()


@pytest.mark.parametrize(
    ("codec", "number", "data", "match"),
    [
        (CODEC, 3, HONEST[:-1], "expected an envelope in MessagePack"),
        (CODEC, 3, HONEST + bytes(120), "at most 120 bytes, found 226"),
        (CODEC, 3, b"rubbish" * 18, "at most 120 bytes, found 126"),
        (CODEC, 3, HONEST.replace(b"\x94\x01", b"\x94\x02"), "wire version: expected 1, found 2"),
        (Codec(b"e" * 32, limit=120), 3, HONEST, "another session"),
        (CODEC, 2, HONEST, "step: expected 2, found a message of step 3"),
        (CODEC, 0, CODEC.encode(0, Empty()), "expected the fields of a Pair"),
        (CODEC, 3, HONEST.replace(b"\x94\x01", b"\x94\xcc\x01"), "expected its canonical encoding"),
        (CODEC, 3, HONEST.replace(b"\x03\x92", b"\x03\xdc\x00\x02"), "expected its canonical encoding"),
        (CODEC, 3, HEAD.replace(b"\x94\x01", b"\x94\xcc\x01") + b"\x90", "expected the fields of a Pair"),
        (CODEC, 3, None, "expected bytes, found NoneType"),
    ],
)
def test_codec_names_what_is_wrong(codec: Codec, number: int, data: bytes, match: str) -> None:
    with pytest.raises(MalformedMessage, match=match):
        codec.decode(number, Pair, data)


def test_errors_show_no_bytes_of_the_message() -> None:
    """A peer sends a damaged message that holds a secret. The error must show none of its bytes."""
    for bad in (HONEST[:-1], HONEST + b"\x00", HONEST[:1] + b"\xcc" + HONEST[1:]):
        with pytest.raises(MalformedMessage) as caught:
            CODEC.decode(3, Pair, bad)
        assert "sss" not in str(caught.value)
        assert (b"s" * 4).hex() not in str(caught.value)


def mixed(*sizes: int) -> Mixed:
    """A message whose byte strings have these sizes."""
    first, *inner, last = (memoryview(bytes(index % 251 for index in range(size))) for size in sizes)
    pairs = (Pair(b"one", b"other"), Pair(b"", b"o" * 300))
    return Mixed(first, (0, 127, 128, 300, 70_000, 2**32, 2**64 - 1), tuple(inner), pairs, last)


@pytest.mark.parametrize(
    "sizes",
    [(0, 0), (255, 256), (256, 65_535, 65_536), (65_536, *[3] * 15, 1), (1, *[4] * 16, 0), (9, *[0] * 65_536, 70_000)],
    ids=len,
)
def test_views_survive_decoding_and_encoding_as_byte_strings_do(sizes: tuple[int, ...]) -> None:
    message = mixed(*sizes)
    data = WIDE.encode(3, message)
    assert data == msgspec.msgpack.encode([1, DIGEST, 3, list(msgspec.structs.astuple(message))])
    decoded = WIDE.decode(3, Mixed, data)
    assert decoded == message
    assert WIDE.encode(3, decoded) == data


def test_views_are_no_copies() -> None:
    data = WIDE.encode(3, mixed(300, 4, 70_000))
    decoded = WIDE.decode(3, Mixed, data)
    for view in (decoded.packed, *decoded.views, decoded.last):
        assert view.obj is data
        assert view.readonly


def test_large_messages_are_encoded_and_decoded_without_a_second_copy() -> None:
    message = mixed(1_000_000, 1_000_000, 1_000_000)
    data = WIDE.encode(3, message)
    tracemalloc.start()
    try:
        WIDE.decode(3, Mixed, data)
        decoding = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        WIDE.encode(3, message)
        encoding = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert decoding < 10_000
    assert encoding < 2 * len(data)


@pytest.mark.parametrize(
    ("canonical", "other"),
    [
        (b"\xc4\x05\x00\x01\x02\x03\x04", b"\xc5\x00\x05\x00\x01\x02\x03\x04"),
        (b"\xc4\x05\x00\x01\x02\x03\x04", b"\xc6\x00\x00\x00\x05\x00\x01\x02\x03\x04"),
        (b"\xc4\x06\x00\x01\x02\x03\x04\x05", b"\xc5\x00\x06\x00\x01\x02\x03\x04\x05"),
        (b"\xc4\x07\x00\x01\x02\x03\x04\x05\x06", b"\xc5\x00\x07\x00\x01\x02\x03\x04\x05\x06"),
        (b"\xcd\x01\x2c", b"\xd1\x01\x2c"),  # 300, unsigned and signed, in as many bytes
        (b"\xcc\x80", b"\xcd\x00\x80"),
        (b"\x91\xc4\x06", b"\xdc\x00\x01\xc4\x06"),
        (b"\xc4\x03one", b"\xc5\x00\x03one"),
        (b"\xc4\x03one", b"\xa3one"),
        (b"\x03\x95", b"\x03\xdc\x00\x05"),
    ],
)
def test_second_encoding_of_a_message_with_views_is_refused(canonical: bytes, other: bytes) -> None:
    """An attacker on the way encodes a message in another way, so that one message has two forms.

    Comparing it with its own encoding must stop it (MalformedMessage).
    """
    data = WIDE.encode(3, mixed(5, 6, 7))
    assert data.count(canonical) == 1
    with pytest.raises(MalformedMessage, match=r"canonical|expected the fields of"):
        WIDE.decode(3, Mixed, data.replace(canonical, other))


SMALL = WIDE.encode(3, mixed(5, 6, 7))


@given(
    cut=st.tuples(st.integers(0, len(SMALL)), st.integers(0, 6)),
    put=st.binary(max_size=6) | st.sampled_from([b"\xc5\x00", b"\xdc\x00", b"\xd1", b"\xc4\x00", b"\xc0"]),
)
@example(cut=(0, 0), put=b"")
def test_altered_bytes_are_refused_or_the_encoding_of_what_they_decode_to(cut: tuple[int, int], put: bytes) -> None:
    """An attacker on the way replaces bytes of a message.

    It must be refused (MalformedMessage), or be the one encoding of another message.
    """
    altered = SMALL[: cut[0]] + put + SMALL[sum(cut) :]
    try:
        decoded = WIDE.decode(3, Mixed, altered)
    except MalformedMessage:
        assert altered != SMALL
        return
    assert WIDE.encode(3, decoded) == altered


def test_limit_grows_with_the_vector_the_clients_and_their_attached_secrets() -> None:
    assert limit(10, 2**20, 3) == 25 + 3 * 512 + 4096
    assert limit(9, 2**20 - 3, 3, attached=64) == 23 + 3 * (512 + 64 * 128) + 4096


def test_text_that_is_not_utf8_is_refused_as_malformed() -> None:
    """msgspec raises Python's own error for it. Any error but a typed one would close the server."""
    whole = CODEC.encode(3, Named("key"))
    assert CODEC.decode(3, Named, whole) == Named("key")
    with pytest.raises(MalformedMessage, match="expected the fields of a Named"):
        CODEC.decode(3, Named, whole.replace(b"key", b"k\xffy"))
    with pytest.raises(MalformedMessage):
        CODEC.decode(3, Named, whole.replace(DIGEST, b"e" * 32).replace(b"key", b"k\xffy"))
