"""Actions of the model of pairwise masking, done to real clients by a real malicious server.

Honest clients are machines of `protocols`. The server and the corrupt client are the test: they forge keys, decrypt the
secret shares that they can read, collect those that clients reveal, rebuild secrets, remove masks, and compute sums.
What they know in the end has the form of the model's `Knowledge`, and is computed from bytes alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

from protocols import Adversary, Client, ClientTerms, MemoryRecord, SecAgg, Secret, packing
from protocols.codec import Invitation as Invited
from protocols.codec import M, Message
from protocols.crypto import keystream, sealing, shamir
from protocols.crypto.key_agreement import X25519, KeyPair
from protocols.identity import Roster, Signatures
from protocols.pairwise import messages, schedule
from protocols.pairwise.derived import KEYS, SURVIVORS
from protocols.pairwise.messages import AdvertisedKeys, MaskedInput, RevealedShares, SealedShares, encode_clients
from protocols.session import Session
from protocols.testing import fixed_identity, repeatable_entropy
from tests.conformance.cohorts import SNAPSHOT_KEY, Setting, setting
from tests.exploration.checks import Check
from tests.exploration.knowledge import MASKING, SEED, Knowledge, Masked, beginnings, computed, masked_with
from tests.exploration.learned import Sum
from tests.exploration.pairwise import Action
from tests.exploration.pairwise_client import (
    ABSENT,
    CLIENTS,
    MASK,
    OLD,
    OTHER,
    REVEAL,
    THRESHOLD,
    TRUE,
    ClientModel,
    Confirmations,
    Delivery,
    Directory,
    Invitation,
    Path,
    Survivors,
    directory_of,
    kept,
    members,
    stage,
    survivors_of,
)
from tests.support.malicious_server import setup_of
from tests.support.share_collector import MASKING as MASKING_INDEX
from tests.support.share_collector import collect_masked_inputs

INVENTED: Final = 100
"""What is added to a client's id to make the identity that the server invents for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms(Setting):
    """A scenario whose clients have pinned everyone's true identity, and assume a number of corrupt clients."""

    assumed: int

    def terms(self, client: int, record: object = None) -> ClientTerms | None:
        """See `Scenario.terms`."""
        found = Setting.terms(self, client, record)  # type: ignore[arg-type]  # as in the base
        pinned = Roster({each: fixed_identity(each).public for each in CLIENTS})
        return found and replace(found, adversarial=self.assumed / len(CLIENTS), roster=pinned)


@cache
def _earlier(client: int, assumed: int, removed: frozenset[Check]) -> tuple[AdvertisedKeys, Secret]:
    """Return a client's keys of an earlier session, and its private masking key, which the server rebuilt there.

    The client dropped out in that session, so the others revealed their shares of that key. What is signed there can
    depend on the checks that are left out, so the session is another one for others.
    """
    base = setting(SecAgg(adversary=Adversary.MALICIOUS), CLIENTS, THRESHOLD, length=3)
    session = replace(base.session, session_id=b"an earlier session")
    earlier = Terms(label="", protocol=base.protocol, session=session, assumed=assumed)
    run, attack = collect_masked_inputs(earlier)
    others = [each for each in CLIENTS if each != client]
    run.show_survivors(attack, dict.fromkeys(others, others))
    secret = attack.secret(client, MASKING_INDEX)
    if secret is None:
        raise LookupError("earlier session: expected that the masking key of a dropout can be rebuilt")
    return run.keys[client], secret


