"""The server's side of a sum that a committee opens: one method pair for each round."""

import hashlib
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from msgspec import field

from protocols.codec import Message
from protocols.crypto.keystream import Words
from protocols.crypto.paillier import plaintext_proof
from protocols.crypto.paillier.ciphertext_pairs import Total
from protocols.crypto.paillier.partial_decryption import InvalidShare, PartialDecryption, check_partial, combine
from protocols.crypto.paillier.plaintext_proof import InvalidProof
from protocols.encrypted.derived import HASH_BYTES, Setup
from protocols.encrypted.messages import Contributions, EncryptedInput, Invitation, PartialOpening
from protocols.errors import DamagedSum, MalformedMessage, RemoteError
from protocols.secure_sum import Finish
from protocols.snapshot import State


class ServerState(State, kw_only=True):
    """What the server keeps.

    Attributes:
        total: The sum of the padded vectors.
        contributions: By client, a hash of what it padded, and what it sealed: the committee sees them all.
        statement: What the openings are bound to.
        openings: By share index, partial decryptions that were checked.
    """

    total: Words
    contributions: dict[int, bytes] = field(default_factory=dict)
    statement: bytes = b""
    openings: dict[int, bytes] = field(default_factory=dict)


class EncryptedServer:
    """The server of one session."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self.state = ServerState(total=setup.payload.nothing())

    def open(self) -> dict[int, Message]:
        """Invite all clients."""
        return {client: Invitation() for client in self._setup.session.clients}

    @cached_property
    def _product(self) -> Total:
        """The running product of ciphertexts; it follows from the contributions, and is made anew after a restart."""
        setup = self._setup
        product = Total(setup.key.public_key, setup.payload.messages)
        for client, contribution in self.state.contributions.items():
            pairs, _ = setup.opened(client, contribution[:HASH_BYTES], memoryview(contribution)[HASH_BYTES:])
            product.add(pairs)
        return product

    def take_input(self, sender: int, message: EncryptedInput) -> None:
        """Round 0: check a client's part, and add it to the sums."""
        setup = self._setup
        if len(message.padded) != setup.payload.padded_bytes:
            raise MalformedMessage(f"{len(message.padded)} padded bytes, not {setup.payload.padded_bytes}")
        padded_hash = hashlib.sha256(message.padded).digest()
        pairs, proof = setup.opened(sender, padded_hash, message.sealed)
        try:
            plaintext_proof.check(setup.encryptor, pairs, proof, statement=setup.statement(sender, padded_hash))
        except InvalidProof as error:
            raise RemoteError(f"a contribution that its sender does not know: {error}") from None
        self._product.add(pairs)
        setup.payload.add(self.state.total, message.padded)
        self.state.contributions[sender] = padded_hash + bytes(message.sealed)

    def close_inputs(self) -> dict[int, Message]:
        """Show the committee all contributions."""
        contributors = tuple(sorted(self.state.contributions))
        joined = b"".join(self.state.contributions[client] for client in contributors)
        self.state.statement = self._setup.opening_statement(contributors, joined)
        request = Contributions(contributors, memoryview(joined))
        return dict.fromkeys(self._setup.committee.members, request)

    @cached_property
    def _ciphertexts(self) -> Sequence[int]:
        return self._product.ciphertexts()

    def take_opening(self, sender: int, message: PartialOpening) -> None:
        """Round 1: check a committee member's partial decryptions."""
        setup, index = self._setup, self._setup.committee.index(sender)
        try:
            partial = PartialDecryption.from_bytes(setup.key, message.opening, setup.payload.messages)
            check_partial(setup.key, index, self._ciphertexts, partial, statement=self.state.statement)
        except InvalidShare as error:
            raise RemoteError(f"no right opening: {error}") from None
        self.state.openings[index] = bytes(message.opening)

    def finish(self) -> Finish:
        """Combine the openings, and take the pads' sum off."""
        setup, contributors = self._setup, tuple(sorted(self.state.contributions))
        partials = {
            index: PartialDecryption.from_bytes(setup.key, opening, setup.payload.messages).values
            for index, opening in self.state.openings.items()
        }
        try:
            sums = combine(setup.key, partials)
            total = setup.payload.unwrap(self.state.total, sums, len(contributors))
        except DamagedSum as error:
            raise RemoteError(f"a contributor broke the rules, and who cannot be told: {error}") from None
        return Finish(total.astype(np.uint64, copy=False), contributors)
