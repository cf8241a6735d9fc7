"""The client's and the committee member's side of `SeedSum`: one method for each step."""

from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import Final

import numpy as np
from msgspec import field

from protocols.codec import Invitation, Stream
from protocols.crypto import hpke
from protocols.crypto.keystream import Words
from protocols.crypto.secret import Secret, Uncopyable
from protocols.errors import MalformedMessage, NotSigned, OrderError, ParameterError, RemoteError
from protocols.identity import SIGNATURE_BYTES
from protocols.pieces import ArrayReader
from protocols.seeds.committee import MemberShare
from protocols.seeds.derived import HASH_BYTES, SEED_BYTES, Derived, Entry, hash_of
from protocols.seeds.messages import (
    Agreement,
    Certificate,
    Complaints,
    Entries,
    Proposal,
    SeedInput,
    SumShares,
)
from protocols.seeds.pads import SetKeys
from protocols.seeds.weighting import rare_weights
from protocols.session import Participant
from protocols.snapshot import State
from protocols.terms import Keyholder

ENTRY: Final = b"entry..."
COMPLAINT: Final = b"complain"
AGREEMENT: Final = b"agree..."
CLAIMS: Final = b"claims.."
"""What a signature is for."""

_EMPTY: Final = np.empty(0, dtype=np.uint8)


class Reason(IntEnum):
    """Why a member refuses a client's entry."""

    NOT_AS_SIGNED = 1
    """The client has not signed it, or the box is not the one that was signed. An honest server has checked both. So it
    knows that the member, or the connection to it, is at fault."""

    DOES_NOT_OPEN = 2
    """The box cannot be decrypted. The client, or the member that says so, breaks the rules."""

    SEED_DIFFERS = 3
    """A seed in the box does not have its hash. The client, or the member that says so, breaks the rules."""

    @property
    def words(self) -> str:
        """The reason in words."""
        return self.name.lower().replace("_", " ")


class _Refused(Exception):
    """A client's entry is not acceptable."""

    def __init__(self, reason: Reason) -> None:
        super().__init__()
        self.reason = reason


class PartyState(State, kw_only=True):
    """The state of a party.

    Attributes:
        vector: A client's input, until it has been padded.
        entries: A member's accepted entries: the hash E by client.
        seeds: By client, the seeds of the member's sets, joined. Once a root is signed, only those of its contributors
            are left, and in a session with batches those of clients that may be in a later one.
        root: The root that the member has signed, the latest one if there are batches; empty before.
        claims: What the member claims for that root, joined; empty before the first request for it.
        contributors: The contributors of that root, ascending.
        weights: Their weights.
    """

    vector: Words
    entries: dict[int, bytes] = field(default_factory=dict)
    seeds: dict[int, Secret] = field(default_factory=dict)
    root: bytes = b""
    claims: bytes = b""
    contributors: tuple[int, ...] = ()
    weights: tuple[int, ...] = ()


