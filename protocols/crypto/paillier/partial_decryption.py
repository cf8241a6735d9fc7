"""Partial decryptions by a committee's members, and the messages that those of t members give.

Sources: Damgard and Jurik (PKC 2001), the threshold variant; Shoup, Practical threshold signatures (Eurocrypt 2000),
for the integer Lagrange coefficients.  With the key of `threshold` and D = members!, member i sends for each
ciphertext c the number c_i = c^(2 D s_i), and for any set S of t members

    prod over i in S of c_i^(2 L_i) = c^(4 D^2 d) = (1 + n)^(4 D^2 message)   modulo n^(s+1)
    L_i = D * prod over j in S, j != i, of j / (j - i)

where all L_i are integers.  The message is the logarithm to the base 1 + n, over 4 D^2, modulo n^s.  A proof comes
with the numbers of one vector (`decryption_proof`); without it, one wrong number would make the messages wrong, and
no one could tell whose it was.

How long a power takes depends a little on the share: keep the duration from whoever chooses ciphertexts.
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
    """What one member makes of a vector of ciphertexts; t of them together are the messages.

    Attributes:
        values: c_i for each ciphertext, in [1, n^(s+1)).
        proof: That they are right.
    """

    values: tuple[int, ...]
    proof: Proof

    def __repr__(self) -> str:
        return f"PartialDecryption({len(self.values)} values)"

    def to_bytes(self, key: ThresholdKey) -> bytes:
        """The proof and the values, big-endian, of fixed sizes."""
        return self.proof.to_bytes(key) + key.public_key.to_bytes(self.values)

    @classmethod
    def from_bytes(cls, key: ThresholdKey, data: bytes | memoryview, count: int) -> "PartialDecryption":
        """What `to_bytes` wrote for `count` ciphertexts; `check_partial` is to follow.

        Raises:
            InvalidShare: The data has another length, or holds numbers that are out of range or not coprime to n.
        """
        if len(data) != partial_bytes(key, count):
            raise InvalidShare(
                f"a partial decryption of {len(data)} bytes, where {partial_bytes(key, count)} are expected"
            )
        proof = proof_from_bytes(key, data[: proof_bytes(key)])
        try:
            values = key.public_key.from_bytes(data[proof_bytes(key) :], count)
        except InvalidCiphertext as error:
            raise InvalidShare(f"number {error.index} of a partial decryption is out of range: {error}") from error
        return cls(tuple(values), proof)


def partial_bytes(key: ThresholdKey, count: int) -> int:
    """How long a partial decryption of `count` ciphertexts is on the wire."""
    return proof_bytes(key) + count * key.public_key.ciphertext_bytes


def decrypt_partially(
    share: KeyShare, ciphertexts: Sequence[int], *, statement: bytes, entropy: Entropy = os.urandom
) -> PartialDecryption:
    """One member's part of the decryption of a vector, with its proof; on all cores where gmpy2 is installed.

    Whoever has those of t members has the messages, so the caller makes sure that these are to be opened.

    Args:
        share: The member's.
        ciphertexts: At least one, each in [1, n^(s+1)) and coprime to n.
        statement: What this is for, of any length: session, step, what was added up.
        entropy: Where the proof's nonce is drawn from.

    Raises:
        InvalidCiphertext: A ciphertext is none of this key; nothing is decrypted then.
        InputError: There is none.
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
    """Refuse a partial decryption that is not the one by this member, of these ciphertexts, for this statement.

    Args:
        key: The committee's, as the dealer gave it.
        index: The member's, from 1.
        ciphertexts: At least one, each in [1, n^(s+1)) and coprime to n.
        partial: What the member sent.
        statement: As the member should have had it.

    Raises:
        InvalidShare: It is not; `index` repeats the member's.
        InvalidCiphertext: A ciphertext is none of this key, and the member not to blame.
        InputError: There is none.
    """
    _check_ciphertexts(key, ciphertexts)
    _check_values(key, index, partial.values, len(ciphertexts))
    check_proof(key, index, ciphertexts, partial.values, partial.proof, statement=statement)


def combine(key: ThresholdKey, partials: Mapping[int, Sequence[int]]) -> list[int]:
    """The messages, from the values of partial decryptions that `check_partial` has let pass.

    Args:
        key: The committee's.
        partials: The values of at least t members, by index; those of the t smallest indices are used.

    Returns:
        One message in [0, n^s) for each ciphertext.

    Raises:
        TooFewSurvivors: There are fewer than t.
        InvalidShare: There is no such member; values are out of range, not as many as others, or fit no ciphertext.
    """
    if len(partials) < key.threshold:
        raise TooFewSurvivors(f"partial decryptions by {len(partials)} members, where {key.threshold} are needed")
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
            raise InvalidShare("these values are no partial decryptions of one ciphertext")
        messages.append(int(public_key.units.logarithm(unit // public_key.n) * scale % limit))
    return messages


@lru_cache(maxsize=64)
def _lagrange_at_zero(indices: tuple[int, ...], members: int) -> tuple[int, ...]:
    """L_i = members! * prod over j != i of j / (j - i), for each of the indices."""
    factorial = math.factorial(members)
    return tuple(
        factorial
        * math.prod(other for other in indices if other != index)
        // math.prod(other - index for other in indices if other != index)
        for index in indices
    )


def _signed_product(bases: Sequence[int], exponents: Sequence[int], modulus: int) -> int:
    """The product of powers whose exponents may be negative, with one inversion."""
    halves = []
    for sign in (1, -1):
        chosen = [
            (base, sign * exponent) for base, exponent in zip(bases, exponents, strict=True) if sign * exponent > 0
        ]
        halves.append(product_of_powers([base for base, _ in chosen], [exponent for _, exponent in chosen], modulus))
    return halves[0] * pow(halves[1], -1, modulus) % modulus


def _check_ciphertexts(key: ThresholdKey, ciphertexts: Sequence[int]) -> None:
    if not ciphertexts:
        raise InputError("at least one ciphertext is needed")
    key.public_key.check(ciphertexts)


def _check_values(key: ThresholdKey, index: int, values: Sequence[int], count: int) -> None:
    if not is_integer(index) or not 1 <= index <= key.members:
        raise InvalidShare(f"there are members 1 to {key.members}, but no {shown(index)}")
    if len(values) != count:
        raise InvalidShare(f"{len(values)} values by member {index}, where {count} are expected", index=index)
    try:
        key.public_key.check(values)
    except InvalidCiphertext as error:
        raise InvalidShare(f"value {error.index} by member {index} is out of range: {error}", index=index) from error
