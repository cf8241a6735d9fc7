"""Canonical bytes for messages: MessagePack arrays, one envelope, decoded strictly.

Every message is sent as `[version, session digest, step number, body]`. A decoder accepts only the bytes that an
encoder of the same version produces. It refuses:

- other versions, other sessions and other steps,
- unknown or missing fields, and trailing bytes,
- messages that are longer than the session can need,
- any second encoding of the same value.

The cost of decoding is bounded by the number of bytes and by the session. An element of a list may take two bytes on
the wire and two hundred in memory. So lists are counted, and long ones refused, before any element is made.

A field of type `memoryview` is a byte string that is decoded without a copy. It refers to the bytes of its message and
keeps all of them alive. Use it for large fields and for fields that are consumed immediately.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, TypeVar

import msgspec

from protocols.errors import MalformedMessage, ParameterError

LARGEST_BYTES: Final = 2**32 - 1
"""The longest byte string that MessagePack has, in bytes."""

_SHORT_HEADERS: Final = (0x90, 0x80)  # Of an array and of a map: the count is in the lower four bits.
_LONG_HEADERS: Final = {0xDC: 2, 0xDD: 4, 0xDE: 2, 0xDF: 4}  # Of both: the count is in 2 or 4 bytes after it.
# msgspec raises these two of Python's own errors as they are: for text that is not UTF-8, and for deep nesting.
_UNDECODABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class Message(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The base of all messages: immutable, positional on the wire."""


class Invitation(Message, frozen=True):
    """The first request of every protocol: it opens the session that the digest in the envelope identifies."""


class Envelope(Message, frozen=True):
    """The wrapper of every message."""

    version: int
    digest: bytes
    step: int
    body: msgspec.Raw


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """A message whose only long field is made piece by piece, while the message is sent.

    Attributes:
        kind: The type of the message. The long field is one of type `memoryview`.
        before: The values of the fields before the long one.
        size: Number of bytes of the long field.
        pieces: The bytes of the long field, in order, `size` bytes in all.
        after: Returns the values of the fields after the long one. It is called after the last piece.
    """

    kind: type[Message]
    before: tuple[Any, ...]
    size: int
    pieces: Iterator[bytes | memoryview]
    after: Callable[[], tuple[Any, ...]] = tuple


M = TypeVar("M", bound=Message)


