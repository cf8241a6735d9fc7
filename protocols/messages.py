"""Canonical bytes for messages: MessagePack arrays, one envelope, decoded strictly.

Every message travels as `[version, session digest, round number, body]`.  A decoder takes only what an encoder of
the same version would have made: other versions, other sessions, other rounds, unknown or missing fields, trailing
bytes, longer than the session can need, or a second encoding of the same value are all refused.
"""

import hmac
from typing import TypeVar

import msgspec

from protocols.errors import MalformedMessage

VERSION = 1


class Message(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Base of all messages: immutable, positional on the wire."""


class Envelope(Message, frozen=True):
    """What every message is wrapped in."""

    version: int
    digest: bytes
    round: int
    body: msgspec.Raw


M = TypeVar("M", bound=Message)


def limit(length: int, modulus: int, clients: int) -> int:
    """The most bytes that any message of a session may have.

    The vector, bit-packed, and for each client its keys, sealed shares and place in a survivor set.
    """
    return -(-length * (modulus - 1).bit_length() // 8) + 256 * clients + 1024


class Codec:
    """Encodes and decodes the messages of one session.

    Args:
        digest: The session's digest, 32 bytes.
        limit: The most bytes that a message may have.
    """

    def __init__(self, digest: bytes, limit: int) -> None:
        self._digest = digest
        self._limit = limit

    def encode(self, number: int, message: Message) -> bytes:
        """The bytes of one message of round `number`."""
        body = msgspec.Raw(msgspec.msgpack.encode(message))
        return msgspec.msgpack.encode(Envelope(VERSION, self._digest, number, body))

    def decode(self, number: int, kind: type[M], data: bytes) -> M:
        """The message of type `kind` that these bytes are.

        Raises:
            MalformedMessage: They are anything else.
        """
        if not isinstance(data, bytes):
            raise MalformedMessage(f"a {type(data).__name__}, where bytes are expected")
        if len(data) > self._limit:
            raise MalformedMessage(f"a message of {len(data)} bytes, where at most {self._limit} are possible")
        try:
            envelope = msgspec.msgpack.decode(data, type=Envelope)
        except (msgspec.MsgspecError, RecursionError):
            raise MalformedMessage(f"{len(data)} bytes that are no message") from None
        if envelope.version != VERSION:
            raise MalformedMessage(f"wire version {envelope.version}, where {VERSION} is spoken")
        if not hmac.compare_digest(envelope.digest, self._digest):
            raise MalformedMessage("the message belongs to another session, or the parties differ on its parameters")
        if envelope.round != number:
            raise MalformedMessage(f"a message of round {envelope.round}, where round {number} is open")
        try:
            message = msgspec.msgpack.decode(envelope.body, type=kind)
        except (msgspec.MsgspecError, RecursionError):
            raise MalformedMessage(f"not a message of type {kind.__name__}") from None
        if self.encode(number, message) != data:
            raise MalformedMessage(f"a {kind.__name__} that is not in its canonical encoding")
        return message
