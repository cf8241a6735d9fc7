"""Ciphertexts as pairs, which are added at less than half of the cost, and checked at half.

Every unit c modulo n^(s+1) is t * exp(n * L) for exactly one t in [1, n), namely c modulo n, and one L in [0, n^s),
since c / t is 1 modulo n (`one_units`). Both together are as long as c. A product of ciphertexts is the product of all
t, modulo n^(s+1), times the exponential of n times the sum of all L: one factor of the size of n for each ciphertext,
and one exponential for all. Every pair in range whose t is coprime to n is a ciphertext, so the batch check tests only
that. This form is not part of any standard; `join` returns the usual one.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from protocols.crypto.paillier.public import InvalidCiphertext, PublicKey


class Pair(NamedTuple):
    """One ciphertext, in integers of the key's arithmetic.

    Attributes:
        residue: t, in [1, n), coprime to n.
        logarithm: L, in [0, n^s).
    """

    residue: int
    logarithm: int

    def __repr__(self) -> str:
        return f"Pair({self.residue.bit_length()} bits, {self.logarithm.bit_length()} bits)"


def split(key: PublicKey, ciphertexts: Sequence[int]) -> list[Pair]:
    """Return the pairs of checked ciphertexts, with one inversion for all of them (Montgomery 1987)."""
    residues = [key.arithmetic.integer(one) % key.n for one in ciphertexts]
    products = [key.arithmetic.integer(1)]
    for residue in residues:
        products.append(products[-1] * residue % key.message_modulus)
    inverse = pow(products[-1], -1, key.message_modulus)
    pairs = []
    for ciphertext, residue, product in zip(
        reversed(ciphertexts), reversed(residues), reversed(products[:-1]), strict=True
    ):
        quotient = (ciphertext - residue) // key.n * (inverse * product % key.message_modulus)
        pairs.append(Pair(residue, key.units.logarithm(quotient % key.message_modulus)))
        inverse = inverse * residue % key.message_modulus
    return pairs[::-1]


def join(key: PublicKey, product: int, logarithm: int) -> int:
    """Return the ciphertext product * exp(n * logarithm), in [1, n^(s+1)).

    Args:
        key: The key of the ciphertext.
        product: A unit modulo n^(s+1).
        logarithm: At least 0.
    """
    tail = key.units.exponential(logarithm % key.message_modulus)
    return int((product + key.n * (product * tail % key.message_modulus)) % key.modulus)


def pair_bytes(key: PublicKey) -> int:
    """Return the length of one pair on the wire, in bytes."""
    return sum(_sizes(key))


def to_bytes(key: PublicKey, pairs: Sequence[Pair]) -> bytes:
    """Return pairs one after the other, each as its residue and its logarithm, big-endian, in fixed sizes."""
    head, tail = _sizes(key)
    return b"".join(
        int(pair.residue).to_bytes(head, "big") + int(pair.logarithm).to_bytes(tail, "big") for pair in pairs
    )


def from_bytes(key: PublicKey, data: bytes | memoryview, count: int) -> list[Pair]:
    """Return the pairs that `to_bytes` wrote, after checking them.

    Raises:
        InvalidCiphertext: The data does not have the length of `count` pairs, or a pair is out of range or has a
            residue that shares a factor with n; `index` says which pair.
    """
    head, tail = _sizes(key)
    if len(data) != count * (head + tail):
        raise InvalidCiphertext(f"{count} ciphertexts: expected {count * (head + tail)} bytes, found {len(data)}")
    pairs, product = [], key.arithmetic.integer(1)
    for index in range(count):
        start = index * (head + tail)
        residue = key.arithmetic.integer(int.from_bytes(data[start : start + head], "big"))
        logarithm = key.arithmetic.integer(int.from_bytes(data[start + head : start + head + tail], "big"))
        if not 1 <= residue < key.n or logarithm >= key.message_modulus:
            raise InvalidCiphertext(
                f"a ciphertext: expected a pair below n and n^{key.s}, found a larger number or a residue of 0",
                index=index,
            )
        product = product * residue % key.n
        pairs.append(Pair(residue, logarithm))
    if math.gcd(product, key.n) != 1:
        index = next(at for at, pair in enumerate(pairs) if math.gcd(pair.residue, key.n) != 1)
        raise InvalidCiphertext(
            "a ciphertext: expected one that is coprime to n, found one with a common factor", index=index
        )
    return pairs


class Total:
    """A running sum of vectors of ciphertexts; it starts as encryptions of 0 that hide nothing.

    Args:
        key: The key of the ciphertexts.
        count: Number of ciphertexts in each vector.
    """

    __slots__ = ("_key", "_logarithms", "_products")

    def __init__(self, key: PublicKey, count: int) -> None:
        self._key = key
        self._products = [key.arithmetic.integer(1)] * count
        self._logarithms = [key.arithmetic.integer(0)] * count

    def add(self, pairs: Sequence[Pair]) -> None:
        """Add a vector of pairs, which come from `from_bytes` or from an encryptor under the same key.

        Raises:
            ValueError: The vector has another length; nothing is added then.
        """
        if len(pairs) != len(self._products):
            raise ValueError(f"pairs: expected {len(self._products)} ciphertexts, found {len(pairs)}")
        modulus = self._key.modulus
        for index, (residue, logarithm) in enumerate(pairs):
            self._products[index] = self._products[index] * residue % modulus
            self._logarithms[index] += logarithm

    def ciphertexts(self) -> list[int]:
        """Return the sum as usual ciphertexts; re-randomise them before anyone else sees them."""
        return [
            join(self._key, product, logarithm)
            for product, logarithm in zip(self._products, self._logarithms, strict=True)
        ]


def _sizes(key: PublicKey) -> tuple[int, int]:
    """Return the lengths of a residue and of a logarithm, in bytes."""
    return -(-key.n.bit_length() // 8), -(-key.message_modulus.bit_length() // 8)
