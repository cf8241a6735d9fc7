"""The server's side of the exchange with one site: the parcel goes out, the site answers, and the reply is fetched."""

import threading
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field
from io import BytesIO
from typing import Final, Protocol

from protocols.codec import LARGEST_BYTES
from secagg.engines.nvflare.in_flight import InFlight, Room
from secagg.engines.nvflare.message import PIECE_BYTES, SHORT_BYTES, Message
from secagg.engines.server.channel import Failure

PIECE_S: Final = 15.0
"""How long one piece may take: the seconds after which a site that has died gives its room to the next."""

LONGEST_REPLY: Final = LARGEST_BYTES + SHORT_BYTES
"""No reply is longer: a message that can be encoded, and what a reply says besides."""

_NO_TIME: Final = Failure("no time left")
_NO_REPLY: Final = Failure("no reply")


class Link(Protocol):
    """What FLARE does for the channel. Several threads call it."""

    def call(self, site: str, message: Message, timeout_s: float) -> Message | Failure:
        """Send a call to a site, and return its answer, or FLARE's return code as a failure."""
        ...


@dataclass(frozen=True, slots=True)
class Received:
    """A site's reply.

    Attributes:
        body: The reply.
        room: Its room, which the part that has taken it in gives back; None if it has travelled whole.
    """

    body: bytes = field(repr=False)
    room: Room | None = None


@dataclass(slots=True)
class Transfer:
    """The exchange of one step with all sites; several threads use it, each for one site.

    Attributes:
        link: What FLARE does.
        in_flight: The room for long messages.
        clock: A clock in seconds.
        deadline: When the step ends.
    """

    link: Link
    _: KW_ONLY
    in_flight: InFlight
    clock: Callable[[], float]
    deadline: float
    _making: threading.Lock = field(default_factory=threading.Lock, init=False)
    _last_size: int = field(default=0, init=False)

    def exchange(self, site: str, number: int, make: Callable[[], bytes]) -> Received | Failure:
        """Send a parcel to a site, and return its reply.

        Args:
            site: The site.
            number: The number of the parcel, which no other parcel of the job has.
            make: Returns the parcel; called when there is room for it.
        """
        answer = self._sent(site, number, make)
        if isinstance(answer, Failure):
            return answer
        if answer.parcel is not None and len(answer.parcel) <= SHORT_BYTES:
            return Received(answer.parcel)
        if answer.parcel is not None or not answer.size or answer.size > LONGEST_REPLY:
            return _NO_REPLY
        room = self.in_flight.take(answer.size, self.deadline)
        if room is None:
            return _NO_TIME
        body = None
        try:
            body = self._fetched(site, number, answer.size, room)
        finally:
            if not isinstance(body, bytes):
                self.in_flight.give(room)
        return Received(body, room) if isinstance(body, bytes) else body

    def _sent(self, site: str, number: int, make: Callable[[], bytes]) -> Message | Failure:
        """Send a parcel, without holding it while the site trains, and return the site's answer."""
        parcel, room = self._made(make)
        if parcel is None or room is None:
            return _NO_TIME
        try:
            if len(parcel) <= SHORT_BYTES:
                answer: Message | Failure = self._called(site, Message(parcel=parcel, number=number))
                return answer
            for at in range(0, len(parcel), PIECE_BYTES):
                piece = Message(parcel=parcel[at : at + PIECE_BYTES], number=number, at=at)
                answer = self._hurried(site, piece, room)
                if isinstance(answer, Failure):
                    return answer
        finally:
            del parcel
            self.in_flight.give(room)
        return self._called(site, Message(number=number))

    def _made(self, make: Callable[[], bytes]) -> tuple[bytes | None, Room | None]:
        """Return a parcel, once there is room for it; its size is taken to be that of the one before.

        One parcel at a time is made, so at most one is longer than the room that it waited for.
        """
        with self._making:
            room = self.in_flight.take(self._last_size, self.deadline)
            if room is None:
                return None, None
            try:
                parcel = make()
            except BaseException:
                self.in_flight.give(room)
                raise
            self._last_size = len(parcel) if len(parcel) > SHORT_BYTES else 0
            self.in_flight.resize(room, self._last_size)
            return parcel, room

    def _fetched(self, site: str, number: int, size: int, room: Room) -> bytes | Failure:
        """Fetch a reply piece by piece."""
        joined = BytesIO()
        for at in range(0, size, PIECE_BYTES):
            answer = self._hurried(site, Message(number=number, at=at), room)
            if isinstance(answer, Failure):
                return answer
            if answer.parcel is None or len(answer.parcel) != min(PIECE_BYTES, size - at):
                return _NO_REPLY
            joined.write(answer.parcel)
        return joined.getvalue()  # This makes no copy.

    def _called(self, site: str, message: Message) -> Message | Failure:
        left = self.deadline - self.clock()
        return self.link.call(site, message, left) if left > 0 else _NO_TIME

    def _hurried(self, site: str, message: Message, room: Room) -> Message | Failure:
        """Send a call that needs no work of the site."""
        left = min(PIECE_S, self.in_flight.left(room))
        return self.link.call(site, message, left) if left > 0 else _NO_TIME
