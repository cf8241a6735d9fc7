"""What a coordinator keeps on the disk: releases, and the opening of a sum that is half done, each as bytes."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, TypeVar

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from dp.events import PrivacyEvent
from dp.ledger.records import Detail
from protocols.secure_sum import Complaint
from secagg.engines.base import Release
from secagg.engines.findings import Findings
from secagg.errors import CoordinatorError

_DTYPE: Final = "<f8"

_Digest = Annotated[bytes, Meta(min_length=32, max_length=32)]
_Id = Annotated[int, Meta(ge=0)]
_K = TypeVar("_K", bound=msgspec.Struct)


class KeptOpening(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="opening 1"):
    """A session in which a sum may have been opened.

    Attributes:
        inputs: The digest of the work.
        reservation: The number of its reservation; None without noise.
        offer: The session, as the bytes of an offer.
        state: What the engine goes on from.
    """

    inputs: _Digest
    reservation: Annotated[int, Meta(ge=1)] | None
    offer: bytes
    state: bytes

    def pieces(self) -> tuple[bytes | memoryview, ...]:
        """Return all of it for a file, as bytes in pieces, of which the state is one."""
        state = memoryview(self.state)
        return tuple(_pieces(("opening 1", self.inputs, self.reservation, self.offer, state)))

    @classmethod
    def from_bytes(cls, data: bytes) -> "KeptOpening":
        """Return what `pieces` returned, joined.

        Raises:
            CoordinatorError: The bytes are not an opening of this version.
        """
        return _decoded(data, cls)


class _Array(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    shape: tuple[_Id, ...]
    entries: memoryview


class _Findings(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    verified: bool
    culprits: tuple[_Id, ...]
    complaints: tuple[tuple[_Id, _Id, str], ...]


class _Release(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="release 1"):
    inputs: _Digest
    run: str
    round: Annotated[int, Meta(ge=1)]
    reservation: Annotated[int, Meta(ge=1)] | None
    details: dict[str, str | int | float]
    mean: tuple[_Array, ...]
    contributors: tuple[_Id, ...]
    dropped: dict[str, tuple[_Id, ...]]
    realised: PrivacyEvent | None
    rounding_bound: float | None
    findings: _Findings | None = None
    """None if there is nothing to say. It is then left out."""


class KeptRelease(msgspec.Struct, frozen=True):
    """A release, and what its commitment needs.

    Attributes:
        inputs: The digest of the work.
        run: The name of the work's run.
        round: The number of the round.
        reservation: The number of its reservation; None without noise.
        details: What the ledger is to record besides.
        release: The release; `failed` and `cost` are not kept.
    """

    inputs: bytes
    run: str
    round: int
    reservation: int | None
    details: Mapping[str, Detail]
    release: Release

    def pieces(self) -> tuple[bytes | memoryview, ...]:
        """Return all of it for a file, as bytes in pieces, of which those of arrays are views of them."""
        release = self.release
        fields: tuple[object, ...] = (  # Those of `_Release`, in its order.
            "release 1",
            self.inputs,
            self.run,
            self.round,
            self.reservation,
            dict(self.details),
            tuple((array.shape, _entries(array)) for array in release.mean),
            release.contributors,
            {step: tuple(parties) for step, parties in release.dropped.items()},
            release.realised,
            release.rounding_bound,
        )
        if (found := release.findings) != Findings():
            complaints = tuple((each.member, each.client, each.reason) for each in found.complaints)
            fields = (*fields, (found.verified, tuple(sorted(found.culprits)), complaints))
        return tuple(_pieces(fields))

    @classmethod
    def from_bytes(cls, data: bytes) -> "KeptRelease":
        """Return what `pieces` returned, joined.

        Raises:
            CoordinatorError: The bytes are not a release of this version.
        """
        kept = _decoded(data, _Release)
        try:
            mean = [np.frombuffer(each.entries, dtype=_DTYPE).reshape(each.shape).copy() for each in kept.mean]
        except ValueError:
            raise _other_version("arrays") from None
        release = Release(
            mean=mean,
            contributors=kept.contributors,
            dropped=kept.dropped,
            realised=kept.realised,
            rounding_bound=kept.rounding_bound,
            findings=Findings() if kept.findings is None else _findings(kept.findings),
        )
        return cls(
            inputs=kept.inputs,
            run=kept.run,
            round=kept.round,
            reservation=kept.reservation,
            details=kept.details,
            release=release,
        )


def _findings(kept: _Findings) -> Findings:
    return Findings(
        verified=kept.verified,
        culprits=frozenset(kept.culprits),
        complaints=tuple(Complaint(*each) for each in kept.complaints),
    )


def _entries(array: NDArray[np.float64]) -> memoryview:
    """Return the entries of an array as bytes, without a copy where the array is as it is kept."""
    return array.astype(_DTYPE, copy=False).ravel().view(np.uint8).data


def _pieces(value: object) -> Iterator[bytes | memoryview]:
    """Yield a value's MessagePack in pieces: the same bytes as msgspec's, with memoryviews as they are."""
    if isinstance(value, memoryview):
        yield _bytes_header(len(value))
        yield value
    elif isinstance(value, tuple):
        size = len(value)
        yield msgspec.msgpack.encode((None,) * size)[: -size or None]  # Each None is one byte.
        for each in value:
            yield from _pieces(each)
    else:
        yield msgspec.msgpack.encode(value)


def _bytes_header(size: int) -> bytes:
    """Return what MessagePack writes before this number of bytes."""
    for code, width in ((0xC4, 1), (0xC5, 2), (0xC6, 4)):
        if size < 256**width:
            return bytes([code]) + size.to_bytes(width, "big")
    raise ValueError("expected fewer than 2^32 bytes")


def _decoded(data: bytes, kind: type[_K]) -> _K:
    try:
        found: Any = msgspec.msgpack.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError):
        raise _other_version("fields") from None
    return found  # type: ignore[no-any-return]


def _other_version(what: str) -> CoordinatorError:
    return CoordinatorError(
        f"kept file: expected the {what} that this version keeps, found others. Go on with the version that wrote it."
    )
