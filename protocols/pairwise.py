"""Pairwise masking: SecAgg on the complete graph, SecAgg+ on a regular one; the graph is the only difference.

Sources: Bonawitz et al., Practical Secure Aggregation for Privacy-Preserving Machine Learning, CCS 2017
(ia.cr/2017/281), figure 4 without its signatures and consistency check; Bell et al., Secure Single-Server
Aggregation with (Poly)Logarithmic Overhead, CCS 2020 (ia.cr/2020/704), algorithm 2.

Adversary: an honest-but-curious server together with fewer clients than would meet the share threshold in any
neighbourhood.  A server that lies about keys or about who dropped is not yet defended against; what a client can
check for itself without identities, it checks.

Departures from the papers:
- A client is a holder of its own shares too, in both variants, so a holder set is a closed neighbourhood.
- The seed of the self-mask is committed to by a hash beside its shares, and a rebuilt masking key is compared with
  the advertised one, so damaged shares end in an error, never in a wrong sum.
- The server leaves out, before anyone masks, each client whose secrets could no longer be rebuilt because too few
  of its neighbours are left.
- The survivor set reaches each client whole, so that it can count the cohort itself.
"""

import hmac
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Final

import numpy as np

from protocols import packing
from protocols.crypto import graph, keys, prg, shamir
from protocols.crypto.schedule import COMMITMENT_BYTES, Schedule
from protocols.crypto.secret import Secret
from protocols.errors import MalformedMessage, ParameterError, RemoteError, TooFewSurvivors
from protocols.machine import Entropy, Finish, Round, SecureSum, Session, Vector, check_cohort
from protocols.messages import Message

_SEALED_BYTES = 2 * shamir.SHARE_BYTES + keys.SEAL_OVERHEAD_BYTES


class Invitation(Message, frozen=True):
    """The server opens the session; the envelope's digest says which."""


class AdvertisedKeys(Message, frozen=True):
    """Two X25519 public keys: one to seal shares under, one to agree on masks with."""

    sealing: bytes
    masking: bytes


class NeighbourKeys(Message, frozen=True):
    """The keys of a client's neighbours that are still there, neighbours ascending."""

    neighbours: tuple[int, ...]
    keys: tuple[AdvertisedKeys, ...]


class SealedShares(Message, frozen=True):
    """A commitment to the self-mask's seed, and for each neighbour, ascending, its two shares, sealed."""

    commitment: bytes
    ciphertexts: tuple[bytes, ...]


class DeliveredShares(Message, frozen=True):
    """What the neighbours that are still there sealed for one client, neighbours ascending."""

    neighbours: tuple[int, ...]
    ciphertexts: tuple[bytes, ...]


class MaskedInput(Message, frozen=True):
    """A client's vector under all its masks, bit-packed."""

    packed: bytes


class Survivors(Message, frozen=True):
    """Whose masked input is in the sum: bit i of byte i // 8 for the i-th client of the session."""

    bitmap: bytes


class RevealedShares(Message, frozen=True):
    """One share of each closed neighbour that shared, ascending: a survivor's self-mask's, else the masking key's."""

    shares: tuple[bytes, ...]


