"""The server's side of pairwise masking: for each step, what it takes in and how it closes.

The server draws no randomness. It checks everything for which clients would close, so that one client's bad message
does not end the step for the others.
"""

import hmac
from collections.abc import Collection

import msgspec
import numpy as np

from protocols.codec import Invitation, Message
from protocols.crypto import keystream, shamir
from protocols.crypto.key_agreement import WeakKey
from protocols.crypto.keystream import SignedMask, Words
from protocols.crypto.secret import Secret
from protocols.errors import MalformedMessage, RemoteError, TooFewSurvivors
from protocols.pairwise import schedule
from protocols.pairwise.derived import SHARES, SURVIVORS, Derived
from protocols.pairwise.messages import (
    AdvertisedKeys,
    Confirmation,
    Confirmations,
    DeliveredShares,
    KeyDirectory,
    MaskedInput,
    RevealedShares,
    SealedShares,
    Survivors,
    encode_clients,
)
from protocols.secure_sum import Finish
from protocols.snapshot import State


class ServerState(State, kw_only=True):
    """Public keys, sealed shares in transit, one running sum, and at the end the revealed shares.

    Attributes:
        total: The running sum of masked inputs, as words.
        keys: By client, the public keys that it advertised.
        seen: All public keys in `keys`.
        root: Root of the key directory.
        holders: By owner, the holders of its shares, ascending, itself included.
        commitments: By owner, the commitments to its secrets.
        fingerprints: By owner and holder, the fingerprints of the shares.
        sealed: By holder and owner, the sealed shares in transit.
        members: Ids of the clients that have shared and were not left out.
        view: A hash of the directory and of the members, which masked inputs must carry.
        unopened: By holder, the owners whose shares it could not decrypt or found wrong.
        survivors: Ids of the clients whose masked input is in the total.
        agreed: What survivors confirm: the root, the members, the survivors.
        confirmations: By survivor, its signature.
        revealed: By owner, then by holder, the shares that the holder revealed, joined.
    """

    total: Words
    keys: dict[int, AdvertisedKeys] = msgspec.field(default_factory=dict)
    seen: set[bytes] = msgspec.field(default_factory=set)
    root: bytes = b""
    holders: dict[int, tuple[int, ...]] = msgspec.field(default_factory=dict)
    commitments: dict[int, bytes] = msgspec.field(default_factory=dict)
    fingerprints: dict[int, dict[int, bytes]] = msgspec.field(default_factory=dict)
    sealed: dict[int, dict[int, bytes]] = msgspec.field(default_factory=dict)
    members: set[int] = msgspec.field(default_factory=set)
    unopened: dict[int, frozenset[int]] = msgspec.field(default_factory=dict)
    view: bytes = b""
    agreed: bytes = b""
    survivors: set[int] = msgspec.field(default_factory=set)
    confirmations: dict[int, bytes] = msgspec.field(default_factory=dict)
    revealed: dict[int, dict[int, bytes]] = msgspec.field(default_factory=dict)


