"""Keys that a malicious server of pairwise masking puts in the place of those that clients advertised."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import numpy as np

from protocols import Identity, Secret
from protocols.codec import Message
from protocols.crypto import keystream, sealing, shamir
from protocols.crypto.key_agreement import X25519, KeyPair
from protocols.crypto.keystream import Words
from protocols.identity import Signatures
from protocols.pairwise.derived import KEYS, Derived
from protocols.pairwise.messages import (
    AdvertisedKeys,
    DeliveredShares,
    KeyDirectory,
    MaskedInput,
    SealedShares,
    encode_clients,
)
from secagg.audit.attack import Inapplicable, Level, Plan, Result
from secagg.audit.seeds import Tape
from secagg.audit.sums.attacks.base import LENGTH, ProtocolAttack, failed, succeeded
from secagg.audit.sums.attacks.pairwise_server import ADVERTISE, MASK, SHARE, ask, derived_of, pairwise_cohort
from secagg.audit.sums.cohort import Cohort
from secagg.audit.sums.inputs import random_inputs
from secagg.audit.sums.stepwise import Stepwise, codec_of
from secagg.audit.sums.subject import SumSubject

Directory = Mapping[int, AdvertisedKeys]


class SubstitutedKeys(ProtocolAttack):
    """The server gives a client a directory of keys of its own, and plays all other clients.

    With the private keys it opens the shares of the client's own mask, removes all masks, and reads the vector. It also
    tries the other clients' right keys with signatures from another session, and with one bit flipped.
    """

    id = "attack.substituted_keys"
    title = "The server gives a client keys that the other clients did not sign for this session"
    tests = ("C-05",)

    def plan(self, subject: SumSubject, level: Level) -> Plan | Inapplicable:  # It is exact.
        """See `Attack.plan`."""
        cohort = pairwise_cohort(subject, at_least=3, length=LENGTH)
        if isinstance(cohort, Inapplicable):
            return cohort
        return Plan(trials=3, cpu_s=0.05, details=len(cohort.session.clients))

    def run(self, subject: SumSubject, plan: Plan, seed: bytes) -> Result:
        """See `Attack.run`."""
        cohort = subject.cohort(plan.details, length=LENGTH)
        inputs, victim = random_inputs(cohort, seed), cohort.session.clients[0]
        fakes = {client: FakeClient.of(seed, client) for client in cohort.session.clients if client != victim}
        read = read_vector(cohort, Stepwise(cohort, inputs, seed).to_step(ADVERTISE), victim, fakes)
        if read is not None and np.array_equal(read, inputs[victim]):
            return succeeded(
                f"Client {victim} accepted keys of the server as those of all other clients. The server removed all "
                "masks from its vector."
            )
        elsewhere = Stepwise(
            subject.cohort(plan.details, length=LENGTH, session_id=b"secagg audit another"), inputs, seed
        )
        replayed = advertised_in(elsewhere)
        for what, change in (("signed in another session", replayed), ("whose signatures are altered", None)):
            run = Stepwise(cohort, inputs, seed, label=what)
            honest = advertised_in(run)
            others = change or {client: _flipped(keys) for client, keys in honest.items()}
            if shared_under(run, victim, others | {victim: honest[victim]}) is not None:
                return succeeded(f"Client {victim} accepted keys of the other clients {what}.")
        return failed()


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeClient:
    """A client that the server plays: its key pairs, and an identity that nobody has pinned."""

    sealing: KeyPair
    masking: KeyPair
    identity: Identity

    @classmethod
    def of(cls, seed: bytes, client: int) -> "FakeClient":
        """Return a fake client whose secrets follow from a seed."""
        tape = Tape(seed, f"fake {client}")
        pairs = [X25519.from_secret(Secret(tape(32))) for _ in range(2)]
        identity = Identity(Secret(hashlib.sha256(seed + b"fake %d" % client).digest()))
        return cls(sealing=pairs[0], masking=pairs[1], identity=identity)

    def advertised(self, derived: Derived, client: int) -> AdvertisedKeys:
        """Return its keys in another client's name, signed with its own identity."""
        joined = self.sealing.public + self.masking.public
        signatures = Signatures(derived.digest, derived.session.roster)
        signature = signatures.sign(self.identity, client=client, purpose=KEYS, payload=joined)
        return AdvertisedKeys(self.sealing.public, self.masking.public, signature)


