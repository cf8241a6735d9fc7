"""The server's side of `SeedSum`: for each step, what it takes in and how it closes."""

from collections.abc import Collection, Mapping

from msgspec import field

from protocols.codec import Invitation, Message
from protocols.crypto.keystream import Words
from protocols.errors import DamagedSum, MalformedMessage, ParameterError, RemoteError, TooFewSurvivors
from protocols.identity import SIGNATURE_BYTES
from protocols.logger import LOGGER
from protocols.secure_sum import Again, Finish
from protocols.seeds.claims import Decision, decide
from protocols.seeds.complaints import judged, liars, listed
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
from protocols.seeds.weighting import rare_weights
from protocols.snapshot import State


class ServerState(State, kw_only=True):
    """The state of the server.

    Attributes:
        padded: By client, its padded vector, until the contributors are fixed.
        hashes: By client, the hash of its padded vector, until then.
        sealed: By client, its seed hashes, boxes and signature, until then.
        entries: By client, the hash E, of all clients that have handed in.
        chosen: By client, the weight that its vector is to have, if one was stated.
        offered: The clients whose entries the members are asked to check, ascending.
        complaints: By member, by client, the reason.
        total: The sum of the contributors' padded vectors, each times its weight, once they are fixed.
        contributors: The contributors, once they are fixed.
        weights: Their weights.
        root: The root over the contributors; empty before.
        agreements: By member, its signature over the root.
        asked: By member, the numbers of the sets of which it is asked for the opening now.
        reminded: Whether the silent ones of them have been asked once more, since too few claims were there.
        tried: By number of a set, the members that were ever asked for its opening.
        claims: By member, its claims.
        sums: By number of a set, by member, the set's opening as the member has sent it and claimed it.
    """

    total: Words
    padded: dict[int, memoryview] = field(default_factory=dict)
    hashes: dict[int, bytes] = field(default_factory=dict)
    sealed: dict[int, bytes] = field(default_factory=dict)
    entries: dict[int, bytes] = field(default_factory=dict)
    chosen: dict[int, int] = field(default_factory=dict)
    offered: tuple[int, ...] = ()
    complaints: dict[int, dict[int, int]] = field(default_factory=dict)
    contributors: tuple[int, ...] = ()
    weights: tuple[int, ...] = ()
    root: bytes = b""
    agreements: dict[int, bytes] = field(default_factory=dict)
    asked: dict[int, tuple[int, ...]] = field(default_factory=dict)
    reminded: bool = False
    tried: dict[int, tuple[int, ...]] = field(default_factory=dict)
    claims: dict[int, bytes] = field(default_factory=dict)
    sums: dict[int, dict[int, memoryview]] = field(default_factory=dict)


