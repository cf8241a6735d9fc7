"""The codec says what is wrong with bytes that are no message, and looks at their length first."""

import pytest

from protocols import MalformedMessage
from protocols.messages import Codec
from protocols.pairwise.messages import AdvertisedKeys, Invitation

DIGEST = b"d" * 32
CODEC = Codec(DIGEST, limit=120)
HONEST = CODEC.encode(3, AdvertisedKeys(b"s" * 32, b"m" * 32))


def test_message_is_an_array_of_version_digest_round_and_body() -> None:
    head = b"\x94\x01\xc4\x20" + DIGEST + b"\x03"
    assert head + b"\x92\xc4\x20" + b"s" * 32 + b"\xc4\x20" + b"m" * 32 == HONEST
    assert CODEC.encode(0, Invitation()) == b"\x94\x01\xc4\x20" + DIGEST + b"\x00\x90"


@pytest.mark.parametrize(
    ("codec", "number", "data", "match"),
    [
        (CODEC, 3, HONEST[:-1], "bytes that are no message"),
        (CODEC, 3, HONEST + bytes(120), "226 bytes, where at most 120"),
        (CODEC, 3, b"rubbish" * 18, "126 bytes, where at most 120"),
        (CODEC, 3, HONEST.replace(b"\x94\x01", b"\x94\x02"), "wire version 2, where 1"),
        (Codec(b"e" * 32, limit=120), 3, HONEST, "another session"),
        (CODEC, 2, HONEST, "round 3, where round 2 is open"),
        (CODEC, 0, CODEC.encode(0, Invitation()), "not a message of type AdvertisedKeys"),
        (CODEC, 3, HONEST.replace(b"\x94\x01", b"\x94\xcc\x01"), "not in its canonical encoding"),
        (CODEC, 3, None, "a NoneType, where bytes are expected"),
    ],
)
def test_codec_names_what_is_wrong(codec: Codec, number: int, data: bytes, match: str) -> None:
    with pytest.raises(MalformedMessage, match=match):
        codec.decode(number, AdvertisedKeys, data)


def test_errors_show_no_bytes_of_the_message() -> None:
    for bad in (HONEST[:-1], HONEST + b"\x00", HONEST[:1] + b"\xcc" + HONEST[1:]):
        with pytest.raises(MalformedMessage) as caught:
            CODEC.decode(3, AdvertisedKeys, bad)
        assert "sss" not in str(caught.value)
        assert (b"s" * 4).hex() not in str(caught.value)
