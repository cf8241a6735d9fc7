"""The client's and the committee member's side of a sum that a committee opens: one method for each step."""

import hashlib
from collections.abc import Iterator
from typing import Final

import numpy as np

from protocols.codec import Invitation
from protocols.crypto.keystream import Words
from protocols.crypto.paillier import ciphertext_pairs, plaintext_proof
from protocols.crypto.paillier.ciphertext_pairs import Total
from protocols.crypto.paillier.partial_decryption import decrypt_partially
from protocols.crypto.paillier.plaintext_proof import Claim, InvalidProof
from protocols.crypto.paillier.threshold import KeyShare
from protocols.crypto.secret import Uncopyable
from protocols.encrypted.derived import HASH_BYTES, Derived
from protocols.encrypted.messages import Contributions, EncryptedInput, PartialOpening
from protocols.errors import MalformedMessage, OrderError, ParameterError, RemoteError
from protocols.session import Participant
from protocols.snapshot import State
from protocols.terms import Keyholder

_EMPTY: Final = np.empty(0, dtype=np.uint8)
_AT_ONCE: Final = 8192  # The number of ciphertexts whose proofs are checked together.


class PartyState(State, kw_only=True):
    """The state of a party: a client's input, until it has been encrypted.

    Attributes:
        vector: The input.
    """

    vector: Words


class EncryptedClient(Uncopyable):
    """One party of one session: a client, a committee member, or both."""

    def __init__(self, derived: Derived, participant: Participant) -> None:
        self._derived = derived
        self._client = participant.client
        self._identity = None if participant.terms is None else participant.terms.identity
        self._keyholder = participant.keyholder
        self._share = None if participant.keyholder is None else _paillier_share(participant.keyholder)
        self._entropy = participant.entropy
        if participant.vector.size:
            derived.payload.check(participant.vector)
        self.state = PartyState(vector=participant.vector)

    def encrypt_input(self, _: Invitation) -> EncryptedInput:
        """Encrypt, prove and sign the input: all that a client does (step 0)."""
        derived = self._derived
        vector, self.state.vector = self.state.vector, _EMPTY
        padded, messages = derived.payload.wrap(vector, self._entropy)
        padded_hash = hashlib.sha256(padded).digest()
        made = plaintext_proof.seal(
            derived.encryptor, messages, statement=derived.statement(self._client, padded_hash), entropy=self._entropy
        )
        sealed = ciphertext_pairs.to_bytes(derived.key.public_key, made.pairs) + made.proof
        signature = derived.sign(self._identity, self._client, padded_hash, sealed)
        return EncryptedInput(padded, memoryview(sealed + signature))

    def open_sum(self, request: Contributions) -> PartialOpening:
        """Return a committee member's partial decryptions, after every check that it can make itself (step 1)."""
        if self._keyholder is None or self._share is None:
            raise OrderError(f"party {self._client} is not a member of the committee")
        derived, keyholder = self._derived, self._keyholder
        least = max(derived.session.threshold, keyholder.minimum_contributors)
        self._check_contributors(request, least)
        total = self._checked_sum(request)
        keyholder.openings.record(
            key=keyholder.fingerprint,
            session_id=derived.session.session_id,
            context=derived.session.context,
            contributors=self.contributors(request),
            minimum=least,  # Then the clients in which two sums differ include honest ones too.
        )
        partial = decrypt_partially(
            self._share,
            total.ciphertexts(),
            statement=derived.opening_statement(request.contributors, request.contributions),
            entropy=self._entropy,
        )
        return PartialOpening(memoryview(partial.to_bytes(derived.key)))

    def contributors(self, request: Contributions) -> tuple[int, ...]:
        """Return the clients whose inputs are in the sum that this member helps to open."""
        return request.contributors

    def _check_contributors(self, request: Contributions, least: int) -> None:
        session, contributors = self._derived.session, request.contributors
        if list(contributors) != sorted(set(contributors)) or not set(contributors) <= set(session.clients):
            raise RemoteError("contributors: expected clients of the session in ascending order, found others")
        if len(contributors) < least:
            raise RemoteError(
                f"contributors: expected at least {least}, found {len(contributors)}. A smaller sum is not opened."
            )
        expected = len(contributors) * self._derived.contribution_bytes
        if len(request.contributions) != expected:
            raise MalformedMessage(f"contributions: expected {expected} bytes, found {len(request.contributions)}")

    def _checked_sum(self, request: Contributions) -> Total:
        """Return the sum of the contributions, after a check of signatures, ciphertexts and proofs."""
        total = Total(self._derived.key.public_key, self._derived.payload.messages)
        for claims in self._claims(request):
            try:
                plaintext_proof.check_all(self._derived.encryptor, claims, entropy=self._entropy)
            except InvalidProof as error:
                raise RemoteError(f"a contribution's proof of plaintext knowledge is not valid: {error}") from None
            for claim in claims:
                total.add(claim.pairs)
        return total

    def _claims(self, request: Contributions) -> Iterator[list[Claim]]:
        """Yield the contributions' proofs, a limited number of ciphertexts at a time."""
        derived = self._derived
        claims: list[Claim] = []
        size = derived.contribution_bytes
        for number, client in enumerate(request.contributors):
            contribution = request.contributions[number * size : (number + 1) * size]
            padded_hash = bytes(contribution[:HASH_BYTES])
            pairs, proof = derived.opened(client, padded_hash, contribution[HASH_BYTES:])
            claims.append(Claim(pairs, proof, derived.statement(client, padded_hash)))
            if len(claims) * derived.payload.messages >= _AT_ONCE:
                yield claims
                claims = []
        if claims:
            yield claims


def _paillier_share(keyholder: Keyholder) -> KeyShare:
    if not isinstance(keyholder.share, KeyShare):
        kind = type(keyholder.share).__name__
        raise ParameterError(f"share: expected a KeyShare of Paillier's cryptosystem, found {kind}")
    return keyholder.share
