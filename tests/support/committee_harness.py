"""Sums that a committee opens, whose server and clients may send anything, with the whole private key at hand.

The key belongs to the tests, so they can decrypt every message and compare it with what the parties have opened.
"""

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache

from msgspec.structs import asdict

from protocols import Client, Finish, MemoryOpenings, OpeningRecord
from protocols.crypto.paillier import ciphertext_pairs, plaintext_proof
from protocols.crypto.paillier.ciphertext_pairs import Pair, Total
from protocols.crypto.paillier.encryptor import Encryptor
from protocols.crypto.paillier.partial_decryption import PartialDecryption, combine
from protocols.crypto.paillier.private import PrivateKey
from protocols.encrypted.derived import HASH_BYTES, Derived
from protocols.encrypted.messages import Contributions, EncryptedInput, PartialOpening
from protocols.encrypted.protocol import EncryptedSum
from protocols.identity import SIGNATURE_BYTES
from protocols.session import Vector
from protocols.testing import ProtocolRun, repeatable_entropy
from tests.conformance.cohorts import Setting
from tests.support import committee_keys

ENCRYPT, OPEN = 0, 1


def setup_of(where: Setting) -> Derived:
    """Return what every party derives from the session."""
    assert isinstance(where.protocol, EncryptedSum)
    return where.protocol._derived(where.session)


@cache
def private_key() -> PrivateKey:
    """Return the whole private key of every committee of these tests, which no party has."""
    return PrivateKey.from_primes(committee_keys.SAFE_P, committee_keys.SAFE_Q, 1)


def decrypted(pairs: Sequence[Pair]) -> list[int]:
    """Return the messages of ciphertexts."""
    key = private_key()
    return [int(key.decrypt_raw(ciphertext_pairs.join(key.public_key, *pair))) for pair in pairs]


def powers(pairs: Sequence[Pair], exponent: int) -> list[Pair]:
    """Return ciphertexts of `exponent` times the messages of these."""
    key = private_key().public_key
    return ciphertext_pairs.split(
        key, [int(pow(ciphertext_pairs.join(key, *pair), exponent, key.modulus)) for pair in pairs]
    )


def sums_of(one: Sequence[Pair], other: Sequence[Pair]) -> list[Pair]:
    """Return ciphertexts of the sums of the messages of these."""
    key = private_key().public_key
    total = Total(key, len(one))
    total.add(one)
    total.add(other)
    return ciphertext_pairs.split(key, total.ciphertexts())