class PairwiseClient:
    """One client's secrets and what it knows of its neighbours."""

    def __init__(
        self, protocol: "PairwiseMasking", session: Session, client: int, vector: Vector, entropy: Entropy
    ) -> None:
        self._session = session
        self._schedule = Schedule(protocol.digest(session))
        self._threshold = protocol.holders_needed(session)
        self._neighbourhood = protocol.neighbours_of(session, client)
        self._client = client
        self._vector = vector
        self._entropy = entropy
        self._keys: dict[int, AdvertisedKeys] = {}
        self._channels: dict[int, Secret] = {}
        self._shares: dict[int, tuple[Secret, Secret]] = {}

    def advertise_keys(self, _: Invitation) -> AdvertisedKeys:
        """Round 0: make two key pairs for this session alone."""
        self._sealing = keys.KeyPair(Secret(self._entropy(keys.KEY_BYTES)))
        self._masking = keys.KeyPair(Secret(self._entropy(keys.KEY_BYTES)))
        return AdvertisedKeys(self._sealing.public, self._masking.public)

    def share_keys(self, directory: NeighbourKeys) -> SealedShares:
        """Round 1: deal the masking key and the self-mask's seed to the neighbours and to oneself."""
        self._check_neighbours(directory.neighbours, self._neighbourhood, len(directory.keys))
        seen = {self._sealing.public, self._masking.public}
        for neighbour, advertised in zip(directory.neighbours, directory.keys, strict=True):
            for key in (advertised.sealing, advertised.masking):
                if len(key) != keys.KEY_BYTES or key in seen:
                    raise RemoteError(f"client {neighbour} has a damaged or repeated key", culprits=[neighbour])
                seen.add(key)
            self._keys[neighbour] = advertised
            self._channels[neighbour] = self._agree(self._sealing, neighbour, advertised.sealing)

        self._seed = Secret(self._entropy(keys.KEY_BYTES))
        holders = sorted((*directory.neighbours, self._client))
        seed_shares, key_shares = (
            shamir.share(dealt, threshold=self._threshold, holders=holders, entropy=self._entropy)
            for dealt in (self._seed, self._masking.secret)
        )
        ciphertexts = []
        for holder, seed_share, key_share in zip(holders, seed_shares, key_shares, strict=True):
            if holder == self._client:
                self._shares[holder] = Secret(seed_share), Secret(key_share)
            else:
                sealing = self._schedule.share_key(self._channels[holder], sender=self._client, receiver=holder)
                ciphertexts.append(keys.seal(sealing, seed_share + key_share))
        return SealedShares(self._schedule.commitment(self._seed, owner=self._client), tuple(ciphertexts))

    def mask_input(self, delivered: DeliveredShares) -> MaskedInput:
        """Round 2: open the shares, and send the vector under the self-mask and one mask for each neighbour."""
        self._check_neighbours(delivered.neighbours, frozenset(self._keys), len(delivered.ciphertexts))
        for neighbour, ciphertext in zip(delivered.neighbours, delivered.ciphertexts, strict=True):
            key = self._schedule.share_key(self._channels[neighbour], sender=neighbour, receiver=self._client)
            try:
                shares = keys.open_sealed(key, ciphertext)
            except ValueError as error:
                raise RemoteError(f"the shares of client {neighbour}: {error}", culprits=[neighbour]) from None
            if len(shares) != 2 * shamir.SHARE_BYTES:
                raise RemoteError(f"the shares of client {neighbour} have a wrong length", culprits=[neighbour])
            self._shares[neighbour] = Secret(shares[: shamir.SHARE_BYTES]), Secret(shares[shamir.SHARE_BYTES :])

        modulus = self._session.modulus
        masked = self._vector.astype(prg.word_dtype(modulus))
        prg.add_mask(masked, self._schedule.self_mask(self._seed, owner=self._client))
        for neighbour in delivered.neighbours:
            shared = self._agree(self._masking, neighbour, self._keys[neighbour].masking)
            apply = prg.add_mask if self._client < neighbour else prg.subtract_mask
            apply(masked, self._schedule.pair_mask(shared, one=self._client, other=neighbour))
        masked &= masked.dtype.type(modulus - 1)
        # From here on this client needs only what others gave it to hold, and its own two shares.
        del self._vector, self._seed, self._masking, self._sealing, self._channels
        return MaskedInput(packing.pack(masked, modulus))

    def reveal_shares(self, survivors: Survivors) -> RevealedShares:
        """Round 3: for each closed neighbour one of the two shares that this client holds, never both."""
        alive = _members(survivors.bitmap, self._session)
        if self._client not in alive:
            raise RemoteError("the survivor set leaves this client out, whose input was asked for")
        if len(alive) < self._session.threshold:
            raise RemoteError(
                f"{len(alive)} survivors, where this client allows no fewer than {self._session.threshold}"
            )
        if len(alive & self._shares.keys()) < self._threshold:
            raise RemoteError("too few survivors among this client's neighbours")
        if (alive & self._neighbourhood) - self._shares.keys():
            raise RemoteError("the survivor set names a neighbour that has shared nothing")
        return RevealedShares(
            tuple(self._shares[owner][0 if owner in alive else 1].reveal() for owner in sorted(self._shares))
        )

    def _check_neighbours(self, named: tuple[int, ...], allowed: frozenset[int], others: int) -> None:
        if len(named) != others or list(named) != sorted(set(named)) or not allowed.issuperset(named):
            raise RemoteError("the server names neighbours that are repeated, unordered or not this client's")
        if len(named) + 1 < self._threshold:
            raise RemoteError(f"{len(named)} neighbours are left, fewer than the threshold of {self._threshold} needs")

    def _agree(self, pair: keys.KeyPair, neighbour: int, public: bytes) -> Secret:
        try:
            return pair.agree(public)
        except ValueError:
            raise RemoteError(f"client {neighbour} has a key of low order", culprits=[neighbour]) from None


