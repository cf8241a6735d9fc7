"""Proofs that a committee member has raised all ciphertexts of a vector to its own key share: one proof a vector.

Sources: Shoup, Practical threshold signatures (Eurocrypt 2000), the proof of correctness, as Damgard and Jurik (PKC
2001) use it; for whole vectors, the small exponents test of Bellare, Garay and Rabin, Fast batch verification for
modular exponentiation and digital signatures (Eurocrypt 1998).

With the names of `threshold` and D = members!, member i has sent c_(i,k) = c_k^(2 D s_i) for the ciphertexts c_1, c_2,
... . A hash of everything (defined below) gives numbers rho_k of 128 bits, and with them

    C = prod c_k^(rho_k),   C_i = prod c_(i,k)^(rho_k),   X = C^(4 D)

The member proves that the logarithms of v_i to the base v, and of C_i^2 to the base X, are one number, its s_i (Chaum
and Pedersen, Wallet databases with observers, Crypto 1992; over the integers). With a random r, it computes a = v^r
and b = X^r, a challenge e of 128 bits as a hash of everything, a and b, and z = r + e s_i. It sends e and z. The
verifier checks that z is in range, and that e is the hash of everything, v^z v_i^(-e) and X^z C_i^(-2e).

- Everything: the fingerprint of the threshold key, which covers n, s, v and all v_i; the member's index; the caller's
  statement, which must name the session and what is opened in it; all c_k and all c_(i,k). This is the strong
  Fiat-Shamir transformation (Bernhard, Pereira and Warinschi, How not to prove yourself, Asiacrypt 2012).
- Soundness: v, v_i, X and C_i^2, and with them a and b, are squares. The squares modulo n^(s+1) are a cyclic group of
  order n^s p' q', which has no prime factor below 2^128. A random square v generates it, except with probability about
  3 / p'. If two challenges could be answered for the same a and b, their difference, below 2^128, would be invertible
  modulo that order, and both logarithms would be equal. So if the logarithms differ, at most one of the 2^128
  challenges can be answered. In the same way, if c_(i,k)^2 is not c_k^(4 D s_i) for some k, at most one value of rho_k,
  given the others, makes the products agree. Therefore a false vector passes with a probability of at most 2^-127 for
  each hash that its maker computes, in the random-oracle model, without any other assumption.
- Numbers of small order: the proof covers only the squares of the c_(i,k). So a member may have multiplied one of them
  by a root of 1, such as -1; its proof covers the changed number and is accepted. A change by anyone else is refused.
  The member's change alters no message, since the combination uses only those squares.
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
    """A partial decryption that is not this member's, not of these ciphertexts, or not for this statement.

    Attributes:
        index: The member's index; None if it is not known.
    """

    def __init__(self, message: str, *, index: int | None = None) -> None:
        super().__init__(message)
        self.index = index


class Proof(NamedTuple):
    """A member's proof, as it is sent.

    Attributes:
        challenge: e, in [0, 2^128).
        response: z, of at most `response_bits(key)` bits.
    """

    challenge: int
    response: int

    def __repr__(self) -> str:
        return f"Proof({CHALLENGE_BITS} bits, {self.response.bit_length()} bits)"

    def to_bytes(self, key: ThresholdKey) -> bytes:
        """Return e and z, big-endian, in fixed sizes."""
        return self.challenge.to_bytes(_CHALLENGE_BYTES, "big") + self.response.to_bytes(_response_bytes(key), "big")


def response_bits(key: ThresholdKey) -> int:
    """Return the largest length of a response in bits: it is r + e s_i, where r has 256 bits more than n^(s+1)."""
    return _share_bits(key) + SURPLUS_BITS + 1


def proof_bytes(key: ThresholdKey) -> int:
    """Return the length of a proof on the wire, in bytes; it does not depend on the length of the vector."""
    return _CHALLENGE_BYTES + _response_bytes(key)


def proof_from_bytes(key: ThresholdKey, data: bytes | memoryview) -> Proof:
    """Return the proof that `Proof.to_bytes` wrote.

    Raises:
        InvalidShare: The data does not have `proof_bytes(key)` bytes, or the response is out of range.
    """
    if len(data) != proof_bytes(key):
        raise InvalidShare(f"proof: expected {proof_bytes(key)} bytes, found {len(data)}")
    proof = Proof(int.from_bytes(data[:_CHALLENGE_BYTES], "big"), int.from_bytes(data[_CHALLENGE_BYTES:], "big"))
    _check_range(key, proof, None)
    return proof


def prove(
    share: KeyShare, ciphertexts: Sequence[int], values: Sequence[int], *, statement: bytes, entropy: Entropy
) -> Proof:
    """Return the proof that the values are the partial decryptions of checked ciphertexts with this key share.

    Args:
        share: The member's key share.
        ciphertexts: c_k, at least one.
        values: c_(i,k), one for each ciphertext.
        statement: What the decryption is for, of any length.
        entropy: Source of r.
    """
    key = share.key
    transcript = _transcript(key, share.index, statement, ciphertexts, values)
    bases = _bases(key, ciphertexts, _weights(transcript, len(ciphertexts)))
    nonce = _nonce(share, transcript, entropy)
    commitments = key.public_key.arithmetic.powers(bases, nonce, key.public_key.modulus)
    challenge = _challenge(key, transcript, commitments)
    return Proof(challenge, nonce + challenge * share.reveal())


def _nonce(share: KeyShare, transcript: bytes, entropy: Entropy) -> int:
    """Return r: it is as random as the entropy, and if the entropy repeats, it still differs for each transcript.

    Two proofs with one nonce would reveal the key share, which is used in all sessions.
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
    """Raise an error unless the proof shows that the values are this member's partial decryptions.

    Args:
        key: The committee's key, as the dealer gave it.
        index: The member's index, in [1, members].
        ciphertexts: c_k, at least one, checked.
        values: c_(i,k), one for each ciphertext, checked.
        proof: The proof that the member sent.
        statement: The statement that the member should have used.

    Raises:
        InvalidShare: The proof does not hold for these ciphertexts and this statement; `index` is the member's index.
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
    """Return a hash of everything that a proof is about; each part has a fixed length or is preceded by its length."""
    hashed = hashlib.sha512(b"secagg partial decryption v1\n" + key.fingerprint + bytes([index]))
    hashed.update(len(statement).to_bytes(_COUNT_BYTES, "big") + statement)
    hashed.update(len(values).to_bytes(_COUNT_BYTES, "big"))
    hashed.update(key.public_key.to_bytes(ciphertexts))
    hashed.update(key.public_key.to_bytes(values))
    return hashed.digest()


def _weights(transcript: bytes, count: int) -> list[int]:
    """Return the numbers rho_k, in [0, 2^128)."""
    stream = hashlib.shake_256(b"secagg partial decryption weights v1\n" + transcript).digest(count * _CHALLENGE_BYTES)
    return [
        int.from_bytes(stream[start : start + _CHALLENGE_BYTES], "big")
        for start in range(0, len(stream), _CHALLENGE_BYTES)
    ]


def _challenge(key: ThresholdKey, transcript: bytes, commitments: Sequence[int]) -> int:
    """Return the challenge e, in [0, 2^128); rho_k, C and C_i follow from the transcript."""
    hashed = hashlib.sha512(b"secagg partial decryption challenge v1\n" + transcript)
    hashed.update(key.public_key.to_bytes(commitments))
    return int.from_bytes(hashed.digest()[:_CHALLENGE_BYTES], "big")


def _bases(key: ThresholdKey, ciphertexts: Sequence[int], weights: Sequence[int]) -> list[int]:
    """Return v and X, which a proof raises to the same exponent."""
    modulus = key.public_key.modulus
    product = product_of_powers(ciphertexts, weights, modulus)
    base = key.public_key.arithmetic.integer(key.verification_base)
    return [base, pow(product, 4 * math.factorial(key.members), modulus)]


def _check_range(key: ThresholdKey, proof: Proof, index: int | None) -> None:
    for number, bits in zip(proof, (CHALLENGE_BITS, response_bits(key)), strict=True):
        if not is_integer(number) or number < 0 or number.bit_length() > bits:
            raise InvalidShare(
                f"challenge and response: expected [0, 2^128) and [0, 2^{response_bits(key)}), found one outside",
                index=index,
            )


def _share_bits(key: ThresholdKey) -> int:
    return int(key.public_key.modulus.bit_length())


def _response_bytes(key: ThresholdKey) -> int:
    return -(-response_bits(key) // 8)
