"""Proofs that the maker of ciphertexts knows their plaintexts: one proof a vector, and many proofs checked at once.

Sources: Cramer, Damgard and Nielsen, Multiparty computation from threshold homomorphic encryption (Eurocrypt 2001), has
the proof for one Paillier ciphertext. A vector is proven by a random combination of its ciphertexts, and many vectors
are checked by a random combination of their equations, as in the small exponents test of Bellare, Garay and Rabin, Fast
batch verification for modular exponentiation and digital signatures (Eurocrypt 1998).

Adversary: anyone who sees honest clients' ciphertexts before sending its own. Ciphertexts can be added, and multiplied
by numbers. Without a proof, the adversary could send 2^20 times another client's plaintext and read that plaintext from
the opened sum.

For ciphertexts c_j = (1 + n)^(m_j) H^(a_j), H = h^(n^s), a_j below 2^r, j = 1..k, the prover sends, besides them,

    A = (1 + n)^x H^b,   x random below n^s,   b random below 2^(r + 256) k', k' = k rounded up to a power of 2
    e_1, ..., e_k = hash(everything, A), of 128 bits each
    z = x + sum of e_j m_j modulo n^s,   w = b + sum of e_j a_j

The verifier checks that z and w are in range, and that (1 + n)^z H^w and A times the product of c_j^(e_j) have the same
square.

- Everything: the key's fingerprint, h, r, the statement, k and all c_j, so it is the strong Fiat-Shamir transformation
  of Bernhard, Pereira and Warinschi (How not to prove yourself, Asiacrypt 2012). The caller chooses the statement. It
  must name the session, the sender, and anything else that must not be altered. Ciphertexts and A are hashed as pairs.
- Knowledge: a prover that is run again with another e_j, by d, and the same other challenges gives, from the quotient
  of both equations, c_j^d = u (1 + n)^(z - z') H^(w - w') for a u with u^2 = 1. H and u encrypt 0 (their order is
  coprime to n), so d m_j = z - z' modulo n^s, and d, below 2^128, is invertible: both primes are longer. So this finds
  every m_j modulo n^s, but neither u nor a_j.
- Why squares, and why they are enough: u changes no message, as said, and a batch cannot tell a u from 1 if its
  exponent is even. With squares, the check of one proof and the check of a batch accept the same proofs.
- Zero knowledge: given random e_j, z is uniform, and w is within 2^-128 of being uniform below 2^(r + 256) k', whatever
  the messages; A follows from these. A random oracle can be programmed to answer with the e_j.
- Not malleable: encryption with such a proof is non-malleable under chosen plaintexts (Bernhard, Pereira and
  Warinschi). This notion allows one decryption of many ciphertexts at once, chosen after the honest ones were seen: the
  opening of a session. For one A and e there is no second answer in range: equal squares need equal z, and two w
  that differ by a multiple of the order of H^2, which is longer than any w; so proofs cannot be altered (Faust,
  Kohlweiss, Marson and Venturi, On the non-malleability of the Fiat-Shamir transform, Indocrypt 2012). Security is not
  shown if later honest ciphertexts depend on many earlier openings under one key: extraction by running again does not
  carry over (Bernhard, Fischlin and Warinschi, Adaptive proofs of knowledge in the random oracle model, PKC 2015).
- The base: H always belongs to the key. If the prover could choose H, it could choose another client's ciphertext, and
  "the message 0 with exponent 1" would be a proof about that ciphertext. An `Encryptor` raises its h to n^s itself, so
  its H encrypts 0, no matter what h is.
- Batches: each proof's equation, squared, is raised to a random number of 80 bits that provers cannot know (the first
  is raised to 1, which is enough), and the product of all is checked. If n is a product of safe primes, as a
  committee's key is, the order of the squares has no prime factor below 2^80. Then an equation that does not hold lets
  the product hold with a probability of 2^-80. For other keys, the batch is only as reliable as it is hard to find
  numbers of small order. If the batch fails, each proof is checked alone.

The check of one proof alone is exact. Like encryption, proving is not constant in time.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from protocols.crypto.entropy import Entropy
from protocols.crypto.integers import random_below, random_bits
from protocols.crypto.paillier.ciphertext_pairs import Pair, from_bytes, join, to_bytes
from protocols.crypto.paillier.encryptor import Encryptor, Exponents
from protocols.crypto.paillier.public import InvalidCiphertext, PublicKey
from protocols.crypto.products import product_of_powers
from protocols.errors import InputError, ProtocolError

CHALLENGE_BITS: Final = 128
HIDING_BITS: Final = 128
WEIGHT_BITS: Final = 80

_LABEL = b"secagg plaintext proof v1\n"
_CHALLENGE_BYTES = CHALLENGE_BITS // 8
_SHOWN = 10


class InvalidProof(ProtocolError, ValueError):
    """Bytes that do not prove that the sender knows the plaintexts.

    Attributes:
        indices: Positions of the false proofs among those checked together; (0,) if one was checked alone.
    """

    def __init__(self, message: str, *, indices: tuple[int, ...]) -> None:
        super().__init__(message)
        self.indices = indices


@dataclass(frozen=True, slots=True, repr=False)
class Sealed:
    """Ciphertexts whose maker knows their plaintexts.

    Attributes:
        pairs: The ciphertexts.
        proof: `proof_bytes` bytes.
    """

    pairs: list[Pair]
    proof: bytes


class Claim(NamedTuple):
    """One sender's claim to know the plaintexts of its ciphertexts.

    Attributes:
        pairs: At least one ciphertext, from `ciphertext_pairs.from_bytes`.
        proof: The proof that came with the ciphertexts.
        statement: The statement for which the proof must have been made.
    """

    pairs: Sequence[Pair]
    proof: bytes | memoryview
    statement: bytes

    def __repr__(self) -> str:
        return f"Claim({len(self.pairs)} ciphertexts)"


class _Proof(NamedTuple):
    """A proof as read from its bytes, with its challenges.

    Attributes:
        pairs: The ciphertexts, followed by A.
        challenges: e of each ciphertext, followed by 1 for A.
        message_response: z.
        exponent_response: w.
    """

    pairs: Sequence[Pair]
    challenges: Sequence[int]
    message_response: int
    exponent_response: int

    def __repr__(self) -> str:
        return f"_Proof({len(self.pairs)} ciphertexts)"


def proof_bytes(public_key: PublicKey, exponents: Exponents, count: int) -> int:
    """Return the length of the proof for `count` ciphertexts, in bytes."""
    return sum(_sizes(public_key, exponents.bits(public_key), count))


def seal(encryptor: Encryptor, messages: Sequence[int], *, statement: bytes, entropy: Entropy = os.urandom) -> Sealed:
    """Encrypt messages, and prove knowledge of them.

    Args:
        encryptor: An encryptor with the base that all verifiers use.
        messages: At least one, in [0, n^s).
        statement: What the ciphertexts are for; see the module's docstring.
        entropy: Source of all exponents. Two proofs from the same entropy reveal the messages.

    Raises:
        InputError: There is no message, or one is out of range; nothing is encrypted then.
    """
    if not messages:
        raise InputError("messages: expected at least one, found none")
    key, count = encryptor.public_key, len(messages)
    for message in messages:
        key.check_message(message)
    exponents = [encryptor.exponent(entropy) for _ in messages]
    hidden = random_below(int(key.message_modulus), entropy)
    hiding = random_bits(_hiding_bits(encryptor.exponent_bits, count), entropy)
    *pairs, commitment = encryptor.encrypt_pairs_with([*messages, hidden], [*exponents, hiding])
    challenges = _challenges(encryptor, statement, pairs, commitment)
    message_response = hidden + sum(e * message for e, message in zip(challenges, messages, strict=True))
    exponent_response = hiding + sum(e * exponent for e, exponent in zip(challenges, exponents, strict=True))
    _, message_size, exponent_size = _sizes(key, encryptor.exponent_bits, count)
    proof = b"".join(
        (
            to_bytes(key, [commitment]),
            int(message_response % key.message_modulus).to_bytes(message_size, "big"),
            exponent_response.to_bytes(exponent_size, "big"),
        )
    )
    return Sealed(pairs, proof)


def check(verifier: Encryptor, pairs: Sequence[Pair], proof: bytes | memoryview, *, statement: bytes) -> None:
    """Raise an error unless the proof shows that the sender knows the plaintexts.

    Args:
        verifier: An encryptor with the base, and the length of exponents, that the sender must have used.
        pairs: At least one ciphertext, from `ciphertext_pairs.from_bytes`.
        proof: The proof that came with the ciphertexts.
        statement: The statement for which the proof must have been made.

    Raises:
        InvalidProof: The proof is not one for these ciphertexts, this statement and this base.
        InputError: There are no ciphertexts.
    """
    if not _holds(verifier, [_read(verifier, Claim(pairs, proof, statement), 0)], [1]):
        raise InvalidProof(
            "the proof does not hold for these ciphertexts, or was made for something else", indices=(0,)
        )


def check_all(verifier: Encryptor, claims: Sequence[Claim], *, entropy: Entropy = os.urandom) -> None:
    """Check the proofs of many senders at once as `check` does, but at a much lower cost for each.

    Args:
        verifier: As for `check`, under a key of safe primes.
        claims: The claim of each sender.
        entropy: Source of the weights, which are drawn after the claims were made.

    Raises:
        InvalidProof: At least one proof does not hold; `indices` names all that do not.
        InputError: A claim has no ciphertexts.
    """
    proofs: dict[int, _Proof] = {}
    faulty: list[int] = []
    for index, claim in enumerate(claims):
        try:
            proofs[index] = _read(verifier, claim, index)
        except InvalidProof:
            faulty.append(index)
    weights = [random_bits(WEIGHT_BITS, entropy) if at else 1 for at in range(len(proofs))]
    if not _holds(verifier, list(proofs.values()), weights):
        faulty += [index for index, proof in proofs.items() if not _holds(verifier, [proof], [1])]
    if faulty:
        shown = ", ".join(str(index) for index in sorted(faulty)[:_SHOWN])
        more = f" and {len(faulty) - _SHOWN} more" if len(faulty) > _SHOWN else ""
        raise InvalidProof(f"the proofs at {shown}{more} do not hold", indices=tuple(sorted(faulty)))


def _read(verifier: Encryptor, claim: Claim, index: int) -> _Proof:
    """Return a claim's proof, after checking that its numbers are in range."""
    if not claim.pairs:
        raise InputError("ciphertexts: expected at least one, found none")
    key, count = verifier.public_key, len(claim.pairs)
    head, message_size, exponent_size = _sizes(key, verifier.exponent_bits, count)
    if len(claim.proof) != head + message_size + exponent_size:
        raise InvalidProof(
            f"proof for {count} ciphertexts: expected {head + message_size + exponent_size} bytes, "
            f"found {len(claim.proof)}",
            indices=(index,),
        )
    try:
        commitment = from_bytes(key, claim.proof[:head], 1)[0]
    except InvalidCiphertext as error:
        raise InvalidProof(f"a proof's commitment is not a ciphertext: {error}", indices=(index,)) from None
    message_response = int.from_bytes(claim.proof[head : head + message_size], "big")
    exponent_response = int.from_bytes(claim.proof[head + message_size :], "big")
    if message_response >= key.message_modulus or exponent_response > _most_response(verifier.exponent_bits, count):
        raise InvalidProof("a proof: expected a response in range, found one outside", indices=(index,))
    challenges = _challenges(verifier, claim.statement, claim.pairs, commitment)
    return _Proof([*claim.pairs, commitment], [*challenges, 1], message_response, exponent_response)


