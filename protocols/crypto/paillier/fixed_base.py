"""Powers of one fixed unit modulo n^(s+1), from a table of pairs.

The exponent is cut into windows, and the table has every power that the digit of a window can need (Brickell, Gordon,
McCurley and Wilson, Fast exponentiation with precomputation, Eurocrypt 1992, in the plain form of one row for each
window). So a power costs one product for each window and no squaring. Each entry is stored as a pair
(`ciphertext_pairs`): its factor is no longer than n, and its logarithm is only added.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Final

from protocols.crypto.paillier.ciphertext_pairs import Pair, join, split
from protocols.crypto.paillier.public import PublicKey

FURTHER_BITS: Final = 288
FURTHER_WINDOW_BITS: Final = 4


class FixedBase:
    """A base and its table.

    The windows of the first `bits` bits of an exponent are `window_bits` wide. The next `FURTHER_BITS` bits, which only
    proofs need, have windows of at most `FURTHER_WINDOW_BITS`. These windows add few entries, so they cost little to
    make. For the bits above both, powers are computed without a table.

    Args:
        key: The key modulo whose n^(s+1) the base is a unit.
        base: In [1, n^(s+1)), of the key's arithmetic.
        bits: Length in bits of the exponents whose powers must be fast.
        window_bits: Width of the windows of these bits, at least 1.
    """

    __slots__ = ("_above", "_key", "_tables")

    def __init__(self, key: PublicKey, base: int, *, bits: int, window_bits: int) -> None:
        self._key = key
        following = split(key, [base])[0]
        self._tables: list[tuple[int, list[list[Pair]]]] = []
        for covered, width in ((bits, window_bits), (FURTHER_BITS, min(window_bits, FURTHER_WINDOW_BITS))):
            rows = []
            for _ in range(-(-covered // width)):
                row, following = _row(key, following, 2**width)
                rows.append(row)
            self._tables.append((width, rows))
        self._above = key.arithmetic.integer(join(key, *following))

    def power(self, exponent: int) -> tuple[int, int]:
        """Return the base raised to an exponent, which is at least 0, as arguments of `join`."""
        key = self._key
        product, logarithm = key.arithmetic.integer(1), key.arithmetic.integer(0)
        for width, rows in self._tables:
            mask = 2**width - 1
            for row in rows:
                if not exponent:
                    return product, logarithm
                factor, addend = row[exponent & mask]
                product = product * factor % key.modulus
                logarithm += addend
                exponent >>= width
        return product * pow(self._above, exponent, key.modulus) % key.modulus, logarithm


def _row(key: PublicKey, base: Pair, size: int) -> tuple[list[Pair], Pair]:
    """Return the powers of a base from 0 to size - 1, and the next power.

    No number is longer than n^s. A product t of residues is t' + n q with t' below n, so it is t' (1 + n q / t'), and
    the logarithm of the second factor is added to those of the pairs.
    """
    residues, quotients = [key.arithmetic.integer(1)], []
    for _ in range(size):
        quotient, residue = divmod(residues[-1] * base.residue, key.n)
        quotients.append(quotient)
        residues.append(residue)
    pairs, logarithm = [Pair(residues[0], key.arithmetic.integer(0))], key.arithmetic.integer(0)
    inverses = _inverses(key, residues[1:])
    for residue, quotient, inverse in zip(residues[1:], quotients, inverses, strict=True):
        reduced = key.units.logarithm(quotient * inverse % key.message_modulus)
        logarithm = (logarithm + base.logarithm + reduced) % key.message_modulus
        pairs.append(Pair(residue, logarithm))
    return pairs[:-1], pairs[-1]


def _inverses(key: PublicKey, units: Sequence[int]) -> list[int]:
    """Return the inverses modulo n^s, with one inversion for all of them (Montgomery 1987)."""
    products = list(accumulate(units, lambda product, unit: product * unit % key.message_modulus))
    inverse = pow(products[-1], -1, key.message_modulus)
    inverses = []
    for unit, before in zip(reversed(units), [*reversed(products[:-1]), 1], strict=True):
        inverses.append(inverse * before % key.message_modulus)
        inverse = inverse * unit % key.message_modulus
    return inverses[::-1]
