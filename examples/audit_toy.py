"""A protocol with two faults, and the audit that finds both of them. Run: `python examples/audit_toy.py`.

`ToySum` is what one writes after a first look at secure aggregation. Each pair of clients agrees on a seed, one of them
adds the mask that it expands to, and the other subtracts it. If a client drops out, the others reveal the seeds that
they share with it. Sums are right, and each client's vector looks random. Yet it protects nobody:

1. Its masks come from a generator of 31 bits, such as C's `rand`, while vectors are added modulo 2^32. So the highest
   bit of a masked vector says something about the vector. One client alone shows it; both clients of a pair together do
   not, since their masks have opposite signs.
2. Vectors have no masks of their own. A client that is only late counts as dropped out: the others reveal all of its
   seeds, and when its vector arrives, the server reads it. Bonawitz et al. (CCS 2017, section 6.1) add a second mask.

Nothing in the audit knows the messages of this protocol.
"""

import hashlib
import os
from collections.abc import Collection
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar, Final

import msgspec
import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from numpy.typing import NDArray

from protocols import Adversary, Finish, Message, ParameterError, Participant, Secret, SecureSum, Session, State, Step
from protocols.cohort import check_cohort, whole_clients
from protocols.errors import MalformedMessage, RemoteError
from secagg.audit.attack import Level
from secagg.audit.finding import Finding, Verdict
from secagg.audit.runner import findings
from secagg.audit.sums.subject import SumSubject
from secagg.audit.sums.view_suite import ATTACKS

Words = NDArray[np.uint32]

HASH_BYTES: Final = 32
KEY_BYTES: Final = 32


class Call(Message, frozen=True):
    """The question of the server to each client: do you take part?"""


class PublicKey(Message, frozen=True):
    """A client's public key for this session."""

    key: bytes


class Directory(Message, frozen=True):
    """The clients that have sent a key, ascending, and their keys."""

    clients: tuple[int, ...]
    keys: tuple[bytes, ...]


class MaskedVector(Message, frozen=True):
    """A client's vector under its masks, four bytes an entry, and a hash of each seed that it shares, ascending."""

    entries: bytes
    hashes: bytes


class Missing(Message, frozen=True):
    """The clients of the directory whose masked vector has not arrived, ascending."""

    clients: tuple[int, ...]


class Seeds(Message, frozen=True):
    """The seeds that a client shares with the missing clients, 32 bytes each."""

    seeds: bytes


def seed_of(shared: bytes, digest: bytes, one: int, other: int) -> bytes:
    """Return the seed of a pair of clients, from what they have agreed on."""
    return hashlib.sha256(shared + digest + b"%d %d" % (min(one, other), max(one, other))).digest()


def mask_of(seed: bytes, length: int) -> Words:
    """Return the mask that a seed expands to. This is the first fault: the entries have 31 bits, not 32."""
    words = np.frombuffer(hashlib.shake_256(seed).digest(4 * length), dtype="<u4")
    return words & np.uint32(2**31 - 1)


def hash_of(seed: bytes) -> bytes:
    """Return a hash of a seed, by which the server sees whether two clients have the same one."""
    return hashlib.sha256(b"hash" + seed).digest()


class ClientState(State):
    """What a client keeps between steps: its vector, its private key and the seeds that it shares, by client."""

    vector: Words
    private: Secret = Secret(b"")
    seeds: dict[int, Secret] = msgspec.field(default_factory=dict)