class PairwiseServer:
    """What the server keeps: public keys, sealed shares on their way, one running sum.  It draws no randomness."""

    def __init__(self, protocol: "PairwiseMasking", session: Session) -> None:
        self._session = session
        self._schedule = Schedule(protocol.digest(session))
        self._threshold = protocol.holders_needed(session)
        self._neighbours = protocol.graph(session)
        self._keys: dict[int, AdvertisedKeys] = {}
        self._advertised: set[bytes] = set()
        self._directories: dict[int, tuple[int, ...]] = {}
        self._sealed: dict[int, dict[int, bytes]] = {}
        self._commitments: dict[int, bytes] = {}
        self._total = np.zeros(session.length, dtype=prg.word_dtype(session.modulus))
        self._survivors: set[int] = set()
        self._revealed: dict[int, RevealedShares] = {}

    def open(self) -> dict[int, Message]:
        """Ask every client of the session."""
        return {client: Invitation() for client in self._session.clients}

    def take_keys(self, sender: int, advertised: AdvertisedKeys) -> None:
        """Round 0: keep a client's public keys; neighbours would close over a repeated one, or one of low order."""
        if any(len(key) != keys.KEY_BYTES for key in (advertised.sealing, advertised.masking)):
            raise MalformedMessage(f"public keys must have {keys.KEY_BYTES} bytes")
        fresh = {advertised.sealing, advertised.masking}
        if len(fresh) != 2 or fresh & self._advertised:
            raise RemoteError("a public key that has been advertised before")
        if any(keys.is_low_order(key) for key in fresh):
            raise RemoteError("a public key of low order")
        self._keys[sender] = advertised
        self._advertised |= fresh

    def close_keys(self) -> dict[int, Message]:
        """Send each client the keys of its neighbours."""
        members = self._recoverable(self._keys)
        self._directories = {client: tuple(sorted(self._neighbours[client] & members)) for client in members}
        return {
            client: NeighbourKeys(neighbours, tuple(self._keys[neighbour] for neighbour in neighbours))
            for client, neighbours in self._directories.items()
        }

    def take_shares(self, sender: int, sealed: SealedShares) -> None:
        """Round 1: keep a client's sealed shares for their holders."""
        neighbours = self._directories[sender]
        if len(sealed.ciphertexts) != len(neighbours):
            raise MalformedMessage(f"{len(sealed.ciphertexts)} sealed shares, where {len(neighbours)} are expected")
        if any(len(ciphertext) != _SEALED_BYTES for ciphertext in sealed.ciphertexts):
            raise MalformedMessage(f"sealed shares must have {_SEALED_BYTES} bytes")
        if len(sealed.commitment) != COMMITMENT_BYTES:
            raise MalformedMessage(f"a commitment must have {COMMITMENT_BYTES} bytes")
        self._sealed[sender] = dict(zip(neighbours, sealed.ciphertexts, strict=True))
        self._commitments[sender] = sealed.commitment

    def close_shares(self) -> dict[int, Message]:
        """Deliver the sealed shares to their holders."""
        members = self._recoverable(self._sealed)
        self._directories = {client: tuple(sorted(self._neighbours[client] & members)) for client in members}
        requests: dict[int, Message] = {
            client: DeliveredShares(neighbours, tuple(self._sealed[neighbour][client] for neighbour in neighbours))
            for client, neighbours in self._directories.items()
        }
        self._sealed.clear()
        return requests

    def take_masked_input(self, sender: int, masked: MaskedInput) -> None:
        """Round 2: add a masked vector to the running sum."""
        try:
            vector = packing.unpack(masked.packed, self._session.length, self._session.modulus)
        except ValueError as error:
            raise MalformedMessage(str(error)) from None
        self._total += vector.astype(self._total.dtype)
        self._survivors.add(sender)

    def close_masked_inputs(self) -> dict[int, Message]:
        """Tell the survivors who they are."""
        for client in self._directories:
            needed = client in self._survivors or self._alive_neighbours(client)
            if needed and len(self._holders(client) & self._survivors) < self._threshold:
                raise TooFewSurvivors(
                    f"fewer than {self._threshold} of the share-holders of client {client} survive; its masks stay"
                )
        survivors = Survivors(_bitmap(self._survivors, self._session))
        return dict.fromkeys(sorted(self._survivors), survivors)

    def take_revealed_shares(self, sender: int, revealed: RevealedShares) -> None:
        """Round 3: keep the shares that one holder reveals."""
        expected = len(self._holders(sender))
        if len(revealed.shares) != expected:
            raise MalformedMessage(f"{len(revealed.shares)} shares, where {expected} are expected")
        if any(len(share) != shamir.SHARE_BYTES for share in revealed.shares):
            raise MalformedMessage(f"shares must have {shamir.SHARE_BYTES} bytes")
        self._revealed[sender] = revealed

    def finish(self) -> Finish:
        """Rebuild and remove the self-masks of survivors, and the masks they share with those that dropped."""
        by_owner: dict[int, dict[int, bytes]] = {client: {} for client in self._directories}
        for holder, revealed in self._revealed.items():
            for owner, share in zip(sorted(self._holders(holder)), revealed.shares, strict=True):
                by_owner[owner][holder] = share
        for owner in self._directories:
            if owner in self._survivors:
                self._remove_self_mask(owner, self._rebuild(owner, by_owner[owner]))
            elif self._alive_neighbours(owner):
                self._remove_pair_masks(owner, self._rebuild(owner, by_owner[owner]))
        self._total &= self._total.dtype.type(self._session.modulus - 1)
        return Finish(self._total.astype(np.uint64), tuple(sorted(self._survivors)))

    def _remove_self_mask(self, owner: int, seed: Secret) -> None:
        if not hmac.compare_digest(self._schedule.commitment(seed, owner=owner), self._commitments[owner]):
            raise RemoteError(f"the shares of client {owner}'s self-mask do not open its commitment")
        prg.subtract_mask(self._total, self._schedule.self_mask(seed, owner=owner))

    def _remove_pair_masks(self, owner: int, secret: Secret) -> None:
        pair = keys.KeyPair(secret)
        if pair.public != self._keys[owner].masking:
            raise RemoteError(f"the shares of client {owner}'s masking key do not give the key it advertised")
        for survivor in self._alive_neighbours(owner):
            shared = pair.agree(self._keys[survivor].masking)
            apply = prg.subtract_mask if survivor < owner else prg.add_mask
            apply(self._total, self._schedule.pair_mask(shared, one=owner, other=survivor))

    def _rebuild(self, owner: int, shares: Mapping[int, bytes]) -> Secret:
        if len(shares) < self._threshold:
            raise TooFewSurvivors(f"{len(shares)} shares of client {owner} are left, {self._threshold} are needed")
        try:
            return shamir.combine(shares, threshold=self._threshold)
        except ValueError as error:
            raise RemoteError(f"the shares of client {owner}: {error}") from None

    def _holders(self, client: int) -> set[int]:
        return {client, *self._directories[client]}

    def _alive_neighbours(self, client: int) -> list[int]:
        return [neighbour for neighbour in self._directories[client] if neighbour in self._survivors]

    def _recoverable(self, present: Iterable[int]) -> set[int]:
        """The largest subset in which everyone has enough holders."""
        members = set(present)
        while lost := {c for c in members if len(self._neighbours[c] & members) + 1 < self._threshold}:
            members -= lost
        if len(members) < self._session.threshold:
            raise TooFewSurvivors(f"{len(members)} clients can go on, the threshold is {self._session.threshold}")
        return members


