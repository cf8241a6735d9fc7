"""Proofs that a member of a committee has raised all ciphertexts of a vector to its own share: one for the vector.

Sources: Shoup, Practical threshold signatures (Eurocrypt 2000), the proof of correctness, as Damgard and Jurik (PKC
2001) use it; for whole vectors, the small exponents test of Bellare, Garay and Rabin, Fast batch verification for
modular exponentiation and digital signatures (Eurocrypt 1998).

With the names of `threshold` and D = members!, member i has sent c_(i,k) = c_k^(2 D s_i) for the ciphertexts c_1, c_2,
... .  A hash of everything (below) gives numbers rho_k of 128 bits, and these

    C = prod c_k^(rho_k),   C_i = prod c_(i,k)^(rho_k),   X = C^(4 D)

The member proves that the logarithms of v_i to the base v, and of C_i^2 to the base X, are one number, its s_i (Chaum
and Pedersen, Wallet databases with observers, Crypto 1992; over the integers): with a random r, it computes a = v^r
and b = X^r, a challenge e of 128 bits as a hash of everything, a and b, and z = r + e s_i.  It sends e and z.  Checked
is that z is in range, and that e is the hash of everything, v^z v_i^(-e) and X^z C_i^(-2e).

- Everything: the fingerprint of the threshold key, which covers n, s, v and all v_i; the member's index; the caller's
  statement, which is to name the session, and what is opened in it; all c_k and all c_(i,k).  This is the strong
  Fiat-Shamir transformation (Bernhard, Pereira and Warinschi, How not to prove yourself, Asiacrypt 2012).
- Soundness: v, v_i, X and C_i^2, and with them a and b, are squares.  The squares modulo n^(s+1) are a cyclic group of
  order n^s p' q', which has no prime factor below 2^128, and v generates it, but for about three v in p'.  If two
  challenges could be answered for the same a and b, their difference, below 2^128, would be invertible modulo that
  order, and both logarithms equal; so for different ones, at most one of the 2^128 challenges can be answered.  In the
  same way, where c_(i,k)^2 is not c_k^(4 D s_i) for some k, at most one value of rho_k, given the others, makes the
  products agree.  A false vector therefore passes with a probability of at most 2^-127 for each hash that its maker
  computes, in the random-oracle model, without any other assumption.
- Numbers of small order: only the squares of the c_(i,k) are proven, so a member may have multiplied one by a root of
  1, such as -1.  Its proof covers the changed number and is accepted; anyone else's change is refused.  It changes no
  message, since the combination uses those squares alone.
- Secrecy: r has 256 bits more than the bound n^(s+1) on s_i, and e has 128, so z is within 2^-128 of a distribution
  that does not depend on s_i.
"""

import hashlib
import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from protocols.crypto.entropy import Entropy
from protocols.crypto.integers import is_integer, random_bits
from protocols.crypto.paillier.threshold import KeyShare, ThresholdKey
from protocols.crypto.products import product_of_powers
from protocols.errors import ProtocolError

CHALLENGE_BITS: Final = 128
SURPLUS_BITS: Final = 256

_CHALLENGE_BYTES = CHALLENGE_BITS // 8
_COUNT_BYTES = 8


class InvalidShare(ProtocolError, ValueError):
    """A partial decryption that is none of these ciphertexts, by this member, for this statement.

    Attributes:
        index: The member's; None where it is not known.
    """

    def __init__(self, message: str, *, index: int | None = None) -> None:
        super().__init__(message)
        self.index = index


class Proof(NamedTuple):
    """What a member sends.

    Attributes:
        challenge: e, in [0, 2^128).
        response: z, of at most `response_bits(key)` bits.
    """

    challenge: int
    response: int

    def __repr__(self) -> str:
        return f"Proof({CHALLENGE_BITS} bits, {self.response.bit_length()} bits)"

    def to_bytes(self, key: ThresholdKey) -> bytes:
        """E and z, big-endian, of fixed sizes."""
        return self.challenge.to_bytes(_CHALLENGE_BYTES, "big") + self.response.to_bytes(_response_bytes(key), "big")


def response_bits(key: ThresholdKey) -> int:
    """How long a response is at most: r + e s_i, where r has 256 bits more than n^(s+1)."""
    return _share_bits(key) + SURPLUS_BITS + 1


def proof_bytes(key: ThresholdKey) -> int:
    """How long a proof is on the wire, however long the vector is."""
    return _CHALLENGE_BYTES + _response_bytes(key)


def proof_from_bytes(key: ThresholdKey, data: bytes | memoryview) -> Proof:
    """What `Proof.to_bytes` wrote.

    Raises:
        InvalidShare: The data has another length than `proof_bytes`, or the response is out of range.
    """
    if len(data) != proof_bytes(key):
        raise InvalidShare(f"a proof of {len(data)} bytes, where {proof_bytes(key)} are expected")
    proof = Proof(int.from_bytes(data[:_CHALLENGE_BYTES], "big"), int.from_bytes(data[_CHALLENGE_BYTES:], "big"))
    _check_range(key, proof, None)
    return proof


