"""The public side of Damgard and Jurik's cryptosystem: textbook encryption, sums, and checks of received ciphertexts.

The module `private` describes the scheme, its sources and its assumption.
"""

import hashlib
import math
import os
from collections.abc import Sequence
from typing import Final

from protocols.crypto.entropy import Entropy
from protocols.crypto.integers import Arithmetic, fastest, is_integer, random_unit, shown, small_primorial
from protocols.crypto.paillier.one_units import OneUnits
from protocols.errors import InputError, ParameterError, ProtocolError

LEAST_BITS: Final = 2048
MOST_BITS: Final = 8192
MOST_S: Final = 3


class InvalidKey(ParameterError):
    """Numbers that are not a Paillier key, or that are a weak one."""


class InvalidCiphertext(ProtocolError, ValueError):
    """A number that cannot be an encryption under this key.

    Attributes:
        index: Position of the number among those that were checked; None if no position
            applies, for example if the length of their encoding is wrong.
    """

    def __init__(self, message: str, *, index: int | None = None) -> None:
        super().__init__(message)
        self.index = index


def check_s(s: int) -> None:
    """Raise an error unless s, the exponent of the message space, is 1, 2 or 3.

    Raises:
        InvalidKey: s has another value.
    """
    if not is_integer(s) or not 1 <= s <= MOST_S:
        raise InvalidKey(f"s: expected an integer from 1 to {MOST_S}, found {shown(s)}")


