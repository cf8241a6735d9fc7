"""What every node of a round trains on, its bytes for a transport, and the digest that binds it into the session.

Each node computes the digest of the work that it was given, and takes part only if it is the one that the session
names. So all contributors to a sum have trained on the same arrays with the same settings: a server that gives one node
other weights than the rest gets no sum with that node in it.

The digest depends on no session, attempt or cohort. Two attempts at one round have the same digest.

Adversary: a server that gives nodes different works, or another one than the session names. What it gives to all of
them is its choice.
"""

import hashlib
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from dp.clipping.adaptive import AdaptiveClip
from protocols.errors import MalformedMessage
from secagg.checks import plain_integer, shown
from secagg.engines.statistics import WHOLE, UpdateParts
from secagg.errors import ConfigurationError
from secagg.models.base import ArrayRole
from secagg.privacy.clipping import Clip, GlobalClip, PerLayerClip

Plain = bool | int | float | str

DIGEST_BYTES: Final = 32
_VERSION: Final = 1
_DOMAIN: Final = b"secagg work v1"
_KINDS: Final = "biuf"
_CLIPS: Final[dict[str, type[Clip]]] = {"global": GlobalClip, "per-layer": PerLayerClip, "adaptive": AdaptiveClip}
_MOST_HEADER_BYTES: Final = 2**22
_MOST_ROUND: Final = 2**32 - 1
_LONGEST_RUN: Final = 64
_LONGEST_NAME: Final = 200
_LONGEST_TEXT: Final = 1000
_LENGTH: Final = struct.Struct(">I")


