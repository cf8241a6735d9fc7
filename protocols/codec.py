"""Canonical bytes for messages: MessagePack arrays, one envelope, decoded strictly.

Every message travels as `[version, session digest, step number, body]`.  A decoder takes only what an encoder of
the same version would have made: other versions, other sessions, other steps, unknown or missing fields, trailing
bytes, longer than the session can need, or a second encoding of the same value are all refused.

What a decoder costs is bounded by the bytes it is given, and by the session.  An element of a list may be two bytes on
the wire and two hundred in memory, so lists are counted, and long ones refused, before any element is made.

A field typed `memoryview` is a byte string that is decoded without a copy: it shows the bytes of the message it came
in, and keeps all of them alive.  It is for what is large, and for what is used up at once.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Final, TypeVar

import msgspec

from protocols.errors import MalformedMessage

_SHORT_HEADERS: Final = (0x90, 0x80)  # of an array, of a map: the count is in the lower four bits
_LONG_HEADERS: Final = {0xDC: 2, 0xDD: 4, 0xDE: 2, 0xDF: 4}  # of both: the count is in as many bytes that follow


class Message(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Base of all messages: immutable, positional on the wire."""


class Invitation(Message, frozen=True):
    """The first request of every protocol: the server opens the session, which the envelope's digest names."""


class Envelope(Message, frozen=True):
    """What every message is wrapped in."""

    version: int
    digest: bytes
    step: int
    body: msgspec.Raw


M = TypeVar("M", bound=Message)


