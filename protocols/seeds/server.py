"""The server's side of `SeedSum`: for each step, what it takes in and how it closes."""

from collections.abc import Collection, Mapping
from typing import Final

from msgspec import field

from protocols.codec import Invitation, Message
from protocols.crypto.keystream import Words
from protocols.errors import MalformedMessage, RemoteError, TooFewSurvivors
from protocols.identity import SIGNATURE_BYTES
from protocols.logger import LOGGER
from protocols.secure_sum import Again, Finish
from protocols.seeds.claims import Decision, decide
from protocols.seeds.derived import HASH_BYTES, Derived, hash_of
from protocols.seeds.messages import (
    Agreement,
    Certificate,
    Complaints,
    Entries,
    Proposal,
    SeedInput,
    SumShares,
)
from protocols.seeds.party import AGREEMENT, CLAIMS, COMPLAINT, ENTRY, Reason
from protocols.snapshot import State

MOST_COMPLAINTS: Final = 0.1
"""The largest share of the clients of which one member may complain. A member that complains of more is left out, and
not the clients, if as many members are left without it as must answer (`Derived.quorum`)."""


class ServerState(State, kw_only=True):
    """The state of the server.

    Attributes:
        padded: By client, its padded vector, until the contributors are fixed.
        hashes: By client, the hash of its padded vector, until then.
        sealed: By client, its seed hashes, boxes and signature, until then.
        entries: By client, the hash E.
        complaints: By member, by client, the reason.
        total: The sum of the contributors' padded vectors, once they are fixed.
        contributors: The contributors, once they are fixed.
        root: The root over the contributors; empty before.
        agreements: By member, its signature over the root.
        asked: By member, the numbers of the sets of which it is asked for the opening now.
        tried: By number of a set, the members that were ever asked for its opening.
        claims: By member, its claims.
        sums: By number of a set, by member, the set's opening as the member has sent it and claimed it.
    """

    total: Words
    padded: dict[int, memoryview] = field(default_factory=dict)
    hashes: dict[int, bytes] = field(default_factory=dict)
    sealed: dict[int, bytes] = field(default_factory=dict)
    entries: dict[int, bytes] = field(default_factory=dict)
    complaints: dict[int, dict[int, int]] = field(default_factory=dict)
    contributors: tuple[int, ...] = ()
    root: bytes = b""
    agreements: dict[int, bytes] = field(default_factory=dict)
    asked: dict[int, tuple[int, ...]] = field(default_factory=dict)
    tried: dict[int, tuple[int, ...]] = field(default_factory=dict)
    claims: dict[int, bytes] = field(default_factory=dict)
    sums: dict[int, dict[int, memoryview]] = field(default_factory=dict)