def prove(
    share: KeyShare, ciphertexts: Sequence[int], values: Sequence[int], *, statement: bytes, entropy: Entropy
) -> Proof:
    """The proof that the values are the partial decryptions of checked ciphertexts with this share.

    Args:
        share: The member's.
        ciphertexts: c_k, at least one.
        values: c_(i,k), as many.
        statement: Of any length.
        entropy: Where r is drawn from.
    """
    key = share.key
    transcript = _transcript(key, share.index, statement, ciphertexts, values)
    bases = _bases(key, ciphertexts, _weights(transcript, len(ciphertexts)))
    nonce = _nonce(share, transcript, entropy)
    commitments = key.public_key.arithmetic.powers(bases, nonce, key.public_key.modulus)
    challenge = _challenge(key, transcript, commitments)
    return Proof(challenge, nonce + challenge * share.reveal())


def _nonce(share: KeyShare, transcript: bytes, entropy: Entropy) -> int:
    """r: as random as the entropy; and where that comes twice, still another one for each transcript.

    Two proofs with one nonce would give the share away, which outlives all sessions.
    """
    bits = _share_bits(share.key) + SURPLUS_BITS
    mask = hashlib.shake_256(b"secagg partial decryption nonce v1\n" + share.to_bytes() + transcript)
    return random_bits(bits, entropy) ^ int.from_bytes(mask.digest(bits // 8), "big")


def check_proof(
    key: ThresholdKey,
    index: int,
    ciphertexts: Sequence[int],
    values: Sequence[int],
    proof: Proof,
    *,
    statement: bytes,
) -> None:
    """Refuse values that are not proven to be this member's partial decryptions of these ciphertexts.

    Args:
        key: The committee's, as the dealer gave it.
        index: The member's, in [1, members].
        ciphertexts: c_k, at least one, checked.
        values: c_(i,k), as many, checked.
        proof: What the member sent.
        statement: As the member should have had it.

    Raises:
        InvalidShare: They are not; `index` repeats the member's.
    """
    _check_range(key, proof, index)
    modulus = key.public_key.modulus
    transcript = _transcript(key, index, statement, ciphertexts, values)
    weights = _weights(transcript, len(ciphertexts))
    product = product_of_powers(values, weights, modulus)
    powers = key.public_key.arithmetic.powers(_bases(key, ciphertexts, weights), proof.response, modulus)
    images = key.public_key.arithmetic.integer(key.verification_keys[index - 1]), product * product % modulus
    commitments = [
        power * pow(image, -proof.challenge, modulus) % modulus for power, image in zip(powers, images, strict=True)
    ]
    if _challenge(key, transcript, commitments) != proof.challenge:
        raise InvalidShare(f"the partial decryption by member {index} does not fit its proof", index=index)


def _transcript(
    key: ThresholdKey, index: int, statement: bytes, ciphertexts: Sequence[int], values: Sequence[int]
) -> bytes:
    """A hash of everything that a proof is about; each part has a fixed length, or its length before it."""
    hashed = hashlib.sha512(b"secagg partial decryption v1\n" + key.fingerprint + bytes([index]))
    hashed.update(len(statement).to_bytes(_COUNT_BYTES, "big") + statement)
    hashed.update(len(values).to_bytes(_COUNT_BYTES, "big"))
    hashed.update(key.public_key.to_bytes(ciphertexts))
    hashed.update(key.public_key.to_bytes(values))
    return hashed.digest()


def _weights(transcript: bytes, count: int) -> list[int]:
    """The numbers rho_k, in [0, 2^128)."""
    stream = hashlib.shake_256(b"secagg partial decryption weights v1\n" + transcript).digest(count * _CHALLENGE_BYTES)
    return [
        int.from_bytes(stream[start : start + _CHALLENGE_BYTES], "big")
        for start in range(0, len(stream), _CHALLENGE_BYTES)
    ]


def _challenge(key: ThresholdKey, transcript: bytes, commitments: Sequence[int]) -> int:
    """The challenge e, in [0, 2^128); rho_k, C and C_i follow from the transcript."""
    hashed = hashlib.sha512(b"secagg partial decryption challenge v1\n" + transcript)
    hashed.update(key.public_key.to_bytes(commitments))
    return int.from_bytes(hashed.digest()[:_CHALLENGE_BYTES], "big")


def _bases(key: ThresholdKey, ciphertexts: Sequence[int], weights: Sequence[int]) -> list[int]:
    """V and X, which a proof raises to the same exponent."""
    modulus = key.public_key.modulus
    product = product_of_powers(ciphertexts, weights, modulus)
    base = key.public_key.arithmetic.integer(key.verification_base)
    return [base, pow(product, 4 * math.factorial(key.members), modulus)]


def _check_range(key: ThresholdKey, proof: Proof, index: int | None) -> None:
    for number, bits in zip(proof, (CHALLENGE_BITS, response_bits(key)), strict=True):
        if not is_integer(number) or number < 0 or number.bit_length() > bits:
            raise InvalidShare(
                f"challenge and response must be in [0, 2^128) and [0, 2^{response_bits(key)})", index=index
            )


def _share_bits(key: ThresholdKey) -> int:
    return int(key.public_key.modulus.bit_length())


def _response_bytes(key: ThresholdKey) -> int:
    return -(-response_bits(key) // 8)