def limit(length: int, modulus: int, clients: int, attached: int = 0) -> int:
    """Return the largest number of bytes that any message of a pairwise or a plain session may have.

    It covers the bit-packed vector and, for each client, keys, signatures, fingerprints and sealed secret shares. A
    protocol that sends more must add to it.

    Args:
        length: Number of coordinates of a vector.
        modulus: The modulus of the vector's entries.
        clients: Size of the cohort.
        attached: Number of further secrets of each client. Every holder gets a secret share and a fingerprint of each.
    """
    return -(-length * (modulus - 1).bit_length() // 8) + clients * (512 + 128 * attached) + 4096


class Codec:
    """The encoder and decoder of one session's messages.

    Args:
        digest: The session's digest, 32 bytes.
        limit: The largest number of bytes of a message.
        elements: The largest number of elements of a list in a message that is decoded. None stands for `limit`, which
            is no real bound.
        wire: The version of the protocol's bytes.
    """

    def __init__(self, digest: bytes, limit: int, elements: int | None = None, *, wire: int = 1) -> None:
        self._wire = wire
        self._digest = digest
        self._limit = limit
        self._elements = limit if elements is None else elements

    def encode(self, number: int, message: Message) -> bytes:
        """Return the bytes of one message of step `number`."""
        return msgspec.msgpack.encode((self._wire, self._digest, number, message))

    def encode_stream(self, number: int, stream: Stream) -> Iterator[bytes | memoryview]:
        """Yield the bytes of one message of step `number` piece by piece; they are the bytes that `encode` returns."""
        yield self._header(number) + _array(len(stream.kind.__struct_fields__))
        yield from map(msgspec.msgpack.encode, stream.before)
        yield bytes_header(stream.size)
        yield from stream.pieces
        yield from map(msgspec.msgpack.encode, stream.after())

    def is_of(self, number: int, data: object) -> bool:
        """Return whether these bytes begin like a message of this session and step."""
        header = self._header(number)
        return isinstance(data, bytes | memoryview) and bytes(data[: len(header)]) == header

    def _header(self, number: int) -> bytes:
        return _array(4) + b"".join(map(msgspec.msgpack.encode, (self._wire, self._digest, number)))

    def decode(self, number: int, kind: type[M], data: bytes | memoryview) -> M:
        """Return the message of type `kind` that these bytes encode.

        A view stands for bytes that are in a file. It must not change as long as the message is in use.

        Raises:
            MalformedMessage: The bytes are not the canonical encoding of such a message of this session and step.
        """
        if not isinstance(data, bytes | memoryview):
            raise MalformedMessage(f"message: expected bytes, found {type(data).__name__}")
        if len(data) > self._limit:
            raise MalformedMessage(f"message: expected at most {self._limit} bytes, found {len(data)}")
        header = self._header(number)
        if data[: len(header)] != header:
            raise MalformedMessage(self._wrong(number, kind, data))
        try:
            message = self._message(kind, memoryview(data)[len(header) :])
        except _UNDECODABLE:
            raise MalformedMessage(self._wrong(number, kind, data)) from None
        if canonical_end(message, data, len(header)) != len(data):
            raise MalformedMessage(f"{kind.__name__}: expected its canonical encoding, found another")
        return message

    def _message(self, kind: type[M], body: memoryview | msgspec.Raw) -> M:
        """Return the message of type `kind` that a body encodes, canonically or not.

        Raises:
            MalformedMessage: A list has more elements than the session can need; none of them has been made.
            msgspec.MsgspecError: The body encodes no such message.
        """
        for field in _fields(len(kind.__struct_fields__)).decode(body):
            count = _count(memoryview(field))
            if count > self._elements:
                raise MalformedMessage(f"list: expected at most {self._elements} elements, found {count}")
        return msgspec.msgpack.decode(body, type=kind)

    def _wrong(self, number: int, kind: type[Message], data: bytes | memoryview) -> str:
        """Return what is wrong with bytes that are not a canonical message of this session, step and type."""
        try:
            envelope = msgspec.msgpack.decode(data, type=Envelope)
        except _UNDECODABLE:
            return f"message: expected an envelope in MessagePack, found {len(data)} other bytes"
        if envelope.version != self._wire:
            return f"wire version: expected {self._wire}, found {envelope.version}"
        if envelope.digest != self._digest:
            return "the message belongs to another session, or the parties differ on its parameters"
        if envelope.step != number:
            return f"step: expected {number}, found a message of step {envelope.step}"
        try:
            self._message(kind, envelope.body)
        except MalformedMessage as error:
            return str(error)
        except _UNDECODABLE:
            return f"body: expected the fields of a {kind.__name__}, found others"
        return f"{kind.__name__}: expected its canonical encoding, found another"


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
    """Return a decoder that splits a body of `count` fields into one view per field, and decodes none of them."""
    return msgspec.msgpack.Decoder(tuple[(msgspec.Raw,) * count])  # type: ignore[misc]  # Made from a number.


def _count(field: memoryview) -> int:
    """Return how many elements a list or a map has by its header, or 0 for anything else."""
    first = field[0]
    if first & 0xF0 in _SHORT_HEADERS:
        return first & 0x0F
    return int.from_bytes(field[1 : 1 + _LONG_HEADERS.get(first, 0)], "big")


def canonical_end(message: Message, data: bytes | memoryview, start: int) -> int | None:
    """Return where the canonical encoding of `message` ends in the data that it was decoded from.

    Return None if the data contains another encoding. The data is compared piece by piece, and views only by their
    headers. As long as every byte so far is canonical, the decoder was at the same position as this function, so a view
    refers to the bytes directly after its own header.
    """
    at = start
    for piece, viewed in _pieces(message):
        if data[at : at + len(piece)] != piece:
            return None
        at += len(piece) + viewed
    return at


def _pieces(message: Message) -> Iterator[tuple[bytes, int]]:
    """Yield the canonical encoding of a message in pieces, each with the length of the view that follows it."""
    yield _array(len(message.__struct_fields__)), 0
    for name in message.__struct_fields__:
        value = getattr(message, name)
        if isinstance(value, memoryview):
            yield bytes_header(len(value)), len(value)
        elif isinstance(value, tuple) and value and isinstance(value[0], memoryview):
            yield _array(len(value)), 0
            yield from ((bytes_header(len(view)), len(view)) for view in value)
        else:
            yield msgspec.msgpack.encode(value), 0


def _array(length: int) -> bytes:
    """Return the header of an array of `length` elements."""
    return msgspec.msgpack.encode((None,) * length)[: -length or None]


def bytes_header(length: int) -> bytes:
    """Return the header of a byte string of this length.

    Raises:
        ParameterError: MessagePack has no byte string of this length.
    """
    if length < 2**8:
        return b"\xc4" + length.to_bytes(1, "big")
    if length < 2**16:
        return b"\xc5" + length.to_bytes(2, "big")
    if length > LARGEST_BYTES:
        raise ParameterError(f"byte string: expected at most {LARGEST_BYTES} bytes, found {length}")
    return b"\xc6" + length.to_bytes(4, "big")
