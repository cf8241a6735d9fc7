"""A site's side of the exchange: it joins the pieces of a parcel, lets the station answer, and hands out the reply.

A site has one parcel at a time. The first piece of another parcel takes the place of what is there. Whether a parcel is
one of the coordinator's is for the station to check.
"""

import threading
from io import BytesIO

from secagg.engines.nvflare.message import HELLO, PIECE_BYTES, SHORT_BYTES, Message
from secagg.engines.nvflare.site import Site


class SiteUnavailable(Exception):
    """There is no station to ask."""


class OutOfPlace(Exception):
    """The message is no call of a server, or is not about the parcel that is here."""


class SiteDesk:
    """What the server's calls are answered with. Several threads may call it; the home's lock orders their parcels.

    Args:
        site: The site.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._lock = threading.Lock()
        self._number: int | None = None
        self._joined = BytesIO()
        self._reply = b""

    def answer(self, call: Message) -> Message:
        """Return the answer to a call.

        Raises:
            OutOfPlace: The call is not one of `secagg.engines.nvflare.message`, or is about another parcel.
            SiteUnavailable: There is no station to ask.
        """
        if call == HELLO:
            if not self._site.is_there():
                raise SiteUnavailable
            return HELLO
        if call.number is None or call.size is not None:
            raise OutOfPlace
        if call.parcel is None:
            return self._answered(call.number) if call.at is None else self._piece(call.number, call.at)
        self._join(call.parcel, call.number, call.at or 0)
        return Message() if call.at is not None else self._answered(call.number)

    def _join(self, piece: bytes, number: int, at: int) -> None:
        with self._lock:
            if at == 0:
                self._number, self._joined, self._reply = number, BytesIO(), b""
            if number != self._number or at != self._joined.tell():
                raise OutOfPlace
            self._joined.write(piece)

    def _answered(self, number: int) -> Message:
        with self._lock:
            if number != self._number:
                raise OutOfPlace
            parcel, self._joined = self._joined.getvalue(), BytesIO()
        reply = self._site.answer(parcel)
        del parcel
        if reply is None:
            raise SiteUnavailable
        if len(reply) <= SHORT_BYTES:
            return Message(parcel=reply)
        with self._lock:
            if number == self._number:
                self._reply = reply
        return Message(size=len(reply))

    def _piece(self, number: int, at: int) -> Message:
        with self._lock:
            if number != self._number or at >= len(self._reply):
                raise OutOfPlace
            piece = self._reply[at : at + PIECE_BYTES]
            if at + PIECE_BYTES >= len(self._reply):
                self._reply = b""
        return Message(parcel=piece)
