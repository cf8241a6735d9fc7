"""The client's side of pairwise masking: one method for each round, in order."""

from typing import NoReturn

from protocols import packing
from protocols.crypto import keys, prg, shamir
from protocols.crypto.schedule import Schedule
from protocols.crypto.secret import Secret
from protocols.errors import RemoteError
from protocols.pairwise.messages import (
    AdvertisedKeys,
    DeliveredShares,
    Invitation,
    MaskedInput,
    NeighbourKeys,
    RevealedShares,
    SealedShares,
    Survivors,
    survivor_set,
)
from protocols.session import Entropy, Session, Vector


class PairwiseClient:
    """One client's secrets and what it knows of its neighbours."""

    def __init__(
        self,
        session: Session,
        *,
        digest: bytes,
        neighbourhood: frozenset[int],
        holders_needed: int,
        client: int,
        vector: Vector,
        entropy: Entropy,
    ) -> None:
        self._session = session
        self._schedule = Schedule(digest)
        self._threshold = holders_needed
        self._neighbourhood = neighbourhood
        self._client = client
        self._vector = vector
        self._entropy = entropy
        self._keys: dict[int, AdvertisedKeys] = {}
        self._channels: dict[int, Secret] = {}
        self._shares: dict[int, tuple[Secret, Secret]] = {}

    def __reduce__(self) -> NoReturn:
        raise TypeError("a client holds its input and its secrets, and is not to be pickled or copied")

    def advertise_keys(self, _: Invitation) -> AdvertisedKeys:
        """Round 0: make two key pairs for this session alone."""
        self._sealing = keys.KeyPair(Secret(self._entropy(keys.KEY_BYTES)))
        self._masking = keys.KeyPair(Secret(self._entropy(keys.KEY_BYTES)))
        self._advertised = AdvertisedKeys(self._sealing.public, self._masking.public)
        return self._advertised

    def share_keys(self, directory: NeighbourKeys) -> SealedShares:
        """Round 1: deal the masking key and the self-mask's seed to the neighbours and to oneself."""
        self._check_neighbours(directory.neighbours, self._neighbourhood, len(directory.keys))
        seen = {self._sealing.public, self._masking.public}
        for neighbour, advertised in zip(directory.neighbours, directory.keys, strict=True):
            for key in (advertised.sealing, advertised.masking):
                if not keys.is_public_key(key) or key in seen:
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
                ciphertexts.append(keys.seal(self._share_key(self._client, holder), seed_share + key_share))
        return SealedShares(self._schedule.commitment(self._seed, owner=self._client), tuple(ciphertexts))

    def mask_input(self, delivered: DeliveredShares) -> MaskedInput:
        """Round 2: open the shares, and send the vector under the self-mask and one mask for each neighbour."""
        self._check_neighbours(delivered.neighbours, frozenset(self._keys), len(delivered.ciphertexts))
        for neighbour, ciphertext in zip(delivered.neighbours, delivered.ciphertexts, strict=True):
            try:
                shares = keys.open_sealed(self._share_key(neighbour, self._client), ciphertext)
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
        alive = survivor_set(survivors.bitmap, self._session)
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

    def _share_key(self, sender: int, receiver: int) -> Secret:
        """Bound to all four public keys, so that a share opens only where both ends saw the same ones."""
        pair = {self._client: self._advertised, **self._keys}
        channel = self._channels[receiver if sender == self._client else sender]
        return self._schedule.share_key(
            channel, sender=(sender, pair[sender].joined), receiver=(receiver, pair[receiver].joined)
        )

    def _agree(self, pair: keys.KeyPair, neighbour: int, public: bytes) -> Secret:
        try:
            return pair.agree(public)
        except ValueError:
            raise RemoteError(f"client {neighbour} has a key of low order", culprits=[neighbour]) from None
