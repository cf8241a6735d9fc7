"""The client's side of LightSecAgg: one method for each step, in order."""

import numpy as np
from msgspec import field

from protocols import packing
from protocols.codec import Invitation
from protocols.crypto import sealing
from protocols.crypto.key_agreement import WeakKey
from protocols.crypto.keystream import Words
from protocols.crypto.secret import Secret, Uncopyable
from protocols.errors import RemoteError
from protocols.lightsecagg.derived import Derived
from protocols.lightsecagg.messages import (
    AdvertisedKey,
    AggregatedShares,
    DeliveredShares,
    KeyDirectory,
    MaskedInput,
    SealedShares,
    Survivors,
)
from protocols.session import Participant
from protocols.snapshot import State

_GONE = Secret(b"")
_EMPTY = np.empty(0, dtype=np.uint8)


class ClientState(State, kw_only=True):
    """A client's secrets and what it knows of the others. Each part is dropped in the last step that needs it.

    Attributes:
        vector: The client's input.
        private: The client's private key.
        root: The seed of its mask and of the drawn shares of the mask; bound to the directory once that is known.
        members: By id, the public keys of all clients in the directory, itself included.
        directory: A hash of these keys.
        channels: By id, the secret agreed with each other member.
        held: By owner, the client's share of the owner's mask, bit-packed, or the seed of the share.
        total: The sum of the shares of the survivors' masks.
    """

    vector: Words
    private: Secret = _GONE
    root: Secret = _GONE
    members: dict[int, bytes] = field(default_factory=dict)
    directory: bytes = b""
    channels: dict[int, Secret] = field(default_factory=dict)
    held: dict[int, Secret] = field(default_factory=dict)
    total: Words = _EMPTY


