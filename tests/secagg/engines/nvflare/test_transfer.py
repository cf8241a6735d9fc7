"""The server's side of the exchange with one site, also with sites that answer something else."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from secagg.engines.nvflare.in_flight import InFlight
from secagg.engines.nvflare.message import PIECE_BYTES, SHORT_BYTES, Message
from secagg.engines.nvflare.site_desk import SiteDesk
from secagg.engines.nvflare.transfer import LONGEST_REPLY, PIECE_S, Received, Transfer
from secagg.engines.server.channel import Failure

LONG = bytes(range(256)) * (5 * PIECE_BYTES // 512)  # 2.5 pieces
DEADLINE = 100.0


@dataclass
class Mirror:
    """A site that replies with the parcel, and so often."""

    times: int = 1

    def is_there(self) -> bool:
        return True

    def answer(self, parcel: bytes) -> bytes:
        return parcel * self.times


@dataclass
class RecordingLink:
    """A link to a site, or to what stands for its answers."""

    answer: Callable[[Message], Message | Failure]
    calls: list[tuple[Message, float]] = field(default_factory=list)

    def call(self, site: str, message: Message, timeout_s: float) -> Message | Failure:
        assert site == "site-1"
        self.calls.append((message, timeout_s))
        return self.answer(message)


def transfer(link: RecordingLink, limit: int = 2**30) -> Transfer:
    return Transfer(link, in_flight=InFlight(limit, lambda: 0.0), clock=lambda: 0.0, deadline=DEADLINE)


@pytest.mark.parametrize(
    ("parcel", "times"),
    [(b"parcel", 1), (b"parcel", 10**6), (LONG, 1), (LONG, 0), (LONG, 3)],
    ids=["short", "short, long reply", "long", "long, empty reply", "long, longer reply"],
)
def test_parcels_and_replies_of_any_length_pass(parcel: bytes, times: int) -> None:
    link = RecordingLink(SiteDesk(Mirror(times)).answer)
    received = transfer(link).exchange("site-1", 1, lambda: parcel)
    assert isinstance(received, Received)
    assert received.body == parcel * times
    assert (received.room is not None) == (len(received.body) > SHORT_BYTES)


@pytest.mark.parametrize(("size", "calls"), [(LONGEST_REPLY + 1, 1), (LONGEST_REPLY, 2), (2**62, 1)])
def test_a_reply_that_cannot_be_one_is_not_fetched(size: int, calls: int) -> None:
    """A site that announces less than it may is asked for the first piece, which is not one here."""
    link = RecordingLink(lambda message: Message(size=size, number=1))
    assert transfer(link).exchange("site-1", 1, lambda: b"parcel") == Failure("no reply")
    assert len(link.calls) == calls


def test_a_short_exchange_is_one_call() -> None:
    link = RecordingLink(SiteDesk(Mirror()).answer)
    transfer(link).exchange("site-1", 7, lambda: bytes(SHORT_BYTES))
    assert link.calls == [(Message(parcel=bytes(SHORT_BYTES), number=7), DEADLINE)]


def test_a_piece_has_less_time_than_training() -> None:
    link = RecordingLink(SiteDesk(Mirror()).answer)
    transfer(link).exchange("site-1", 7, lambda: LONG)
    kinds = [(message.parcel is not None, message.at, timeout) for message, timeout in link.calls]
    places = [0, PIECE_BYTES, 2 * PIECE_BYTES]
    assert kinds == [
        *((True, at, PIECE_S) for at in places),
        (False, None, DEADLINE),
        *((False, at, PIECE_S) for at in places),
    ]


def test_nothing_is_held_while_a_site_trains() -> None:
    shared = InFlight(1, lambda: 0.0)

    def training(message: Message) -> Message:
        if message.at is None:
            room = shared.take(len(LONG), 0.5)
            assert room is not None
            shared.give(room)
            return Message(parcel=b"reply")
        return Message()

    over = Transfer(RecordingLink(training), in_flight=shared, clock=lambda: 0.0, deadline=DEADLINE)
    assert over.exchange("site-1", 1, lambda: LONG) == Received(b"reply")


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (Failure("FLARE: TIMEOUT"), Message()),
        (Message(), Message()),
        (Message(size=0), Message()),
        (Message(parcel=bytes(SHORT_BYTES + 1)), Message()),
        (Message(size=2**60), Message(parcel=b"")),
        (Message(size=2**60), Message()),
        (Message(size=2**60), Failure("FLARE: TIMEOUT")),
        (Message(size=10), Message(parcel=b"more than 10 bytes")),
    ],
)
def test_a_site_that_answers_something_else_fails_and_leaves_its_room(
    first: Message | Failure, then: Message | Failure
) -> None:
    over = transfer(RecordingLink(lambda message: then if message.at is not None else first), limit=1)
    assert isinstance(over.exchange("site-1", 1, lambda: b"parcel"), Failure)
    assert over.in_flight.take(1, 0.5) is not None


def test_a_parcel_that_cannot_be_made_leaves_its_room() -> None:
    over = transfer(RecordingLink(lambda _: Message()), limit=1)

    def fail() -> bytes:
        raise ValueError("the parcel")

    with pytest.raises(ValueError, match="the parcel"):
        over.exchange("site-1", 1, fail)
    assert over.in_flight.take(1, 0.5) is not None


def test_after_the_end_nothing_is_sent() -> None:
    link = RecordingLink(lambda _: Message())
    over = transfer(link)
    over.in_flight.close()
    assert over.exchange("site-1", 1, lambda: b"parcel") == Failure("no time left")
    assert not link.calls
