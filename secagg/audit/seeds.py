"""Seeds of attempts, and the randomness that an attempt gives to its subject.

The seed of an attempt is SHA-256 of the master seed, the subject, the check and the number of the attempt. So a
rejection can be repeated exactly, and no two attempts share randomness.
"""

import hashlib
from collections.abc import Mapping
from typing import Final

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

SEED_BYTES: Final = 32
_DOMAIN: Final = b"secagg audit attempt v1"


def seed_of(master: bytes, *, subject: str, attack: str, attempt: int) -> bytes:
    """Return the seed of one attempt, 32 bytes."""
    parts = (_DOMAIN, master, subject.encode(), attack.encode(), attempt.to_bytes(4, "big"))
    return hashlib.sha256(b"".join(len(part).to_bytes(4, "big") + part for part in parts)).digest()


class Tape:
    """Randomness that can be repeated and altered: `tape(n)` returns the next n bytes of a stream.

    The stream is AES-256 in counter mode under a key that the seed and the label determine. Give a fresh tape to every
    party or run. A tape is for audits and tests only: anyone who knows the seed knows every secret.

    Args:
        seed: The seed of the attempt.
        label: Tells tapes of one attempt apart.
        complemented: The position of a byte that is complemented; None for none.
        replaced: Bytes that are returned in place of those of the stream, by their position.

    Attributes:
        position: How many bytes have been read.
        sizes: The size of each read, in order.
    """

    def __init__(
        self,
        seed: bytes,
        label: str = "",
        *,
        complemented: int | None = None,
        replaced: Mapping[int, bytes] | None = None,
    ) -> None:
        key = hashlib.sha256(b"secagg audit tape v1" + len(seed).to_bytes(4, "big") + seed + label.encode()).digest()
        self._stream = Cipher(algorithms.AES256(key), modes.CTR(bytes(16))).encryptor()
        self._replaced = dict(replaced or {})
        self._complemented = complemented
        self.position = 0
        self.sizes: list[int] = []

    def __call__(self, size: int) -> bytes:
        """Return the next `size` bytes."""
        start, end = self.position, self.position + size
        drawn = bytearray(self._stream.update(bytes(size)))
        for at, data in self._replaced.items():
            first, last = max(at, start), min(at + len(data), end)
            if first < last:
                drawn[first - start : last - start] = data[first - at : last - at]
        if self._complemented is not None and start <= self._complemented < end:
            drawn[self._complemented - start] ^= 0xFF
        self.position = end
        self.sizes.append(size)
        return bytes(drawn)


def generator_of(seed: bytes, label: str = "") -> np.random.Generator:
    """Return a generator for an auditor's choices, such as inputs and directions, and never for secrets."""
    digest = hashlib.sha256(b"secagg audit choices v1" + len(seed).to_bytes(4, "big") + seed + label.encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "big")))
