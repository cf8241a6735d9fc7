"""Proofs that whoever made ciphertexts knows their plaintexts: one for a vector, and many of them checked at once.

Sources: Cramer, Damgard and Nielsen, Multiparty computation from threshold homomorphic encryption (Eurocrypt 2001), has
the proof for one Paillier ciphertext; a vector is proven by a random combination of its ciphertexts, and many vectors
are checked by one of theirs, as in the small exponents test of Bellare, Garay and Rabin, Fast batch verification for
modular exponentiation and digital signatures (Eurocrypt 1998).

Adversary: whoever sees honest clients' ciphertexts before it sends its own.  They can be added, and multiplied by
numbers, so it could send 2^20 times another's plaintext and read that one from the opened sum.

For ciphertexts c_j = (1 + n)^(m_j) H^(a_j), H = h^(n^s), a_j below 2^r, j = 1..k, the prover sends, besides them,

    A = (1 + n)^x H^b,   x random below n^s,   b random below 2^(r + 256) k', k' = k rounded up to a power of 2
    e_1, ..., e_k = hash(everything, A), of 128 bits each
    z = x + sum of e_j m_j modulo n^s,   w = b + sum of e_j a_j

and checked is that both are in range, and that (1 + n)^z H^w and A times the product of c_j^(e_j) have the same square.

- Everything: the key's fingerprint, h, r, the statement, k and all c_j, so it is the strong Fiat-Shamir transformation
  of Bernhard, Pereira and Warinschi (How not to prove yourself, Asiacrypt 2012).  The statement is the caller's: it is
  to name the session and the sender, and what else must not be altered.  Ciphertexts and A are hashed as pairs.
- Knowledge: a prover that is run again with another e_j, by d, and the same other challenges gives, from the quotient
  of both equations, c_j^d = u (1 + n)^(z - z') H^(w - w') for a u with u^2 = 1.  H and u encrypt 0 (they are of an
  order that is coprime to n), so d m_j = z - z' modulo n^s, and d, below 2^128, is invertible: both primes are longer.
  So this finds every m_j modulo n^s, although neither u nor a_j.
- Why squares, and why they are enough: u changes no message, as said, and a batch cannot tell a u from 1 if its
  exponent is even.  With squares, one proof and a batch of them accept the same.
- Zero knowledge: given random e_j, z is uniform, and w is within 2^-128 of being uniform below 2^(r + 256) k', whatever
  the messages; A follows from these.  A random oracle can be made to answer with the e_j.
- Not malleable: encryption with such a proof is non-malleable under chosen plaintexts (Bernhard, Pereira and
  Warinschi), which allows one decryption of many ciphertexts at once, chosen after the honest ones were seen: the
  opening of a session.  For one A and e there is no second answer in range: equal squares need equal z, and two w
  that differ by a multiple of the order of H^2, which is longer than any w; so proofs cannot be altered (Faust,
  Kohlweiss, Marson and Venturi, On the non-malleability of the Fiat-Shamir transform, Indocrypt 2012).  Not shown is
  security where later honest ciphertexts depend on many earlier openings under one key: extraction by running again
  does not carry over (Bernhard, Fischlin and Warinschi, Adaptive proofs of knowledge in the random oracle model, PKC
  2015).
- The base: H is always the key's.  Were it the prover's choice, another's ciphertext could be H, and "the message 0
  with exponent 1" a proof about it.  An `Encryptor` raises its h to n^s itself, so its H encrypts 0, whatever h is.
- Batches: each proof's equation, squared, is raised to a random number of 80 bits that provers cannot know (the first
  to 1, which serves as well), and the product of all is checked.  The squares have an order without a prime factor
  below 2^80 where n is a product of safe primes, as a committee's key is; so one that does not hold lets the product
  hold with a probability of 2^-80.  For other keys the batch is only as good as it is hard to find numbers of small
  order.  If it fails, each is checked alone.

Checking alone is exact.  Proving is no more constant in time than encrypting.
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
        indices: Positions, among those checked together, of the ones at fault; (0,) where one was checked alone.
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
    """What one sender claims.

    Attributes:
        pairs: At least one ciphertext, from `split.from_bytes`.
        proof: What came with them.
        statement: What the proof must have been made for.
    """

    pairs: Sequence[Pair]
    proof: bytes | memoryview
    statement: bytes

    def __repr__(self) -> str:
        return f"Claim({len(self.pairs)} ciphertexts)"


class _Proof(NamedTuple):
    """A proof that was read, with its challenges.

    Attributes:
        pairs: The ciphertexts, and A as the last one.
        challenges: e of each ciphertext, and 1 for A.
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
    """The length of the proof for `count` ciphertexts."""
    return sum(_sizes(public_key, exponents.bits(public_key), count))