class PublicKey:
    """The key that encrypts, adds and checks.

    Args:
        n: Product of two secret primes, of 2048 to 8192 bits.
        s: Messages are integers modulo n^s; 1, 2 or 3.
        arithmetic: The implementation of long integers; by default, the fastest that is installed.

    Attributes:
        n: As given.
        s: As given.
        arithmetic: The implementation of long integers.
        message_modulus: n^s.
        modulus: n^(s+1).
        units: The logarithm of powers of 1 + n.
        ciphertext_bytes: Length of one ciphertext on the wire, in bytes.

    Raises:
        InvalidKey: n is too short or too long, even, prime, a square, or has a prime factor below 2^12; or s is out
            of range.
    """

    __slots__ = ("_generator", "arithmetic", "ciphertext_bytes", "message_modulus", "modulus", "n", "s", "units")

    def __init__(self, n: int, s: int = 1, *, arithmetic: Arithmetic | None = None) -> None:
        check_s(s)
        if not is_integer(n):
            raise InvalidKey(f"n: expected an integer, found {type(n).__name__}")
        if n < 0 or not LEAST_BITS <= n.bit_length() <= MOST_BITS:
            raise InvalidKey(f"n: expected {LEAST_BITS} to {MOST_BITS} bits, found {n.bit_length()}")
        if math.gcd(n, small_primorial()) != 1:
            raise InvalidKey("n: expected a product of two large primes, found a number with a small factor")
        self.arithmetic = fastest() if arithmetic is None else arithmetic
        self.n, self.s = self.arithmetic.integer(n), s
        if math.isqrt(n) ** 2 == n or pow(self.arithmetic.integer(2), n - 1, self.n) == 1:
            raise InvalidKey("n: expected a product of two different primes, found a prime or a square")
        self.message_modulus: int = self.n**s
        self.modulus: int = self.n ** (s + 1)
        self.units = OneUnits(n, s, self.arithmetic)
        self._generator = self.units.logarithm(self.arithmetic.integer(1))
        self.ciphertext_bytes: int = -(-self.modulus.bit_length() // 8)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PublicKey) and (self.n, self.s) == (other.n, other.s)

    def __hash__(self) -> int:
        return hash((self.n, self.s))

    def __repr__(self) -> str:
        return f"PublicKey(bits={self.n.bit_length()}, s={self.s}, fingerprint={self.fingerprint.hex()[:16]})"

    @property
    def fingerprint(self) -> bytes:
        """32 bytes that identify the key: SHA-256 of a label, s, the length of n, and n."""
        size = -(-self.n.bit_length() // 8)
        described = bytes([self.s]) + size.to_bytes(4, "big") + int(self.n).to_bytes(size, "big")
        return hashlib.sha256(b"secagg paillier v1" + described).digest()

    def check_message(self, message: int) -> None:
        """Raise an error unless the message is an integer in [0, n^s).

        Raises:
            InputError: The message is not one.
        """
        if not is_integer(message) or not 0 <= message < self.message_modulus:
            raise InputError(f"a message: expected an integer in [0, n^{self.s}), found another value")

    def plain_logarithm(self, message: int) -> int:
        """Return log((1 + n)^message) / n, modulo n^s.

        Adding this logarithm to others, and taking one exponential of their sum, saves products.
        """
        return message * self._generator % self.message_modulus

    def encrypt_raw(self, m: int, *, r: int | None = None, entropy: Entropy = os.urandom) -> int:
        """Encrypt one message as in the papers; `Encryptor` is about a hundred times faster.

        Args:
            m: The message, in [0, n^s).
            r: In [1, n), coprime to n, secret, and used once. Pass it only to reproduce known answers; by default, it
                is drawn.
            entropy: Source from which r is drawn.

        Returns:
            The ciphertext, in [1, n^(s+1)).

        Raises:
            InputError: m or r is out of range, or r is not coprime to n.
        """
        self.check_message(m)
        if r is None:
            r = random_unit(int(self.n), entropy)
        elif not is_integer(r) or not 1 <= r < self.n or math.gcd(r, self.n) != 1:
            raise InputError("r: expected an integer in [1, n) that is coprime to n, found another value")
        residue = pow(self.arithmetic.integer(r), self.message_modulus, self.modulus)
        power = 1 + self.n * self.units.exponential(self.plain_logarithm(self.arithmetic.integer(m)))
        return int(residue * power % self.modulus)

    def check(self, ciphertexts: Sequence[int]) -> None:
        """Raise an error unless all numbers are possible ciphertexts: in [1, n^(s+1)) and coprime to n.

        One greatest common divisor is enough for all numbers: their product modulo n is coprime to n if and only if
        each number is.

        Raises:
            InvalidCiphertext: A number is not a possible ciphertext; `index` says which.
        """
        product = self.arithmetic.integer(1)
        for index, ciphertext in enumerate(ciphertexts):
            if not is_integer(ciphertext) or not 1 <= ciphertext < self.modulus:
                raise InvalidCiphertext(
                    f"a ciphertext: expected an integer in [1, n^{self.s + 1}), found another value", index=index
                )
            product = product * (ciphertext % self.n) % self.n
        if math.gcd(product, self.n) != 1:
            index = next(at for at, one in enumerate(ciphertexts) if math.gcd(one, self.n) != 1)
            raise InvalidCiphertext(
                "a ciphertext: expected one that is coprime to n, found one with a common factor", index=index
            )

    def add(self, ciphertexts: Sequence[int], others: Sequence[int]) -> list[int]:
        """Return encryptions of the sums of checked ciphertexts, position by position.

        Re-randomise the result before anyone else sees it.

        Raises:
            ValueError: The two sequences have different lengths.
        """
        integer, modulus = self.arithmetic.integer, self.modulus
        return [int(integer(one) * other % modulus) for one, other in zip(ciphertexts, others, strict=True)]

    def to_bytes(self, ciphertexts: Sequence[int]) -> bytes:
        """Return ciphertexts one after the other, each as `ciphertext_bytes` bytes, big-endian."""
        return b"".join(int(one).to_bytes(self.ciphertext_bytes, "big") for one in ciphertexts)

    def from_bytes(self, data: bytes | memoryview, count: int) -> list[int]:
        """Return the ciphertexts that `to_bytes` wrote, after checking them.

        Raises:
            InvalidCiphertext: The data does not have the length of `count` ciphertexts, or a number in it is not a
                possible ciphertext of this key.
        """
        size = self.ciphertext_bytes
        if len(data) != count * size:
            raise InvalidCiphertext(f"{count} ciphertexts: expected {count * size} bytes, found {len(data)}")
        ciphertexts = [int.from_bytes(data[start : start + size], "big") for start in range(0, len(data), size)]
        self.check(ciphertexts)
        return ciphertexts