def limit(length: int, modulus: int, clients: int, attached: int = 0) -> int:
    """The most bytes that any message of a pairwise or a plain session may have.

    The vector, bit-packed, and for each client its keys, signatures, fingerprints and sealed shares.  A protocol that
    sends more adds it to this.

    Args:
        length: Coordinates of a vector.
        modulus: Of its entries.
        clients: Size of the cohort.
        attached: Further secrets that each client shares, of which every holder gets a share and a fingerprint.
    """
    return -(-length * (modulus - 1).bit_length() // 8) + clients * (512 + 128 * attached) + 4096


class Codec:
    """Encodes and decodes the messages of one session.

    Args:
        digest: The session's digest, 32 bytes.
        limit: The most bytes that a message may have.
        elements: The most elements that a list in a message to be decoded may have; where none is given, as many as
            `limit`, which is no bound.
        wire: The version of the protocol's bytes.
    """

    def __init__(self, digest: bytes, limit: int, elements: int | None = None, *, wire: int = 1) -> None:
        self._wire = wire
        self._digest = digest
        self._limit = limit
        self._elements = limit if elements is None else elements

    def encode(self, number: int, message: Message) -> bytes:
        """The bytes of one message of step `number`."""
        return msgspec.msgpack.encode((self._wire, self._digest, number, message))

    def is_of(self, number: int, data: object) -> bool:
        """Whether these bytes begin like a message of this session and step."""
        return isinstance(data, bytes) and data.startswith(self._header(number))

    def _header(self, number: int) -> bytes:
        return _array(4) + b"".join(map(msgspec.msgpack.encode, (self._wire, self._digest, number)))

    def decode(self, number: int, kind: type[M], data: bytes) -> M:
        """The message of type `kind` that these bytes are.

        Raises:
            MalformedMessage: They are anything else.
        """
        if not isinstance(data, bytes):
            raise MalformedMessage(f"a {type(data).__name__}, where bytes are expected")
        if len(data) > self._limit:
            raise MalformedMessage(f"a message of {len(data)} bytes, where at most {self._limit} are possible")
        header = self._header(number)
        if not data.startswith(header):
            raise MalformedMessage(self._wrong(number, kind, data))
        try:
            message = self._message(kind, memoryview(data)[len(header) :])
        except (msgspec.MsgspecError, RecursionError):
            raise MalformedMessage(self._wrong(number, kind, data)) from None
        if _canonical_end(message, data, len(header)) != len(data):
            raise MalformedMessage(f"a {kind.__name__} that is not in its canonical encoding")
        return message

    def _message(self, kind: type[M], body: memoryview | msgspec.Raw) -> M:
        """The message of type `kind` that a body is, canonical or not.

        Raises:
            MalformedMessage: A list has more elements than the session can need; none of them has been made.
            msgspec.MsgspecError: It is none.
        """
        for field in _fields(len(kind.__struct_fields__)).decode(body):
            count = _count(memoryview(field))
            if count > self._elements:
                raise MalformedMessage(f"a list of {count} elements, where at most {self._elements} are possible")
        return msgspec.msgpack.decode(body, type=kind)

    def _wrong(self, number: int, kind: type[Message], data: bytes) -> str:
        """What is wrong with bytes that are no message of this session, step and type in its canonical encoding."""
        try:
            envelope = msgspec.msgpack.decode(data, type=Envelope)
        except (msgspec.MsgspecError, RecursionError):
            return f"{len(data)} bytes that are no message"
        if envelope.version != self._wire:
            return f"wire version {envelope.version}, where {self._wire} is spoken"
        if envelope.digest != self._digest:
            return "the message belongs to another session, or the parties differ on its parameters"
        if envelope.step != number:
            return f"a message of step {envelope.step}, where step {number} is open"
        try:
            self._message(kind, envelope.body)
        except MalformedMessage as error:
            return str(error)
        except (msgspec.MsgspecError, RecursionError):
            return f"not a message of type {kind.__name__}"
        return f"a {kind.__name__} that is not in its canonical encoding"


class Requests(Mapping[int, bytes]):
    """Requests by party id. Each is encoded when it is read, so that what they have in common is in memory once."""

    def __init__(self, codec: Codec, number: int, requests: Mapping[int, Message]) -> None:
        self._codec = codec
        self._number = number
        self._requests = dict(requests)

    def __getitem__(self, client: int) -> bytes:
        return self._codec.encode(self._number, self._requests[client])

    def __iter__(self) -> Iterator[int]:
        return iter(self._requests)

    def __len__(self) -> int:
        return len(self._requests)


@cache
def _fields(count: int) -> "msgspec.msgpack.Decoder[tuple[msgspec.Raw, ...]]":
    """Splits the body of a message of that many fields into views of them; it makes nothing of what they hold."""
    return msgspec.msgpack.Decoder(tuple[(msgspec.Raw,) * count])  # type: ignore[misc]  # made of a number


def _count(field: memoryview) -> int:
    """How many elements a list or a map has by its header; 0 of anything else."""
    first = field[0]
    if first & 0xF0 in _SHORT_HEADERS:
        return first & 0x0F
    return int.from_bytes(field[1 : 1 + _LONG_HEADERS.get(first, 0)], "big")


def _canonical_end(message: Message, data: bytes, start: int) -> int | None:
    """Where the canonical encoding of `message` ends in the data that it was decoded from; None if that is another.

    Compared a piece at a time, and views by their headers alone: while every byte so far is canonical, the decoder
    was where this function is, so a view shows the bytes right after its own header.
    """
    at = start
    for piece, viewed in _pieces(message):
        if not data.startswith(piece, at):
            return None
        at += len(piece) + viewed
    return at


def _pieces(message: Message) -> Iterator[tuple[bytes, int]]:
    """The canonical encoding of a message, in pieces, each with the length of the view that follows it."""
    yield _array(len(message.__struct_fields__)), 0
    for name in message.__struct_fields__:
        value = getattr(message, name)
        if isinstance(value, memoryview):
            yield _view_header(value), len(value)
        elif isinstance(value, tuple) and value and isinstance(value[0], memoryview):
            yield _array(len(value)), 0
            yield from ((_view_header(view), len(view)) for view in value)
        else:
            yield msgspec.msgpack.encode(value), 0


def _array(length: int) -> bytes:
    """The header of an array of that many elements."""
    return msgspec.msgpack.encode((None,) * length)[: -length or None]


def _view_header(view: memoryview) -> bytes:
    """The header of a byte string of that length."""
    if len(view) < 2**8:
        return b"\xc4" + len(view).to_bytes(1, "big")
    if len(view) < 2**16:
        return b"\xc5" + len(view).to_bytes(2, "big")
    return b"\xc6" + len(view).to_bytes(4, "big")
