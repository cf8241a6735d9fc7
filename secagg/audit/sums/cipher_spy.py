"""A spy at the ciphers of the package `cryptography`: which keys, nonces and counters encrypt what, and for whom.

For the time of an observation, the classes of ciphers are replaced in all modules that know them. Ciphers of other
packages are not seen. A spy may also steer keystreams: it replaces their first bytes, for all parties alike.
"""

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Final

from cryptography.hazmat.primitives.ciphers import Cipher, aead, modes
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

from protocols import Client, Server, Transmission
from protocols.crypto.counter_mode import mode_of_long_streams
from secagg.audit.everywhere import replaced_everywhere
from secagg.audit.sums.recorded import Watcher

Steer = Callable[[bytes], bytes]
"""Returns what the first bytes of a keystream are replaced by, from its key."""

_AEADS: Final = ("AESCCM", "AESGCM", "AESGCMSIV", "AESOCB3", "AESSIV", "ChaCha20Poly1305")
_INSIDE: Final = ("protocols.crypto", "cryptography", "secagg.audit.sums", "secagg.audit.everywhere")
_BLOCK: Final = 16
_GCM_NONCE: Final = 12
_GCM_START: Final = 2


@dataclass(frozen=True, slots=True)
class Moment:
    """When something happened.

    Attributes:
        party: A party's id; None for the server.
        step: The step's name.
    """

    party: int | None
    step: str


