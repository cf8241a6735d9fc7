"""The intake of one step's replies: each is either given to the protocol's server, or dropped under a code.

A reply is dropped if it is no parcel, names another sender than the channel does, belongs to another step or session,
or is a refusal. What is left goes to the server's machine, which refuses a second reply of a party and every message
that the protocol does not allow. So no reply counts under an id that it does not name itself.

No drop is evidence against a node: anyone who carries the bytes can cause it.

Adversary: nodes and a transport that deliver anything, under any id, at any time.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from protocols.errors import MalformedMessage, RemoteError
from protocols.machine import Server
from secagg.engines.wire.parcel import open_reply


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
        sender: The node that the channel has named.
        code: Why it was dropped; None if the server has accepted it.
        body: The message that was given to the server; None if none was.
        last: The last serial of a node that refuses with `Refusal.OLD`; otherwise 0.
        seconds: How long another process took for it.
    """

    sender: int
    code: str | None
    body: bytes | None = field(default=None, repr=False)
    last: int = 0
    seconds: float = 0.0


class Intake(Protocol):
    """The intake of one step's replies, in this process or in others."""

    @property
    def missing(self) -> frozenset[int]:
        """The parties that were asked, and whose reply is neither accepted nor being checked."""
        ...

    def take(self, sender: int, data: bytes) -> Iterable[Taken]:
        """Take in what the channel has received from a node, and return what has become of replies."""
        ...

    def settle(self) -> Iterable[Taken]:
        """Wait until no reply is being checked, and return what has become of them."""
        ...

    def close(self) -> None:
        """End the step: the server has then been given all replies. Nothing may be being checked."""
        ...


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

    @property
    def missing(self) -> frozenset[int]:
        """The parties that were asked and whose reply is not accepted."""
        return self.server.missing

    def take(self, sender: int, data: bytes | memoryview) -> tuple[Taken]:
        """See `Intake`."""
        return (self._taken(sender, data),)

    def settle(self) -> tuple[()]:
        """See `Intake`. Nothing is waiting."""
        return ()

    def close(self) -> None:
        """See `Intake`. The server has all replies."""

    def _taken(self, sender: int, data: bytes | memoryview) -> Taken:
        if sender not in self.asked:
            return Taken(sender=sender, code=Drop.FOREIGN)
        try:
            reply = open_reply(data, self.limit)
        except MalformedMessage:
            return Taken(sender=sender, code=Drop.MALFORMED)
        if reply.sender != sender:
            return Taken(sender=sender, code=Drop.FOREIGN)
        # A node that could not read the request knows neither serial nor step, and names zeros.
        unread = reply.refusal is not None and (reply.serial, reply.step) == (0, 0)
        if (reply.serial, reply.step) != (self.serial, self.number) and not unread:
            return Taken(sender=sender, code=Drop.LATE)
        if reply.refusal is not None:
            return Taken(sender=sender, code=reply.refusal, last=reply.last)
        return self._given(sender, reply.body)

    def _given(self, sender: int, body: bytes) -> Taken:
        refused = Drop.BAD if sender in self.server.missing else Drop.REPEATED
        try:
            self.server.receive(sender, body)
        except RemoteError:
            return Taken(sender=sender, code=refused, body=body)
        return Taken(sender=sender, code=None, body=body)
