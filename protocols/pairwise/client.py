"""The client's side of pairwise masking: one method for each step, in order."""

import msgspec
import numpy as np

from protocols import packing
from protocols.codec import Invitation, Stream
from protocols.crypto import keystream, sealing, shamir
from protocols.crypto.key_agreement import KeyPair, WeakKey
from protocols.crypto.keystream import SignedMask, Words
from protocols.crypto.sealing import KEY_BYTES
from protocols.crypto.secret import Secret, Uncopyable
from protocols.errors import RemoteError
from protocols.identity import SIGNATURE_BYTES
from protocols.pairwise import schedule
from protocols.pairwise.derived import KEYS, SHARES, SURVIVORS, Derived
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
    decode_clients,
    encode_clients,
)
from protocols.pieces import ArrayReader, masked_pieces
from protocols.session import Participant
from protocols.snapshot import State

_GONE = Secret(b"")
_EMPTY = np.empty(0, dtype=np.uint8)


class ClientState(State, kw_only=True):
    """A client's secrets and what it knows of the others. Each part is dropped in the last step that needs it.

    Attributes:
        vector: The client's input.
        attached: The client's attached secrets.
        sealing: Its private key for sealing secret shares.
        masking: Its private key for agreeing on pairwise masks.
        seed: The seed of its self-mask.
        dealing: The seed of the polynomials of its secret shares.
        advertised: Its own public keys.
        present: Bitmap of the clients in the key directory.
        root: The directory's root.
        neighbours: Its neighbours in the directory, ascending.
        channels: By neighbour, the secret agreed with the sealing keys.
        pairs: By neighbour, the secret agreed with the masking keys.
        shares: By owner, the secret shares that the client holds; the client is one of the owners.
        members: Bitmap of the clients that have shared.
        survivors: Bitmap of the clients whose masked input is in the sum.
    """

    vector: Words
    attached: tuple[Secret, ...]
    sealing: Secret = _GONE
    masking: Secret = _GONE
    seed: Secret = _GONE
    dealing: Secret = _GONE
    advertised: AdvertisedKeys = AdvertisedKeys(b"", b"", b"")
    present: bytes = b""
    root: bytes = b""
    neighbours: tuple[int, ...] = ()
    channels: dict[int, Secret] = msgspec.field(default_factory=dict)
    pairs: dict[int, Secret] = msgspec.field(default_factory=dict)
    shares: dict[int, tuple[Secret, ...]] = msgspec.field(default_factory=dict)
    members: bytes = b""
    survivors: bytes = b""


