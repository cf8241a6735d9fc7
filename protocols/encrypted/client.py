"""The client's and the committee member's side of a sum that a committee opens: one method for each round."""

import hashlib
from collections.abc import Iterator
from typing import Final

import numpy as np

from protocols.crypto.keystream import Words
from protocols.crypto.paillier import ciphertext_pairs, plaintext_proof
from protocols.crypto.paillier.ciphertext_pairs import Total
from protocols.crypto.paillier.partial_decryption import decrypt_partially
from protocols.crypto.paillier.plaintext_proof import Claim, InvalidProof
from protocols.crypto.secret import Uncopyable
from protocols.encrypted.derived import HASH_BYTES, Setup
from protocols.encrypted.messages import Contributions, EncryptedInput, Invitation, PartialOpening
from protocols.errors import MalformedMessage, OrderError, RemoteError
from protocols.session import Participant
from protocols.snapshot import State

_EMPTY: Final = np.empty(0, dtype=np.uint8)
_AT_ONCE: Final = 8192  # ciphertexts whose proofs are checked together


class PartyState(State, kw_only=True):
    """What a party keeps: a client's input, until it has been encrypted.

    Attributes:
        vector: The input.
    """

    vector: Words


class EncryptedClient(Uncopyable):
    """One party of one session: a client, a committee member, or both."""

    def __init__(self, setup: Setup, participant: Participant) -> None:
        self._setup = setup
        self._client = participant.client
        self._member = participant.member
        self._keyholder = participant.keyholder
        self._entropy = participant.entropy
        if participant.vector.size:
            setup.payload.check(participant.vector)
        self.state = PartyState(vector=participant.vector)

    def encrypt_input(self, _: Invitation) -> EncryptedInput:
        """Round 0: everything that a client does."""
        setup = self._setup
        vector, self.state.vector = self.state.vector, _EMPTY
        padded, messages = setup.payload.wrap(vector, self._entropy)
        padded_hash = hashlib.sha256(padded).digest()
        made = plaintext_proof.seal(
            setup.encryptor, messages, statement=setup.statement(self._client, padded_hash), entropy=self._entropy
        )
        sealed = ciphertext_pairs.to_bytes(setup.key.public_key, made.pairs) + made.proof
        signature = setup.sign(self._member, self._client, padded_hash, sealed)
        return EncryptedInput(padded, memoryview(sealed + signature))

    def open_sum(self, request: Contributions) -> PartialOpening:
        """Round 1: a committee member's part, after every check that it can make itself."""
        if self._keyholder is None:
            raise OrderError(f"party {self._client} is no member of the committee")
        setup, keyholder = self._setup, self._keyholder
        least = max(setup.session.threshold, keyholder.minimum_contributors)
        self._check_contributors(request, least)
        total = self._checked_sum(request)
        keyholder.openings.record(
            key=keyholder.fingerprint,
            session_id=setup.session.session_id,
            context=setup.session.context,
            contributors=request.contributors,
            minimum=least,  # so that also the contributors in which two sums differ include honest ones
        )
        partial = decrypt_partially(
            keyholder.share,
            total.ciphertexts(),
            statement=setup.opening_statement(request.contributors, request.contributions),
            entropy=self._entropy,
        )
        return PartialOpening(memoryview(partial.to_bytes(setup.key)))

    def _check_contributors(self, request: Contributions, least: int) -> None:
        session, contributors = self._setup.session, request.contributors
        if list(contributors) != sorted(set(contributors)) or not set(contributors) <= set(session.clients):
            raise RemoteError("contributors that are not the session's clients, or are not in order")
        if len(contributors) < least:
            raise RemoteError(f"a sum of {len(contributors)} clients, where none below {least} is opened")
        expected = len(contributors) * self._setup.contribution_bytes
        if len(request.contributions) != expected:
            raise MalformedMessage(f"{len(request.contributions)} bytes of contributions, not {expected}")

    def _checked_sum(self, request: Contributions) -> Total:
        """The sum of contributions whose signatures, ciphertexts and proofs are right."""
        total = Total(self._setup.key.public_key, self._setup.payload.messages)
        for claims in self._claims(request):
            try:
                plaintext_proof.check_all(self._setup.encryptor, claims, entropy=self._entropy)
            except InvalidProof as error:
                raise RemoteError(f"a contribution that its sender does not know: {error}") from None
            for claim in claims:
                total.add(claim.pairs)
        return total

    def _claims(self, request: Contributions) -> Iterator[list[Claim]]:
        """The contributions' proofs, a limited number of ciphertexts at a time."""
        setup = self._setup
        claims: list[Claim] = []
        size = setup.contribution_bytes
        for number, client in enumerate(request.contributors):
            contribution = request.contributions[number * size : (number + 1) * size]
            padded_hash = bytes(contribution[:HASH_BYTES])
            pairs, proof = setup.opened(client, padded_hash, contribution[HASH_BYTES:])
            claims.append(Claim(pairs, proof, setup.statement(client, padded_hash)))
            if len(claims) * setup.payload.messages >= _AT_ONCE:
                yield claims
                claims = []
        if claims:
            yield claims
