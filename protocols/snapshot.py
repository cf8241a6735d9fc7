"""Sealed snapshots: what a machine keeps between two steps, so that another process can continue in its place.

Everything that changes about a party is in `party.state`, a `State` with typed fields. Everything else follows from the
session. A snapshot is the state in MessagePack, encrypted and authenticated (AES-256-GCM, NIST SP 800-38D) under the
caller's key with a random nonce. Seal at most 2^32 snapshots under one key.
"""

from collections.abc import Iterator
from typing import Any, NoReturn, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from protocols.codec import Message, bytes_header
from protocols.crypto import sealing
from protocols.crypto.secret import Secret, Uncopyable
from protocols.errors import DamagedSnapshot, ParameterError

_DOMAIN = b"secagg snapshot v1"


class State(Uncopyable, msgspec.Struct):
    """The base of a party's state. It holds secrets and inputs, so its repr shows none, and it refuses pickling."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(...)"

    def __copy__(self) -> NoReturn:
        self.__reduce__()


S = TypeVar("S", bound=State)
K = TypeVar("K", bound=msgspec.Struct)


class KeptMachine(Message, frozen=True):
    """A machine between two steps.

    Attributes:
        owner: The party's id, or -1 for the server.
        number: Number of the step that is open (server) or that comes next (client).
        asked: Server: ids of the parties that the step asks.
        answered: Server: ids of those that have answered.
        state: The party's state.
    """

    owner: int
    number: int
    asked: tuple[int, ...]
    answered: tuple[int, ...]
    state: msgspec.Raw


def write_state(state: State) -> msgspec.Raw:
    """Return a party's state in MessagePack."""
    return msgspec.Raw(msgspec.msgpack.encode(state, enc_hook=_write))


def read_state(data: msgspec.Raw, kind: type[S]) -> S:
    """Return the state that `write_state` wrote.

    Raises:
        DamagedSnapshot: The state has other fields than this version keeps.
    """
    return _decode(data, kind)


def seal(
    owner: int,
    number: int,
    asked: tuple[int, ...],
    answered: tuple[int, ...],
    state: State,
    *,
    digest: bytes,
    key: Secret,
    nonce: bytes,
) -> bytes:
    """Encrypt and authenticate a machine, see `KeptMachine`, bound to the session's digest.

    It takes twice the memory of the state's arrays, and no more: messages and arrays are as long as the model.
    """
    _check(key)
    head = msgspec.msgpack.encode((owner, number, asked, answered, None))[:-1]
    bound = _DOMAIN + digest
    return sealing.seal_with_nonce(key, b"".join((head, *_pieces(state))), nonce=nonce, bound=bound)


def _pieces(state: State) -> Iterator[bytes | memoryview]:
    """Yield the bytes of `write_state` in pieces, of which those of the state's own arrays are views of them."""
    names = state.__struct_fields__
    yield msgspec.msgpack.encode(dict.fromkeys(range(len(names))))[: -2 * len(names) or None]
    for name in names:
        value = getattr(state, name)
        yield msgspec.msgpack.encode(name)
        if isinstance(value, np.ndarray):
            dtype, data = _written(value)
            yield msgspec.msgpack.encode((dtype, None))[:-1]
            yield bytes_header(len(data))
            yield data
        else:
            yield msgspec.msgpack.encode(value, enc_hook=_write)


def unseal(data: bytes, *, digest: bytes, key: Secret) -> KeptMachine:
    """Return what `seal` sealed.

    Raises:
        DamagedSnapshot: The data was sealed under another key or for another session, was altered, or has other fields
            than this version keeps.
    """
    _check(key)
    try:
        plaintext = sealing.open_with_nonce(key, data, bound=_DOMAIN + digest)
    except (ValueError, TypeError):
        raise DamagedSnapshot(
            "snapshot: expected one of this session under this key, found other or altered bytes"
        ) from None
    return _decode(plaintext, KeptMachine)


def _decode(data: bytes | msgspec.Raw, kind: type[K]) -> K:
    try:
        return msgspec.msgpack.decode(data, type=kind, dec_hook=_read)
    except (msgspec.DecodeError, TypeError, ValueError, RecursionError):
        raise other_version("fields") from None


def other_version(what: str) -> DamagedSnapshot:
    """Return the error for a snapshot that was sealed under the right key, but holds what this version never keeps."""
    return DamagedSnapshot(
        f"snapshot: expected the {what} that this version keeps, found others. Restore it with the version that "
        "sealed it."
    )


def _check(key: Secret) -> None:
    if type(key) is not Secret or len(key.reveal()) != sealing.KEY_BYTES:
        raise ParameterError(f"key of a snapshot: expected a Secret of {sealing.KEY_BYTES} bytes, found another value")


def _write(value: object) -> object:
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, np.ndarray):
        return _written(value)
    # msgspec requires this class of error from such a hook. The author of the protocol made a mistake.
    raise NotImplementedError(f"a party's state cannot hold a {type(value).__name__}")


def _written(array: NDArray[Any]) -> tuple[str, memoryview]:
    """Return an array's dtype, and a view of its entries."""
    return array.dtype.str, np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _read(kind: type, value: Any) -> Secret | NDArray[Any]:
    if kind is Secret:
        return Secret(value)
    dtype, data = value
    return np.frombuffer(data, dtype=dtype).copy()
