"""A malicious server of pairwise masking: what it may know, and how it removes masks with shares and keys."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import partial

from protocols import Secret
from protocols.codec import Message
from protocols.crypto import keystream, shamir
from protocols.crypto.key_agreement import X25519
from protocols.crypto.keystream import Words
from protocols.pairwise.derived import Derived
from protocols.pairwise.messages import AdvertisedKeys, KeyDirectory, MaskedInput
from protocols.pairwise.protocol import PairwiseMasking
from secagg.audit.attack import Inapplicable
from secagg.audit.sums.attacks.base import unless_refused
from secagg.audit.sums.cohort import Cohort
from secagg.audit.sums.stepwise import Stepwise, codec_of
from secagg.audit.sums.subject import SumSubject
from secagg.audit.sums.view import smallest

ADVERTISE, SHARE, MASK, CONFIRM, REVEAL = range(5)
"""The numbers of the steps against a malicious server."""
SEED, MASKING = 0, 1
"""The indices of a client's shared secrets: the seed of its own mask, and its masking key."""


def pairwise_cohort(subject: SumSubject, *, at_least: int, length: int) -> Cohort | Inapplicable:
    """Return a cohort of pairwise masking against a malicious server, or why the subject has none."""
    cohort = smallest(subject, at_least=at_least, length=length)
    if isinstance(cohort, Inapplicable):
        return cohort
    if not isinstance(cohort.protocol, PairwiseMasking):
        return Inapplicable(why="This attack is written for the messages of pairwise masking.")
    return cohort


def derived_of(cohort: Cohort) -> Derived:
    """Return what all parties derive from a session of pairwise masking, which is public.

    Raises:
        LookupError: The protocol is another one.
    """
    protocol, session = cohort.protocol, cohort.session
    if not isinstance(protocol, PairwiseMasking):
        raise LookupError(f"protocol: expected pairwise masking, found {protocol.name}")
    return Derived(
        session=session,
        digest=protocol.digest(session),
        degree=protocol.degree(session),
        threshold=protocol.holders_needed(session),
        lanes=protocol.lanes(session),
    )


@dataclass(slots=True, kw_only=True)
class Collected:
    """What a server has collected of one session in which all clients have seen the same directory.

    Attributes:
        derived: What all parties derive.
        root: The root of the directory.
        keys: By client, the keys that it advertised.
        masked: By client, its masked vector, packed.
        masked_with: By client, the clients with which it has pairwise masks.
        shares: By owner and index of the secret, the shares that the server has, by holder.
    """

    derived: Derived
    root: bytes
    keys: Mapping[int, AdvertisedKeys]
    masked: Mapping[int, bytes]
    masked_with: Mapping[int, Collection[int]]
    shares: dict[tuple[int, int], dict[int, bytes]] = field(default_factory=dict)

    def add_revealed(self, holder: int, owners: Collection[int], survivors: Collection[int], revealed: bytes) -> None:
        """Take in what a holder has revealed for a survivor set: one share of each owner, ascending."""
        for position, owner in enumerate(sorted(owners)):
            index = SEED if owner in survivors else MASKING
            share = revealed[position * shamir.SHARE_BYTES : (position + 1) * shamir.SHARE_BYTES]
            self.shares.setdefault((owner, index), {})[holder] = share

    def secret(self, owner: int, index: int) -> Secret | None:
        """Return an owner's secret, or None if there are too few shares of it."""
        shares, needed = self.shares.get((owner, index), {}), self.derived.threshold
        return shamir.combine(shares, threshold=needed) if len(shares) >= needed else None

    def sum_of(self, clients: Collection[int]) -> Words | None:
        """Return the sum of these clients' vectors, or None if a mask of one of them cannot be computed."""
        lanes, schedule = self.derived.lanes, self.derived.schedule(self.root)
        total = lanes.nothing()
        for client in clients:
            seed = self.secret(client, SEED)
            if seed is None:
                return None
            lanes.add_packed(total, self.masked[client])
            keystream.subtract_mask(total, schedule.self_mask(seed, owner=client))
            for other in set(self.masked_with[client]) - set(clients):
                shared = self._shared(client, other)
                if shared is None:
                    return None
                remove = keystream.subtract_mask if client < other else keystream.add_mask
                remove(total, schedule.pair_mask(shared, one=client, other=other))
        return lanes.unfold(total)

    def _shared(self, one: int, other: int) -> Secret | None:
        """Return what two clients have agreed on for their masks, if the masking key of either can be rebuilt."""
        for mine, theirs in ((one, other), (other, one)):
            secret = self.secret(mine, MASKING)
            if secret is not None:
                return X25519.from_secret(secret).agree(self.keys[theirs].masking)
        return None


def collect(run: Stepwise) -> Collected:
    """Run a sum honestly until all masked vectors have arrived, and return what the server has then."""
    derived, codec = derived_of(run.cohort), codec_of(run.cohort)
    advertised = run.replies()
    run.deliver(advertised)
    directory = codec.decode(SHARE, KeyDirectory, next(iter(run.requests.values())))
    root = derived.root(directory.leaves)
    run.deliver(run.replies())
    return Collected(
        derived=derived,
        root=root,
        keys={client: codec.decode(ADVERTISE, AdvertisedKeys, reply) for client, reply in advertised.items()},
        masked={
            client: bytes(codec.decode(MASK, MaskedInput, reply).packed) for client, reply in run.replies().items()
        },
        masked_with={client: derived.neighbours(root, client) for client in advertised},
    )


def ask(run: Stepwise, number: int, messages: Mapping[int, Message]) -> dict[int, Message]:
    """Return the answers of the clients that do not refuse these messages in a step."""
    codec, kind, found = codec_of(run.cohort), run.cohort.protocol.steps[number].reply, dict[int, Message]()
    for client, message in messages.items():
        reply = unless_refused(partial(run.clients[client].handle, codec.encode(number, message)))
        if reply is not None:
            found[client] = codec.decode(number, kind, reply)
    return found
