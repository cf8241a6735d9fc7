"""The server's side of pairwise masking: for each step, what it takes in and how it closes.

It draws no randomness, and checks whatever clients would close over, so that one client's bad message costs nobody
else the step.
"""

import hmac
from collections.abc import Collection

import msgspec
import numpy as np

from protocols import packing
from protocols.codec import Invitation, Message
from protocols.crypto import keystream, shamir
from protocols.crypto.key_agreement import WeakKey
from protocols.crypto.keystream import Words
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
    """Public keys, sealed shares on their way, one running sum, and at the end the shares that are revealed.

    Attributes:
        total: The running sum of masked inputs.
        keys: By client, what it advertised.
        seen: All public keys in `keys`.
        root: Of the key directory.
        holders: By owner, whom it was asked to deal to, ascending, itself among them.
        commitments: By owner, to its secrets.
        fingerprints: By owner and holder, of the shares.
        sealed: By holder and owner, shares on their way.
        members: Who has shared and is still in play.
        view: A hash of the directory and of the members, which masked inputs must carry.
        unopened: By holder, the owners whose shares did not open.
        survivors: Whose masked input is in the total.
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
        self.state = ServerState(
            total=np.zeros(derived.session.length, dtype=keystream.word_dtype(derived.session.modulus))
        )

    def open(self) -> dict[int, Message]:
        """Ask every client of the session."""
        return {client: Invitation() for client in self._session.clients}

    def take_keys(self, sender: int, advertised: AdvertisedKeys) -> None:
        """Step 0: keep a client's public keys."""
        self._derived.check_keys(sender, advertised)
        fresh = {advertised.sealing, advertised.masking}
        if fresh & self.state.seen:
            raise RemoteError("a public key that has been advertised before")
        try:
            for key in fresh:
                self._derived.agreement.check(key)
        except WeakKey as error:
            raise RemoteError(str(error)) from None
        self.state.keys[sender] = advertised
        self.state.seen |= fresh

    def close_keys(self) -> dict[int, Message]:
        """Fix the graph by the directory, and send each client the keys of its neighbours."""
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
        """Step 1: keep a client's sealed shares for their holders."""
        holders, size = self.state.holders[sender], self._derived.fingerprint_bytes
        neighbours = [holder for holder in holders if holder != sender]
        if len(shared.ciphertexts) != len(neighbours):
            raise MalformedMessage(f"{len(shared.ciphertexts)} sealed shares, where {len(neighbours)} are expected")
        if any(len(ciphertext) != self._derived.sealed_bytes for ciphertext in shared.ciphertexts):
            raise MalformedMessage(f"sealed shares must have {self._derived.sealed_bytes} bytes")
        if len(shared.commitments) != schedule.HASH_BYTES * (1 + len(self._session.attached)):
            raise MalformedMessage(f"a commitment must have {schedule.HASH_BYTES} bytes")
        if len(shared.fingerprints) != size * len(holders):
            raise MalformedMessage(f"fingerprints must have {size} bytes for each of {len(holders)} holders")
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
        """Step 2: add a masked vector to the running sum."""
        if masked.view != self.state.view:
            raise RemoteError("masked for another key directory or other sharers than this session's")
        unopened = frozenset(masked.unopened)
        if masked.unopened != tuple(sorted(unopened)) or not unopened <= set(self._holders(sender)) - {sender}:
            raise MalformedMessage("unopened shares of clients that are no neighbours, or unordered")
        try:
            packing.add_packed(self.state.total, masked.packed, self._session.modulus)
        except ValueError as error:
            raise MalformedMessage(str(error)) from None
        self.state.survivors.add(sender)
        self.state.unopened[sender] = unopened

    def close_masked_inputs(self) -> dict[int, Message]:
        """Tell the survivors who they are, if the secrets that are needed now can be rebuilt."""
        for owner in sorted(self._needed()):
            alive = [holder for holder in self._holders(owner) if holder in self.state.survivors]
            if len(alive) < self._derived.threshold:
                raise TooFewSurvivors(f"{len(alive)} of the share-holders of client {owner} survive, too few")
            complaints = [holder for holder in alive if owner in self.state.unopened[holder]]
            if len(alive) - len(complaints) < self._derived.threshold:
                raise RemoteError(
                    f"client {owner} dealt shares that clients {complaints} could not open, or so they say",
                    culprits=[owner, *complaints],
                )
        survivors = encode_clients(self.state.survivors, self._session)
        self.state.agreed = self.state.root + encode_clients(self.state.members, self._session) + survivors
        return dict.fromkeys(sorted(self.state.survivors), Survivors(survivors))

    def take_confirmation(self, sender: int, confirmation: Confirmation) -> None:
        """Step 3 against a malicious server: keep a survivor's signature for the others."""
        self._derived.signatures.check(
            confirmation.signature, client=sender, purpose=SURVIVORS, payload=self.state.agreed
        )
        self.state.confirmations[sender] = confirmation.signature

    def close_confirmations(self) -> dict[int, Message]:
        """Show everyone who confirmed as many confirmations as they ask for."""
        signed = self.state.confirmations
        signers = [client for client in self._session.clients if client in signed][: self._session.threshold]
        signatures = b"".join(signed[client] for client in signers)
        return dict.fromkeys(sorted(signed), Confirmations(encode_clients(signers, self._session), signatures))

    def take_revealed_shares(self, sender: int, revealed: RevealedShares) -> None:
        """Last step: keep the shares that one holder reveals, each the one that its owner dealt."""
        owners = [owner for owner in self._holders(sender) if owner not in self.state.unopened[sender]]
        of_survivor = (0, *(2 + index for index in self._derived.opened(len(self.state.survivors))))
        due = [(owner, of_survivor if owner in self.state.survivors else (1,)) for owner in owners]
        size, derive = shamir.SHARE_BYTES, self._derived.schedule(self.state.root)
        expected = size * sum(len(indices) for _, indices in due)
        if len(revealed.shares) != expected:
            raise MalformedMessage(f"{len(revealed.shares)} bytes of shares, where {expected} are expected")
        start, found = 0, dict[int, bytes]()
        for owner, indices in due:
            found[owner] = revealed.shares[start : start + size * len(indices)]
            start += size * len(indices)
            for position, index in enumerate(indices):
                share = found[owner][position * size : (position + 1) * size]
                at = index * schedule.HASH_BYTES
                dealt = self.state.fingerprints[owner][sender][at : at + schedule.HASH_BYTES]
                if derive.fingerprint(share, owner=owner, holder=sender, index=index) != dealt:
                    raise RemoteError(f"a share of client {owner}'s that is not the one it dealt")
        for owner, shares in found.items():
            self.state.revealed.setdefault(owner, {})[sender] = shares

    def finish(self) -> Finish:
        """Rebuild and remove the self-masks of survivors, and the masks they share with those that dropped."""
        attached: dict[int, tuple[Secret | None, ...]] = {}
        for owner in sorted(self._needed()):
            if owner in self.state.survivors:
                attached[owner] = self._finish_survivor(owner)
            else:
                self._finish_dropped(owner)
        total = self.state.total
        total &= total.dtype.type(self._session.modulus - 1)
        return Finish(total.astype(np.uint64), tuple(sorted(self.state.survivors)), attached)

    def _finish_survivor(self, owner: int) -> tuple[Secret | None, ...]:
        seed, *opened = self._rebuild(owner)
        derive, size = self._derived.schedule(self.state.root), schedule.HASH_BYTES
        indices = self._derived.opened(len(self.state.survivors))
        for index, secret in zip((0, *(1 + index for index in indices)), (seed, *opened), strict=True):
            commitment = self.state.commitments[owner][index * size : (index + 1) * size]
            if not hmac.compare_digest(derive.commitment(secret, owner=owner, index=index), commitment):
                raise RemoteError(f"client {owner} dealt shares of another secret than the committed", culprits=[owner])
        keystream.subtract_mask(self.state.total, derive.self_mask(seed, owner=owner))
        by_index = dict(zip(indices, opened, strict=True))
        return tuple(by_index.get(index) for index in range(len(self._session.attached)))

    def _finish_dropped(self, owner: int) -> None:
        (secret,) = self._rebuild(owner)
        pair, derive = self._derived.agreement.from_secret(secret), self._derived.schedule(self.state.root)
        if pair.public != self.state.keys[owner].masking:
            raise RemoteError(f"client {owner} dealt shares of another key than the advertised", culprits=[owner])
        for survivor in self._alive_neighbours(owner):
            shared = pair.agree(self.state.keys[survivor].masking)
            apply = keystream.subtract_mask if survivor < owner else keystream.add_mask
            apply(self.state.total, derive.pair_mask(shared, one=owner, other=survivor))

    def _rebuild(self, owner: int) -> list[Secret]:
        """An owner's secrets that were revealed, in order; every share is known to be the one that it dealt.

        From those with the fewest complaints: so that a few who complain cannot make each owner's set of holders, and
        its Lagrange coefficients, another.
        """
        revealed, size = self.state.revealed.get(owner, {}), shamir.SHARE_BYTES
        quiet = sorted(revealed, key=lambda holder: (len(self.state.unopened[holder]), holder))
        shares = {holder: revealed[holder] for holder in quiet[: self._derived.threshold]}
        if len(shares) < self._derived.threshold:
            raise TooFewSurvivors(
                f"{len(shares)} shares of client {owner} are left, {self._derived.threshold} are needed"
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
        """Whose secrets the sum needs: survivors, and who shares a mask with one."""
        return {c for c in self.state.members if c in self.state.survivors or self._alive_neighbours(c)}

    def _holders(self, client: int) -> list[int]:
        """Who holds shares of a client, and whose shares it holds."""
        return [holder for holder in self.state.holders[client] if holder in self.state.members]

    def _alive_neighbours(self, client: int) -> list[int]:
        return [h for h in self.state.holders[client] if h != client and h in self.state.survivors]

    def _recoverable(self, present: Collection[int]) -> set[int]:
        """The largest subset in which everyone has enough holders."""
        graph, members = self._derived.graph(self.state.root), set(present)
        while lost := {c for c in members if len(graph[c] & members) + 1 < self._derived.threshold}:
            members -= lost
        if len(members) < self._session.threshold:
            raise TooFewSurvivors(f"{len(members)} clients can go on, the threshold is {self._session.threshold}")
        return members