class RealPairwise:
    """Four clients of which some are real and honest; the server and the others are the adversary.

    Args:
        model: The model whose actions are done.

    Attributes:
        vectors: By client, its vector.
    """

    def __init__(self, model: ClientModel) -> None:
        self._model = model
        base = setting(SecAgg(adversary=Adversary.MALICIOUS), CLIENTS, THRESHOLD, length=3)
        invented = len(CLIENTS) - len(model.honest) > model.assumed
        self._identities = {
            client: fixed_identity(client + INVENTED if invented and client not in model.honest else client)
            for client in CLIENTS
        }
        roster = Roster({client: identity.public for client, identity in self._identities.items()})
        self._where = Terms(
            label="", protocol=base.protocol, session=replace(base.session, roster=roster), assumed=model.assumed
        )
        self._derived = setup_of(self._where)
        self.vectors = self._where.inputs()
        self._records = {client: MemoryRecord() for client in model.honest}
        self._machines: dict[int, tuple[Path, Client]] = {}
        self._snapshots: dict[tuple[int, Path], bytes] = {}
        self._keys = {(client, OTHER): self._made(client, b"other") for client in CLIENTS}
        self._keys |= {(client, TRUE): self._made(client, b"true") for client in CLIENTS if client not in model.honest}
        self._advertised = {who: self._signed(who[0], *pairs) for who, pairs in self._keys.items()}
        self._replies: dict[tuple[int, Path], Message] = {}

    @property
    def session(self) -> Session:
        """The session."""
        return self._where.session

    def _made(self, client: int, label: bytes) -> tuple[KeyPair, KeyPair]:
        draw = repeatable_entropy(label + b"%d" % client)
        return X25519.from_secret(Secret(draw(32))), X25519.from_secret(Secret(draw(32)))

    def _signed(self, client: int, sealing_pair: KeyPair, masking_pair: KeyPair) -> AdvertisedKeys:
        """Return keys with a corrupt client's signature, or with zeros in an honest client's name."""
        public = sealing_pair.public + masking_pair.public
        if client in self._model.honest:
            return AdvertisedKeys(sealing_pair.public, masking_pair.public, bytes(64))
        signed = self._derived.signatures.sign(self._identities[client], client=client, purpose=KEYS, payload=public)
        return AdvertisedKeys(sealing_pair.public, masking_pair.public, signed)

    def _earlier(self, client: int) -> tuple[AdvertisedKeys, Secret]:
        return _earlier(client, self._model.assumed, self._model.removed)

    # Actions.

    def do(self, action: Action) -> None:
        """Send a client a request, after a restart unless its machine is at that point already.

        Raises:
            ProtocolError: The client refuses.
        """
        client, at, request = action
        machine = self._machine(client, at)
        reply = machine.handle(self._where.codec.encode(len(at), self._message(action)))
        path = (*at, kept(request))
        self._replies[client, path] = self._where.codec.decode(
            len(at), self._where.protocol.steps[len(at)].reply, reply
        )
        if len(path) == 1:
            self._advertised[client, TRUE] = self._reply(client, path, AdvertisedKeys)
        if not machine.closed:
            self._machines[client] = path, machine
            self._snapshots[client, path] = machine.snapshot(SNAPSHOT_KEY)

    def _machine(self, client: int, at: Path) -> Client:
        if client not in self._machines:
            vector, entropy = self.vectors[client], repeatable_entropy(b"run%d" % client)
            machine = self._where.client(client, vector, entropy, self._records[client])
            self._machines[client] = (), machine
            self._snapshots[client, ()] = machine.snapshot(SNAPSHOT_KEY)
        where, machine = self._machines[client]
        return machine if where == at and not machine.closed else self.restored(client, at)

    def restored(self, client: int, at: Path) -> Client:
        """Return a client's machine from its snapshot at the end of a path, with its record."""
        entropy = repeatable_entropy(b"again%d" % client)
        machine = self._where.restored(client, self._snapshots[client, at], entropy, self._records[client])
        self._machines[client] = at, machine
        return machine

    def _reply(self, client: int, path: Path, kind: type[M]) -> M:
        reply = self._replies[client, path]
        if not isinstance(reply, kind):
            raise LookupError(f"reply: expected a {kind.__name__}, found a {type(reply).__name__}")
        return reply

    # Messages.

    def _message(self, action: Action) -> Message:
        client, at, request = action
        match request:
            case Invitation():
                return Invited()
            case Directory(leaves=leaves, keys=keys):
                others = [each for each in CLIENTS if each != client and leaves[each] != ABSENT]
                return messages.KeyDirectory(
                    self._leaves(leaves), tuple(self._shown(each, keys[each]) for each in others)
                )
            case Delivery(sharers=sharers, opened=opened):
                return self._delivered(client, at, sharers, opened)
            case Survivors(bitmap=survivors):
                return messages.Survivors(self._bitmap(survivors))
            case Confirmations(signers=signers):
                found = b"".join(self._confirmation(each, at) for each in sorted(members(signers)))
                return messages.Confirmations(self._bitmap(signers), found)

    def _bitmap(self, clients: int) -> bytes:
        return encode_clients(members(clients), self.session)

    def _shown(self, client: int, entry: int) -> AdvertisedKeys:
        return self._earlier(client)[0] if entry == OLD else self._advertised[client, entry]

    def _leaves(self, leaves: tuple[int, ...]) -> bytes:
        return b"".join(
            schedule.ABSENT if entry == ABSENT else self._derived.leaf(client, self._shown(client, entry))
            for client, entry in enumerate(leaves)
        )

    def _root(self, leaves: tuple[int, ...]) -> bytes:
        return self._derived.root(self._leaves(leaves))

    def _delivered(self, client: int, at: Path, sharers: int, opened: int) -> messages.DeliveredShares:
        leaves = directory_of(at).leaves
        owners = [each for each in sorted(members(sharers)) if each != client and leaves[each] != ABSENT]
        dealt = [self._dealt(owner, client, leaves) if opened >> owner & 1 else self._spoilt for owner in owners]
        return messages.DeliveredShares(
            self._bitmap(sharers), tuple(each for each, _ in dealt), tuple(each for _, each in dealt)
        )

    @property
    def _spoilt(self) -> tuple[bytes, bytes]:
        return bytes(self._derived.fingerprint_bytes), bytes(self._derived.sealed_bytes)

    def _dealt(self, owner: int, holder: int, leaves: tuple[int, ...]) -> tuple[bytes, bytes]:
        """Return the fingerprints and the ciphertext that an owner dealt to a holder under a directory."""
        for (client, path), reply in self._replies.items():
            dealt = client == owner and len(path) == MASK and directory_of(path).leaves == leaves
            if dealt and isinstance(reply, SealedShares):
                return self._bundle(reply, owner, holder, leaves)
        return self._spoilt

    def _bundle(self, dealt: SealedShares, owner: int, holder: int, leaves: tuple[int, ...]) -> tuple[bytes, bytes]:
        holders = [each for each in CLIENTS if each == owner or leaves[each] != ABSENT]
        size, number = self._derived.fingerprint_bytes, holders.index(holder)
        ciphertext = dealt.ciphertexts[[each for each in holders if each != owner].index(holder)]
        return dealt.fingerprints[number * size : (number + 1) * size], ciphertext

    def _confirmation(self, signer: int, at: Path) -> bytes:
        """Return a signature for a client with this path: a corrupt client's, a fitting one, any one, or zeros."""
        if signer not in self._model.honest:
            agreed = self._agreed(at)
            made = Signatures(self._derived.digest, self.session.roster)
            return made.sign(self._identities[signer], client=signer, purpose=SURVIVORS, payload=agreed)
        signed = {
            self._model.statement(path): reply.signature
            for (client, path), reply in self._replies.items()
            if client == signer and isinstance(reply, messages.Confirmation)
        }
        return signed.get(self._model.statement(at), next(iter(signed.values()), bytes(64)))

    def _agreed(self, at: Path) -> bytes:
        """Return what a client with this path has signed, as its code joins it."""
        parts = {
            Check.SAME_DIRECTORY: self._root(directory_of(at).leaves),
            Check.SAME_SHARERS: self._bitmap(stage(at).delivery.sharers),
            Check.SAME_SURVIVORS: self._bitmap(survivors_of(at)),
        }
        return b"".join(part for check, part in parts.items() if check not in self._model.removed)

    # What the adversary knows.

    def known(self) -> Knowledge:
        """Return what the adversary can compute; each secret is rebuilt and each sum computed and compared."""
        paths = {
            client: beginnings(path for who, path in self._replies if who == client) for client in self._model.honest
        }
        secrets = self._secrets()
        found = computed(self._model, paths, frozenset(secrets))
        rests = [self._unmasked(each, secrets) for each in found.masked]
        for each in found.sums:
            self._compare(each, rests)
        return found

    def _compare(self, found: Sum, rests: Sequence[list[int]]) -> None:
        """Raise `LookupError` unless the masked vectors of a sum, without their known masks, add up to its inputs."""
        inputs = [(int(factor), self.vectors[int(str(client))].tolist()) for client, factor in found.inputs]
        rows = [(int(weight), rests[row]) for row, weight in found.weights]
        whole = all(value.denominator == 1 for _, value in (*found.weights, *found.inputs))
        for at in range(self.session.length):
            learned = sum(weight * rest[at] for weight, rest in rows)
            expected = sum(factor * vector[at] for factor, vector in inputs)
            if not whole or (learned - expected) % self.session.modulus:
                raise LookupError(f"sum: expected that of the inputs {found.inputs}, found another")

    def _secrets(self) -> dict[tuple[int, int], Secret]:
        """Return the secrets that enough shares rebuild, each compared with what its owner committed to."""
        shares: dict[tuple[int, int, tuple[int, ...]], dict[int, bytes]] = {}
        for owner, holder, index, leaves, share in (*self._read(), *self._revealed()):
            shares.setdefault((owner, index, leaves), {})[holder] = share
        found = {}
        for (owner, index, leaves), held in shares.items():
            if len(held) >= THRESHOLD:
                found[owner, index] = shamir.combine(held, threshold=THRESHOLD)
                self._check_secret(owner, index, leaves, found[owner, index])
        return found

    def _check_secret(self, owner: int, index: int, leaves: tuple[int, ...], secret: Secret) -> None:
        if index == MASKING:
            right = X25519.from_secret(secret).public == self._advertised[owner, TRUE].masking
        else:
            committed = self._derived.schedule(self._root(leaves)).commitment(secret, owner=owner, index=0)
            dealt = [reply for (who, _), reply in self._replies.items() if who == owner]
            right = any(isinstance(each, SealedShares) and each.commitments == committed for each in dealt)
        if not right:
            raise LookupError(f"secret {index} of client {owner}: expected the committed one, found another")

    def _read(self) -> Iterator[tuple[int, int, int, tuple[int, ...], bytes]]:
        """Yield owner, holder, secret, directory and share of each share that was sealed for the adversary's keys."""
        for (owner, path), reply in self._replies.items():
            if len(path) != MASK or not isinstance(reply, SealedShares):
                continue
            leaves, keys = directory_of(path)
            derive = self._derived.schedule(self._root(leaves))
            for holder in CLIENTS:
                if holder == owner or (holder, keys[holder]) not in self._keys:
                    continue
                fingerprints, sealed = self._bundle(reply, owner, holder, leaves)
                channel = self._keys[holder, keys[holder]][0].agree(self._advertised[owner, TRUE].sealing)
                key = derive.share_key(channel, sender=owner, receiver=holder, fingerprints=fingerprints)
                joined = sealing.open_sealed(key, sealed)
                yield owner, holder, SEED, leaves, joined[: shamir.SHARE_BYTES]
                yield owner, holder, MASKING, leaves, joined[shamir.SHARE_BYTES :]

    def _revealed(self) -> Iterator[tuple[int, int, int, tuple[int, ...], bytes]]:
        """Yield the same of each share that an honest client revealed."""
        for (holder, path), reply in self._replies.items():
            if len(path) <= REVEAL or not isinstance(reply, RevealedShares):
                continue
            leaves, survivors, start = directory_of(path).leaves, survivors_of(path), 0
            for owner in sorted(members(stage(path).delivery.opened | 1 << holder)):
                chosen = (SEED,) if survivors >> owner & 1 else (MASKING,)
                for index in (SEED, MASKING) if Check.ONE_SECRET in self._model.removed else chosen:
                    yield owner, holder, index, leaves, reply.shares[start : start + shamir.SHARE_BYTES]
                    start += shamir.SHARE_BYTES

    def _unmasked(self, masked: Masked, secrets: dict[tuple[int, int], Secret]) -> list[int]:
        """Return a masked vector without the masks that the adversary knows, as Python's integers."""
        client, directory, sharers = masked
        paths = [path for who, path in self._replies if who == client and len(path) == REVEAL - 1]
        path = next(
            each for each in paths if stage(each).directory == directory and stage(each).delivery.sharers == sharers
        )
        modulus, derive = self.session.modulus, self._derived.schedule(self._root(directory.leaves))
        vector = packing.unpack(self._reply(client, path, MaskedInput).packed, self.session.length, modulus)
        rest = vector.astype(keystream.word_dtype(modulus))
        if (client, SEED) in secrets:
            keystream.subtract_mask(rest, derive.self_mask(secrets[client, SEED], owner=client))
        for other in masked_with(masked):
            shared = self._pair(client, other, directory.keys[other], secrets)
            if shared is not None:
                remove = keystream.subtract_mask if client < other else keystream.add_mask
                remove(rest, derive.pair_mask(shared, one=client, other=other))
        return [int(entry) for entry in rest]

    def _pair(self, client: int, other: int, entry: int, secrets: dict[tuple[int, int], Secret]) -> Secret | None:
        """Return what a client agreed on with another's keys, or None if the adversary cannot compute it."""
        mine = self._advertised[client, TRUE].masking
        if (other, entry) in self._keys:
            return self._keys[other, entry][1].agree(mine)
        if entry == OLD:
            return X25519.from_secret(self._earlier(other)[1]).agree(mine)
        if (client, MASKING) in secrets:
            return X25519.from_secret(secrets[client, MASKING]).agree(self._shown(other, entry).masking)
        return X25519.from_secret(secrets[other, MASKING]).agree(mine) if (other, MASKING) in secrets else None


def after_all(model: ClientModel, actions: tuple[Action, ...]) -> Knowledge:
    """Return what the adversary knows after these actions of real clients."""
    real = RealPairwise(model)
    for action in actions:
        real.do(action)
    return real.known()