class ToyClient:
    """A client's side: each method answers one request."""

    def __init__(self, session: Session, digest: bytes, participant: Participant) -> None:
        self._session = session
        self._digest = digest
        self._client = participant.client
        self._entropy = participant.entropy
        self.state = ClientState(participant.vector.astype(np.uint32))

    def send_key(self, _: Call) -> PublicKey:
        """Draw a private key, and send the public one."""
        self.state.private = Secret(self._entropy(KEY_BYTES))
        return PublicKey(self._private().public_key().public_bytes_raw())

    def mask(self, directory: Directory) -> MaskedVector:
        """Agree on a seed with every other client, and send the vector under all masks, and under no mask of its own.

        That is the second fault.
        """
        if self._client not in directory.clients or len(directory.clients) != len(directory.keys):
            raise MalformedMessage("directory: expected a key of each client, this one among them, found others")
        self._check(directory.clients, "clients of the directory")
        masked = self.state.vector.copy()
        for other, key in zip(directory.clients, directory.keys, strict=True):
            if other != self._client:
                seed = self._agree(other, key)
                self.state.seeds[other] = Secret(seed)
                mask = mask_of(seed, masked.size)
                masked = masked + mask if self._client < other else masked - mask
        masked &= np.uint32(self._session.modulus - 1)
        hashes = b"".join(hash_of(self.state.seeds[other].reveal()) for other in sorted(self.state.seeds))
        return MaskedVector(masked.astype("<u4").tobytes(), hashes)

    def reveal(self, missing: Missing) -> Seeds:
        """Reveal the seeds that this client shares with the missing ones."""
        if list(missing.clients) != sorted(set(missing.clients)) or not set(missing.clients) <= self.state.seeds.keys():
            raise RemoteError("missing clients: expected others of the directory, ascending, found something else")
        self._check({self._client, *self.state.seeds} - set(missing.clients), "clients that are not missing")
        return Seeds(b"".join(self.state.seeds[client].reveal() for client in missing.clients))

    def _private(self) -> X25519PrivateKey:
        return X25519PrivateKey.from_private_bytes(self.state.private.reveal())

    def _agree(self, other: int, key: bytes) -> bytes:
        try:
            shared = self._private().exchange(X25519PublicKey.from_public_bytes(key))
        except ValueError:
            raise RemoteError(f"the key of client {other} is not valid") from None
        return seed_of(shared, self._digest, self._client, other)

    def _check(self, clients: Collection[int], what: str) -> None:
        if len(clients) < self._session.threshold:
            raise RemoteError(f"{what}: expected at least {self._session.threshold}, found {len(clients)}")


class ServerState(State):
    """What the server keeps between steps: keys, the running sum, hashes of seeds by client, revealed seeds by pair."""

    total: Words
    keys: dict[int, bytes] = msgspec.field(default_factory=dict)
    hashes: dict[int, bytes] = msgspec.field(default_factory=dict)
    revealed: dict[int, bytes] = msgspec.field(default_factory=dict)


