"""The server's side of a sum that a committee opens: one method pair for each step."""

import hashlib
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from msgspec import field

from protocols.codec import Invitation, Message
from protocols.crypto.keystream import Words
from protocols.crypto.paillier import plaintext_proof
from protocols.crypto.paillier.ciphertext_pairs import Total
from protocols.crypto.paillier.partial_decryption import InvalidShare, PartialDecryption, check_partial, combine
from protocols.crypto.paillier.plaintext_proof import InvalidProof
from protocols.encrypted.derived import HASH_BYTES, Derived
from protocols.encrypted.messages import Contributions, EncryptedInput, PartialOpening
from protocols.errors import DamagedSum, MalformedMessage, RemoteError
from protocols.secure_sum import Finish
from protocols.snapshot import State


class ServerState(State, kw_only=True):
    """The state of the server.

    Attributes:
        total: The sum of the masked vectors.
        contributions: By client, a hash of its masked vector, and its sealed part. The committee receives all of them.
        statement: The statement to which the openings are bound.
        openings: By key share index, partial decryptions that were checked.
    """

    total: Words
    contributions: dict[int, bytes] = field(default_factory=dict)
    statement: bytes = b""
    openings: dict[int, bytes] = field(default_factory=dict)


class EncryptedServer:
    """The server of one session."""

    def __init__(self, derived: Derived) -> None:
        self._derived = derived
        self.state = ServerState(total=derived.payload.nothing())

    def open(self) -> dict[int, Message]:
        """Ask every client of the session."""
        return {client: Invitation() for client in self._derived.session.clients}

    @cached_property
    def _product(self) -> Total:
        """The running product of ciphertexts; it follows from the contributions and is recomputed after a restart."""
        derived = self._derived
        product = Total(derived.key.public_key, derived.payload.messages)
        for client, contribution in self.state.contributions.items():
            pairs, _ = derived.opened(client, contribution[:HASH_BYTES], memoryview(contribution)[HASH_BYTES:])
            product.add(pairs)
        return product

    def take_input(self, sender: int, message: EncryptedInput) -> None:
        """Check a client's message, and add it to the sums (step 0)."""
        derived = self._derived
        if len(message.padded) != derived.payload.padded_bytes:
            raise MalformedMessage(
                f"masked vector: expected {derived.payload.padded_bytes} bytes, found {len(message.padded)}"
            )
        padded_hash = hashlib.sha256(message.padded).digest()
        pairs, proof = derived.opened(sender, padded_hash, message.sealed)
        try:
            plaintext_proof.check(derived.encryptor, pairs, proof, statement=derived.statement(sender, padded_hash))
        except InvalidProof as error:
            raise RemoteError(f"the contribution's proof of plaintext knowledge is not valid: {error}") from None
        self._product.add(pairs)
        derived.payload.add(self.state.total, message.padded)
        self.state.contributions[sender] = padded_hash + bytes(message.sealed)

    def merge(self, other: ServerState) -> None:
        """Add the sums of another server of this session, of other clients (step 0).

        Sums of masked vectors add up modulo 2^64, and the product of ciphertexts follows from the contributions.
        """
        self.state.total += other.total
        self.state.contributions |= other.contributions
        vars(self).pop("_product", None)

    def close_inputs(self) -> dict[int, Message]:
        """Send all contributions to every committee member."""
        contributors = tuple(sorted(self.state.contributions))
        joined = b"".join(self.state.contributions[client] for client in contributors)
        self.state.statement = self._derived.opening_statement(contributors, joined)
        request = Contributions(contributors, memoryview(joined))
        return dict.fromkeys(self._derived.committee.members, request)

    @cached_property
    def _ciphertexts(self) -> Sequence[int]:
        return self._product.ciphertexts()

    def take_opening(self, sender: int, message: PartialOpening) -> None:
        """Check a committee member's partial decryptions (step 1)."""
        derived, index = self._derived, self._derived.committee.index(sender)
        try:
            partial = PartialDecryption.from_bytes(derived.key, message.opening, derived.payload.messages)
            check_partial(derived.key, index, self._ciphertexts, partial, statement=self.state.statement)
        except InvalidShare as error:
            raise RemoteError(f"the partial opening is not valid: {error}") from None
        self.state.openings[index] = bytes(message.opening)

    def finish(self) -> Finish:
        """Combine the openings, and remove the sum of the masks."""
        derived, contributors = self._derived, tuple(sorted(self.state.contributions))
        partials = {
            index: PartialDecryption.from_bytes(derived.key, opening, derived.payload.messages).values
            for index, opening in self.state.openings.items()
        }
        try:
            sums = combine(derived.key, partials)
            total = derived.payload.unwrap(self.state.total, sums, len(contributors))
        except DamagedSum as error:
            raise RemoteError(f"a contributor broke the rules; nothing shows which one: {error}") from None
        return Finish(total.astype(np.uint64, copy=False), contributors)