@dataclass(slots=True, kw_only=True, repr=False)
class Expansion:
    """A keystream that a party has opened.

    Attributes:
        key: The key.
        counter: The first counter block, as a number.
        moment: Who opened it, and when.
        place: The function outside of the package's arithmetic that asked for it.
        words: The keystream that was read.
    """

    key: bytes
    counter: int
    moment: Moment
    place: str
    words: bytearray = field(default_factory=bytearray)

    def overlaps(self, other: "Expansion") -> bool:
        """Return whether both use one block of one keystream."""
        if self.key != other.key or not self.words or not other.words:
            return False
        ends = [each.counter + -(-len(each.words) // _BLOCK) for each in (self, other)]
        return self.counter < ends[1] and other.counter < ends[0]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Sealing:
    """A plaintext that a party has encrypted.

    Attributes:
        key: The key.
        nonce: The nonce; empty if the cipher takes none.
        plaintext: The plaintext.
        bound: The associated data.
        moment: Who encrypted it, and when.
        by_stream: Whether it was added to a keystream; the nonce is the number of its first block then.
    """

    key: bytes
    nonce: bytes
    plaintext: bytes
    bound: bytes
    moment: Moment
    by_stream: bool = False


class CipherSpy(Watcher):
    """What parties do with ciphers during a session that it watches.

    Args:
        steer: What replaces the first bytes of keystreams; None to leave them.

    Attributes:
        expansions: All keystreams that were opened, in order.
        sealings: All plaintexts that were encrypted, in order.
    """

    def __init__(self, steer: Steer | None = None) -> None:
        self.steer = steer
        self.expansions: list[Expansion] = []
        self.sealings: list[Sealing] = []
        self.moment = Moment(None, "before the first step")

    def asked(self, client: Client, request: Transmission) -> None:
        """See `Watcher.asked`."""
        self.moment = Moment(client.client, request.step)

    def received(self, server: Server, reply: Transmission) -> bytes:
        """See `Watcher.received`."""
        del server
        self.moment = Moment(None, reply.step)
        return reply.data

    def closing(self, server: Server) -> None:
        """See `Watcher.closing`."""
        self.moment = Moment(None, f"end of {server.step}")

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Replace the ciphers for the time of an observation."""
        spy = self

        class Spied(Cipher[Any]):
            """A cipher whose keystream is noted, if it is a stream cipher."""

            def encryptor(self) -> Any:
                return spy.context(self, super().encryptor(), encrypts=True)

            def decryptor(self) -> Any:
                return spy.context(self, super().decryptor(), encrypts=False)

        kinds = [getattr(aead, name) for name in _AEADS if hasattr(aead, name)]
        pairs: list[tuple[object, object]] = [(Cipher, Spied), *((kind, self._aead(kind)) for kind in kinds)]
        mode_of_long_streams()  # Its trial expands a key, and is no part of the observation.
        with replaced_everywhere(pairs):
            yield

    def context(self, cipher: Any, inner: Any, *, encrypts: bool) -> Any:
        """Return a cipher's context that notes what it encrypts; only for the classes that the spy puts in place."""
        algorithm, mode = cipher.algorithm, cipher.mode
        if isinstance(mode, modes.CTR):
            counter = int.from_bytes(mode.nonce, "big")
            return _Stream(self, inner, self._opened(algorithm.key, counter), encrypts=encrypts)
        if mode is None and isinstance(algorithm, ChaCha20):
            counter = int.from_bytes(algorithm.nonce, "little")
            return _Stream(self, inner, self._opened(algorithm.key, counter), encrypts=encrypts)
        nonce = getattr(mode, "initialization_vector", getattr(mode, "nonce", b""))
        if not encrypts:
            return inner
        blocks = _Blocks(self, inner, bytes(algorithm.key), bytes(nonce))
        return _Galois(self, blocks) if isinstance(mode, modes.GCM) and len(nonce) == _GCM_NONCE else blocks

    def _opened(self, key: Any, counter: int) -> Expansion:
        seen = Expansion(key=bytes(key), counter=counter, moment=self.moment, place=_place(sys._getframe(1)))
        self.expansions.append(seen)
        return seen

    def following(self, key: bytes, counter: int) -> Expansion:
        """Return the keystream of this moment whose next block has this number, or a new one that begins with it."""
        for seen in reversed(self.expansions):
            if (seen.key, seen.moment, _BLOCK * seen.counter + len(seen.words)) == (key, self.moment, _BLOCK * counter):
                return seen
        return self._opened(key, counter)

    def _aead(self, kind: Any) -> Any:
        spy = self

        class Spied:
            """An authenticated cipher whose plaintexts are noted."""

            generate_key = staticmethod(kind.generate_key)

            def __init__(self, key: bytes, *arguments: Any, **named: Any) -> None:
                self._key = bytes(key)
                self._inner = kind(key, *arguments, **named)

            def encrypt(self, *arguments: Any) -> bytes:
                *nonce, data, bound = arguments
                joined = b"".join(bound or ()) if isinstance(bound, list) else bytes(bound or b"")
                seen = Sealing(
                    key=self._key,
                    nonce=bytes(nonce[0]) if nonce else b"",
                    plaintext=bytes(data),
                    bound=joined,
                    moment=spy.moment,
                )
                spy.sealings.append(seen)
                return bytes(self._inner.encrypt(*arguments))

            def decrypt(self, *arguments: Any) -> bytes:
                return bytes(self._inner.decrypt(*arguments))

        return Spied


class _Stream:
    """A stream cipher's context that notes its keystream, and steers it."""

    def __init__(self, spy: CipherSpy, inner: Any, seen: Expansion, *, encrypts: bool) -> None:
        self._spy, self._inner, self._seen, self._encrypts = spy, inner, seen, encrypts
        self._start = len(seen.words)
        self._steered = b"" if spy.steer is None else spy.steer(seen.key)

    def update(self, data: bytes) -> bytes:
        stream = self._inner.update(bytes(len(data)))
        start = len(self._seen.words)
        put = self._steered[start : start + len(stream)]
        stream = put + stream[len(put) :]
        self._seen.words += stream
        if not any(data):
            return bytes(stream)
        if self._encrypts:
            seen, block = self._seen, (self._seen.counter + start // _BLOCK).to_bytes(32, "big")
            self._spy.sealings.append(
                Sealing(key=seen.key, nonce=block, plaintext=bytes(data), bound=b"", moment=seen.moment, by_stream=True)
            )
        number = int.from_bytes(data, "little") ^ int.from_bytes(stream, "little")
        return number.to_bytes(len(data), "little")

    def update_into(self, data: Any, buffer: Any) -> int:
        return _written(self.update(bytes(data)), buffer)

    def finalize(self) -> bytes:
        return bytes(self._inner.finalize())

    def withdraw(self) -> None:
        """Forget what this context has added to its keystream."""
        del self._seen.words[self._start :]
        if not self._seen.words:
            self._spy.expansions.remove(self._seen)


class _Blocks:
    """Another context, which notes the plaintext."""

    def __init__(self, spy: CipherSpy, inner: Any, key: bytes, nonce: bytes) -> None:
        self._spy, self.inner, self.key, self.nonce = spy, inner, key, nonce
        self.plain = bytearray()
        self._moment = spy.moment

    def update(self, data: bytes) -> bytes:
        self.plain += data
        return bytes(self.inner.update(data))

    def finalize(self) -> bytes:
        plaintext = bytes(self.plain)
        self._spy.sealings.append(
            Sealing(key=self.key, nonce=self.nonce, plaintext=plaintext, bound=b"", moment=self._moment)
        )
        return bytes(self.inner.finalize())

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class _Galois:
    """A context of GCM with a 96-bit nonce. It gives a keystream if it encrypts only zeros, and computes no tag.

    Its first block has the number 2, under the nonce as the higher bits (NIST SP 800-38D, section 7.1). So it may
    continue a keystream that was begun in CTR.
    """

    def __init__(self, spy: CipherSpy, blocks: _Blocks) -> None:
        self._spy, self._blocks = spy, blocks
        self._stream: _Stream | None = None

    def update(self, data: bytes) -> bytes:
        if any(data):
            self._withdraw()
        elif not self._blocks.plain:
            counter = int.from_bytes(self._blocks.nonce, "big") * 2**32 + _GCM_START
            seen = self._spy.following(self._blocks.key, counter)
            self._stream = _Stream(self._spy, self._blocks.inner, seen, encrypts=True)
        if self._stream is None:
            return self._blocks.update(data)
        self._blocks.plain += data
        return self._stream.update(data)

    def update_into(self, data: Any, buffer: Any) -> int:
        return _written(self.update(bytes(data)), buffer)

    def finalize(self) -> bytes:
        self._withdraw()
        return self._blocks.finalize()

    def _withdraw(self) -> None:
        if self._stream is not None:
            self._stream.withdraw()
            self._stream = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._blocks, name)


def _written(changed: bytes, buffer: Any) -> int:
    memoryview(buffer).cast("B")[: len(changed)] = changed
    return len(changed)


def _place(frame: FrameType | None) -> str:
    """Return the first function on the stack that is not part of the arithmetic, by its module and name."""
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if not module.startswith(_INSIDE):
            return f"{module}.{frame.f_code.co_qualname}"
        frame = frame.f_back
    return ""