ROUNDS: Final = (
    Round("advertise_keys", Invitation, PairwiseClient.advertise_keys,
          AdvertisedKeys, PairwiseServer.take_keys, PairwiseServer.close_keys),
    Round("share_keys", NeighbourKeys, PairwiseClient.share_keys,
          SealedShares, PairwiseServer.take_shares, PairwiseServer.close_shares),
    Round("mask_input", DeliveredShares, PairwiseClient.mask_input,
          MaskedInput, PairwiseServer.take_masked_input, PairwiseServer.close_masked_inputs),
    Round("reveal_shares", Survivors, PairwiseClient.reveal_shares,
          RevealedShares, PairwiseServer.take_revealed_shares, PairwiseServer.finish),
)  # fmt: skip


class PairwiseMasking(SecureSum):
    """What SecAgg and SecAgg+ have in common: everything but the graph."""

    rounds = ROUNDS

    @abstractmethod
    def degree(self, session: Session) -> int:
        """How many neighbours each client has."""

    @abstractmethod
    def holders_needed(self, session: Session) -> int:
        """How many share-holders, out of the degree plus one, rebuild a client's secret."""

    def neighbours_of(self, session: Session, client: int) -> frozenset[int]:
        """A client's neighbours in the session's graph, which every party computes for itself."""
        circle = _circle(self.digest(session), session.clients)
        return frozenset(graph.neighbourhood(circle, client, self.degree(session)))

    def graph(self, session: Session) -> dict[int, frozenset[int]]:
        """Everyone's neighbours."""
        circle = _circle(self.digest(session), session.clients)
        return {c: frozenset(near) for c, near in graph.neighbourhoods(circle, self.degree(session)).items()}

    def validate(self, session: Session) -> None:
        """See `SecureSum.validate`."""
        if session.modulus & (session.modulus - 1):
            raise ParameterError(f"{self.name} needs a modulus that is a power of two, not {session.modulus}")
        degree, needed = self.degree(session), self.holders_needed(session)
        if degree >= len(session.clients):
            raise ParameterError(f"{degree} neighbours each, where {len(session.clients) - 1} others are there")
        if degree % 2 and degree != len(session.clients) - 1:
            raise ParameterError(f"the number of neighbours must be even or complete, not {degree}")
        if not 2 <= needed <= degree + 1:
            raise ParameterError(f"the share threshold must lie in [2, {degree + 1}], not {needed}")

    def client_party(self, session: Session, client: int, vector: Vector, entropy: Entropy) -> PairwiseClient:
        """See `SecureSum.client_party`."""
        return PairwiseClient(self, session, client, vector, entropy)

    def server_party(self, session: Session) -> PairwiseServer:
        """See `SecureSum.server_party`."""
        return PairwiseServer(self, session)