class SeedServer:
    """The server of one session. It draws no randomness. Its only secret is the sum."""

    def __init__(self, derived: Derived) -> None:
        self._derived = derived
        self.state = ServerState(total=derived.pads.nothing())

    def put_total(self, vector: Words) -> None:
        """See `SecureSum.server_party`.

        Raises:
            ParameterError: The pads need memory of their own for the sum.
        """
        if not self._derived.pads.sums_in_place:
            raise ParameterError(
                "total: expected None, since lattice pads are not added up in words of the session, found an array. "
                "Use stream pads for a sum in an array."
            )
        self.state.total = vector

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

    @property
    def handed_in(self) -> Collection[int]:
        """The clients whose messages were taken in."""
        return self.state.entries.keys()

    @property
    def waiting(self) -> Collection[int]:
        """The clients whose messages were taken in, and that no batch has offered to the members."""
        return self.state.padded.keys() - set(self.state.offered)

    def weigh(self, weights: Mapping[int, int]) -> None:
        """Set the weights of clients (step 0)."""
        self.state.chosen |= weights

    def reopen(self) -> dict[int, Message]:
        """Forget the batch that has ended, however it did, and ask every client that has not handed in.

        Members that are clients too are not asked: they have forgotten their vectors in their first own step.
        """
        state, waiting = self.state, set(self.waiting)
        self.state = ServerState(
            total=self._derived.pads.nothing(),
            padded={client: data for client, data in state.padded.items() if client in waiting},
            hashes={client: data for client, data in state.hashes.items() if client in waiting},
            sealed={client: data for client, data in state.sealed.items() if client in waiting},
            entries=state.entries,
            chosen=state.chosen,
        )
        done = {*state.entries, *self._derived.committee.members}
        return {client: message for client, message in self.open().items() if client not in done}

    def merge(self, other: ServerState) -> None:
        """Take in the messages of other clients that another server of this session has taken in (step 0)."""
        self.state.padded |= other.padded
        self.state.hashes |= other.hashes
        self.state.sealed |= other.sealed
        self.state.entries |= other.entries
        self.state.chosen |= other.chosen

    def close_inputs(self) -> dict[int, Message]:
        """Send each member its part of the message of every client that no earlier batch has offered."""
        clients, members = tuple(sorted(self.state.padded)), self._derived.committee.members
        self._check_weights(self._weights(clients))
        self.state.offered = clients
        entries = {member: bytearray() for member in members}
        for client in clients:
            self._add_entry(client, entries)
        return {member: Entries(clients, memoryview(bytes(entries[member]))) for member in members}

    def _weights(self, clients: Collection[int]) -> tuple[int, ...]:
        """Return the weights of some clients: those that were stated, or else the smallest that is allowed."""
        return tuple(self.state.chosen.get(client, self._derived.session.weights[0]) for client in clients)

    def _check_weights(self, weights: tuple[int, ...]) -> None:
        least = self._derived.session.threshold
        if rare := rare_weights(weights, least):
            raise TooFewSurvivors(
                f"weights: expected each that occurs at least {least} times (the threshold), found {rare}. The sum "
                "would show the vectors of few clients modulo the other weights. Give these clients another weight."
            )

    def _add_entry(self, client: int, entries: Mapping[int, bytearray]) -> None:
        hashes, boxes, signature = self._derived.split_sealed(memoryview(self.state.sealed[client]))
        common = self.state.hashes[client] + hashes + b"".join(map(hash_of, boxes))
        for joined, box in zip(entries.values(), boxes, strict=True):
            joined += common + box + signature

    def take_complaints(self, sender: int, message: Complaints) -> None:
        """Check and keep a member's complaints (step 1)."""
        derived, clients = self._derived, message.clients
        if list(clients) != sorted(set(clients)) or not set(self.state.offered) >= set(clients):
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
        for complaint in listed(state.complaints):
            LOGGER.info(
                "session %s: member %d refuses client %d: %s",
                derived.session.session_id.hex(),
                complaint.member,
                complaint.client,
                complaint.reason,
            )
        threshold = derived.session.threshold
        offered = dict(zip(state.offered, self._weights(state.offered), strict=True))
        found = judged(state.complaints, offered, threshold=threshold, needed=derived.quorum)
        state.contributors = found.contributors
        if len(state.contributors) < threshold:
            raise TooFewSurvivors(
                f"contributors: expected at least {threshold} (the threshold), found {len(state.contributors)}, since "
                f"members complain of {len(found.excluded)} clients"
            )
        state.weights = self._weights(state.contributors)
        self._check_weights(state.weights)
        entries = (state.entries[client] for client in state.contributors)
        state.root = derived.root(state.contributors, state.weights, entries)
        padded = [state.padded[client] for client in state.contributors]
        derived.pads.add_weighted(state.total, padded, state.weights)
        for client in state.offered:
            del state.padded[client], state.hashes[client], state.sealed[client]
        proposal = Proposal(state.contributors, state.weights)
        return {member: proposal for member in state.complaints if member not in found.left_out}

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
            derived.pads.check_opening(sums[number], self.state.weights)
        self.state.claims[sender] = claims
        for number, data in sums.items():
            self.state.sums.setdefault(number, {})[sender] = data

    def close_sums(self) -> Finish | Again:
        """Finish if the opening of each set is here; otherwise ask others for those that are missing.

        If the claims decide too little, the members that have agreed and are silent are asked once more.
        """
        silent = [member for member in self.state.agreements if member not in self.state.claims]
        try:
            decision = self._decision()
        except (RemoteError, TooFewSurvivors):
            if not silent or self.state.reminded:
                raise
            self.state.reminded = True
            return Again(self._certificates({member: self.state.asked[member] for member in silent}))
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
        if len(claims) < derived.sets.needed:
            raise TooFewSurvivors(
                f"claims: expected those of at least {derived.sets.needed} members, found {len(claims)}"
            )
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
        try:
            total = derived.pads.opened(self.state.total, openings, self.state.weights)
        except DamagedSum as error:
            liable = "a contributor" if decision.verified else "a contributor or a committee member"
            raise RemoteError(f"{liable} broke the rules; nothing shows which one: {error}") from None
        culprits = {derived.committee.members[place] for place in decision.liars} | liars(self.state.complaints)
        contributors, weights = self.state.contributors, self.state.weights
        return Finish(
            total,
            contributors,
            verified=decision.verified,
            culprits=frozenset(culprits),
            complaints=listed(self.state.complaints),
            weights={} if derived.session.weights == (1,) else dict(zip(contributors, weights, strict=True)),
        )
