"""The server's side of pairwise masking: for each round, what it takes in and how it closes."""

import hmac
from collections.abc import Iterable, Mapping

import numpy as np

from protocols import packing
from protocols.crypto import keys, prg, shamir
from protocols.crypto.schedule import COMMITMENT_BYTES, Schedule
from protocols.crypto.secret import Secret
from protocols.errors import MalformedMessage, RemoteError, TooFewSurvivors
from protocols.machine import Finish
from protocols.messages import Message
from protocols.pairwise.messages import (
    SEALED_BYTES,
    AdvertisedKeys,
    DeliveredShares,
    Invitation,
    MaskedInput,
    NeighbourKeys,
    RevealedShares,
    SealedShares,
    Survivors,
    survivor_bitmap,
)
from protocols.session import Session


class PairwiseServer:
    """What the server keeps: public keys, sealed shares on their way, one running sum.  It draws no randomness."""

    def __init__(
        self, session: Session, *, digest: bytes, neighbours: dict[int, frozenset[int]], holders_needed: int
    ) -> None:
        self._session = session
        self._schedule = Schedule(digest)
        self._threshold = holders_needed
        self._neighbours = neighbours
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
        if not (keys.is_public_key(advertised.sealing) and keys.is_public_key(advertised.masking)):
            raise MalformedMessage(f"public keys must be canonical, of {keys.KEY_BYTES} bytes")
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
        if any(len(ciphertext) != SEALED_BYTES for ciphertext in sealed.ciphertexts):
            raise MalformedMessage(f"sealed shares must have {SEALED_BYTES} bytes")
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
        survivors = Survivors(survivor_bitmap(self._survivors, self._session))
        return dict.fromkeys(sorted(self._survivors), survivors)

    def take_revealed_shares(self, sender: int, revealed: RevealedShares) -> None:
        """Round 3: keep the shares that one holder reveals."""
        expected = len(self._holders(sender))
        if len(revealed.shares) != expected:
            raise MalformedMessage(f"{len(revealed.shares)} shares, where {expected} are expected")
        if not all(map(shamir.is_share, revealed.shares)):
            raise MalformedMessage(f"a share must be an element of the field, in {shamir.SHARE_BYTES} bytes")
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