class _Header(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """All of a work but the entries of its arrays; on the wire they follow it, one array after the other."""

    version: int
    run: str
    round: int
    arrays: tuple[tuple[str, str, tuple[int, ...]], ...]
    settings: tuple[tuple[str, Plain], ...]
    clip: tuple[str, dict[str, Any]]
    parts: UpdateParts


@dataclass(frozen=True, slots=True, eq=False, init=False)
class Work:
    """What every node of a round trains on.

    Attributes:
        run: The name of the run, which no other run of the federation has: 1 to 64 printable characters. A
            coordinator's `run_id` is one.
        round: The number of the round, from 1.
        arrays: The arrays to train from, each of booleans, integers or floats; read-only, in little-endian order.
        settings: What else training depends on, such as the learning rate, by name.
        clip: How an update is clipped before it is encoded.
        parts: How trained arrays and running statistics share a contribution.
        names: The names of the arrays: the keys of the mapping that was given, or "0", "1" and so on.

    Raises:
        ConfigurationError: A field has another type or is out of its range.
    """

    run: str
    round: int
    arrays: tuple[NDArray[Any], ...] = field(repr=False)
    settings: Mapping[str, Plain] = field(default_factory=dict)
    clip: Clip = field(default_factory=GlobalClip, kw_only=True)
    parts: UpdateParts = field(default=WHOLE, kw_only=True)
    names: tuple[str, ...] = field(init=False)
    _digest: bytes = field(init=False, repr=False)

    def __init__(
        self,
        run: str,
        round: int,  # noqa: A002  # The field's standard term.
        arrays: Sequence[ArrayLike] | Mapping[str, ArrayLike],
        settings: Mapping[str, Plain] | None = None,
        *,
        clip: Clip | None = None,
        parts: UpdateParts = WHOLE,
    ) -> None:
        given = arrays if isinstance(arrays, Mapping) else {str(index): array for index, array in enumerate(arrays)}
        kept = {
            "run": _text("run", run, _LONGEST_RUN),
            "round": _round(round),
            "arrays": tuple(_frozen(name, array) for name, array in given.items()),
            "settings": {_name("settings", name): _plain(name, value) for name, value in (settings or {}).items()},
            "clip": GlobalClip() if clip is None else clip,
            "parts": parts,
            "names": tuple(_name("arrays", name) for name in given),
        }
        for name, value in kept.items():
            object.__setattr__(self, name, value)
        hashes = b"".join(hashlib.sha256(_buffer(array)).digest() for array in self.arrays)
        object.__setattr__(self, "_digest", hashlib.sha256(_DOMAIN + self._header() + hashes).digest())

    @property
    def size(self) -> int:
        """The number of entries of all arrays together."""
        return sum(array.size for array in self.arrays)

    @property
    def travelling(self) -> tuple[tuple[int, ...], ...]:
        """The shapes of an update's arrays: of all arrays, or of those whose role in `parts` travels."""
        roles = self.parts.roles or (ArrayRole.TRAINED,) * len(self.arrays)
        return tuple(array.shape for array, role in zip(self.arrays, roles, strict=True) if role.travels)

    def digest(self) -> bytes:
        """Return 32 bytes over all of it: SHA-256 of the names, shapes, settings and of the hash of each array."""
        return self._digest

    def to_bytes(self) -> bytes:
        """Return all of it as bytes for a transport: the length of a header, the header, and the arrays' entries."""
        return b"".join(self.pieces())

    def pieces(self) -> tuple[bytes | memoryview, ...]:
        """Return the pieces of `to_bytes`, of which those of arrays are views of them."""
        header = self._header()
        return _LENGTH.pack(len(header)), header, *map(_buffer, self.arrays)

    @classmethod
    def from_bytes(cls, data: bytes | memoryview) -> "Work":
        """Return the work of these bytes; its arrays refer to `data` and keep it alive.

        Raises:
            MalformedMessage: The bytes are not those that `to_bytes` returns.
        """
        view = memoryview(data).toreadonly()
        header, body = _split(view)
        arrays = _arrays(header, body)
        try:
            found = cls(
                header.run,
                header.round,
                arrays,
                dict(header.settings),
                clip=_clip(*header.clip),
                parts=header.parts,
            )
            same = found._header() == bytes(view[_LENGTH.size : len(view) - len(body)])
        except (ValueError, TypeError, OverflowError):  # A ConfigurationError is a ValueError.
            same = False
        if not same:
            raise MalformedMessage("work: expected the bytes that Work.to_bytes returns, found others")
        return found

    def _header(self) -> bytes:
        header = _Header(
            version=_VERSION,
            run=self.run,
            round=self.round,
            arrays=tuple(
                (name, array.dtype.str, array.shape) for name, array in zip(self.names, self.arrays, strict=True)
            ),
            settings=tuple(sorted(self.settings.items())),
            clip=_described(self.clip),
            parts=self.parts,
        )
        return msgspec.msgpack.encode(header)


def _split(view: memoryview) -> tuple[_Header, memoryview]:
    """Return the header of a work, and what follows it."""
    try:
        (length,) = _LENGTH.unpack_from(view)
        if length > _MOST_HEADER_BYTES or length > len(view) - _LENGTH.size:
            raise MalformedMessage("work: expected a header of the length that it announces, found another length")
        header = msgspec.msgpack.decode(view[_LENGTH.size : _LENGTH.size + length], type=_Header)
    except (struct.error, msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError, TypeError):
        raise MalformedMessage("work: expected a header as Work.to_bytes writes it, found other bytes") from None
    return header, view[_LENGTH.size + length :]


def _arrays(header: _Header, body: memoryview) -> dict[str, NDArray[Any]]:
    """Return the arrays that a header announces, as views of the bytes that follow it."""
    sizes = [_bytes_of(dtype, shape) for _, dtype, shape in header.arrays]
    if header.version != _VERSION or sum(sizes) != len(body) or len({name for name, *_ in header.arrays}) != len(sizes):
        raise MalformedMessage("work: expected the entries of the arrays that its header names, found others")
    found, at = {}, 0
    for (name, dtype, shape), size in zip(header.arrays, sizes, strict=True):
        found[name] = np.frombuffer(body[at : at + size], dtype=dtype).reshape(shape)
        at += size
    return found


def _bytes_of(dtype: str, shape: tuple[int, ...]) -> int:
    known = len(dtype) == 3 and dtype[0] in "<|" and dtype[1] in _KINDS and dtype[2] in "1248"
    try:
        kind = np.dtype(dtype) if known else None
    except TypeError:  # There is no such type, such as a boolean of two bytes.
        kind = None
    if kind is None or kind.str != dtype or min(shape, default=0) < 0 or len(shape) > 32:
        raise MalformedMessage("work: expected arrays of booleans, integers or floats, found others")
    return kind.itemsize * math.prod(shape)


def _frozen(name: object, array: ArrayLike) -> NDArray[Any]:
    found = np.asarray(array)
    if found.dtype.kind not in _KINDS or found.dtype.itemsize > 8:
        raise ConfigurationError(
            f"array {shown(name)}: expected booleans, integers or floats of at most 8 bytes, found {found.dtype}"
        )
    kept = np.ascontiguousarray(found, dtype=found.dtype.newbyteorder("<")).reshape(found.shape)
    if kept.flags.writeable:
        kept = kept.copy() if kept is found or np.shares_memory(kept, found) else kept
        kept.flags.writeable = False
    return kept


def _buffer(array: NDArray[Any]) -> memoryview:
    return array.reshape(-1).view(np.uint8).data if array.size else memoryview(b"")


def _described(clip: Clip) -> tuple[str, dict[str, Any]]:
    for name, kind in _CLIPS.items():
        if type(clip) is kind:
            return name, dict(sorted(asdict(clip).items()))
    raise ConfigurationError(f"clip: expected one of {', '.join(_CLIPS)}, found {type(clip).__name__}")


def _clip(name: str, fields: Mapping[str, Any]) -> Clip:
    """Return the clip that `_described` has described.

    Raises:
        ValueError, TypeError: There is no such clip.
    """
    if name not in _CLIPS:
        raise ValueError("another clip")
    return msgspec.convert(fields, _CLIPS[name])


def _text(what: str, value: object, longest: int) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= longest or not value.isprintable():
        raise ConfigurationError(f"{what}: expected 1 to {longest} printable characters, found {shown(value)}")
    return value


def _name(what: str, value: object) -> str:
    return _text(f"name in {what}", value, _LONGEST_NAME)


def _round(value: object) -> int:
    value = plain_integer(value)
    if type(value) is not int or not 1 <= value <= _MOST_ROUND:
        raise ConfigurationError(f"round: expected an int in [1, {_MOST_ROUND}], found {shown(value)}")
    return value


def _plain(name: object, value: object) -> Plain:
    if isinstance(value, np.generic):
        value = value.item()
    fits = type(value) in (bool, float) or (type(value) is int and -(2**63) <= value < 2**63)
    if isinstance(value, str) and len(value) <= _LONGEST_TEXT and value.isprintable():
        return value
    if not fits or not isinstance(value, bool | int | float):
        raise ConfigurationError(
            f"setting {shown(name)}: expected a bool, a float, an int of 64 bits or at most {_LONGEST_TEXT} printable "
            f"characters, found {shown(value)}"
        )
    return value


WITHOUT_MODEL: Final = Work("sum", 1, ())
"""The work of a sum of plain arrays, for which nothing is trained."""
