"""Paillier's cryptosystem, as generalised by Damgard and Jurik: additively homomorphic, modulo n^s for s = 1, 2, 3.

Sources: Paillier, Public-key cryptosystems based on composite degree residuosity classes (Eurocrypt 1999), scheme 1,
with g = 1 + n; Damgard and Jurik, A generalisation, a simplification and some applications of Paillier's
probabilistic public-key system (PKC 2001). A message m in [0, n^s) is encrypted as

    c = (1 + n)^m * r^(n^s)   modulo n^(s+1)

and the product of ciphertexts encrypts the sum of their messages modulo n^s. A ciphertext reveals nothing about m to
anyone who cannot decide composite residuosity. This assumption is the same for every s. The scheme does not withstand
chosen-ciphertext attacks: show the decryption of a sum only if the owner of the key agreed to open that sum.

Departures: the discrete logarithm to the base 1 + n is computed as a quotient of logarithms (`one_units`). It is
computed modulo the powers of p and of q separately, after raising to p - 1 and q - 1. The result is the same number.
Decryption is not constant in time: do not let anyone who chooses ciphertexts learn how long it takes.
"""

import math
import os
from collections.abc import Sequence
from typing import Final

from protocols.crypto.entropy import Entropy
from protocols.crypto.integers import Arithmetic, fastest, is_integer, is_probable_prime, shown
from protocols.crypto.paillier.one_units import OneUnits
from protocols.crypto.paillier.public import LEAST_BITS, MOST_BITS, InvalidCiphertext, InvalidKey, PublicKey, check_s
from protocols.crypto.paillier.safe_primes import is_safe_prime, safe_prime
from protocols.crypto.secret import Uncopyable

__all__ = ["DEFAULT_BITS", "InvalidCiphertext", "InvalidKey", "PrivateKey", "PublicKey"]

DEFAULT_BITS: Final = 3072

_SIZE_SLACK_BITS = 8
_CLOSENESS_BITS = 100


