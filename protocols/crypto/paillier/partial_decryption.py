"""Partial decryptions by a committee's members, and the messages that t of them determine.

Sources: Damgard and Jurik (PKC 2001), the threshold variant; Shoup, Practical threshold signatures (Eurocrypt 2000),
for the integer Lagrange coefficients. With the key of `threshold` and D = members!, member i sends for each
ciphertext c the number c_i = c^(2 D s_i), and for any set S of t members

    prod over i in S of c_i^(2 L_i) = c^(4 D^2 d) = (1 + n)^(4 D^2 message)   modulo n^(s+1)
    L_i = D * prod over j in S, j != i, of j / (j - i)

where all L_i are integers. The message is the logarithm to the base 1 + n, over 4 D^2, modulo n^s. The member sends a
proof with the numbers of one vector (`decryption_proof`). Without it, one wrong number would make the messages wrong,
and nobody could tell which member sent it.

The duration of a power depends slightly on the key share: do not let anyone who chooses ciphertexts learn it.
"""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from protocols.crypto.entropy import Entropy
from protocols.crypto.integers import is_integer, shown
from protocols.crypto.paillier.decryption_proof import (
    InvalidShare,
    Proof,
    check_proof,
    proof_bytes,
    proof_from_bytes,
    prove,
)
from protocols.crypto.paillier.public import InvalidCiphertext
from protocols.crypto.paillier.threshold import KeyShare, ThresholdKey
from protocols.crypto.products import product_of_powers
from protocols.errors import InputError, TooFewSurvivors

__all__ = ["InvalidShare", "PartialDecryption", "check_partial", "combine", "decrypt_partially", "partial_bytes"]


@dataclass(frozen=True, slots=True, repr=False)
class PartialDecryption:
    """One member's part of the decryption of a vector of ciphertexts; the parts of t members give the messages.

    Attributes:
        values: c_i for each ciphertext, in [1, n^(s+1)).
        proof: Proof that the values are right.
    """

    values: tuple[int, ...]
    proof: Proof

    def __repr__(self) -> str:
        return f"PartialDecryption({len(self.values)} values)"

    def to_bytes(self, key: ThresholdKey) -> bytes:
        """Return the proof and the values, big-endian, in fixed sizes."""
        return self.proof.to_bytes(key) + key.public_key.to_bytes(self.values)

    @classmethod
    def from_bytes(cls, key: ThresholdKey, data: bytes | memoryview, count: int) -> "PartialDecryption":
        """Return the partial decryption that `to_bytes` wrote for `count` ciphertexts.

        The proof is not checked: call `check_partial` before you use the values.

        Raises:
            InvalidShare: The data has another length, or contains numbers that are out of range or not coprime to n.
        """
        if len(data) != partial_bytes(key, count):
            raise InvalidShare(f"partial decryption: expected {partial_bytes(key, count)} bytes, found {len(data)}")
        proof = proof_from_bytes(key, data[: proof_bytes(key)])
        try:
            values = key.public_key.from_bytes(data[proof_bytes(key) :], count)
        except InvalidCiphertext as error:
            raise InvalidShare(f"number {error.index} of a partial decryption is out of range: {error}") from error
        return cls(tuple(values), proof)


def partial_bytes(key: ThresholdKey, count: int) -> int:
    """Return the length of a partial decryption of `count` ciphertexts on the wire, in bytes."""
    return proof_bytes(key) + count * key.public_key.ciphertext_bytes


def decrypt_partially(
    share: KeyShare, ciphertexts: Sequence[int], *, statement: bytes, entropy: Entropy = os.urandom
) -> PartialDecryption:
    """Return one member's part of the decryption of a vector, with its proof; computed on all cores with gmpy2.

    Anyone who has the parts of t members has the messages. So the caller must make sure that these messages may be
    opened.

    Args:
        share: The member's key share.
        ciphertexts: At least one ciphertext, each in [1, n^(s+1)) and coprime to n.
        statement: What the decryption is for, of any length: the session, the step, and what was added up.
        entropy: Source of the proof's nonce.

    Raises:
        InvalidCiphertext: A number is not a ciphertext of this key; nothing is decrypted then.
        InputError: There are no ciphertexts.
    """
    key = share.key
    _check_ciphertexts(key, ciphertexts)
    computing = key.public_key.arithmetic
    exponent = 2 * math.factorial(key.members) * share.reveal()
    powers = computing.powers([computing.integer(one) for one in ciphertexts], exponent, key.public_key.modulus)
    values = tuple(int(power) for power in powers)
    return PartialDecryption(values, prove(share, ciphertexts, values, statement=statement, entropy=entropy))