class CommitteeHarness(ProtocolRun):
    """A sum whose clients have all answered, and whose server and members a test then plays.

    Attributes:
        setup: What all parties derive from the session.
        codec: The codec for messages of the session.
        sent: By client, its message.
    """

    def __init__(self, where: Setting, *, seed: bytes = b"run", vectors: Mapping[int, Vector] | None = None) -> None:
        super().__init__(where, seed=seed, vectors=vectors)
        self.setup = setup_of(where)
        self.codec = where.codec
        self.sent = {c: self.codec.decode(ENCRYPT, EncryptedInput, reply) for c, reply in self.replies().items()}

    @property
    def encryptor(self) -> Encryptor:
        """The encryptor under the committee's key."""
        return self.setup.encryptor

    def pairs(self, client: int) -> list[Pair]:
        """Return a client's ciphertexts."""
        key = self.setup.key.public_key
        return ciphertext_pairs.from_bytes(key, self.sent[client].sealed[: self.setup.ciphertexts_bytes], self.count)

    def proof(self, client: int) -> bytes:
        """Return a client's proof of plaintext knowledge."""
        start = self.setup.ciphertexts_bytes
        return bytes(self.sent[client].sealed[start : start + self.setup.proof_bytes])

    @property
    def count(self) -> int:
        """The number of ciphertexts of a client."""
        return self.setup.payload.messages

    def contribution(self, client: int) -> bytes:
        """Return a client's contribution as the committee is shown it."""
        return shown_to_committee(self.sent[client])

    def forged_input(
        self, client: int, padded: bytes, values: Sequence[int], *, signer: int | None = None, whose: int | None = None
    ) -> EncryptedInput:
        """Return an input that encrypts any values, with a right proof that the sender knows them.

        Args:
            client: The client whose input this is to be.
            padded: Its padded vector.
            values: Its messages.
            signer: The client that signs it; `client`, if not given.
            whose: The client whose signature it claims to be; `client`, if not given.
        """
        padded_hash = hashlib.sha256(padded).digest()
        statement = self.setup.statement(client, padded_hash)
        made = plaintext_proof.seal(self.encryptor, values, statement=statement, entropy=repeatable_entropy(b"made"))
        return self.signed(client, padded, made.pairs, made.proof, signer=signer, whose=whose)

    def signed(
        self,
        client: int,
        padded: bytes,
        pairs: Sequence[Pair],
        proof: bytes,
        *,
        signer: int | None = None,
        whose: int | None = None,
    ) -> EncryptedInput:
        """Return an input of ciphertexts and a proof of any origin, signed if the session has a roster."""
        sealed = ciphertext_pairs.to_bytes(self.setup.key.public_key, pairs) + proof
        member = self.scenario.terms(client if signer is None else signer)
        padded_hash = hashlib.sha256(padded).digest()
        signature = self.setup.sign(
            None if member is None else member.identity, client if whose is None else whose, padded_hash, sealed
        )
        return EncryptedInput(memoryview(padded), memoryview(sealed + signature))

    def request(self, contributions: Mapping[int, bytes]) -> bytes:
        """Return a request to open the sum of these contributions, in the order in which they are given."""
        return self.codec.encode(
            OPEN, Contributions(tuple(contributions), memoryview(b"".join(contributions.values())))
        )

    def honest_contributions(self, *clients: int) -> dict[int, bytes]:
        """Return the contributions of these clients, or of all, in ascending order."""
        return {client: self.contribution(client) for client in sorted(clients or self.sent)}

    def member(self, party: int, openings: OpeningRecord | None = None, seed: bytes = b"opening") -> Client:
        """Return a member that is asked to open, after its own input if it is a client too.

        Args:
            party: The member.
            openings: Its record of openings; its own of this run, if not given.
            seed: The seed of its randomness.
        """
        record = openings or self.openings[party]
        machine = self.scenario.client(
            party, self.inputs.get(party), repeatable_entropy(seed + b"%d" % party), None, record
        )
        if party in self.scenario.session.clients:
            machine.handle(self.requests[party])
        return machine

    def open_with(self, contributions: Mapping[int, bytes], *parties: int, seed: bytes = b"opening") -> list[int]:
        """Return the messages that these members open of these contributions."""
        request, partials = self.request(contributions), {}
        assert self.scenario.session.committee is not None
        for party in parties:
            reply = self.codec.decode(OPEN, PartialOpening, self.member(party, MemoryOpenings()).handle(request))
            partial = PartialDecryption.from_bytes(self.setup.key, reply.opening, self.count)
            partials[self.scenario.session.committee.index(party)] = partial.values
        return combine(self.setup.key, partials)

    def finish_with(self, sent: Mapping[int, EncryptedInput]) -> Finish:
        """Return the outcome of the sum if clients send these inputs and as few members open as can."""
        self.deliver({client: self.codec.encode(ENCRYPT, message) for client, message in sent.items()})
        opening = list(self.requests.items())[: self.scenario.quorum(OPEN)]
        self.deliver({party: self.clients[party].handle(request) for party, request in opening})
        return self.finish()

    def vector_of_sums(self, padded: Sequence[bytes | memoryview], sums: Sequence[int], contributors: int) -> Vector:
        """Return the sum of `contributors` vectors, from masked vectors and the sums of their messages."""
        total = self.setup.payload.nothing()
        for each in padded:
            self.setup.payload.add(total, memoryview(each))
        return self.setup.payload.unwrap(total, sums, contributors)


def shown_to_committee(message: EncryptedInput) -> bytes:
    """Return a client's message as the committee is shown it."""
    return hashlib.sha256(message.padded).digest() + bytes(message.sealed)


def field_positions(where: Derived) -> dict[str, tuple[int, int]]:
    """Return where the parts of a contribution, as the committee is shown it, begin and end."""
    ends = {"hash": HASH_BYTES, "ciphertexts": where.ciphertexts_bytes, "proof": where.proof_bytes}
    signature = where.sealed_bytes - where.ciphertexts_bytes - where.proof_bytes
    assert signature in (0, SIGNATURE_BYTES)
    found, start = {}, 0
    for name, size in (ends | ({"signature": signature} if signature else {})).items():
        found[name] = (start, start + size)
        start += size
    return found


def altered(message: EncryptedInput, **changes: bytes) -> EncryptedInput:
    """Return a message with other fields."""
    return EncryptedInput(**asdict(message) | {name: memoryview(value) for name, value in changes.items()})
