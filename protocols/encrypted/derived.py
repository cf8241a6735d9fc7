"""Values that all parties of a sum that a committee opens derive from the session, each by itself."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final

from protocols.committee import Committee
from protocols.crypto.entropy import Entropy
from protocols.crypto.keystream import Words
from protocols.crypto.paillier import ciphertext_pairs, partial_decryption, plaintext_proof
from protocols.crypto.paillier.ciphertext_pairs import Pair
from protocols.crypto.paillier.encryptor import DEFAULT_WINDOW_BITS, Encryptor, Exponents
from protocols.crypto.paillier.public import InvalidCiphertext
from protocols.crypto.paillier.threshold import ThresholdKey
from protocols.errors import MalformedMessage, ParameterError
from protocols.identity import SIGNATURE_BYTES, Identity, Signatures
from protocols.session import Session, Vector

HASH_BYTES: Final = 32
_MANY_MESSAGES: Final = 1000  # From this number of messages on, a longer table saves time.
_SHORT_WINDOW_BITS: Final = 6
_PREFIX: Final = b"secagg encrypted v1"
_PURPOSE: Final = b"encrypt."


class Payload(ABC):
    """The encoding of a vector as messages to encrypt and, in some protocols, a masked vector beside them.

    Vectors have shape `(length,)`, the unsigned words that hold the session's modulus, and entries below it. Sums of
    masked vectors are uint64 modulo 2^64. Messages are integers in [0, n^s) for the committee's key.

    Attributes:
        padded_bytes: Number of bytes of the masked vector.
        messages: Number of messages to encrypt.
    """

    padded_bytes: int
    messages: int

    @abstractmethod
    def check(self, vector: Words) -> None:
        """Raise `InputError` unless a vector of the session can be encoded."""

    @abstractmethod
    def wrap(self, vector: Words, entropy: Entropy) -> tuple[memoryview, list[int]]:
        """Return the masked vector, in bytes, and the messages to encrypt; the vector is overwritten."""

    @abstractmethod
    def nothing(self) -> Words:
        """Return the sum of no masked vectors."""

    @abstractmethod
    def add(self, total: Words, padded: memoryview) -> None:
        """Add a masked vector of the right length to a sum of masked vectors, in place."""

    @abstractmethod
    def unwrap(self, total: Words, sums: Sequence[int], contributors: int) -> Vector:
        """Return the sum of `contributors` vectors, from the sums of their masked vectors and messages.

        Returns:
            Shape `(length,)`, uint64, entries in [0, modulus).

        Raises:
            DamagedSum: The sums do not belong together.
        """


def threshold_key(session: Session) -> ThresholdKey:
    """Return the key of a session's committee.

    Raises:
        ParameterError: The session has no committee, or one whose key is of another kind.
    """
    key = None if session.committee is None else session.committee.key
    if not isinstance(key, ThresholdKey):
        raise ParameterError(
            f"committee: expected one with a ThresholdKey of Paillier's cryptosystem, found {type(key).__name__}. "
            "`secagg keys committee` makes such a key."
        )
    return key


@lru_cache(maxsize=4)
def _encryptor(key: ThresholdKey, exponents: Exponents, window_bits: int) -> Encryptor:
    """Return the table of a committee's key, made once a process in 0.5 to 4 seconds (4 if strict and long)."""
    return Encryptor(key.public_key, exponents=exponents, window_bits=window_bits, base=key.base)


@dataclass(frozen=True, kw_only=True)
class Derived:
    """Values that all parties derive from the session, each by itself.

    Attributes:
        session: The session.
        digest: The session's digest, 32 bytes.
        payload: The encoding of vectors as messages.
        exponents: The kind of random exponents in the encryptions.
    """

    session: Session
    digest: bytes
    payload: Payload
    exponents: Exponents

    @property
    def committee(self) -> Committee:
        """The session's committee."""
        if self.session.committee is None:
            raise ParameterError("committee: expected a session with one, found none")
        return self.session.committee

    @property
    def key(self) -> ThresholdKey:
        """The committee's key."""
        return threshold_key(self.session)

    @property
    def encryptor(self) -> Encryptor:
        """The encryptor under the committee's key."""
        window_bits = DEFAULT_WINDOW_BITS if self.payload.messages >= _MANY_MESSAGES else _SHORT_WINDOW_BITS
        return _encryptor(self.key, self.exponents, window_bits)

    @cached_property
    def signatures(self) -> Signatures:
        """The signer and verifier of the session's statements."""
        return Signatures(self.digest, self.session.roster)

    @cached_property
    def ciphertexts_bytes(self) -> int:
        """Number of bytes of a client's ciphertexts."""
        return self.payload.messages * ciphertext_pairs.pair_bytes(self.key.public_key)

    @cached_property
    def proof_bytes(self) -> int:
        """Number of bytes of a client's proof."""
        return plaintext_proof.proof_bytes(self.key.public_key, self.exponents, self.payload.messages)

    @property
    def sealed_bytes(self) -> int:
        """Number of bytes of a client's ciphertexts, proof and signature."""
        signature = SIGNATURE_BYTES if self.session.roster is not None else 0
        return self.ciphertexts_bytes + self.proof_bytes + signature

    @property
    def contribution_bytes(self) -> int:
        """Number of bytes that the committee receives of a client's message."""
        return HASH_BYTES + self.sealed_bytes

    @property
    def opening_bytes(self) -> int:
        """Number of bytes of a partial opening."""
        return partial_decryption.partial_bytes(self.key, self.payload.messages)

    def statement(self, client: int, padded_hash: bytes) -> bytes:
        """Return what a client's proof is bound to, of fixed length: session, client and masked vector."""
        return _PREFIX + self.digest + client.to_bytes(4, "big") + padded_hash

    def opening_statement(self, contributors: Sequence[int], contributions: bytes | memoryview) -> bytes:
        """Return what a partial opening is bound to, of fixed length: the session and all summed contributions."""
        hashed = hashlib.sha256(len(contributors).to_bytes(4, "big"))
        hashed.update(b"".join(client.to_bytes(4, "big") for client in contributors))
        hashed.update(contributions)
        return _PREFIX + self.digest + b"open" + hashed.digest()

    def sign(self, identity: Identity | None, client: int, padded_hash: bytes, sealed: bytes) -> bytes:
        """Return a client's signature over the masked vector and the sealed part; empty without a roster."""
        payload = padded_hash + hashlib.sha256(sealed).digest()
        return self.signatures.sign(identity, client=client, purpose=_PURPOSE, payload=payload)

    def opened(self, client: int, padded_hash: bytes, sealed: memoryview) -> tuple[list[Pair], bytes]:
        """Return a client's ciphertexts and proof. The signature is checked; the proof is not.

        Raises:
            MalformedMessage: A length is wrong, or a number is not a ciphertext.
            RemoteError: The signature is not the client's.
        """
        if len(sealed) != self.sealed_bytes:
            raise MalformedMessage(f"sealed part: expected {self.sealed_bytes} bytes, found {len(sealed)}")
        unsigned = self.ciphertexts_bytes + self.proof_bytes
        payload = padded_hash + hashlib.sha256(sealed[:unsigned]).digest()
        self.signatures.check(bytes(sealed[unsigned:]), client=client, purpose=_PURPOSE, payload=payload)
        try:
            pairs = ciphertext_pairs.from_bytes(
                self.key.public_key, sealed[: self.ciphertexts_bytes], self.payload.messages
            )
        except InvalidCiphertext as error:
            raise MalformedMessage(str(error)) from None
        return pairs, bytes(sealed[self.ciphertexts_bytes : unsigned])