@dataclass(frozen=True)
class SecAgg(PairwiseMasking):
    """Pairwise masking on the complete graph (Bonawitz et al. 2017); the share threshold is the session's."""

    name: ClassVar[str] = "secagg"

    @classmethod
    def suggest(cls, *, clients: int, adversarial: float, dropout: float) -> tuple["SecAgg", int]:
        """See `SecureSum.suggest`: the least threshold that is a majority and above the adversarial clients."""
        check_cohort(clients, adversarial, dropout)
        # 0.57 * 100 is 56.99999999999999 in floating point, and means 57 clients.
        corrupt, dropped = (int((fraction + 1e-14) * clients) for fraction in (adversarial, dropout))
        threshold = max(clients // 2, corrupt) + 1
        if threshold > clients - dropped:
            raise ParameterError(
                f"SecAgg with {clients} clients needs {threshold} survivors; a dropout fraction of "
                f"{1 - threshold / clients:.3g} at most, or fewer adversarial clients, would do"
            )
        return cls(), threshold

    def degree(self, session: Session) -> int:
        """Everyone else."""
        return len(session.clients) - 1

    def holders_needed(self, session: Session) -> int:
        """The session's threshold."""
        return session.threshold


@dataclass(frozen=True)
class SecAggPlus(PairwiseMasking):
    """Pairwise masking on a Harary graph (Bell et al. 2020).

    Attributes:
        neighbours: Degree of the graph, even, or everyone else.
        share_threshold: How many of the degree + 1 share-holders of a client rebuild its secret.
    """

    neighbours: int
    share_threshold: int

    name: ClassVar[str] = "secagg-plus"

    def __post_init__(self) -> None:
        if type(self.neighbours) is not int or type(self.share_threshold) is not int:
            raise ParameterError("neighbours and share_threshold must be ints")

    @classmethod
    def suggest(cls, *, clients: int, adversarial: float, dropout: float) -> tuple["SecAggPlus", int]:
        """See `SecureSum.suggest`: degree and share threshold by `graph.find_parameters`, any two contributors."""
        found = graph.find_parameters(clients=clients, adversarial=adversarial, dropout=dropout, adversary="curious")
        return cls(neighbours=found.degree, share_threshold=found.threshold), 2

    def degree(self, session: Session) -> int:  # noqa: ARG002  # the interface asks for it
        """The same for every session."""
        return self.neighbours

    def holders_needed(self, session: Session) -> int:  # noqa: ARG002  # the interface asks for it
        """The same for every session."""
        return self.share_threshold


@lru_cache(maxsize=8)
def _circle(seed: bytes, clients: tuple[int, ...]) -> tuple[int, ...]:
    return graph.order(seed, clients)


def _bitmap(members: set[int], session: Session) -> bytes:
    flags = np.fromiter((client in members for client in session.clients), dtype=bool, count=len(session.clients))
    return np.packbits(flags, bitorder="little").tobytes()


def _members(bitmap: bytes, session: Session) -> set[int]:
    flags = np.unpackbits(np.frombuffer(bitmap, dtype=np.uint8), bitorder="little").astype(bool)
    if len(bitmap) != -(-len(session.clients) // 8) or flags[len(session.clients) :].any():
        raise MalformedMessage("a survivor set that is not of this session")
    return {client for client, alive in zip(session.clients, flags, strict=False) if alive}