class SeedParty(Uncopyable):
    """One party of one session: a client, a committee member, or both."""

    def __init__(self, derived: Derived, participant: Participant) -> None:
        self._derived = derived
        self._party = participant.client
        self._identity = None if participant.terms is None else participant.terms.identity
        self._keyholder = participant.keyholder
        self._share = None if participant.keyholder is None else _member_share(participant.keyholder)
        self._entropy = participant.entropy
        self._reader = participant.reader
        if participant.vector.size:
            derived.pads.check(participant.vector)
        self.state = PartyState(vector=participant.vector)

    def mask_input(self, _: Invitation) -> SeedInput:
        """Pad the vector, and seal the seeds for the members: all that a client does (step 0)."""
        vector, self.state.vector = self.state.vector, _EMPTY
        seeds, keys = self._drawn()
        padded = self._derived.pads.padded(vector, keys, self._entropy)
        return SeedInput(padded, memoryview(self._sealed(seeds, self._derived.padded_hash(padded))))

    def stream_input(self, _: Invitation) -> Stream:
        """Return the reply of `mask_input`, whose padded vector is made piece by piece (step 0)."""
        derived, (seeds, keys) = self._derived, self._drawn()
        vector, self.state.vector = self.state.vector, _EMPTY
        hashed = derived.padded_hasher()

        def pieces() -> Iterator[bytes | memoryview]:
            for piece in derived.pads.padded_pieces(self._reader or ArrayReader(vector), keys, self._entropy):
                hashed.update(piece)
                yield piece

        return Stream(
            kind=SeedInput,
            before=(),
            size=derived.pads.padded_bytes,
            pieces=pieces(),
            after=lambda: (self._sealed(seeds, hashed.digest()),),
        )

    def _drawn(self) -> tuple[list[Secret], list[SetKeys]]:
        """Draw the seeds of all sets; return them and their keys."""
        derived = self._derived
        seeds = [Secret(self._entropy(SEED_BYTES)) for _ in range(derived.sets.count)]
        return seeds, [derived.set_keys(seed, client=self._party, number=number) for number, seed in enumerate(seeds)]

    def _sealed(self, seeds: list[Secret], padded_hash: bytes) -> bytes:
        """Return the hashes and boxes of seeds, and the signature over them and the hash of the padded vector."""
        derived, client = self._derived, self._party
        hashes = b"".join(derived.seed_hash(seed, client=client, number=number) for number, seed in enumerate(seeds))
        boxes = [self._box(member, seeds, hashes) for member in range(derived.key.members)]
        entry = derived.entry(client, padded_hash, hashes, b"".join(map(hash_of, boxes)))
        signature = derived.signatures.sign(self._identity, client=client, purpose=ENTRY, payload=entry)
        return hashes + b"".join(boxes) + signature

    def _box(self, member: int, seeds: list[Secret], hashes: bytes) -> bytes:
        derived = self._derived
        return hpke.seal(
            derived.key.public_keys[member],
            info=derived.box_info(hashes, client=self._party, member=member),
            plaintext=b"".join(seeds[number].reveal() for number in derived.sets.of(member)),
        )

    def check_entries(self, request: Entries) -> Complaints:
        """Open the boxes of all entries, and complain of those that are not acceptable (step 1).

        In a session with batches, this step is repeated for each batch. A client that was accepted before is refused.
        If the member is a client too, it drops its vector here: it is not asked for it any more.
        """
        derived, self.state.vector, self._reader = self._derived, _EMPTY, None
        self._check_clients(request.clients)
        if again := [client for client in request.clients if client in self.state.entries]:
            raise RemoteError(
                f"entries: expected clients of which this member has accepted none, found {len(again)} that it has "
                f"accepted before, client {again[0]} among them"
            )
        size = derived.entry_bytes
        if len(request.entries) != size * len(request.clients):
            raise MalformedMessage(
                f"entries: expected {size * len(request.clients)} bytes, found {len(request.entries)}"
            )
        complaints = dict[int, tuple[Reason, bytes]]()
        for place, client in enumerate(request.clients):
            entry = derived.split_entry(request.entries[place * size : (place + 1) * size])
            hashed = derived.entry(client, entry.padded_hash, entry.seed_hashes, entry.box_hashes)
            try:
                seeds = self._opened(client, entry, hashed)
            except _Refused as refused:
                complaints[client] = refused.reason, hashed
            else:
                self.state.entries[client], self.state.seeds[client] = hashed, seeds
        signatures = (self._sign(COMPLAINT, hashed + bytes([reason])) for reason, hashed in complaints.values())
        reasons = bytes(reason for reason, _ in complaints.values())
        return Complaints(tuple(complaints), memoryview(reasons), memoryview(b"".join(signatures)))

    def _opened(self, client: int, entry: Entry, hashed: bytes) -> Secret:
        """Return the seeds of an entry's box for this member, joined, after every check that a member can make."""
        derived, (_, share) = self._derived, self._as_member()
        own = share.index - 1
        try:
            derived.signatures.check(entry.signature, client=client, purpose=ENTRY, payload=hashed)
        except NotSigned:
            raise _Refused(Reason.NOT_AS_SIGNED) from None
        if hash_of(entry.box) != entry.box_hashes[own * HASH_BYTES : (own + 1) * HASH_BYTES]:
            raise _Refused(Reason.NOT_AS_SIGNED)
        info = derived.box_info(entry.seed_hashes, client=client, member=own)
        try:
            seeds = share.epoch_key.key.open(info, entry.box)
        except hpke.BoxNotOpened:
            raise _Refused(Reason.DOES_NOT_OPEN) from None
        numbers = derived.sets.of(own)
        for place, number in enumerate(numbers):
            seed = Secret(seeds[place * SEED_BYTES : (place + 1) * SEED_BYTES])
            expected = entry.seed_hashes[number * HASH_BYTES : (number + 1) * HASH_BYTES]
            if derived.seed_hash(seed, client=client, number=number) != expected:
                raise _Refused(Reason.SEED_DIFFERS)
        return Secret(seeds)

    def agree(self, proposal: Proposal) -> Agreement:
        """Sign the root of the only contributors whose sum this member helps to open, after recording it (step 2)."""
        derived, (keyholder, _) = self._derived, self._as_member()
        self._check_proposal(proposal, max(derived.session.threshold, keyholder.minimum_contributors))
        contributors, weights = proposal.contributors, proposal.weights
        root = derived.root(contributors, weights, (self.state.entries[client] for client in contributors))
        keyholder.openings.record(
            key=keyholder.fingerprint,
            session_id=derived.session.session_id,
            context=derived.session.context,
            contributors=contributors,
            minimum=max(derived.session.threshold, keyholder.minimum_contributors),
            root=root,
            weights=weights,
            batches=derived.session.batches,
        )
        state = self.state
        former = set(state.contributors).difference(contributors)
        kept = state.seeds.keys() - former if derived.session.batches else set(contributors)
        state.seeds = {client: seed for client, seed in state.seeds.items() if client in kept}
        state.root, state.claims = root, b""
        state.contributors, state.weights = contributors, weights
        return Agreement(memoryview(self._sign(AGREEMENT, root)))

    def contributors(self, proposal: Proposal) -> tuple[int, ...]:
        """Return the clients whose inputs are in the sum that this member agrees to open."""
        return proposal.contributors

    def _check_proposal(self, proposal: Proposal, least: int) -> None:
        contributors, weights = proposal.contributors, proposal.weights
        self._check_clients(contributors)
        if unknown := [client for client in contributors if client not in self.state.seeds]:
            raise RemoteError(
                "contributors: expected clients whose entries this member has accepted and that are in no other batch, "
                f"found {len(unknown)} others, client {unknown[0]} among them"
            )
        if len(contributors) < least:
            raise RemoteError(
                f"contributors: expected at least {least}, found {len(contributors)}. A smaller sum is not opened."
            )
        allowed = self._derived.session.weights
        if len(weights) != len(contributors) or not set(weights) <= set(allowed):
            known = " or ".join(map(str, allowed))
            raise RemoteError(f"weights: expected {known} for each contributor, found others")
        if rare := rare_weights(weights, least):
            raise RemoteError(
                f"weights: expected each that occurs at least {least} times, found {rare}. The sum would show the "
                "vectors of few clients modulo the other weights."
            )

    def open_sum(self, certificate: Certificate) -> SumShares:
        """Claim and reveal openings for the root that this member and a quorum have signed (step 3).

        The claims are computed once. A request that comes again costs the openings that it asks for.
        """
        derived, numbers = self._derived, self._numbers(certificate)
        claims, sums = list[bytes](), list[bytes]()
        for place, number in enumerate(numbers):
            if self.state.claims and number not in certificate.sets:
                continue
            opening = derived.pads.opening(self._set_keys(place, number), self.state.weights)
            if not self.state.claims:
                claims.append(derived.claim(self.state.root, number, opening))
            if number in certificate.sets:
                sums.append(opening)
        self.state.claims = self.state.claims or b"".join(claims)
        return SumShares(memoryview(self.state.claims), memoryview(self._signed_claims()), memoryview(b"".join(sums)))

    def stream_sum(self, certificate: Certificate) -> Stream:
        """Return the reply of `open_sum`, whose openings are made piece by piece.

        They are made once to be claimed, if they were not claimed before, and once more to be revealed.
        """
        derived, numbers = self._derived, self._numbers(certificate)
        self.state.claims = self.state.claims or b"".join(
            derived.claim_of_pieces(self.state.root, number, self._opening(place, number))
            for place, number in enumerate(numbers)
        )
        asked = [place for place, number in enumerate(numbers) if number in certificate.sets]
        return Stream(
            kind=SumShares,
            before=(self.state.claims, self._signed_claims()),
            size=len(asked) * derived.pads.opening_bytes(len(self.state.contributors)),
            pieces=(piece for place in asked for piece in self._opening(place, numbers[place])),
        )

    def _numbers(self, certificate: Certificate) -> Sequence[int]:
        """Return the numbers of this member's sets, after every check of a certificate."""
        derived, (_, share) = self._derived, self._as_member()
        self._check_certificate(certificate)
        numbers = derived.sets.of(share.index - 1)
        if list(certificate.sets) != sorted(set(certificate.sets)) or not set(certificate.sets) <= set(numbers):
            raise RemoteError("sets: expected numbers of this member's sets in ascending order, found others")
        return numbers

    def _opening(self, place: int, number: int) -> Iterator[bytes | memoryview]:
        return self._derived.pads.opening_pieces(self._set_keys(place, number), self.state.weights)

    def _signed_claims(self) -> bytes:
        return self._sign(CLAIMS, self.state.root + hash_of(self.state.claims))

    def _set_keys(self, place: int, number: int) -> list[SetKeys]:
        """Return each contributor's keys of one set, the member's set number `place`."""
        keys = list[SetKeys]()
        for client in self.state.contributors:
            seed = Secret(self.state.seeds[client].reveal()[place * SEED_BYTES : (place + 1) * SEED_BYTES])
            keys.append(self._derived.set_keys(seed, client=client, number=number))
        return keys

    def _check_certificate(self, certificate: Certificate) -> None:
        derived = self._derived
        members, quorum = derived.committee.members, derived.key.threshold
        if not self.state.root:
            raise RemoteError(
                "certificate: expected one for a root that this member has signed, found it has signed none"
            )
        signers = certificate.signers
        if list(signers) != sorted(set(signers)) or not set(signers) <= set(members):
            raise RemoteError("signers: expected committee members in ascending order, found others")
        if len(signers) < quorum:
            raise RemoteError(f"signers: expected at least the quorum of {quorum}, found {len(signers)}")
        if len(certificate.signatures) != SIGNATURE_BYTES * len(signers):
            raise MalformedMessage(
                f"signatures: expected {SIGNATURE_BYTES * len(signers)} bytes, found {len(certificate.signatures)}"
            )
        for place, signer in enumerate(signers):
            signature = bytes(certificate.signatures[place * SIGNATURE_BYTES : (place + 1) * SIGNATURE_BYTES])
            derived.member_signatures.check(signature, client=signer, purpose=AGREEMENT, payload=self.state.root)

    def _check_clients(self, clients: tuple[int, ...]) -> None:
        known = set(self._derived.session.clients)
        if list(clients) != sorted(set(clients)) or not set(clients) <= known:
            raise RemoteError("clients: expected clients of the session in ascending order, found others")

    def _sign(self, purpose: bytes, payload: bytes) -> bytes:
        _, share = self._as_member()
        return self._derived.member_signatures.sign(
            share.identity, client=self._party, purpose=purpose, payload=payload
        )

    def _as_member(self) -> tuple[Keyholder, MemberShare]:
        if self._keyholder is None or self._share is None:
            raise OrderError(f"party {self._party} is not a member of the committee")
        return self._keyholder, self._share


def _member_share(keyholder: Keyholder) -> MemberShare:
    if not isinstance(keyholder.share, MemberShare):
        kind = type(keyholder.share).__name__
        raise ParameterError(f"share: expected a MemberShare of a SeedCommittee, found {kind}")
    return keyholder.share
