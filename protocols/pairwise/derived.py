"""Values that both sides of pairwise masking derive from the session and the key directory, each by itself."""

from dataclasses import dataclass
from functools import lru_cache

from protocols.crypto import sealing, shamir
from protocols.crypto.key_agreement import X25519, KeyAgreement
from protocols.errors import RemoteError
from protocols.identity import Signatures
from protocols.lanes import Lanes
from protocols.pairwise import graph, schedule
from protocols.pairwise.messages import AdvertisedKeys
from protocols.pairwise.schedule import Schedule
from protocols.session import Session

KEYS = b"keys...."
SHARES = b"shares.."
SURVIVORS = b"survivor"


@dataclass(frozen=True, slots=True, kw_only=True)
class Derived:
    """One session of pairwise masking.

    Attributes:
        session: The session.
        digest: Its digest, 32 bytes.
        degree: Number of neighbours of each client.
        threshold: Number of secret shares, of the degree + 1 dealt, that rebuild a secret.
        lanes: The words in which vectors are masked and added.
        agreement: The key agreement. Its private keys are secret-shared, so they have the length of a shared secret.
    """

    session: Session
    digest: bytes
    degree: int
    threshold: int
    lanes: Lanes
    agreement: KeyAgreement = X25519

    @property
    def signatures(self) -> Signatures:
        """The signer and verifier of the session's statements."""
        return Signatures(self.digest, self.session.roster)

    @property
    def shares_each(self) -> int:
        """The number of shares dealt to each holder: of the seed, the masking key and each attached secret."""
        return 2 + len(self.session.attached)

    @property
    def sealed_bytes(self) -> int:
        """Length of a ciphertext of shares, in bytes."""
        return self.shares_each * shamir.SHARE_BYTES + sealing.SEAL_OVERHEAD_BYTES

    @property
    def fingerprint_bytes(self) -> int:
        """Length of the fingerprints of one holder's shares, in bytes."""
        return self.shares_each * schedule.HASH_BYTES

    def opened_secrets(self, survivors: int) -> tuple[int, ...]:
        """Return the indices of the attached secrets that are opened with this number of survivors."""
        dropped = len(self.session.clients) - survivors
        return tuple(index for index, rule in enumerate(self.session.attached) if rule.opens(dropped))

    def schedule(self, root: bytes) -> Schedule:
        """Return the key schedule under a directory's root."""
        return Schedule(self.digest, root)

    def leaf(self, client: int, advertised: AdvertisedKeys) -> bytes:
        """Return a client's entry in the directory."""
        return schedule.leaf(self.digest, client=client, advertised=advertised.joined + advertised.signature)

    def root(self, leaves: bytes) -> bytes:
        """Return the directory's root, which is the seed of the graph's order."""
        return schedule.root(self.digest, leaves)

    def neighbours(self, root: bytes, client: int) -> frozenset[int]:
        """Return a client's neighbours under a directory's root."""
        return frozenset(graph.neighbourhood(_circle(root, self.session.clients), client, self.degree))

    def graph(self, root: bytes) -> dict[int, frozenset[int]]:
        """Return every client's neighbours under a directory's root."""
        return _graph(root, self.session.clients, self.degree)

    def check_keys(self, client: int, advertised: AdvertisedKeys) -> None:
        """Check one client's public keys, without comparing them to those of others.

        Raises:
            RemoteError: The keys are not canonical, equal, or not signed by this client for this session.
        """
        if not (self.agreement.is_canonical(advertised.sealing) and self.agreement.is_canonical(advertised.masking)):
            raise RemoteError(
                f"the public keys of client {client} are not canonical, of {self.agreement.public_bytes} bytes"
            )
        if advertised.sealing == advertised.masking:
            raise RemoteError(f"client {client} has one public key for two purposes, or a repeated one")
        self.signatures.check(advertised.signature, client=client, purpose=KEYS, payload=advertised.joined)


@lru_cache(maxsize=4)
def _circle(root: bytes, clients: tuple[int, ...]) -> tuple[int, ...]:
    return graph.order(root, clients)


@lru_cache(maxsize=2)
def _graph(root: bytes, clients: tuple[int, ...], degree: int) -> dict[int, frozenset[int]]:
    return {c: frozenset(near) for c, near in graph.neighbourhoods(_circle(root, clients), degree).items()}