def check_partial(
    key: ThresholdKey, index: int, ciphertexts: Sequence[int], partial: PartialDecryption, *, statement: bytes
) -> None:
    """Raise an error unless a partial decryption is this member's, of these ciphertexts, for this statement.

    Args:
        key: The committee's key, as the dealer gave it.
        index: The member's index, from 1.
        ciphertexts: At least one ciphertext, each in [1, n^(s+1)) and coprime to n.
        partial: The partial decryption that the member sent.
        statement: The statement that the member should have used.

    Raises:
        InvalidShare: The partial decryption is another one; `index` is the member's index.
        InvalidCiphertext: A number is not a ciphertext of this key; the member is not at fault.
        InputError: There are no ciphertexts.
    """
    _check_ciphertexts(key, ciphertexts)
    _check_values(key, index, partial.values, len(ciphertexts))
    check_proof(key, index, ciphertexts, partial.values, partial.proof, statement=statement)


def combine(key: ThresholdKey, partials: Mapping[int, Sequence[int]]) -> list[int]:
    """Return the messages, from the values of partial decryptions that `check_partial` has accepted.

    Args:
        key: The committee's key.
        partials: The values of at least t members, by index; those of the t smallest indices are used.

    Returns:
        One message in [0, n^s) for each ciphertext.

    Raises:
        TooFewSurvivors: There are partial decryptions by fewer than t members.
        InvalidShare: A member does not exist; values are out of range, differ in number between members, or are not
            partial decryptions of one ciphertext.
    """
    if len(partials) < key.threshold:
        raise TooFewSurvivors(f"partial decryptions: expected {key.threshold} members or more, found {len(partials)}")
    for index, values in partials.items():
        _check_values(key, index, values, len(next(iter(partials.values()))))
    indices = tuple(sorted(partials)[: key.threshold])
    exponents = [2 * coefficient for coefficient in _lagrange_at_zero(indices, key.members)]
    public_key = key.public_key
    integer, limit = public_key.arithmetic.integer, public_key.message_modulus
    scale = pow(public_key.plain_logarithm(integer(4 * math.factorial(key.members) ** 2)), -1, limit)
    messages = []
    for values in zip(*(partials[index] for index in indices), strict=True):
        unit = _signed_product(values, exponents, public_key.modulus)
        if unit % public_key.n != 1:
            raise InvalidShare(
                "partial decryptions: expected those of one ciphertext, found values that do not belong together"
            )
        messages.append(int(public_key.units.logarithm(unit // public_key.n) * scale % limit))
    return messages


@lru_cache(maxsize=64)
def _lagrange_at_zero(indices: tuple[int, ...], members: int) -> tuple[int, ...]:
    """Return L_i = members! * prod over j != i of j / (j - i), for each of the indices."""
    factorial = math.factorial(members)
    return tuple(
        factorial
        * math.prod(other for other in indices if other != index)
        // math.prod(other - index for other in indices if other != index)
        for index in indices
    )


def _signed_product(bases: Sequence[int], exponents: Sequence[int], modulus: int) -> int:
    """Return the product of powers whose exponents may be negative, with one inversion."""
    halves = []
    for sign in (1, -1):
        chosen = [
            (base, sign * exponent) for base, exponent in zip(bases, exponents, strict=True) if sign * exponent > 0
        ]
        halves.append(product_of_powers([base for base, _ in chosen], [exponent for _, exponent in chosen], modulus))
    return halves[0] * pow(halves[1], -1, modulus) % modulus


def _check_ciphertexts(key: ThresholdKey, ciphertexts: Sequence[int]) -> None:
    if not ciphertexts:
        raise InputError("ciphertexts: expected at least one, found none")
    key.public_key.check(ciphertexts)


def _check_values(key: ThresholdKey, index: int, values: Sequence[int], count: int) -> None:
    if not is_integer(index) or not 1 <= index <= key.members:
        raise InvalidShare(f"member: expected an index from 1 to {key.members}, found {shown(index)}")
    if len(values) != count:
        raise InvalidShare(f"values by member {index}: expected {count}, found {len(values)}", index=index)
    try:
        key.public_key.check(values)
    except InvalidCiphertext as error:
        raise InvalidShare(f"value {error.index} by member {index} is out of range: {error}", index=index) from error