class PrivateKey(Uncopyable):
    """The key that decrypts: repr redacted, not picklable, not hashable. `generate` and `from_primes` make one.

    Attributes:
        public_key: The key that encrypts for this one.
    """

    __slots__ = ("_half_p", "_half_q", "_lift", "public_key")
    __hash__ = None  # type: ignore[assignment]  # A table with a hash of a secret has a copy of it.

    def __init__(self, p: int, q: int, public_key: PublicKey) -> None:
        self.public_key = public_key
        self._half_p = _Half(p, q, public_key)
        self._half_q = _Half(q, p, public_key)
        self._lift = pow(self._half_p.units.modulus, -1, self._half_q.units.modulus)

    def __repr__(self) -> str:
        return f"PrivateKey(<secret>, {self.public_key!r})"

    @classmethod
    def generate(
        cls,
        bits: int = DEFAULT_BITS,
        s: int = 1,
        *,
        allow_only_112_bits_of_security: bool = False,
        arithmetic: Arithmetic | None = None,
        entropy: Entropy = os.urandom,
    ) -> "PrivateKey":
        """Return a new key of two safe primes, which suit fixed bases.

        This takes seconds with gmpy2, and minutes without it.

        Args:
            bits: Length of n in bits, even; 3072 bits correspond to 128 bits of security (NIST SP 800-57 part 1
                revision 5, table 2).
            s: Messages are integers modulo n^s; 1, 2 or 3.
            allow_only_112_bits_of_security: Whether n may have fewer than 3072 bits, but at least 2048:
                112 bits of security instead of 128.
            arithmetic: The implementation of long integers; by default, the fastest that is installed.
            entropy: Source of the primes; any source other than the operating system's is for tests.

        Raises:
            InvalidKey: `bits` or `s` is out of range.
        """
        least = LEAST_BITS if allow_only_112_bits_of_security else DEFAULT_BITS
        if not is_integer(bits) or bits % 2 or not least <= bits <= MOST_BITS:
            raise InvalidKey(f"bits: expected an even number from {least} to {MOST_BITS}, found {shown(bits)}")
        check_s(s)
        computing = fastest() if arithmetic is None else arithmetic
        p = safe_prime(bits // 2, entropy=entropy, arithmetic=computing)
        while True:
            q = safe_prime(bits // 2, entropy=entropy, arithmetic=computing)
            if _far_apart(p, q):
                return cls(p, q, PublicKey(p * q, s, arithmetic=computing))

    @classmethod
    def from_primes(cls, p: int, q: int, s: int = 1, *, arithmetic: Arithmetic | None = None) -> "PrivateKey":
        """Return the key of given primes.

        Each prime has about half as many bits as their product, which has 2048 to 8192. The primes need not be safe
        primes; `suits_fixed_bases` says whether they are.

        Raises:
            InvalidKey: A factor is even, not prime, or far shorter than the other; the factors are equal or closer
                than 2^(bits / 2 - 100) (FIPS 186-5, appendix A.1.3); gcd(n, (p - 1) * (q - 1)) is not 1; or
                `PublicKey` refuses n or s.
        """
        if not is_integer(p) or not is_integer(q):
            raise InvalidKey(f"p and q: expected integers, found {type(p).__name__} and {type(q).__name__}")
        if min(p, q) < 2 or max(p.bit_length(), q.bit_length()) > MOST_BITS:
            raise InvalidKey(
                f"p and q: expected primes of at most {MOST_BITS} bits, found a number that is smaller than 2 or longer"
            )
        bits = (p * q).bit_length()
        if not LEAST_BITS <= bits <= MOST_BITS:
            raise InvalidKey(f"p * q: expected {LEAST_BITS} to {MOST_BITS} bits, found {bits}")
        if min(p, q).bit_length() < bits // 2 - _SIZE_SLACK_BITS:
            raise InvalidKey("p and q: expected about the same size, found one that is much smaller")
        if not _far_apart(p, q):
            raise InvalidKey("p and q: expected primes that are far apart, found equal or close ones. Draw new primes.")
        computing = fastest() if arithmetic is None else arithmetic
        if not all(is_probable_prime(prime, entropy=os.urandom, arithmetic=computing) for prime in (p, q)):
            raise InvalidKey("p and q: expected odd primes, found another number")
        if math.gcd(p * q, (p - 1) * (q - 1)) != 1:
            raise InvalidKey("p * q: expected no common factor with (p - 1) * (q - 1), found one. Draw new primes.")
        return cls(p, q, PublicKey(p * q, s, arithmetic=computing))

    @property
    def suits_fixed_bases(self) -> bool:
        """Whether both primes are safe primes, as `Encryptor` assumes; each call tests them."""
        arithmetic = self.public_key.arithmetic
        return all(is_safe_prime(prime, entropy=os.urandom, arithmetic=arithmetic) for prime in self.reveal_primes())

    def reveal_primes(self) -> tuple[int, int]:
        """Return both primes, p and q, so that the key can be stored."""
        return int(self._half_p.prime), int(self._half_q.prime)

    def decrypt_raw(self, c: int) -> int:
        """Return the message of one ciphertext, in [0, n^s).

        Raises:
            InvalidCiphertext: The number is not a ciphertext of this key.
        """
        return self.decrypt([c])[0]

    def decrypt(self, ciphertexts: Sequence[int]) -> list[int]:
        """Return the messages of ciphertexts, each in [0, n^s), after checking all ciphertexts.

        Raises:
            InvalidCiphertext: A number is not a ciphertext of this key; no ciphertext is decrypted then.
        """
        self.public_key.check(ciphertexts)
        return [self._decrypt(self.public_key.arithmetic.integer(one)) for one in ciphertexts]

    def _decrypt(self, ciphertext: int) -> int:
        low, high = self._half_p.decrypt(ciphertext), self._half_q.decrypt(ciphertext)
        return int(low + self._half_p.units.modulus * ((high - low) * self._lift % self._half_q.units.modulus))


class _Half:
    """Decryption with one of the primes: the message modulo its s-th power, from the ciphertext modulo its (s+1)-th."""

    __slots__ = ("_modulus", "_scale", "prime", "units")

    def __init__(self, prime: int, other: int, public_key: PublicKey) -> None:
        self.prime = public_key.arithmetic.integer(prime)
        self.units = OneUnits(prime, public_key.s, public_key.arithmetic)
        self._modulus = self.units.modulus * self.prime
        # A message m becomes m * (p - 1) * log(1 + n), where n is p times the other prime.
        generator = self.units.logarithm(public_key.arithmetic.integer(other))
        self._scale = pow((self.prime - 1) * generator % self.units.modulus, -1, self.units.modulus)

    def decrypt(self, ciphertext: int) -> int:
        unit: int = pow(ciphertext % self._modulus, self.prime - 1, self._modulus)
        message: int = self.units.logarithm((unit - 1) // self.prime) * self._scale % self.units.modulus
        return message


def _far_apart(p: int, q: int) -> bool:
    return abs(p - q).bit_length() > (p * q).bit_length() // 2 - _CLOSENESS_BITS