def advertised_in(run: Stepwise) -> dict[int, AdvertisedKeys]:
    """Return the keys that the clients of a run advertise."""
    codec = codec_of(run.cohort)
    return {client: codec.decode(ADVERTISE, AdvertisedKeys, reply) for client, reply in run.replies().items()}


def shared_under(run: Stepwise, victim: int, keys: Directory) -> Message | None:
    """Return what a client deals under a directory of these keys; None if it refuses them."""
    return ask(run, SHARE, {victim: directory_for(run.cohort, victim, keys)}).get(victim)


def directory_for(cohort: Cohort, victim: int, keys: Directory) -> KeyDirectory:
    """Return the directory by which a server makes a client believe in these keys."""
    derived = derived_of(cohort)
    leaves = b"".join(derived.leaf(client, keys[client]) for client in cohort.session.clients)
    near = sorted(derived.neighbours(derived.root(leaves), victim))
    return KeyDirectory(leaves, tuple(keys[each] for each in near))


def read_vector(cohort: Cohort, run: Stepwise, victim: int, fakes: Mapping[int, FakeClient]) -> Words | None:
    """Return the vector of a client that takes the server's fake clients for its neighbours; None if it refuses."""
    derived = derived_of(cohort)
    honest = advertised_in(run)[victim]
    keys = {client: fake.advertised(derived, client) for client, fake in fakes.items()} | {victim: honest}
    dealt = shared_under(run, victim, keys)
    if not isinstance(dealt, SealedShares):
        return None
    directory = directory_for(cohort, victim, keys)
    schedule = derived.schedule(derived.root(directory.leaves))
    near = sorted(derived.neighbours(derived.root(directory.leaves), victim))
    shares = _opened_shares(derived, dealt, victim, near, fakes, honest, derived.root(directory.leaves))
    delivered = DeliveredShares(
        encode_clients(cohort.session.clients, cohort.session),
        tuple(bytes(derived.fingerprint_bytes) for _ in near),
        tuple(bytes(derived.sealed_bytes) for _ in near),
    )
    masked = ask(run, MASK, {victim: delivered}).get(victim)
    if not isinstance(masked, MaskedInput):
        return None
    total = derived.lanes.nothing()
    derived.lanes.add_packed(total, masked.packed)
    seed = shamir.combine(dict(list(shares.items())[: derived.threshold]), threshold=derived.threshold)
    keystream.subtract_mask(total, schedule.self_mask(seed, owner=victim))
    for other in near:
        remove = keystream.subtract_mask if victim < other else keystream.add_mask
        remove(total, schedule.pair_mask(fakes[other].masking.agree(honest.masking), one=victim, other=other))
    return derived.lanes.unfold(total)


def _opened_shares(
    derived: Derived,
    dealt: SealedShares,
    victim: int,
    near: list[int],
    fakes: Mapping[int, FakeClient],
    honest: AdvertisedKeys,
    root: bytes,
) -> dict[int, bytes]:
    """Return the shares of a client's seed that it has sealed for the server's fake clients."""
    size, holders = derived.fingerprint_bytes, sorted((*near, victim))
    found = {}
    for holder, ciphertext in zip(near, dealt.ciphertexts, strict=True):
        at = holders.index(holder) * size
        key = derived.schedule(root).share_key(
            fakes[holder].sealing.agree(honest.sealing),
            sender=victim,
            receiver=holder,
            fingerprints=dealt.fingerprints[at : at + size],
        )
        found[holder] = sealing.open_sealed(key, ciphertext)[: shamir.SHARE_BYTES]
    return found


def _flipped(keys: AdvertisedKeys) -> AdvertisedKeys:
    """Return keys with one bit of their signature flipped."""
    signature = keys.signature[:-1] + bytes([keys.signature[-1] ^ 1])
    return msgspec.structs.replace(keys, signature=signature)
