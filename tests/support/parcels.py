"""Parcels made by hand from their fields, as `secagg.engines.parcel` documents them, for vectors and for the fuzzer."""

import hashlib
from typing import Any, Final

import msgspec

from protocols import Identity, Secret

COORDINATOR: Final = Identity(Secret(hashlib.sha256(b"coordinator").digest()))
STRANGER: Final = Identity(Secret(hashlib.sha256(b"stranger").digest()))
_WIDTHS: Final = (1, 8, 2, 4)
"""The bytes of version, serial, step and receiver in what the coordinator signs."""


def statement_of(numbers: list[int], parts: list[bytes]) -> bytes:
    """Return what the coordinator signs: a domain, the four numbers in fixed widths, and the digest of each part."""
    written = [number.to_bytes(width, "big") for number, width in zip(numbers, _WIDTHS, strict=True)]
    return b"".join([b"secagg parcel v1", *written, *(hashlib.sha256(part).digest() for part in parts)])


def signed(fields: list[Any], identity: Identity = COORDINATOR) -> bytes:
    """Return a request with a signature over its fields, which are any values: version to receiver, and three parts.

    If the fields are such that there is nothing to sign, the signature is over nothing.
    """
    try:
        statement = statement_of(fields[:4], fields[4:])
    except (AttributeError, OverflowError, TypeError, ValueError):
        statement = b""
    return msgspec.msgpack.encode([*fields[:4], identity.sign(statement), *fields[4:]])


def digested(fields: list[Any]) -> bytes:
    """Return a reply with a digest over its fields, which are any values: version to `last`, and the body.

    If the fields are such that there is nothing to hash, the digest is over nothing.
    """
    try:
        said = b"secagg reply v1" + msgspec.msgpack.encode([*fields[:-1], hashlib.sha256(fields[-1]).digest()])
    except (AttributeError, IndexError, OverflowError, RecursionError, TypeError, ValueError):
        said = b""
    return msgspec.msgpack.encode([*fields[:-1], hashlib.sha256(said).digest(), *fields[-1:]])
