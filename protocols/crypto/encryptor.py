"""Fast Paillier encryption: powers of one fixed base, from a table.

Source: Damgard, Jurik and Nielsen, A generalization of Paillier's public-key system with applications to electronic
voting (International Journal of Information Security 9, 2010).  With p = q = 3 mod 4 and gcd(p - 1, q - 1) = 2, a
random x and h = -x^2 mod n, a message is encrypted as

    c = (1 + n)^m * h_s^r   modulo n^(s+1),   h_s = h^(n^s)

for a random r, where h stays the same; h generates what has Jacobi symbol 1, but for a negligible share of the x.

How long r is decides on what security rests, beside composite residuosity:

- `Exponents.STRICT`, half the bits of n, as in that paper: h^r is then indistinguishable from a power with a full
  exponent, unless n can be factored (Goldreich and Rosen, On the security of modular exponentiation with application
  to the construction of pseudorandom generators, Journal of Cryptology 16, 2003).
- `Exponents.SHORT`, 512 bits: assumes the same of exponents that short, the short-exponent assumption, for which no
  reduction to factoring is known.  The best attack known that does not factor n finds r in about the square root of
  2^512 operations (van Oorschot and Wiener, On Diffie-Hellman key agreement with short exponents, Eurocrypt 1996).

Departures: an encryptor draws its own h, instead of trusting one that the key's owner publishes; ciphertexts are
distributed as above for that h.  The table keeps each power as a pair (`split`): so the factors of h_s^r are
multiplied as numbers no longer than n, their logarithms are added, and that of (1 + n)^m with them; one exponential
at the end gives the same ciphertext.
"""

import os
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from protocols.crypto.integers import Entropy, is_integer, random_bits, random_unit, shown
from protocols.crypto.paillier_public import InvalidKey, PublicKey
from protocols.crypto.split import Pair, join, split
from protocols.errors import ParameterError

SHORT_EXPONENT_BITS: Final = 512
DEFAULT_WINDOW_BITS: Final = 8
MOST_WINDOW_BITS: Final = 10


class Exponents(StrEnum):
    """What encryption rests on; see the module's docstring."""

    SHORT = "short"
    STRICT = "strict"


class Encryptor:
    """Encrypts and re-randomises under one public key, any number of times.

    Its table has 2^window_bits entries of (s+1) times the size of n for each window of the exponent: with the
    defaults, 3072 bits and s = 2, 19 MB; strict, 57 MB.

    Args:
        public_key: Whose owner vouches for p = q = 3 mod 4 and gcd(p - 1, q - 1) = 2, which only the factors show
            (`PrivateKey.suits_fixed_bases`).
        exponents: How long exponents are.
        window_bits: 1 to 10; one more nearly doubles the table, and spares one product in `window_bits` + 1.
        entropy: Where the base is drawn from.

    Attributes:
        public_key: As given.
        exponent_bits: Of the random exponents.

    Raises:
        InvalidKey: n is 3 modulo 4, so that its primes are not both.
        ParameterError: `window_bits` is out of range.
    """

    __slots__ = ("_rows", "_window_bits", "exponent_bits", "public_key")

    def __init__(
        self,
        public_key: PublicKey,
        *,
        exponents: Exponents = Exponents.SHORT,
        window_bits: int = DEFAULT_WINDOW_BITS,
        entropy: Entropy = os.urandom,
    ) -> None:
        if public_key.n % 4 != 1:
            raise InvalidKey("a fixed base needs primes that are both 3 modulo 4; n is 3 modulo 4, so they are not")
        if not is_integer(window_bits) or not 1 <= window_bits <= MOST_WINDOW_BITS:
            raise ParameterError(
                f"window_bits must be an integer from 1 to {MOST_WINDOW_BITS}, not {shown(window_bits)}"
            )
        self.public_key = public_key
        self.exponent_bits: int = (
            SHORT_EXPONENT_BITS if exponents is Exponents.SHORT else -(-public_key.n.bit_length() // 2)
        )
        self._window_bits = window_bits
        root = public_key.arithmetic.integer(random_unit(int(public_key.n), entropy))
        base = pow(-root * root % public_key.n, public_key.message_modulus, public_key.modulus)
        self._rows: list[list[Pair]] = []
        for _ in range(-(-self.exponent_bits // window_bits)):
            row, base = _row(public_key, base, 2**window_bits)
            self._rows.append(row)

    def __repr__(self) -> str:
        return f"Encryptor({self.public_key!r}, exponent_bits={self.exponent_bits})"

    def encrypt(self, messages: Sequence[int], *, entropy: Entropy = os.urandom) -> list[int]:
        """Encrypt messages in [0, n^s), each with an exponent of its own.

        Raises:
            InputError: A message is out of range; nothing is encrypted then.
        """
        self._check_messages(messages)
        return [join(self.public_key, *self._factors(message, entropy)) for message in messages]

    def encrypt_pairs(self, messages: Sequence[int], *, entropy: Entropy = os.urandom) -> list[Pair]:
        """The same ciphertexts in the form in which they are added fastest.

        Raises:
            InputError: A message is out of range; nothing is encrypted then.
        """
        self._check_messages(messages)
        made = [self._factors(message, entropy) for message in messages]
        heads = split(self.public_key, [product for product, _ in made])
        limit = self.public_key.message_modulus
        return [
            Pair(head.residue, (head.logarithm + logarithm) % limit)
            for head, (_, logarithm) in zip(heads, made, strict=True)
        ]

    def rerandomise(self, ciphertexts: Sequence[int], *, entropy: Entropy = os.urandom) -> list[int]:
        """Ciphertexts of the same messages that show nothing of what they were made from.

        Raises:
            InvalidCiphertext: One is none of this key.
        """
        key = self.public_key
        key.check(ciphertexts)
        return [
            int(key.arithmetic.integer(one) * join(key, *self._factors(0, entropy)) % key.modulus)
            for one in ciphertexts
        ]

    def _check_messages(self, messages: Sequence[int]) -> None:
        for message in messages:
            self.public_key.check_message(message)

    def _factors(self, message: int, entropy: Entropy) -> tuple[int, int]:
        """A fresh ciphertext of a message, as arguments of `join`."""
        key, mask = self.public_key, 2**self._window_bits - 1
        exponent = random_bits(self.exponent_bits, entropy)
        product, logarithm = key.arithmetic.integer(1), key.plain_logarithm(key.arithmetic.integer(message))
        for row in self._rows:
            factor, addend = row[exponent & mask]
            product = product * factor % key.modulus
            logarithm += addend
            exponent >>= self._window_bits
        return product, logarithm


def _row(key: PublicKey, base: int, size: int) -> tuple[list[Pair], int]:
    """The powers of a base from 0 to size - 1 as the table keeps them, and the next power, whole."""
    powers = [key.arithmetic.integer(1)]
    for _ in range(size):
        powers.append(powers[-1] * base % key.modulus)
    following = powers.pop()
    return split(key, powers), following
