"""The messages between coordinator and node: signed requests, and replies that hold a machine's bytes or a refusal.

A request is signed with the coordinator's Ed25519 identity over its serial, its step, its receiver, and the SHA-256 of
each of its parts. The parts are the offer, the work and the machine's bytes. The requests of a step have the same offer
and the same work, which are hashed once for all of them. A reply has no signature. With a roster, most of the machine's
own messages are signed; without one, none is. A reply has a SHA-256 of all that it says, since some messages, such as
masked vectors, can be changed without a trace: damage on the way makes a node drop out, and no sum is wrong. The digest
does not stop those who alter replies on purpose. So the transport has to authenticate nodes, as TLS does; NODE-9 of the
threat model says what is lost without.

Decoding is strict: exact types, no unknown field, and only the bytes that the encoder makes. The length of all bytes is
checked before anything is decoded, and the length of each part before it is used. A part is decoded without a copy, so
a header that announces more bytes than there are costs nothing.

Adversary: a stranger who can send anything to a node, and learns one code of a closed list from its answer.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NoReturn, TypeVar

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from protocols.codec import Message, bytes_header, canonical_end
from protocols.errors import MalformedMessage, NotSigned, ParameterError, RemoteError
from protocols.identity import PUBLIC_BYTES, SIGNATURE_BYTES, Identity
from protocols.session import MAX_CLIENT_ID

VERSION: Final = 1
LARGEST_SERIAL: Final = 2**64 - 1
LARGEST_STEP: Final = 2**16 - 1
OVERHEAD_BYTES: Final = 128
"""A parcel has at most this number of bytes besides the offer, the work and the machine's bytes."""

_DOMAIN: Final = b"secagg parcel v1"
_REPLY_DOMAIN: Final = b"secagg reply v1"
_RANGES: Final = {
    "serial": LARGEST_SERIAL,
    "step": LARGEST_STEP,
    "receiver": MAX_CLIENT_ID,
    "sender": MAX_CLIENT_ID,
    "last": LARGEST_SERIAL,
}
_Wire = TypeVar("_Wire", bound=Message)
Piece = bytes | memoryview


class NotForMe(RemoteError):
    """A request that the coordinator has signed for another node."""


class Refusal(StrEnum):
    """Why a node has not answered a request; a reply tells nothing else about it.

    Every code but `FAILED` depends only on what arrived and on the files of the node's home, never on its data.
    """

    MALFORMED = "malformed"
    """The bytes are no request, or contain an offer or a message that is none."""

    STRANGER = "stranger"
    """The coordinator has not signed the request."""

    NOT_FOR_ME = "not-for-me"
    """The request is for another node."""

    OLD = "old"
    """The serial is not above every serial that the node has recorded; the reply contains the last one."""

    ANSWERED = "answered"
    """The node has answered this step, or may have; it has dropped out of this session."""

    POLICY = "policy"
    """The node's policy does not allow what is offered."""

    BUDGET = "budget"
    """The node's own privacy budget does not suffice."""

    OTHER_INPUTS = "other-inputs"
    """The work is not that of the offer."""

    EXPIRED = "expired"
    """By the node's clock, the session has expired, or a key of its committee is not valid."""

    BUSY = "busy"
    """Another request is being answered."""

    UNAVAILABLE = "unavailable"
    """The node cannot write its files."""

    FAILED = "failed"
    """The node's training or its machine has failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The largest number of bytes of each part of a request.

    Attributes:
        offer_bytes: The size of the offer.
        work_bytes: The size of the work.
        body_bytes: The size of the machine's message.
    """

    offer_bytes: int = 2**20
    work_bytes: int
    body_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request of the coordinator to one node.

    Attributes:
        serial: The number of the attempt, in [0, 2^64 - 1].
        step: The number of the protocol's step, in [0, 2^16 - 1].
        receiver: The id of the node that it is for.
        offer: An `Offer` as bytes; empty if there is none.
        work: A `Work` as bytes; empty if there is none. A request that was opened has a view of its bytes here.
        body: The machine's request.

    Raises:
        ParameterError: A number is out of range.
    """

    serial: int
    step: int
    receiver: int
    offer: bytes = field(repr=False)
    work: bytes | memoryview = field(repr=False)
    body: bytes = field(repr=False)

    def __post_init__(self) -> None:
        _check_numbers(serial=self.serial, step=self.step, receiver=self.receiver)

    def seal(self, identity: Identity) -> bytes:
        """Return the signed bytes of the request; `Sealer` makes those of one step faster."""
        return Sealer(identity, self.serial, self.step, self.offer, self.work).seal(self.receiver, self.body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A reply of one node: its machine's bytes, or a refusal.

    Attributes:
        serial: The serial of the request; 0 if the node could not read it.
        step: The step of the request; 0 if the node could not read it.
        sender: The id of the node.
        refusal: Why the node has not answered; None if it has.
        last: The last serial that the node has recorded, with `Refusal.OLD`; otherwise 0.
        body: The machine's reply; empty with a refusal.

    Raises:
        ParameterError: A number is out of range, or a refusal comes with more than it may tell.
    """

    serial: int
    step: int
    sender: int
    refusal: Refusal | None = None
    last: int = 0
    body: bytes = field(default=b"", repr=False)

    def __post_init__(self) -> None:
        _check_numbers(serial=self.serial, step=self.step, sender=self.sender, last=self.last)
        if self.last and self.refusal is not Refusal.OLD:
            raise ParameterError(f"last: expected 0 without a refusal for an old serial, found {self.last}")
        if self.body and self.refusal is not None:
            raise ParameterError(f"body: expected no bytes with a refusal, found {len(self.body)}")

    def to_bytes(self) -> bytes:
        """Return the bytes of the reply."""
        first = (VERSION, self.serial, self.step, self.sender, self.refusal, self.last, _reply_digest(self), None)
        return b"".join((msgspec.msgpack.encode(first)[:-1], bytes_header(len(self.body)), self.body))


