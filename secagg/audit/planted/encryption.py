"""Planted bugs of encrypted sums: exponents, and what proofs are bound to."""

import contextlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, Final

from protocols import PaillierSum, Session
from protocols.crypto.entropy import Entropy
from protocols.crypto.paillier import plaintext_proof
from protocols.crypto.paillier.encryptor import Encryptor, Exponents
from protocols.crypto.paillier.plaintext_proof import Claim, InvalidProof, Sealed
from protocols.crypto.paillier.public import PublicKey
from protocols.encrypted.derived import Derived
from secagg.audit.planted.parties import with_clients, with_server
from secagg.audit.planted.patch import replaced

_FIXED: Final = 3**300


def _fixed_exponent(encryptor: Encryptor, entropy: Entropy) -> int:
    del encryptor, entropy
    return _FIXED


class FixedExponent(PaillierSum):
    """Every encryption has the same exponent."""

    steps = with_clients(  # type: ignore[assignment]  # The same rows, of parties of any class.
        PaillierSum.steps, lambda: replaced(Encryptor, "exponent", _fixed_exponent), "encrypt_input"
    )


class _LooseDerived(Derived):
    """Values of a session in which proofs are bound to nothing but the ciphertexts."""

    def statement(self, client: int, padded_hash: bytes) -> bytes:
        """Return the same statement for all sessions, clients and masked vectors."""
        del client, padded_hash
        return b""


class LooseStatement(PaillierSum):
    """The challenge of a proof covers neither the session nor the client."""

    def _derived(self, session: Session) -> Derived:
        return _LooseDerived(
            session=session, digest=self.digest(session), payload=self.payload(session), exponents=self.exponents
        )


class _LongerProofs(Derived):
    """Values of a session in which each proof ends with the modulus and the base of the prover."""

    @cached_property
    def proof_bytes(self) -> int:
        """Number of bytes of a client's proof."""
        size = -(-int(self.key.public_key.n).bit_length() // 8)
        return plaintext_proof.proof_bytes(self.key.public_key, self.exponents, self.payload.messages) + 2 * size


_SEAL: Final = plaintext_proof.seal
_CHECK: Final = plaintext_proof.check


def _seal_with_key(encryptor: Encryptor, messages: Sequence[int], *, statement: bytes, entropy: Entropy) -> Sealed:
    made = _SEAL(encryptor, messages, statement=statement, entropy=entropy)
    n = int(encryptor.public_key.n)
    size = -(-n.bit_length() // 8)
    return Sealed(made.pairs, made.proof + n.to_bytes(size, "big") + encryptor.base.to_bytes(size, "big"))


def _check_with_key(verifier: Encryptor, pairs: Any, proof: bytes | memoryview, *, statement: bytes) -> None:
    size = -(-int(verifier.public_key.n).bit_length() // 8)
    n = int.from_bytes(proof[-2 * size : -size], "big")
    base = int.from_bytes(proof[-size:], "big")
    exponents = next(each for each in Exponents if each.bits(verifier.public_key) == verifier.exponent_bits)
    trusted = verifier
    if n != verifier.public_key.n:
        trusted = Encryptor(PublicKey(n, verifier.public_key.s), exponents=exponents, window_bits=1, base=base)
    _CHECK(trusted, pairs, proof[: -2 * size], statement=statement)


def _check_all_with_keys(verifier: Encryptor, claims: Sequence[Claim], *, entropy: Entropy) -> None:
    del entropy
    for index, claim in enumerate(claims):
        try:
            _check_with_key(verifier, claim.pairs, claim.proof, statement=claim.statement)
        except InvalidProof as error:
            raise InvalidProof(str(error), indices=(index,)) from None


@contextlib.contextmanager
def _trusting() -> Iterator[None]:
    with (
        replaced(plaintext_proof, "seal", _seal_with_key),
        replaced(plaintext_proof, "check", _check_with_key),
        replaced(plaintext_proof, "check_all", _check_all_with_keys),
    ):
        yield


class TrustingVerifier(PaillierSum):
    """Proofs are checked under the modulus and the base that come with them."""

    steps = with_server(  # type: ignore[assignment]  # The same rows, of parties of any class.
        with_clients(PaillierSum.steps, _trusting), _trusting, "encrypt_input"
    )

    def _derived(self, session: Session) -> Derived:
        return _LongerProofs(
            session=session, digest=self.digest(session), payload=self.payload(session), exponents=self.exponents
        )