class LightSecAggClient(Uncopyable):
    """One client of one session: one method for each step, in order."""

    def __init__(self, derived: Derived, participant: Participant) -> None:
        self._derived = derived
        self._session = derived.session
        self._field = derived.code.field
        self._client = participant.client
        self._entropy = participant.entropy
        self.state = ClientState(vector=participant.vector)

    def advertise_keys(self, _: Invitation) -> AdvertisedKey:
        """Make a key pair for this session only, and draw the seed of the mask (step 0)."""
        agreement = self._derived.agreement
        pair = agreement.from_secret(Secret(self._entropy(agreement.secret_bytes)))
        self.state.private, self.state.root = pair.secret, Secret(self._entropy(sealing.KEY_BYTES))
        self.state.members[self._client] = pair.public
        return AdvertisedKey(pair.public)

    def share_masks(self, directory: KeyDirectory) -> SealedShares:
        """Draw a mask, encode it, and seal a share of it for every other client (step 1)."""
        self._meet(directory)
        # No entropy is used here. A client restored from before this step deals the same shares again to the same
        # directory, and seals under other keys for another directory, so no key ever seals two plaintexts.
        bound = self._derived.info(b"bound", self._client, self._client) + self.state.directory
        self.state.root = sealing.derive(self.state.root, bound)
        derived, members = self._derived, sorted(self.state.members)
        seeds = {
            holder: sealing.derive(self.state.root, derived.info(b"drawn", self._client, holder))
            for holder in derived.seeded(self.state.members, self._client)
        }
        rest = [member for member in members if member not in seeds]
        coded = derived.code.encode(
            self._mask(),
            {
                derived.positions[holder]: self._field.uniform(seed, derived.share_length)
                for holder, seed in seeds.items()
            },
            [derived.positions[holder] for holder in rest],
        )
        packed = {holder: packing.pack(share, self._session.modulus) for holder, share in zip(rest, coded, strict=True)}
        self.state.held[self._client] = Secret(packed.pop(self._client))
        ciphertexts = [
            sealing.seal(
                self._share_key(self._client, holder), seeds[holder].reveal() if holder in seeds else packed[holder]
            )
            for holder in members
            if holder != self._client
        ]
        return SealedShares(memoryview(b"".join(ciphertexts)))

    def mask_input(self, delivered: DeliveredShares) -> MaskedInput:
        """Decrypt the shares of the others' masks, and send the vector plus the client's own mask (step 2)."""
        self._check_cohort(delivered.clients)
        if not self.state.channels.keys() >= set(delivered.clients):
            raise RemoteError("delivered shares: expected those of clients in the key directory, found another client")
        if len(delivered.ciphertexts) != len(delivered.clients):
            raise RemoteError(
                f"delivered shares: expected {len(delivered.clients)}, found {len(delivered.ciphertexts)}"
            )
        for owner, ciphertext in zip(delivered.clients, delivered.ciphertexts, strict=True):
            if not self._open(owner, ciphertext):
                raise RemoteError(
                    f"the share of client {owner}'s mask cannot be decrypted or has a wrong length", culprits=[owner]
                )
        masked = self.state.vector
        self._field.add(masked, self._mask()[: self._session.length])
        # From here on this client needs only the shares that it holds, that of its own mask included.
        self.state.vector, self.state.root, self.state.channels = _EMPTY, _GONE, {}
        return MaskedInput(memoryview(packing.pack(masked, self._session.modulus)))

    def aggregate_shares(self, survivors: Survivors) -> AggregatedShares:
        """Return the sum of the held shares of the survivors' masks, for one survivor set only (step 3)."""
        if list(survivors.clients) != sorted(set(survivors.clients)):
            raise RemoteError("the survivor set is not in ascending order, or names a client twice")
        if self._client not in survivors.clients:
            raise RemoteError("the survivor set lacks this client, although the server asked for its input")
        others = tuple(client for client in survivors.clients if client != self._client)
        self._check_cohort(others)
        if not self.state.held.keys() >= set(others):
            raise RemoteError("the survivor set names a client that has not shared with this one")
        self.state.total = np.zeros(self._derived.share_length, dtype=self._field.dtype)
        for owner in survivors.clients:
            if not self._add_share(owner):
                raise RemoteError(
                    f"the share of client {owner}'s mask is not a vector over the field", culprits=[owner]
                )
        return AggregatedShares(survivors.clients, memoryview(packing.pack(self.state.total, self._session.modulus)))

    def contributors(self, survivors: Survivors) -> tuple[int, ...]:
        """Return the survivor set of whose masks this client sends the sum of its shares."""
        return survivors.clients

    def _meet(self, directory: KeyDirectory) -> None:
        """Check all keys before any secret is in a local variable, then agree with every other client."""
        self._check_cohort(directory.clients)
        if len(directory.keys) != len(directory.clients):
            raise RemoteError(f"key directory: expected {len(directory.clients)} keys, found {len(directory.keys)}")
        if not self._derived.positions.keys() >= set(directory.clients):
            raise RemoteError("the key directory names clients that are not in the session")
        agreement, seen = self._derived.agreement, {self.state.members[self._client]}
        for client, key in zip(directory.clients, directory.keys, strict=True):
            if not agreement.is_canonical(key) or key in seen:
                raise RemoteError(f"client {client} has a damaged or repeated key", culprits=[client])
            try:
                agreement.check(key)
            except WeakKey as error:
                raise RemoteError(f"client {client} has {error}", culprits=[client]) from None
            seen.add(key)
        pair = agreement.from_secret(self.state.private)
        for client, key in zip(directory.clients, directory.keys, strict=True):
            self.state.members[client] = key
            self.state.channels[client] = pair.agree(key)
        self.state.directory, self.state.private = self._derived.directory(self.state.members), _GONE

    def _open(self, owner: int, ciphertext: memoryview) -> bool:
        """Keep the share of an owner's mask; return False if it cannot be decrypted or has a wrong length."""
        try:
            share = sealing.open_sealed(self._share_key(owner, self._client), ciphertext)
        except ValueError:
            return False
        self.state.held[owner] = Secret(share)
        return len(share) == (sealing.KEY_BYTES if self._is_seed(owner) else self._derived.share_bytes)

    def _add_share(self, owner: int) -> bool:
        """Add the share of an owner's mask to the total; return False if it is not a vector over the field."""
        held, total = self.state.held[owner], self.state.total
        if self._is_seed(owner):
            self._field.add(total, self._field.uniform(held, total.size))
            return True
        try:
            packing.add_packed(total, held.reveal(), self._session.modulus)
        except ValueError:
            return False
        return True

    def _check_cohort(self, others: tuple[int, ...]) -> None:
        if list(others) != sorted(set(others)) or self._client in others:
            raise RemoteError(
                "clients named by the server: expected others in ascending order, found repeated or unordered ids, or "
                "this client's own"
            )
        if len(others) + 1 < self._session.threshold:
            raise RemoteError(
                f"clients left: expected at least the session's threshold, {self._session.threshold}, found "
                f"{len(others) + 1}"
            )

    def _mask(self) -> Words:
        """Return this client's mask, extended to fill its last piece."""
        code = self._derived.code
        seed = sealing.derive(self.state.root, self._derived.info(b"mask.", self._client, self._client))
        return self._field.uniform(seed, code.pieces * self._derived.share_length)

    def _is_seed(self, owner: int) -> bool:
        return self._client in self._derived.seeded(self.state.members, owner)

    def _share_key(self, owner: int, holder: int) -> Secret:
        """Return the key that seals a share, bound to the kind of share, both ids and everyone's public keys."""
        purpose = b"seed." if holder in self._derived.seeded(self.state.members, owner) else b"share"
        channel = self.state.channels[holder if owner == self._client else owner]
        return sealing.derive(channel, self._derived.info(purpose, owner, holder) + self.state.directory)