class ToyServer:
    """The server's side: for each step one method that takes in a reply, and one that ends the step."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.state = ServerState(np.zeros(session.length, dtype=np.uint32))

    def open(self) -> dict[int, Message]:
        """Begin the first step: ask every client."""
        return {client: Call() for client in self._session.clients}

    def take_key(self, sender: int, message: PublicKey) -> None:
        """Take in a key."""
        if len(message.key) != KEY_BYTES or message.key in self.state.keys.values():
            raise MalformedMessage(f"key: expected a new one of {KEY_BYTES} bytes, found another")
        self.state.keys[sender] = message.key

    def close_keys(self) -> dict[int, Message]:
        """Send the directory to all of its clients."""
        clients = tuple(sorted(self.state.keys))
        return dict.fromkeys(clients, Directory(clients, tuple(self.state.keys[client] for client in clients)))

    def take_vector(self, sender: int, message: MaskedVector) -> None:
        """Add a masked vector to the running sum."""
        others = len(self.state.keys) - 1
        if len(message.entries) != 4 * self._session.length or len(message.hashes) != HASH_BYTES * others:
            raise MalformedMessage("masked vector: expected its entries and a hash of each seed, found other lengths")
        entries = np.frombuffer(message.entries, dtype="<u4")
        if int(entries.max()) >= self._session.modulus:
            raise MalformedMessage("masked vector: expected entries below the modulus, found a larger one")
        self.state.total = self.state.total + entries
        self.state.hashes[sender] = message.hashes

    def close_vectors(self) -> dict[int, Message]:
        """Compare the hashes that clients have sent, and tell the clients who is missing."""
        for one, other in combinations(sorted(self.state.hashes), 2):
            if self._hash(one, other) != self._hash(other, one):
                raise RemoteError(f"clients {one} and {other} do not have the same seed", culprits=[one, other])
        return dict.fromkeys(sorted(self.state.hashes), Missing(self._missing()))

    def take_seeds(self, sender: int, message: Seeds) -> None:
        """Check the seeds that a client reveals, and remove the masks that they expand to."""
        missing = self._missing()
        if len(message.seeds) != KEY_BYTES * len(missing):
            raise MalformedMessage(f"seeds: expected {len(missing)} of {KEY_BYTES} bytes, found another length")
        seeds = [message.seeds[KEY_BYTES * at : KEY_BYTES * (at + 1)] for at in range(len(missing))]
        for client, seed in zip(missing, seeds, strict=True):
            if hash_of(seed) != self._hash(sender, client):
                raise RemoteError(f"seed shared with client {client}: expected another one", culprits=[sender])
        self.state.revealed[sender] = message.seeds

    def finish(self) -> Finish:
        """End with the sum of all vectors that have arrived."""
        for sender in self.state.hashes:
            if sender not in self.state.revealed and self._missing():
                raise RemoteError(f"client {sender} has dropped out, and its seeds with it", culprits=[sender])
        for sender, seeds in self.state.revealed.items():
            for at, client in enumerate(self._missing()):
                mask = mask_of(seeds[KEY_BYTES * at : KEY_BYTES * (at + 1)], self._session.length)
                self.state.total = self.state.total - mask if sender < client else self.state.total + mask
        total = self.state.total & np.uint32(self._session.modulus - 1)
        return Finish(total.astype(np.uint64), tuple(sorted(self.state.hashes)))

    def _missing(self) -> tuple[int, ...]:
        return tuple(sorted(self.state.keys.keys() - self.state.hashes.keys()))

    def _hash(self, sender: int, other: int) -> bytes:
        """Return the hash of the seed of two clients that the first one has sent."""
        at = sorted(self.state.keys.keys() - {sender}).index(other)
        return self.state.hashes[sender][HASH_BYTES * at : HASH_BYTES * (at + 1)]


STEPS: Final = (
    Step("send_key", Call, ToyClient.send_key, PublicKey, ToyServer.take_key, ToyServer.close_keys),
    Step(
        "mask",
        Directory,
        ToyClient.mask,
        MaskedVector,
        ToyServer.take_vector,
        ToyServer.close_vectors,
        sends_vector=True,
    ),
    Step("reveal", Missing, ToyClient.reveal, Seeds, ToyServer.take_seeds, ToyServer.finish),
)


@dataclass(frozen=True)
class ToySum(SecureSum):
    """Pairwise masks of 31 bits, and nothing else. It claims to protect from a server that follows the protocol."""

    name: ClassVar[str] = "toy"
    wire: ClassVar[int] = 1
    steps = STEPS
    adversaries: ClassVar[tuple[Adversary, ...]] = (Adversary.CURIOUS,)

    @classmethod
    def suggest(
        cls, *, clients: int, adversarial: float, dropout: float, adversary: Adversary = Adversary.CURIOUS
    ) -> tuple["ToySum", int]:
        """Return the protocol, and a threshold of more than half of the clients.

        Raises:
            ParameterError: The adversary is not `CURIOUS`, or too many clients may collude or drop out.
        """
        if adversary is not Adversary.CURIOUS:
            raise ParameterError(f"adversary: expected curious for {cls.name}, found {adversary}")
        check_cohort(clients, adversarial, dropout)
        threshold = clients // 2 + 1
        left = clients - whole_clients(clients, dropout, "dropout")
        if whole_clients(clients, adversarial, "adversarial") >= threshold or left < threshold:
            raise ParameterError(f"expected fractions below one half, found {adversarial} and {dropout}")
        return cls(), threshold

    def message_limit(self, session: Session) -> int:
        """Return the largest size of a message in bytes: a vector, and a hash or a key of each client."""
        return 4 * session.length + 64 * len(session.clients) + 1024

    def _validate(self, session: Session) -> None:
        """Raise `ParameterError` if this protocol cannot run the session."""
        if session.modulus & (session.modulus - 1) or session.modulus > 2**32:
            raise ParameterError(f"modulus: expected a power of 2 of at most 2^32, found {session.modulus}")

    def client_party(self, session: Session, participant: Participant) -> ToyClient:
        """Return a client before its first step."""
        return ToyClient(session, self.digest(session), participant)

    def server_party(self, session: Session) -> ToyServer:
        """Return the server before its first step."""
        return ToyServer(session)


def audit(master: bytes) -> list[Finding]:
    """Return what the checks of the server's view and the attacks find."""
    return list(findings([SumSubject.of(ToySum())], ATTACKS, level=Level.QUICK, master=master))


def show(found: Finding) -> None:
    """Print the verdict of a check, and its evidence or why it did not apply."""
    print(f"{found.attack:24} {found.verdict}")
    if found.verdict is not Verdict.NOT_REJECTED:
        print(f"    {found.evidence}")


if __name__ == "__main__":
    for each in audit(os.urandom(32)):
        show(each)
