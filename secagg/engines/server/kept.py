"""What a coordinator keeps on the disk: releases, and the opening of a sum that is half done, each as bytes."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, TypeVar

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from dp.events import PrivacyEvent
from dp.ledger.records import Detail
from secagg.engines.base import Release
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

    def to_bytes(self) -> bytes:
        """Return all of it as bytes for a file."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def from_bytes(cls, data: bytes) -> "KeptOpening":
        """Return what `to_bytes` wrote.

        Raises:
            CoordinatorError: The bytes are not an opening of this version.
        """
        return _decoded(data, cls)


class _Array(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    shape: tuple[_Id, ...]
    entries: bytes


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

    def to_bytes(self) -> bytes:
        """Return all of it as bytes for a file."""
        release = self.release
        return msgspec.msgpack.encode(
            _Release(
                inputs=self.inputs,
                run=self.run,
                round=self.round,
                reservation=self.reservation,
                details=dict(self.details),
                mean=tuple(_Array(array.shape, _entries(array)) for array in release.mean),
                contributors=release.contributors,
                dropped={step: tuple(parties) for step, parties in release.dropped.items()},
                realised=release.realised,
                rounding_bound=release.rounding_bound,
            )
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> "KeptRelease":
        """Return what `to_bytes` wrote.

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
        )
        return cls(
            inputs=kept.inputs,
            run=kept.run,
            round=kept.round,
            reservation=kept.reservation,
            details=kept.details,
            release=release,
        )


def _entries(array: NDArray[np.float64]) -> Any:
    """Return the entries of an array as bytes, without a copy where the array is as it is kept."""
    return array.astype(_DTYPE, copy=False).ravel().view(np.uint8).data


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
