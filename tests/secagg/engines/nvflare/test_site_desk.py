"""A site's side of the exchange: what is joined, answered and handed out, and which calls are out of place."""

from dataclasses import dataclass, field

import pytest

from secagg.engines.nvflare.message import HELLO, PIECE_BYTES, SHORT_BYTES, Message
from secagg.engines.nvflare.site_desk import OutOfPlace, SiteDesk, SiteUnavailable

LONG = bytes(range(256)) * (5 * PIECE_BYTES // 512)  # 2.5 pieces


@dataclass
class Recorder:
    """A site that notes its parcels."""

    reply: bytes | None
    there: bool = True
    parcels: list[bytes] = field(default_factory=list)

    def is_there(self) -> bool:
        return self.there

    def answer(self, parcel: bytes) -> bytes | None:
        self.parcels.append(parcel)
        return self.reply


def send(desk: SiteDesk, parcel: bytes, number: int) -> None:
    for at in range(0, len(parcel), PIECE_BYTES):
        assert desk.answer(Message(parcel=parcel[at : at + PIECE_BYTES], number=number, at=at)) == Message()


def test_a_whole_parcel_is_answered_at_once() -> None:
    site = Recorder(b"reply")
    assert SiteDesk(site).answer(Message(parcel=b"parcel", number=1)) == Message(parcel=b"reply")
    assert site.parcels == [b"parcel"]


def test_pieces_are_joined_before_the_station_is_asked() -> None:
    site = Recorder(b"reply")
    desk = SiteDesk(site)
    send(desk, LONG, 1)
    assert not site.parcels
    assert desk.answer(Message(number=1)) == Message(parcel=b"reply")
    assert site.parcels == [LONG]


def test_a_long_reply_is_handed_out_in_pieces() -> None:
    desk = SiteDesk(Recorder(LONG))
    assert desk.answer(Message(parcel=b"parcel", number=4)) == Message(size=len(LONG))
    pieces = [desk.answer(Message(number=4, at=at)).parcel or b"" for at in range(0, len(LONG), PIECE_BYTES)]
    assert b"".join(pieces) == LONG
    with pytest.raises(OutOfPlace):  # It has been handed out.
        desk.answer(Message(number=4, at=0))


def test_the_longest_short_reply_travels_whole() -> None:
    for size, answer in ((SHORT_BYTES, Message(parcel=bytes(SHORT_BYTES))), (SHORT_BYTES + 1, Message(size=2**18 + 1))):
        assert SiteDesk(Recorder(bytes(size))).answer(Message(parcel=b"parcel", number=1)) == answer


def test_another_parcel_takes_the_place_of_the_last() -> None:
    site = Recorder(LONG)
    desk = SiteDesk(site)
    send(desk, LONG, 1)
    send(desk, LONG[::-1], 2)
    with pytest.raises(OutOfPlace):
        desk.answer(Message(number=1))
    desk.answer(Message(number=2))
    assert site.parcels == [LONG[::-1]]
    desk.answer(Message(parcel=b"next", number=3))
    with pytest.raises(OutOfPlace):
        desk.answer(Message(number=2, at=0))


@pytest.mark.parametrize(
    "call",
    [
        Message(),
        Message(parcel=b"parcel"),
        Message(parcel=b"piece", number=1, at=1),
        Message(parcel=b"piece", number=2, at=4),
        Message(number=2),
        Message(number=1, at=0),
        Message(parcel=b"parcel", number=1, size=6),
    ],
)
def test_calls_out_of_place_are_refused(call: Message) -> None:
    site = Recorder(b"reply")
    desk = SiteDesk(site)
    desk.answer(Message(parcel=b"1234", number=1, at=0))
    with pytest.raises(OutOfPlace):
        desk.answer(call)
    assert not site.parcels


def test_without_a_station_nothing_is_answered() -> None:
    site = Recorder(None, there=False)
    for call in (HELLO, Message(parcel=b"parcel", number=1)):
        with pytest.raises(SiteUnavailable):
            SiteDesk(site).answer(call)
    site.there = True
    assert SiteDesk(site).answer(HELLO) == HELLO