def seal(encryptor: Encryptor, messages: Sequence[int], *, statement: bytes, entropy: Entropy = os.urandom) -> Sealed:
    """Encrypt messages, and prove that this was done by someone who knows them.

    Args:
        encryptor: With the base that all who check use.
        messages: At least one, in [0, n^s).
        statement: What the ciphertexts are for; see the module's docstring.
        entropy: Where all exponents are drawn from.  Two proofs from the same entropy tell the messages.

    Raises:
        InputError: There is no message, or one is out of range; nothing is encrypted then.
    """
    if not messages:
        raise InputError("at least one message is needed")
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
    """Refuse ciphertexts whose sender does not prove that it knows what they say.

    Args:
        verifier: An encryptor with the base, and the length of exponents, that the sender must have used.
        pairs: At least one ciphertext, from `split.from_bytes`.
        proof: What came with them.
        statement: What the proof must have been made for.

    Raises:
        InvalidProof: It is none for these ciphertexts, this statement and this base.
        InputError: There are no ciphertexts.
    """
    if not _holds(verifier, [_read(verifier, Claim(pairs, proof, statement), 0)], [1]):
        raise InvalidProof(
            "the proof does not hold for these ciphertexts, or was made for something else", indices=(0,)
        )


def check_all(verifier: Encryptor, claims: Sequence[Claim], *, entropy: Entropy = os.urandom) -> None:
    """What `check` does, for many senders at once, and much faster for each.

    Args:
        verifier: As for `check`, under a key of safe primes.
        claims: Of each sender.
        entropy: Where the weights are drawn from, after the claims were made.

    Raises:
        InvalidProof: At least one does not hold; `indices` names all of them.
        InputError: One has no ciphertexts.
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
    """A claim's proof, with all in range."""
    if not claim.pairs:
        raise InputError("at least one ciphertext is needed")
    key, count = verifier.public_key, len(claim.pairs)
    head, message_size, exponent_size = _sizes(key, verifier.exponent_bits, count)
    if len(claim.proof) != head + message_size + exponent_size:
        raise InvalidProof(
            f"a proof for {count} ciphertexts has {head + message_size + exponent_size} bytes, not {len(claim.proof)}",
            indices=(index,),
        )
    try:
        commitment = from_bytes(key, claim.proof[:head], 1)[0]
    except InvalidCiphertext as error:
        raise InvalidProof(f"a proof's commitment is no ciphertext: {error}", indices=(index,)) from None
    message_response = int.from_bytes(claim.proof[head : head + message_size], "big")
    exponent_response = int.from_bytes(claim.proof[head + message_size :], "big")
    if message_response >= key.message_modulus or exponent_response > _most_response(verifier.exponent_bits, count):
        raise InvalidProof("a proof's answer is out of range", indices=(index,))
    challenges = _challenges(verifier, claim.statement, claim.pairs, commitment)
    return _Proof([*claim.pairs, commitment], [*challenges, 1], message_response, exponent_response)


def _holds(verifier: Encryptor, proofs: Sequence[_Proof], weights: Sequence[int]) -> bool:
    """Whether the product of all equations, each raised to its weight, holds up to an element of order two."""
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
    """The challenge of each ciphertext: SHAKE256 of everything, each part of a fixed length or after its length."""
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
    """Of b."""
    return exponent_bits + CHALLENGE_BITS + HIDING_BITS + (count - 1).bit_length()


def _most_response(exponent_bits: int, count: int) -> int:
    """The largest w of which there is a right one."""
    most_hiding = (1 << _hiding_bits(exponent_bits, count)) - 1
    return most_hiding + count * ((1 << CHALLENGE_BITS) - 1) * ((1 << exponent_bits) - 1)


def _sizes(key: PublicKey, exponent_bits: int, count: int) -> tuple[int, int, int]:
    """Bytes of A, z and w."""
    message_size = -(-key.message_modulus.bit_length() // 8)
    head = -(-key.n.bit_length() // 8) + message_size
    return head, message_size, -(-_most_response(exponent_bits, count).bit_length() // 8)