class PairwiseClient(Uncopyable):
    """One client of one session."""

    def __init__(self, derived: Derived, participant: Participant) -> None:
        self._derived = derived
        self._session = derived.session
        self._client = participant.client
        self._identity = None if participant.terms is None else participant.terms.identity
        self._entropy = participant.entropy
        self._reader = participant.reader
        self.state = ClientState(vector=participant.vector, attached=participant.attached)

    def advertise_keys(self, _: Invitation) -> AdvertisedKeys:
        """Make two key pairs for this session only, sign them, and draw the seed of everything dealt later (step 0).

        A client that is restored and asked for its shares again thus deals the same shares to the same directory.
        """
        sealing, masking = self._new_pair(), self._new_pair()
        signature = self._sign(KEYS, sealing.public + masking.public)
        self.state.sealing, self.state.masking = sealing.secret, masking.secret
        self.state.seed = Secret(self._entropy(shamir.SECRET_BYTES))
        self.state.dealing = Secret(self._entropy(KEY_BYTES))
        self.state.advertised = AdvertisedKeys(sealing.public, masking.public, signature)
        return self.state.advertised

    def share_keys(self, directory: KeyDirectory) -> SealedShares:
        """Check the directory, then deal all secrets to the neighbours that follow from it and to itself (step 1)."""
        self._meet_neighbours(directory)
        holders = sorted((*self.state.neighbours, self._client))
        derive, fingerprints, ciphertexts = self._derived.schedule(self.state.root), [], []
        entropy = keystream.Keystream(derive.dealing(self.state.dealing, owner=self._client)).read
        by_secret = [
            shamir.share(secret, threshold=self._derived.threshold, holders=holders, entropy=entropy)
            for secret in (self.state.seed, self.state.masking, *self.state.attached)
        ]
        for holder, shares in zip(holders, zip(*by_secret, strict=True), strict=True):
            joined = b"".join(shares)
            fingerprint = derive.fingerprints(joined, owner=self._client, holder=holder)
            fingerprints.append(fingerprint)
            if holder == self._client:
                self.state.shares[holder] = tuple(map(Secret, shares))
            else:
                key = derive.share_key(
                    self.state.channels[holder], sender=self._client, receiver=holder, fingerprints=fingerprint
                )
                ciphertexts.append(sealing.seal(key, joined))
        commitments = b"".join(
            derive.commitment(secret, owner=self._client, index=index)
            for index, secret in enumerate((self.state.seed, *self.state.attached))
        )
        self.state.masking, self.state.sealing, self.state.dealing, self.state.attached = _GONE, _GONE, _GONE, ()
        unsigned = SealedShares(commitments, b"".join(fingerprints), tuple(ciphertexts), b"")
        return msgspec.structs.replace(unsigned, signature=self._sign(SHARES, unsigned.joined))

    def mask_input(self, delivered: DeliveredShares) -> MaskedInput:
        """Decrypt the shares, and send the vector under the self-mask and one mask for each neighbour (step 2)."""
        view, unopened, masks = self._masks(delivered)
        vector, self.state.vector = self.state.vector, _EMPTY
        lanes = self._derived.lanes
        masked = lanes.fold(vector)
        keystream.apply_masks(masked, masks)
        return MaskedInput(view, lanes.pack(masked), unopened)

    def stream_input(self, delivered: DeliveredShares) -> Stream:
        """Return the reply of `mask_input`, whose masked vector is made piece by piece (step 2)."""
        view, unopened, masks = self._masks(delivered)
        vector, self.state.vector = self.state.vector, _EMPTY
        lanes = self._derived.lanes
        return Stream(
            kind=MaskedInput,
            before=(view,),
            size=packing.packed_bytes(lanes.length, lanes.modulus),
            pieces=masked_pieces(self._reader or ArrayReader(vector), lanes=lanes, masks=masks),
            after=lambda: (unopened,),
        )

    def _masks(self, delivered: DeliveredShares) -> tuple[bytes, tuple[int, ...], list[SignedMask]]:
        """Decrypt the shares; return the other fields of the masked input, and the masks that it is made with."""
        members = decode_clients(delivered.members, self._session)
        if self._client not in members or not members <= decode_clients(self.state.present, self._session):
            raise RemoteError(
                "the set of clients that have shared lacks this client, or names one outside the key directory"
            )
        # The server may name fewer sharers to this client than to the others, and the client then masks with fewer.
        # Without both minimums the server could name none of its neighbours. The input would then be unmasked as soon
        # as the others reveal the self-mask.
        self._check_cohort(members, "have shared")
        neighbours = tuple(neighbour for neighbour in self.state.neighbours if neighbour in members)
        if not len(neighbours) == len(delivered.ciphertexts) == len(delivered.fingerprints):
            raise RemoteError(
                f"delivered shares: expected ciphertexts and fingerprints of {len(neighbours)} neighbours, found "
                f"{len(delivered.ciphertexts)} and {len(delivered.fingerprints)}"
            )
        self.state.members = delivered.members
        unopened = tuple(
            neighbour
            for neighbour, sealed, fingerprints in zip(
                neighbours, delivered.ciphertexts, delivered.fingerprints, strict=True
            )
            if not self._open(neighbour, sealed, fingerprints)
        )
        derive = self._derived.schedule(self.state.root)
        masks: list[SignedMask] = [(np.add, derive.self_mask(self.state.seed, owner=self._client))]
        for neighbour in neighbours:
            seed = derive.pair_mask(self.state.pairs[neighbour], one=self._client, other=neighbour)
            masks.append((np.add if self._client < neighbour else np.subtract, seed))
        # From here on this client needs only its vector, these masks and the secret shares that it holds.
        self.state.seed, self.state.channels, self.state.pairs = _GONE, {}, {}
        return derive.view(self.state.members), unopened, masks

    def confirm_survivors(self, survivors: Survivors) -> Confirmation:
        """Sign the only survivor set for which this client reveals anything (step 3, malicious server)."""
        self._accept(survivors)
        return Confirmation(self._sign(SURVIVORS, self._agreed))

    def reveal_confirmed_shares(self, confirmations: Confirmations) -> RevealedShares:
        """Reveal shares if at least `threshold` survivors signed the same as this client (step 4, malicious server)."""
        signers = decode_clients(confirmations.signers, self._session)
        if not signers <= decode_clients(self.state.survivors, self._session):
            raise RemoteError("confirmations: expected signers from the survivor set, found another client")
        if len(signers) < self._session.threshold:
            raise RemoteError(f"confirmations: expected at least {self._session.threshold}, found {len(signers)}")
        if len(confirmations.signatures) != SIGNATURE_BYTES * len(signers):
            raise RemoteError(
                f"confirmations: expected one signature for each of {len(signers)} signers, found another length"
            )
        signatures, agreed = self._derived.signatures, self._agreed
        for index, signer in enumerate(client for client in self._session.clients if client in signers):
            signature = confirmations.signatures[index * SIGNATURE_BYTES : (index + 1) * SIGNATURE_BYTES]
            signatures.check(signature, client=signer, purpose=SURVIVORS, payload=agreed)
        return self._reveal()

    def reveal_shares(self, survivors: Survivors) -> RevealedShares:
        """Reveal shares for the survivor set, if the server is trusted to send the same one to all (step 3)."""
        self._accept(survivors)
        return self._reveal()

    def contributors(self, _: Survivors | Confirmations) -> frozenset[int]:
        """Return the survivor set for which this client reveals shares."""
        return decode_clients(self.state.survivors, self._session)

    @property
    def _agreed(self) -> bytes:
        return self.state.root + self.state.members + self.state.survivors

    def _new_pair(self) -> KeyPair:
        agreement = self._derived.agreement
        return agreement.from_secret(Secret(self._entropy(agreement.secret_bytes)))

    def _sign(self, purpose: bytes, payload: bytes) -> bytes:
        return self._derived.signatures.sign(self._identity, client=self._client, purpose=purpose, payload=payload)

    def _check_cohort(self, cohort: frozenset[int], doing: str) -> None:
        if len(cohort) < self._session.threshold:
            raise RemoteError(
                f"{len(cohort)} clients {doing}: expected at least the session's threshold, {self._session.threshold}"
            )
        near = len(cohort.intersection(self.state.neighbours)) + 1
        if near < self._derived.threshold:
            raise RemoteError(f"{near} in this client's neighbourhood {doing}, fewer than {self._derived.threshold}")

    def _meet_neighbours(self, directory: KeyDirectory) -> None:
        clients, size = self._session.clients, schedule.HASH_BYTES
        if len(directory.leaves) != size * len(clients):
            raise RemoteError(
                f"key directory: expected {size * len(clients)} bytes of hashes, found {len(directory.leaves)}"
            )
        leaves = {client: directory.leaves[i * size : (i + 1) * size] for i, client in enumerate(clients)}
        if leaves[self._client] != self._derived.leaf(self._client, self.state.advertised):
            raise RemoteError("the key directory does not have the keys that this client advertised")
        present = frozenset(client for client, leaf in leaves.items() if leaf != schedule.ABSENT)
        self.state.present = encode_clients(present, self._session)
        self.state.root = self._derived.root(directory.leaves)
        self.state.neighbours = tuple(sorted(self._derived.neighbours(self.state.root, self._client) & present))
        self._check_cohort(present, "have advertised keys")
        if len(directory.keys) != len(self.state.neighbours):
            raise RemoteError(
                f"key directory: expected keys of {len(self.state.neighbours)} neighbours, found {len(directory.keys)}"
            )
        seen = {self.state.advertised.sealing, self.state.advertised.masking}
        for neighbour, advertised in zip(self.state.neighbours, directory.keys, strict=True):
            if leaves[neighbour] != self._derived.leaf(neighbour, advertised):
                raise RemoteError(f"the keys of client {neighbour} are not those in the key directory")
            self._derived.check_keys(neighbour, advertised)
            if not seen.isdisjoint((advertised.sealing, advertised.masking)):
                raise RemoteError(f"client {neighbour} has a repeated key")
            seen |= {advertised.sealing, advertised.masking}
        weak = self._agree(directory.keys)
        if weak is not None:
            raise RemoteError(weak)

    def _agree(self, directory: tuple[AdvertisedKeys, ...]) -> str | None:
        """Agree with each neighbour; return what is wrong with the first weak key, or None.

        It returns instead of raising, because an error's traceback would keep the private keys in this frame alive.
        """
        pair = self._derived.agreement.from_secret
        sealing, masking = pair(self.state.sealing), pair(self.state.masking)
        for neighbour, advertised in zip(self.state.neighbours, directory, strict=True):
            try:
                self.state.channels[neighbour] = sealing.agree(advertised.sealing)
                self.state.pairs[neighbour] = masking.agree(advertised.masking)
            except WeakKey as error:
                return f"client {neighbour} has {error}"
        return None

    def _open(self, owner: int, sealed: bytes, fingerprints: bytes) -> bool:
        """Keep an owner's shares; return False if they cannot be decrypted or do not match the owner's fingerprints."""
        if len(sealed) != self._derived.sealed_bytes or len(fingerprints) != self._derived.fingerprint_bytes:
            return False
        derive = self._derived.schedule(self.state.root)
        key = derive.share_key(
            self.state.channels[owner], sender=owner, receiver=self._client, fingerprints=fingerprints
        )
        try:
            joined = sealing.open_sealed(key, sealed)
        except ValueError:
            return False
        shares = [joined[i : i + shamir.SHARE_BYTES] for i in range(0, len(joined), shamir.SHARE_BYTES)]
        if len(shares) != self._derived.shares_each or not all(map(shamir.is_share, shares)):
            return False
        if derive.fingerprints(joined, owner=owner, holder=self._client) != fingerprints:
            return False
        self.state.shares[owner] = tuple(map(Secret, shares))
        return True

    def _accept(self, survivors: Survivors) -> None:
        alive = decode_clients(survivors.bitmap, self._session)
        if self._client not in alive:
            raise RemoteError("the survivor set lacks this client, although the server asked for its input")
        if not alive <= decode_clients(self.state.members, self._session):
            raise RemoteError("the survivor set names a client that has not shared")
        self._check_cohort(alive, "survive")
        self.state.survivors = survivors.bitmap

    def _reveal(self) -> RevealedShares:
        alive = decode_clients(self.state.survivors, self._session)
        of_survivor = (0, *(2 + index for index in self._derived.opened_secrets(len(alive))))
        return RevealedShares(
            b"".join(
                self.state.shares[owner][index].reveal()
                for owner in sorted(self.state.shares)
                for index in (of_survivor if owner in alive else (1,))
            )
        )
