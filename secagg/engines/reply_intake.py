"""The intake of one step's replies: each is either given to the protocol's server, or dropped under a code.

A reply is dropped if it is no parcel, names another sender than the channel does, belongs to another step or session,
or is a refusal. What is left goes to the server's machine, which refuses a second reply of a party and every message
that the protocol does not allow. So no reply can be counted under an id whose node has not sent it.

No drop is evidence against a node: whoever carries the bytes can cause it.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum

from protocols.errors import MalformedMessage, RemoteError
from protocols.machine import Server
from secagg.engines.parcel import Refusal, open_reply


class Drop(StrEnum):
    """Why a reply is not in a step, apart from refusals and failures of the channel."""

    LATE = "late-reply"
    """It belongs to another step or session, or has come after the deadline."""

    REPEATED = "repeated-reply"
    """The party has answered this step already."""

    MALFORMED = "malformed-reply"
    """The bytes are no reply."""

    FOREIGN = "foreign-reply"
    """It names another sender than the channel does, or its sender was not asked."""

    BAD = "bad-reply"
    """The protocol's server has refused the message in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What became of one reply.

    Attributes:
        code: Why it was dropped; None if the server has accepted it.
        body: The message that was given to the server; None if none was.
        last: The last serial of a node that refuses with `Refusal.OLD`; otherwise 0.
    """

    code: str | None
    body: bytes | None = field(default=None, repr=False)
    last: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyIntake:
    """The intake of one step.

    Attributes:
        server: The protocol's server, with the step open.
        asked: The parties that the step asks.
        serial: The number of the attempt.
        number: The number of the step.
        limit: The largest number of bytes of a message.
    """

    server: Server
    asked: Collection[int]
    serial: int
    number: int
    limit: int

    def take(self, sender: int, data: bytes) -> Taken:
        """Take in what the channel has received from a node."""
        if sender not in self.asked:
            return Taken(code=Drop.FOREIGN)
        try:
            reply = open_reply(data, self.limit)
        except MalformedMessage:
            return Taken(code=Drop.MALFORMED)
        if reply.sender != sender:
            return Taken(code=Drop.FOREIGN)
        # A node that could not read the request knows neither serial nor step, and names zeros.
        unread = reply.refusal is not None and (reply.serial, reply.step) == (0, 0)
        if (reply.serial, reply.step) != (self.serial, self.number) and not unread:
            return Taken(code=Drop.LATE)
        if reply.refusal is not None:
            return Taken(code=reply.refusal, last=reply.last if reply.refusal is Refusal.OLD else 0)
        return self._give(sender, reply.body)

    def _give(self, sender: int, body: bytes) -> Taken:
        refused = Drop.BAD if sender in self.server.missing else Drop.REPEATED
        try:
            self.server.receive(sender, body)
        except RemoteError:
            return Taken(code=refused, body=body)
        return Taken(code=None, body=body)
