"""Keys that the tests of Paillier share: made once, since primes take time."""

import hashlib
from functools import cache

from protocols.crypto.entropy import Entropy
from protocols.crypto.integers import PYTHON, Arithmetic, fastest
from protocols.crypto.paillier.encryptor import Encryptor, Exponents
from protocols.crypto.paillier.private import PrivateKey

ARITHMETICS = sorted({PYTHON.name: PYTHON, fastest().name: fastest()}.items())


def stream(seed: str) -> Entropy:
    """Return repeatable entropy: different bytes at each call, the same in each run."""
    calls = 0

    def draw(size: int) -> bytes:
        """Return the next bytes."""
        nonlocal calls
        calls += 1
        return hashlib.shake_256(f"{seed} {calls}".encode()).digest(size)

    return draw


@cache
def primes() -> tuple[int, int]:
    """Return the two primes of a 2048-bit key for fixed bases."""
    key = PrivateKey.generate(2048, allow_only_112_bits_of_security=True, entropy=stream("primes"))
    return key.reveal_primes()


@cache
def private_key(s: int = 1, arithmetic: Arithmetic | None = None) -> PrivateKey:
    """Return the private key of these primes."""
    return PrivateKey.from_primes(*primes(), s, arithmetic=arithmetic)


@cache
def encryptor(s: int = 1, exponents: Exponents = Exponents.SHORT, arithmetic: Arithmetic | None = None) -> Encryptor:
    """Return an encryptor under the public key of these primes."""
    key = private_key(s, arithmetic).public_key
    return Encryptor(key, exponents=exponents, window_bits=3, entropy=stream("table"))
