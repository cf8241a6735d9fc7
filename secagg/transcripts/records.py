"""The records of a transcript: MessagePack arrays with a tag, decoded strictly, without any list of unbounded size.

Ids of parties are joined in 4 bytes each, and keys in 32, so that a record of n bytes takes a small multiple of n bytes
in memory. A decoder accepts only the bytes that the encoder makes.
"""

from collections.abc import Iterable
from enum import IntEnum
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from protocols.errors import RemoteError, TooFewSurvivors
from protocols.registry import LARGEST_WIRE, LONGEST_NAME, MOST_PARAMETERS, Parameter
from protocols.session import MAX_ATTACHED, MAX_CLIENT_ID, MAX_TIME

FORMAT: Final = 1
_ID_BYTES: Final = 4

Reason = Literal["TooFewSurvivors", "RemoteError"]
"""Why a server released no sum: the class of its error."""

WITHHOLDING: Final = (TooFewSurvivors, RemoteError)
"""The errors with which a server ends a session without a sum."""

_Unsigned = Annotated[int, Meta(ge=0)]
_Party = Annotated[int, Meta(ge=0, le=MAX_CLIENT_ID)]
_Digest = Annotated[bytes, Meta(min_length=32, max_length=32)]


class Kind(IntEnum):
    """What a recorded message is."""

    REQUEST = 0
    REPLY = 1
    REFUSED = 2


class _Record(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The base of all records."""


class FileHeader(_Record, frozen=True, tag="transcript"):
    """The first record of a file: its format, and the software that began it."""

    version: Literal[1]
    software: Annotated[str, Meta(max_length=64)]


class SessionHeader(_Record, frozen=True, tag="session"):
    """The first record of a session: the protocol and the session, so that both can be made again, and their digest.

    Attributes:
        protocol: The protocol's name.
        wire: The version of its bytes.
        parameters: Its parameters.
        session_id: As in the session, like all that follow up to `context`.
        clients: The clients' ids, joined.
        threshold: The smallest number of contributors.
        length: The number of coordinates.
        highest: The modulus less 1: MessagePack has no number of 2^64.
        context: What the inputs are made for.
        agreed: The session's parameters.
        roster: The identity keys of the clients, ascending by id, joined; None without a roster.
        attached: The rules of attached secrets: for each, the smallest and the largest number of missing clients.
        committee: The committee's key, and the ids of its members, joined; None without a committee.
        digest: The session's digest.
    """

    protocol: Annotated[str, Meta(min_length=1, max_length=LONGEST_NAME)]
    wire: Annotated[int, Meta(ge=1, le=LARGEST_WIRE)]
    parameters: Annotated[dict[str, Parameter], Meta(max_length=MOST_PARAMETERS)]
    session_id: Annotated[bytes, Meta(max_length=64)]
    clients: bytes
    threshold: _Unsigned
    length: _Unsigned
    highest: _Unsigned
    context: bytes
    agreed: bytes
    roster: bytes | None
    attached: Annotated[tuple[tuple[_Unsigned, _Unsigned], ...], Meta(max_length=MAX_ATTACHED)]
    committee: tuple[bytes, bytes] | None
    digest: _Digest


class ExpiringSessionHeader(SessionHeader, frozen=True, tag="expiring session"):
    """The first record of a session that expires.

    Attributes:
        expires: As in the session: the time from which on no party answers, in seconds since 1970-01-01 00:00 UTC.
    """

    expires: Annotated[int, Meta(ge=0, le=MAX_TIME)]


class MessageRecord(_Record, frozen=True, tag="message"):
    """One message: the number of its step, the party that receives or sends it, what it is, and its bytes."""

    step: Annotated[int, Meta(ge=0, le=2**16)]
    party: _Party
    kind: Kind
    data: bytes


class SumRecord(_Record, frozen=True, tag="sum"):
    """The end of a session with a sum.

    Attributes:
        total: The sum, bit-packed.
        contributors: The ids of the contributors, joined.
        opened: For each contributor and each attached secret, a byte that is 1 if the secret was opened and 0
            otherwise, and 32 bytes: the secret, or zeros.
    """

    total: bytes
    contributors: bytes
    opened: bytes


class WithheldRecord(_Record, frozen=True, tag="withheld"):
    """The end of a session without a sum."""

    reason: Reason


Record = FileHeader | SessionHeader | ExpiringSessionHeader | MessageRecord | SumRecord | WithheldRecord

_DECODER: Final = msgspec.msgpack.Decoder(Record)


def encode(record: Record) -> bytes:
    """Return the bytes of a record.

    Raises:
        OverflowError: A number in it is too large.
    """
    return msgspec.msgpack.encode(record)


def decode(body: bytes) -> Record:
    """Return the record that these bytes encode.

    Raises:
        ValueError: They are not the encoding of a record.
    """
    try:
        record: Record = _DECODER.decode(body)
    except (msgspec.MsgspecError, RecursionError):
        raise ValueError("not a record") from None
    if encode(record) != body:
        raise ValueError("not the encoding that is written")
    return record


def reason_of(error: TooFewSurvivors | RemoteError) -> Reason:
    """Return what a record says of an error with which a server ends a session."""
    return "TooFewSurvivors" if isinstance(error, TooFewSurvivors) else "RemoteError"


def joined(ids: Iterable[int]) -> bytes:
    """Return ids of parties in 4 bytes each."""
    return b"".join(each.to_bytes(_ID_BYTES, "big") for each in ids)


def separated(ids: bytes) -> tuple[int, ...]:
    """Return the ids that `joined` joined.

    Raises:
        ValueError: The bytes are not a whole number of ids.
    """
    if len(ids) % _ID_BYTES:
        raise ValueError("expected a whole number of ids")
    return tuple(int.from_bytes(ids[at : at + _ID_BYTES], "big") for at in range(0, len(ids), _ID_BYTES))