def _holds(verifier: Encryptor, proofs: Sequence[_Proof], weights: Sequence[int]) -> bool:
    """Return whether the product of all equations, each raised to its weight, holds up to an element of order two."""
    key = verifier.public_key
    message, exponent, addend = 0, 0, key.arithmetic.integer(0)
    bases: list[int] = []
    powers: list[int] = []
    for proof, weight in zip(proofs, weights, strict=True):
        message += weight * proof.message_response
        exponent += weight * proof.exponent_response
        for pair, challenge in zip(proof.pairs, proof.challenges, strict=True):
            bases.append(pair.residue)
            powers.append(weight * challenge)
            addend += weight * challenge * pair.logarithm
    product, logarithm = verifier.residue(exponent)
    logarithm += key.plain_logarithm(key.arithmetic.integer(message)) - addend
    left = join(key, product, logarithm)
    right = product_of_powers(bases, powers, key.modulus)
    return bool((left - right) * (left + right) % key.modulus == 0)


def _challenges(encryptor: Encryptor, statement: bytes, pairs: Sequence[Pair], commitment: Pair) -> list[int]:
    """Return the challenge of each ciphertext: SHAKE256 of everything.

    Each part has a fixed length or is preceded by its length.
    """
    key = encryptor.public_key
    hashed = hashlib.shake_256(_LABEL + key.fingerprint)
    hashed.update(encryptor.base.to_bytes(-(-key.n.bit_length() // 8), "big"))
    hashed.update(encryptor.exponent_bits.to_bytes(4, "big"))
    hashed.update(len(statement).to_bytes(8, "big") + statement)
    hashed.update(len(pairs).to_bytes(8, "big"))
    hashed.update(to_bytes(key, [*pairs, commitment]))
    drawn = hashed.digest(_CHALLENGE_BYTES * len(pairs))
    return [
        int.from_bytes(drawn[start : start + _CHALLENGE_BYTES], "big")
        for start in range(0, len(drawn), _CHALLENGE_BYTES)
    ]


def _hiding_bits(exponent_bits: int, count: int) -> int:
    """Return the length of b in bits."""
    return exponent_bits + CHALLENGE_BITS + HIDING_BITS + (count - 1).bit_length()


def _most_response(exponent_bits: int, count: int) -> int:
    """Return the largest w that an honest prover can send."""
    most_hiding = (1 << _hiding_bits(exponent_bits, count)) - 1
    return most_hiding + count * ((1 << CHALLENGE_BITS) - 1) * ((1 << exponent_bits) - 1)


def _sizes(key: PublicKey, exponent_bits: int, count: int) -> tuple[int, int, int]:
    """Return the lengths of A, z and w in bytes."""
    message_size = -(-key.message_modulus.bit_length() // 8)
    head = -(-key.n.bit_length() // 8) + message_size
    return head, message_size, -(-_most_response(exponent_bits, count).bit_length() // 8)