class PairwiseServer:
    """The server of one session."""

    def __init__(self, derived: Derived) -> None:
        self._derived = derived
        self._session = derived.session
        self.state = ServerState(total=derived.lanes.nothing())
        self._vector: Words | None = None

    def put_total(self, vector: Words) -> None:
        """See `SecureSum.server_party`. The words of the running sum are in the same memory."""
        self._vector, self.state.total = vector, self._derived.lanes.within(vector)

    def open(self) -> dict[int, Message]:
        """Ask every client of the session."""
        return {client: Invitation() for client in self._session.clients}

    def take_keys(self, sender: int, advertised: AdvertisedKeys) -> None:
        """Keep a client's public keys (step 0)."""
        self._derived.check_keys(sender, advertised)
        fresh = {advertised.sealing, advertised.masking}
        if fresh & self.state.seen:
            raise RemoteError("public key: expected a new one, found one that has been advertised before")
        try:
            for key in fresh:
                self._derived.agreement.check(key)
        except WeakKey as error:
            raise RemoteError(str(error)) from None
        self.state.keys[sender] = advertised
        self.state.seen |= fresh

    def close_keys(self) -> dict[int, Message]:
        """Derive the graph from the directory, and send each client the keys of its neighbours."""
        present = self.state.keys
        leaves = b"".join(
            self._derived.leaf(client, present[client]) if client in present else schedule.ABSENT
            for client in self._session.clients
        )
        self.state.root = self._derived.root(leaves)
        graph = self._derived.graph(self.state.root)
        self.state.holders = {c: tuple(sorted((c, *graph[c] & present.keys()))) for c in self._recoverable(present)}
        return {
            client: KeyDirectory(leaves, tuple(present[holder] for holder in holders if holder != client))
            for client, holders in self.state.holders.items()
        }

    def take_shares(self, sender: int, shared: SealedShares) -> None:
        """Keep a client's sealed shares for their holders (step 1)."""
        holders, size = self.state.holders[sender], self._derived.fingerprint_bytes
        neighbours = [holder for holder in holders if holder != sender]
        if len(shared.ciphertexts) != len(neighbours):
            raise MalformedMessage(f"sealed shares: expected {len(neighbours)}, found {len(shared.ciphertexts)}")
        if any(len(ciphertext) != self._derived.sealed_bytes for ciphertext in shared.ciphertexts):
            raise MalformedMessage(
                f"sealed shares: expected {self._derived.sealed_bytes} bytes each, found another length"
            )
        if len(shared.commitments) != schedule.HASH_BYTES * (1 + len(self._session.attached)):
            raise MalformedMessage(
                f"commitments: expected {schedule.HASH_BYTES} bytes each, found {len(shared.commitments)} in all"
            )
        if len(shared.fingerprints) != size * len(holders):
            raise MalformedMessage(
                f"fingerprints: expected {size * len(holders)} bytes, found {len(shared.fingerprints)}"
            )
        self._derived.signatures.check(shared.signature, client=sender, purpose=SHARES, payload=shared.joined)
        self.state.commitments[sender] = shared.commitments
        self.state.fingerprints[sender] = {
            holder: shared.fingerprints[i * size : (i + 1) * size] for i, holder in enumerate(holders)
        }
        for neighbour, ciphertext in zip(neighbours, shared.ciphertexts, strict=True):
            self.state.sealed.setdefault(neighbour, {})[sender] = ciphertext

    def close_shares(self) -> dict[int, Message]:
        """Deliver the sealed shares to their holders."""
        self.state.members = self._recoverable(self.state.commitments)
        members = encode_clients(self.state.members, self._session)
        self.state.view = self._derived.schedule(self.state.root).view(members)
        requests: dict[int, Message] = {}
        for client in sorted(self.state.members):
            owners = [owner for owner in self._holders(client) if owner != client]
            requests[client] = DeliveredShares(
                members,
                tuple(self.state.fingerprints[owner][client] for owner in owners),
                tuple(self.state.sealed[client][owner] for owner in owners),
            )
        self.state.sealed = {}
        return requests

    def take_masked_input(self, sender: int, masked: MaskedInput) -> None:
        """Add a masked vector to the running sum (step 2)."""
        if masked.view != self.state.view:
            raise RemoteError(
                "masked input: expected this session's key directory and set of sharers, found another view"
            )
        unopened = frozenset(masked.unopened)
        if masked.unopened != tuple(sorted(unopened)) or not unopened <= set(self._holders(sender)) - {sender}:
            raise MalformedMessage("unopened shares: expected neighbours in ascending order, found others")
        try:
            self._derived.lanes.add_packed(self.state.total, masked.packed)
        except ValueError as error:
            raise MalformedMessage(str(error)) from None
        self.state.survivors.add(sender)
        self.state.unopened[sender] = unopened

    def close_masked_inputs(self) -> dict[int, Message]:
        """Send the survivors the survivor set, if the secrets that are now needed can be rebuilt."""
        for owner in sorted(self._needed()):
            alive = [holder for holder in self._holders(owner) if holder in self.state.survivors]
            if len(alive) < self._derived.threshold:
                raise TooFewSurvivors(
                    f"share-holders of client {owner}: expected at least {self._derived.threshold} survivors, found "
                    f"{len(alive)}"
                )
            complaints = [holder for holder in alive if owner in self.state.unopened[holder]]
            if len(alive) - len(complaints) < self._derived.threshold:
                raise RemoteError(
                    f"clients {complaints} report that the shares from client {owner} are wrong or cannot be "
                    f"decrypted. Either client {owner} or the reporting clients are at fault.",
                    culprits=[owner, *complaints],
                    accusers=complaints,
                )
        survivors = encode_clients(self.state.survivors, self._session)
        self.state.agreed = self.state.root + encode_clients(self.state.members, self._session) + survivors
        return dict.fromkeys(sorted(self.state.survivors), Survivors(survivors))

    def take_confirmation(self, sender: int, confirmation: Confirmation) -> None:
        """Keep a survivor's signature for the others (step 3, malicious server)."""
        self._derived.signatures.check(
            confirmation.signature, client=sender, purpose=SURVIVORS, payload=self.state.agreed
        )
        self.state.confirmations[sender] = confirmation.signature

    def close_confirmations(self) -> dict[int, Message]:
        """Send `threshold` confirmations to every survivor that confirmed."""
        signed = self.state.confirmations
        signers = [client for client in self._session.clients if client in signed][: self._session.threshold]
        signatures = b"".join(signed[client] for client in signers)
        return dict.fromkeys(sorted(signed), Confirmations(encode_clients(signers, self._session), signatures))

    def take_revealed_shares(self, sender: int, revealed: RevealedShares) -> None:
        """Check that each share that a holder reveals is the one that its owner dealt, and keep it (last step)."""
        owners = [owner for owner in self._holders(sender) if owner not in self.state.unopened[sender]]
        of_survivor = (0, *(2 + index for index in self._derived.opened_secrets(len(self.state.survivors))))
        due = [(owner, of_survivor if owner in self.state.survivors else (1,)) for owner in owners]
        size, derive = shamir.SHARE_BYTES, self._derived.schedule(self.state.root)
        expected = size * sum(len(indices) for _, indices in due)
        if len(revealed.shares) != expected:
            raise MalformedMessage(f"revealed shares: expected {expected} bytes, found {len(revealed.shares)}")
        start, found = 0, dict[int, bytes]()
        for owner, indices in due:
            found[owner] = revealed.shares[start : start + size * len(indices)]
            start += size * len(indices)
            for position, index in enumerate(indices):
                share = found[owner][position * size : (position + 1) * size]
                at = index * schedule.HASH_BYTES
                dealt = self.state.fingerprints[owner][sender][at : at + schedule.HASH_BYTES]
                if derive.fingerprint(share, owner=owner, holder=sender, index=index) != dealt:
                    raise RemoteError(f"revealed share: expected the one that client {owner} dealt, found another")
        for owner, shares in found.items():
            self.state.revealed.setdefault(owner, {})[sender] = shares

    def finish(self) -> Finish:
        """Rebuild and remove the self-masks of survivors, and the pairwise masks that they share with dropouts."""
        attached, masks = dict[int, tuple[Secret | None, ...]](), list[SignedMask]()
        for owner in sorted(self._needed()):
            if owner in self.state.survivors:
                found, attached[owner] = self._open_survivor(owner)
            else:
                found = self._open_dropout(owner)
            masks += found
        total = self.state.total
        keystream.apply_masks(total, masks)
        lanes, vector = self._derived.lanes, self._vector
        if vector is None:
            vector = lanes.unfold(total)
        else:
            lanes.unfold_into(total, vector)
        return Finish(vector, tuple(sorted(self.state.survivors)), attached)

    def _open_survivor(self, owner: int) -> tuple[list[SignedMask], tuple[Secret | None, ...]]:
        """Return what removes a survivor's self-mask, and its attached secrets."""
        seed, *opened = self._rebuild(owner)
        derive, size = self._derived.schedule(self.state.root), schedule.HASH_BYTES
        indices = self._derived.opened_secrets(len(self.state.survivors))
        for index, secret in zip((0, *(1 + index for index in indices)), (seed, *opened), strict=True):
            commitment = self.state.commitments[owner][index * size : (index + 1) * size]
            if not hmac.compare_digest(derive.commitment(secret, owner=owner, index=index), commitment):
                raise RemoteError(
                    f"the shares from client {owner} do not rebuild the secret to which it committed", culprits=[owner]
                )
        by_index = dict(zip(indices, opened, strict=True))
        attached = tuple(by_index.get(index) for index in range(len(self._session.attached)))
        return [(np.subtract, derive.self_mask(seed, owner=owner))], attached

    def _open_dropout(self, owner: int) -> list[SignedMask]:
        """Return what removes the pairwise masks that a dropout shares with survivors."""
        (secret,) = self._rebuild(owner)
        pair, derive = self._derived.agreement.from_secret(secret), self._derived.schedule(self.state.root)
        if pair.public != self.state.keys[owner].masking:
            raise RemoteError(
                f"the shares from client {owner} do not rebuild the key that it advertised", culprits=[owner]
            )
        masks = list[SignedMask]()
        for survivor in self._alive_neighbours(owner):
            shared = pair.agree(self.state.keys[survivor].masking)
            seed = derive.pair_mask(shared, one=owner, other=survivor)
            masks.append((np.subtract if survivor < owner else np.add, seed))
        return masks

    def _rebuild(self, owner: int) -> list[Secret]:
        """Return an owner's revealed secrets, in order. Every share was checked to be the one that the owner dealt.

        Shares come from the holders with the fewest complaints. So a small number of complaining holders cannot cause
        a different set of holders, with other Lagrange coefficients, for each owner.
        """
        revealed, size = self.state.revealed.get(owner, {}), shamir.SHARE_BYTES
        quiet = sorted(revealed, key=lambda holder: (len(self.state.unopened[holder]), holder))
        shares = {holder: revealed[holder] for holder in quiet[: self._derived.threshold]}
        if len(shares) < self._derived.threshold:
            raise TooFewSurvivors(
                f"shares of client {owner}: expected at least {self._derived.threshold}, found {len(shares)}"
            )
        try:
            return [
                shamir.combine(
                    {holder: joined[start : start + size] for holder, joined in shares.items()},
                    threshold=self._derived.threshold,
                )
                for start in range(0, len(next(iter(shares.values()))), size)
            ]
        except ValueError as error:
            raise RemoteError(f"client {owner} dealt bad shares: {error}", culprits=[owner]) from None

    def _needed(self) -> set[int]:
        """Return the clients whose secrets the sum needs: survivors, and members that share a mask with one."""
        return {c for c in self.state.members if c in self.state.survivors or self._alive_neighbours(c)}

    def _holders(self, client: int) -> list[int]:
        """Return the members that hold shares of a client; it holds shares of the same members."""
        return [holder for holder in self.state.holders[client] if holder in self.state.members]

    def _alive_neighbours(self, client: int) -> list[int]:
        return [h for h in self.state.holders[client] if h != client and h in self.state.survivors]

    def _recoverable(self, present: Collection[int]) -> set[int]:
        """Return the largest subset in which each client has at least the share threshold of holders."""
        graph, members = self._derived.graph(self.state.root), set(present)
        while lost := {c for c in members if len(graph[c] & members) + 1 < self._derived.threshold}:
            members -= lost
        if len(members) < self._session.threshold:
            raise TooFewSurvivors(
                f"clients that can continue: expected at least {self._session.threshold}, found {len(members)}"
            )
        return members