class Sealer:
    """The coordinator's signer of the requests of one step; what they have in common is hashed once.

    Args:
        identity: The coordinator's identity.
        serial: See `Request`, like all that follow.
        step: The number of the step.
        offer: The offer that all requests have.
        work: The work that all requests have; it may be in pieces, which are joined in each request only.
    """

    __slots__ = ("_common", "_identity", "_offer", "_serial", "_step", "_work")

    def __init__(
        self, identity: Identity, serial: int, step: int, offer: bytes, work: bytes | memoryview | Sequence[Piece]
    ) -> None:
        _check_numbers(serial=serial, step=step)
        self._identity = identity
        self._serial = serial
        self._step = step
        self._offer = offer
        self._work = (work,) if isinstance(work, bytes | memoryview) else tuple(work)
        self._common = _digest(offer) + _digest(*self._work)

    def seal(self, receiver: int, body: bytes) -> bytes:
        """Return the signed bytes of the request to one node."""
        _check_numbers(receiver=receiver)
        statement = _statement(self._serial, self._step, receiver, self._common + _digest(body))
        first = (VERSION, self._serial, self._step, receiver, self._identity.sign(statement))
        # The same bytes as those of a _RequestWire, whose encoder would take half as much memory again.
        parts = ((self._offer,), self._work, (body,))
        head = msgspec.msgpack.encode((*first, *(None for _ in parts)))[: -len(parts)]
        return b"".join((head, *(piece for part in parts for piece in (bytes_header(sum(map(len, part))), *part))))


def open_request(data: bytes, *, coordinator: bytes, receiver: int, limits: Limits) -> Request:
    """Return the request that these bytes are, after every check that needs no file of the node.

    Args:
        data: What arrived.
        coordinator: The coordinator's public key, 32 bytes.
        receiver: The node's own id.
        limits: The limits of the node's policy.

    Raises:
        MalformedMessage: The bytes are no request, or longer than the limits.
        NotSigned: The coordinator has not signed them.
        NotForMe: They are signed for another node.
    """
    if type(coordinator) is not bytes or len(coordinator) != PUBLIC_BYTES:
        raise ParameterError(f"coordinator: expected a public key of {PUBLIC_BYTES} bytes, found another value")
    most = {"offer": limits.offer_bytes, "work": limits.work_bytes, "body": limits.body_bytes}
    wire = _decoded("request", _RequestWire, data, most)
    if len(wire.signature) != SIGNATURE_BYTES:
        _refuse("request", f"a signature of {SIGNATURE_BYTES} bytes", f"one of {len(wire.signature)}")
    try:
        request = Request(
            serial=wire.serial,
            step=wire.step,
            receiver=wire.receiver,
            offer=bytes(wire.offer),
            work=wire.work,
            body=bytes(wire.body),
        )
    except ParameterError as error:
        raise MalformedMessage(f"request: {error}") from None
    parts = b"".join(map(_digest, (wire.offer, wire.work, wire.body)))
    statement = _statement(wire.serial, wire.step, wire.receiver, parts)
    try:
        Ed25519PublicKey.from_public_bytes(coordinator).verify(wire.signature, statement)
    except InvalidSignature:
        raise NotSigned("request: expected the signature of this node's coordinator, found another") from None
    if wire.receiver != receiver:
        raise NotForMe(f"request: expected one for node {receiver}, found one for node {wire.receiver}")
    return request