class SeedServer:
    """The server of one session. It draws no randomness, and holds no secret but the sum."""

    def __init__(self, derived: Derived) -> None:
        self._derived = derived
        self.state = ServerState(total=derived.pads.nothing())

    def open(self) -> dict[int, Message]:
        """Ask every client of the session."""
        return {client: Invitation() for client in self._derived.session.clients}

    def take_input(self, sender: int, message: SeedInput) -> None:
        """Check and keep a client's message (step 0)."""
        derived = self._derived
        derived.pads.check_padded(message.padded)
        hashes, boxes, signature = derived.split_sealed(message.sealed)
        padded_hash = derived.padded_hash(message.padded)
        entry = derived.entry(sender, padded_hash, hashes, b"".join(map(hash_of, boxes)))
        derived.signatures.check(signature, client=sender, purpose=ENTRY, payload=entry)
        self.state.padded[sender], self.state.sealed[sender] = message.padded, bytes(message.sealed)
        self.state.hashes[sender], self.state.entries[sender] = padded_hash, entry

    def merge(self, other: ServerState) -> None:
        """Take in the messages of other clients that another server of this session has taken in (step 0)."""
        self.state.padded |= other.padded
        self.state.hashes |= other.hashes
        self.state.sealed |= other.sealed
        self.state.entries |= other.entries

    def close_inputs(self) -> dict[int, Message]:
        """Send each member its part of every client's message."""
        clients, members = tuple(sorted(self.state.entries)), self._derived.committee.members
        entries = {member: bytearray() for member in members}
        for client in clients:
            self._add_entry(client, entries)
        return {member: Entries(clients, memoryview(bytes(entries[member]))) for member in members}

    def _add_entry(self, client: int, entries: Mapping[int, bytearray]) -> None:
        hashes, boxes, signature = self._derived.split_sealed(memoryview(self.state.sealed[client]))
        common = self.state.hashes[client] + hashes + b"".join(map(hash_of, boxes))
        for joined, box in zip(entries.values(), boxes, strict=True):
            joined += common + box + signature

    def take_complaints(self, sender: int, message: Complaints) -> None:
        """Check and keep a member's complaints (step 1)."""
        derived, clients = self._derived, message.clients
        if list(clients) != sorted(set(clients)) or not self.state.entries.keys() >= set(clients):
            raise RemoteError("complaints: expected clients that have sent a message, in ascending order, found others")
        if len(message.reasons) != len(clients) or len(message.signatures) != SIGNATURE_BYTES * len(clients):
            raise MalformedMessage("complaints: expected one reason and one signature for each client, found others")
        if not set(message.reasons) <= set(Reason):
            raise MalformedMessage(f"reasons: expected values from {min(Reason)} to {max(Reason)}, found another")
        for place, client in enumerate(clients):
            signature = bytes(message.signatures[place * SIGNATURE_BYTES : (place + 1) * SIGNATURE_BYTES])
            payload = self.state.entries[client] + bytes([message.reasons[place]])
            derived.member_signatures.check(signature, client=sender, purpose=COMPLAINT, payload=payload)
        self.state.complaints[sender] = dict(zip(clients, message.reasons, strict=True))

    def close_complaints(self) -> dict[int, Message]:
        """Fix the contributors, add up their padded vectors, and propose them to the members."""
        derived, state = self._derived, self.state
        left_out = self._members_left_out()
        excluded = set[int]()
        for member, complaints in state.complaints.items():
            for client, reason in complaints.items():
                name = Reason(reason).name.lower().replace("_", " ")
                LOGGER.info(
                    "session %s: member %d refuses client %d: %s",
                    derived.session.session_id.hex(),
                    member,
                    client,
                    name,
                )
            if member not in left_out:
                excluded |= complaints.keys()
        state.contributors = tuple(sorted(state.entries.keys() - excluded))
        if len(state.contributors) < derived.session.threshold:
            raise TooFewSurvivors(
                f"contributors: expected at least {derived.session.threshold} (the threshold), found "
                f"{len(state.contributors)}, since members complain of {len(excluded)} clients"
            )
        weights = (1,) * len(state.contributors)
        entries = (state.entries[client] for client in state.contributors)
        state.root = derived.root(state.contributors, weights, entries)
        for client in state.contributors:
            derived.pads.add(state.total, state.padded[client])
        state.padded, state.hashes, state.sealed = {}, {}, {}
        proposal = Proposal(state.contributors, weights)
        return {member: proposal for member in state.complaints if member not in left_out}

    def _members_left_out(self) -> frozenset[int]:
        """Return the members that complain of too many clients, as long as enough are left without them."""
        complaints = self.state.complaints
        spare, most = len(complaints) - self._derived.quorum, MOST_COMPLAINTS * len(self.state.entries)
        loud = sorted((member for member in complaints if len(complaints[member]) > most),
                      key=lambda member: -len(complaints[member]))  # fmt: skip
        return frozenset(loud[: max(spare, 0)])

    def take_agreement(self, sender: int, message: Agreement) -> None:
        """Check and keep a member's signature over the root (step 2)."""
        signature = bytes(message.signature)
        self._derived.member_signatures.check(signature, client=sender, purpose=AGREEMENT, payload=self.state.root)
        self.state.agreements[sender] = signature

    def close_agreement(self) -> dict[int, Message]:
        """Show all signatures to those that have signed, and ask one member for the opening of each set."""
        derived, signers = self._derived, tuple(sorted(self.state.agreements))
        asked = {signer: list[int]() for signer in signers}
        for number in range(derived.sets.count):
            holders = [derived.committee.members[place] for place in derived.sets.holders[number]]
            least = min((holder for holder in holders if holder in asked), key=lambda holder: len(asked[holder]))
            asked[least].append(number)
        return self._certificates(asked)

    def _certificates(self, asked: Mapping[int, Collection[int]]) -> dict[int, Message]:
        self.state.asked = {member: tuple(sorted(numbers)) for member, numbers in asked.items()}
        for member, numbers in self.state.asked.items():
            for number in numbers:
                self.state.tried[number] = (*self.state.tried.get(number, ()), member)
        signers = tuple(sorted(self.state.agreements))
        signatures = memoryview(b"".join(self.state.agreements[signer] for signer in signers))
        return {member: Certificate(signers, signatures, numbers) for member, numbers in self.state.asked.items()}

    def take_sums(self, sender: int, message: SumShares) -> None:
        """Check a member's claims, and the openings that it was asked for against them (step 3)."""
        derived, claims = self._derived, bytes(message.claims)
        numbers, asked = derived.sets.of(derived.number_of(sender)), self.state.asked[sender]
        if len(claims) != HASH_BYTES * len(numbers):
            raise MalformedMessage(f"claims: expected {HASH_BYTES * len(numbers)} bytes, found {len(claims)}")
        payload = self.state.root + hash_of(claims)
        derived.member_signatures.check(bytes(message.signature), client=sender, purpose=CLAIMS, payload=payload)
        if self.state.claims.get(sender, claims) != claims:
            raise RemoteError("claims: expected the same as before, found others")
        size = derived.pads.opening_bytes(len(self.state.contributors))
        if len(message.sums) != size * len(asked):
            raise MalformedMessage(f"sums: expected {size * len(asked)} bytes, found {len(message.sums)}")
        sums = dict[int, memoryview]()
        for place, number in enumerate(asked):
            sums[number] = message.sums[place * size : (place + 1) * size]
            own = numbers.index(number)
            if (
                derived.claim(self.state.root, number, sums[number])
                != claims[own * HASH_BYTES : (own + 1) * HASH_BYTES]
            ):
                raise RemoteError(f"sum for set {number}: expected the one that the member claims, found another")
            derived.pads.check_opening(sums[number], len(self.state.contributors))
        self.state.claims[sender] = claims
        for number, data in sums.items():
            self.state.sums.setdefault(number, {})[sender] = data

    def close_sums(self) -> Finish | Again:
        """Finish if the opening of each set is here; otherwise ask others for those that are missing."""
        quorum = self._derived.quorum
        if len(self.state.claims) < quorum:
            raise TooFewSurvivors(
                f"claims: expected those of at least {quorum} members, found {len(self.state.claims)}"
            )
        decision = self._decision()
        asked = dict[int, list[int]]()
        for number, claim in enumerate(decision.claims):
            if self._sum_of(number, claim) is not None:
                continue
            for member in self._claimants(number, claim):
                if member not in self.state.tried[number]:
                    asked.setdefault(member, []).append(number)
        return Again(self._certificates(asked)) if asked else self._finished(decision)

    def _decision(self) -> Decision:
        derived = self._derived
        claims = {derived.number_of(member): self._split(claims) for member, claims in self.state.claims.items()}
        return decide(claims, derived.sets)

    @staticmethod
    def _split(claims: bytes) -> list[bytes]:
        return [claims[start : start + HASH_BYTES] for start in range(0, len(claims), HASH_BYTES)]

    def _claimants(self, number: int, claim: bytes) -> list[int]:
        """Return the members that claim this for a set."""
        derived, found = self._derived, list[int]()
        for member, claims in self.state.claims.items():
            numbers = derived.sets.of(derived.number_of(member))
            if number in numbers and self._split(claims)[numbers.index(number)] == claim:
                found.append(member)
        return found

    def _sum_of(self, number: int, claim: bytes) -> memoryview | None:
        """Return a set's opening that a member which claims this has sent; None if there is none."""
        sent = self.state.sums.get(number, {})
        return next((sent[member] for member in self._claimants(number, claim) if member in sent), None)

    def _finished(self, decision: Decision) -> Finish:
        derived, openings = self._derived, list[memoryview]()
        for number, claim in enumerate(decision.claims):
            opening = self._sum_of(number, claim)
            if opening is None:
                raise RemoteError(
                    f"sum for set {number}: expected one that its members claim, found none. They withhold it."
                )
            openings.append(opening)
        total = derived.pads.opened(self.state.total, openings, len(self.state.contributors))
        liars = frozenset(derived.committee.members[place] for place in decision.liars)
        return Finish(total, self.state.contributors, verified=decision.verified, culprits=liars)
