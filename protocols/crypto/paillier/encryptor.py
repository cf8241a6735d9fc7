"""Fast Paillier encryption: powers of one fixed base, from a table.

Source: Damgard, Jurik and Nielsen, A generalization of Paillier's public-key system with applications to electronic
voting (International Journal of Information Security 9, 2010), section 4.1. With safe primes (p = q = 3 mod 4,
gcd(p - 1, q - 1) = 2, and no other small factor in either), a random x and h = -x^2 mod n, a message is encrypted as

    c = (1 + n)^m * h_s^r   modulo n^(s+1),   h_s = h^(n^s)

for a random r, where h stays the same. For all but a negligible fraction of the x, h generates the group of numbers
with Jacobi symbol 1.

The length of r decides which assumption security needs, besides composite residuosity:

- `Exponents.STRICT`, half the bits of n, as in that paper: h^r is then indistinguishable from a power with a full
  exponent, unless n can be factored (Goldreich and Rosen, On the security of modular exponentiation with application
  to the construction of pseudorandom generators, Journal of Cryptology 16, 2003).
- `Exponents.SHORT`, 512 bits: this assumes the same of exponents of that length, the short-exponent assumption, for
  which no reduction to factoring is known. The best known attack that does not factor n finds r in about the square
  root of 2^512 operations (van Oorschot and Wiener, On Diffie-Hellman key agreement with short exponents, Eurocrypt
  1996).

Departures: an encryptor draws its own h, instead of trusting one that the key's owner publishes. Ciphertexts are
distributed as above for that h. If clients must prove something about their ciphertexts (`plaintext_proof`), all of
them use the h that the key's owner publishes. Then h_s is an n^s-th residue and encrypts 0, no matter who chose h and
how. The table (`fixed_base`) stores each power as a pair (`ciphertext_pairs`). So the factors of h_s^r are multiplied
as numbers no longer than n, and their logarithms and that of (1 + n)^m are added. One exponential at the end gives the
same ciphertext.
"""

import math
import os
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from protocols.crypto.entropy import Entropy
from protocols.crypto.integers import is_integer, random_bits, random_unit, shown
from protocols.crypto.paillier.ciphertext_pairs import Pair, join, split
from protocols.crypto.paillier.fixed_base import FixedBase
from protocols.crypto.paillier.public import InvalidKey, PublicKey
from protocols.errors import ParameterError

SHORT_EXPONENT_BITS: Final = 512
DEFAULT_WINDOW_BITS: Final = 8
MOST_WINDOW_BITS: Final = 10