def open_reply(data: bytes | memoryview, limit: int) -> Reply:
    """Return the reply that these bytes are.

    Args:
        data: What arrived.
        limit: The largest number of bytes of a machine's reply.

    Raises:
        MalformedMessage: The bytes are no reply, or longer than the limit.
    """
    wire = _decoded("reply", _ReplyWire, data, {"body": limit})
    try:
        reply = Reply(
            serial=wire.serial,
            step=wire.step,
            sender=wire.sender,
            refusal=wire.refusal,
            last=wire.last,
            body=bytes(wire.body),
        )
    except ParameterError as error:
        raise MalformedMessage(f"reply: {error}") from None
    if wire.digest != _reply_digest(reply):
        _refuse("reply", "the digest of what it says", "another: it was damaged on its way")
    return reply


class _RequestWire(Message, frozen=True):
    """A request on the wire."""

    version: int
    serial: int
    step: int
    receiver: int
    signature: bytes
    offer: memoryview
    work: memoryview
    body: memoryview


class _ReplyWire(Message, frozen=True):
    """A reply on the wire."""

    version: int
    serial: int
    step: int
    sender: int
    refusal: Refusal | None
    last: int
    digest: bytes
    body: memoryview


def _decoded(what: str, kind: type[_Wire], data: bytes | memoryview, most: dict[str, int]) -> _Wire:
    """Return the message that these bytes canonically encode, with parts of at most the given lengths."""
    if type(data) not in (bytes, memoryview):
        _refuse(what, "bytes", type(data).__name__)
    if len(data) > sum(most.values()) + OVERHEAD_BYTES:
        _refuse(what, f"at most {sum(most.values()) + OVERHEAD_BYTES} bytes", f"{len(data)}")
    try:
        wire = msgspec.msgpack.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        _refuse(what, f"a {what} of version {VERSION}", f"{len(data)} other bytes")
    version: int = getattr(wire, "version")  # noqa: B009  # Both kinds have one.
    if version != VERSION:
        _refuse(what, f"a {what} of version {VERSION}", f"one of version {version}")
    for part, longest in most.items():
        if len(getattr(wire, part)) > longest:
            _refuse(what, f"a part `{part}` of at most {longest} bytes", f"{len(getattr(wire, part))}")
    if canonical_end(wire, data, 0) != len(data):
        _refuse(what, "its canonical encoding", "another")
    return wire


def _refuse(what: str, expected: str, found: str) -> NoReturn:
    raise MalformedMessage(f"{what}: expected {expected}, found {found}")


def _check_numbers(**numbers: int) -> None:
    """Raise `ParameterError` unless each number is an int within the range of its name."""
    for name, number in numbers.items():
        if type(number) is not int or not 0 <= number <= _RANGES[name]:
            raise ParameterError(f"{name}: expected an int in [0, {_RANGES[name]}], found another value")


def _digest(*pieces: Piece) -> bytes:
    hashed = hashlib.sha256()
    for piece in pieces:
        hashed.update(piece)
    return hashed.digest()


def _statement(serial: int, step: int, receiver: int, parts: bytes) -> bytes:
    """Return what the coordinator signs: numbers of fixed width and three digests, so that no two requests share it."""
    numbers = VERSION.to_bytes(1, "big") + serial.to_bytes(8, "big") + step.to_bytes(2, "big")
    return _DOMAIN + numbers + receiver.to_bytes(4, "big") + parts


def _reply_digest(reply: Reply) -> bytes:
    """Return SHA-256 over all that a reply says."""
    fields = (
        VERSION,
        reply.serial,
        reply.step,
        reply.sender,
        reply.refusal,
        reply.last,
        _digest(reply.body),
    )
    return hashlib.sha256(_REPLY_DOMAIN + msgspec.msgpack.encode(fields)).digest()