class Exponents(StrEnum):
    """The length of random exponents, and so the assumption of the encryption; see the module's docstring."""

    SHORT = "short"
    STRICT = "strict"

    def bits(self, public_key: PublicKey) -> int:
        """Return the length of exponents under a key, in bits."""
        return SHORT_EXPONENT_BITS if self is Exponents.SHORT else -(-public_key.n.bit_length() // 2)


class Encryptor:
    """Encryption and re-randomisation under one public key, any number of times.

    The table has 2^window_bits entries of (s+1) times the size of n for each window of the exponent. With the defaults,
    3072 bits and s = 2, it takes 20 MB; with `Exponents.STRICT`, 58 MB. 1.3 MB of these are for the longer exponents of
    proofs.

    Args:
        public_key: A key of two safe primes. Its owner vouches for that, since only the factors show it
            (`PrivateKey.suits_fixed_bases`).
        exponents: Length of the random exponents.
        window_bits: 1 to 10; one more nearly doubles the table and saves one product in `window_bits` + 1.
        entropy: Source of the base.
        base: h, if the key's owner publishes one; by default, it is drawn. The owner vouches that h has the order of
            -x^2 for a random x; only what shows without the factors is checked.

    Attributes:
        public_key: As given.
        base: h, as given or drawn.
        exponent_bits: Length of the random exponents, in bits.

    Raises:
        InvalidKey: n is 3 modulo 4, so that its primes are not both 3 modulo 4; or the base is not in [2, n - 2],
            shares a factor with n, or does not have Jacobi symbol 1.
        ParameterError: `window_bits` is out of range.
    """

    __slots__ = ("_table", "base", "exponent_bits", "public_key")

    def __init__(
        self,
        public_key: PublicKey,
        *,
        exponents: Exponents = Exponents.SHORT,
        window_bits: int = DEFAULT_WINDOW_BITS,
        entropy: Entropy = os.urandom,
        base: int | None = None,
    ) -> None:
        if public_key.n % 4 != 1:
            raise InvalidKey("n: expected 1 modulo 4, like any product of two primes that are 3 modulo 4, found 3")
        if not is_integer(window_bits) or not 1 <= window_bits <= MOST_WINDOW_BITS:
            raise ParameterError(
                f"window_bits: expected an integer from 1 to {MOST_WINDOW_BITS}, found {shown(window_bits)}"
            )
        if base is None:
            root = public_key.arithmetic.integer(random_unit(int(public_key.n), entropy))
            base = int(-root * root % public_key.n)
        check_base(public_key, base)
        self.public_key = public_key
        self.base = base
        self.exponent_bits: int = exponents.bits(public_key)
        residue = pow(public_key.arithmetic.integer(base), public_key.message_modulus, public_key.modulus)
        self._table = FixedBase(public_key, residue, bits=self.exponent_bits, window_bits=window_bits)

    def __repr__(self) -> str:
        return f"Encryptor({self.public_key!r}, exponent_bits={self.exponent_bits})"

    def encrypt(self, messages: Sequence[int], *, entropy: Entropy = os.urandom) -> list[int]:
        """Encrypt messages in [0, n^s), each with an exponent of its own.

        Raises:
            InputError: A message is out of range; nothing is encrypted then.
        """
        self._check_messages(messages)
        return [join(self.public_key, *self._factors(message, self.exponent(entropy))) for message in messages]

    def encrypt_pairs(self, messages: Sequence[int], *, entropy: Entropy = os.urandom) -> list[Pair]:
        """Encrypt messages as `encrypt` does, to ciphertexts in the form that is added fastest.

        Raises:
            InputError: A message is out of range; nothing is encrypted then.
        """
        return self.encrypt_pairs_with(messages, [self.exponent(entropy) for _ in messages])

    def encrypt_pairs_with(self, messages: Sequence[int], exponents: Sequence[int]) -> list[Pair]:
        """Encrypt messages with given exponents, for proofs that need to know the exponents.

        Args:
            messages: In [0, n^s).
            exponents: One for each message, at least 0; secret, each used once, and as random as those of `exponent`.

        Raises:
            InputError: A message is out of range; nothing is encrypted then.
        """
        self._check_messages(messages)
        made = [self._factors(*one) for one in zip(messages, exponents, strict=True)]
        heads = split(self.public_key, [product for product, _ in made])
        limit = self.public_key.message_modulus
        return [
            Pair(head.residue, (head.logarithm + logarithm) % limit)
            for head, (_, logarithm) in zip(heads, made, strict=True)
        ]

    def rerandomise(self, ciphertexts: Sequence[int], *, entropy: Entropy = os.urandom) -> list[int]:
        """Return ciphertexts of the same messages that reveal nothing about how the given ones were made.

        Raises:
            InvalidCiphertext: A number is not a ciphertext of this key.
        """
        key = self.public_key
        key.check(ciphertexts)
        return [
            int(key.arithmetic.integer(one) * join(key, *self._factors(0, self.exponent(entropy))) % key.modulus)
            for one in ciphertexts
        ]

    def exponent(self, entropy: Entropy) -> int:
        """Return a random exponent r, below 2^exponent_bits."""
        return random_bits(self.exponent_bits, entropy)

    def residue(self, exponent: int) -> tuple[int, int]:
        """Return h_s raised to an exponent, which is at least 0 and of any length, as arguments of `join`."""
        return self._table.power(exponent)

    def _check_messages(self, messages: Sequence[int]) -> None:
        for message in messages:
            self.public_key.check_message(message)

    def _factors(self, message: int, exponent: int) -> tuple[int, int]:
        """Return the ciphertext of a message, as arguments of `join`."""
        product, logarithm = self._table.power(exponent)
        return product, logarithm + self.public_key.plain_logarithm(self.public_key.arithmetic.integer(message))


def check_base(public_key: PublicKey, base: int) -> None:
    """Raise an error if a base fails a check that needs no factor of n.

    A base must be -x^2 modulo n for an x that is coprime to n. The checks do not find every other number.

    Raises:
        InvalidKey: The base is not in [2, n - 2], shares a factor with n, or does not have Jacobi symbol 1.
    """
    n = public_key.n
    if not is_integer(base) or not 2 <= base <= n - 2 or math.gcd(base, n) != 1:
        raise InvalidKey("a base: expected an integer in [2, n - 2] that is coprime to n, found another value")
    if _jacobi(public_key.arithmetic.integer(base), n) != 1:
        raise InvalidKey("a base: expected Jacobi symbol 1, as -x^2 has for every x, found another symbol")


def _jacobi(number: int, modulus: int) -> int:
    """Return the Jacobi symbol of a number that is coprime to an odd modulus (Cohen, algorithm 1.4.10)."""
    sign, number = 1, number % modulus
    while number:
        twos = (number & -number).bit_length() - 1
        number >>= twos
        if twos % 2 and modulus % 8 in (3, 5):
            sign = -sign
        if number % 4 == modulus % 4 == 3:
            sign = -sign
        number, modulus = modulus % number, number
    return sign
