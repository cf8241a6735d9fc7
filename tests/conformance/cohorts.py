"""What every conformance test runs over: settings of all registered protocols, and a driver that stops at any round."""

import copy
import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Final

import numpy as np

from protocols import (
    Adversary,
    Client,
    ClientTerms,
    Committee,
    Continue,
    Finish,
    Identity,
    Keyholder,
    LightSecAgg,
    MemoryOpenings,
    MemoryRecord,
    OneShot,
    Opening,
    OpeningRecord,
    Outcome,
    PaillierSum,
    ParameterError,
    RemoteError,
    Roster,
    SecAgg,
    SecAggPlus,
    Secret,
    SecureSum,
    Server,
    Session,
    SessionRecord,
    Transmission,
    load,
    simulate,
)
from protocols.codec import Codec
from protocols.crypto.entropy import Entropy
from protocols.crypto.integers import Arithmetic, fastest
from protocols.encrypted.protocol import EncryptedSum
from protocols.registry import available
from protocols.session import Vector
from tests.support import committee_keys

IDS: Final = (5, 0, 2**32 - 2, 17, 3, 300, 70_000, 1)
OPENINGS: Final = (Opening(least_dropped=0, most_dropped=0), Opening(least_dropped=1, most_dropped=2))
SNAPSHOT_KEY: Final = Secret(hashlib.sha256(b"key of snapshots").digest())
COMMITTEE: Final = (21, 22, 23)
"""Ids of committees whose members are no clients."""
MODULI: Final = (2**16, 2**31 - 1, 2**61 - 1, 65_521)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One protocol with parameters and a session that fit together."""

    label: str
    protocol: SecureSum
    session: Session

    def attached(self) -> dict[int, tuple[Secret, ...]]:
        """Each client's attached secrets."""
        return {client: attached_secrets(client, self.session) for client in self.session.clients}

    def members(self) -> dict[int, ClientTerms]:
        """Each client's identity and terms, with a fresh record of sessions; none where there is no roster."""
        if self.session.roster is None:
            return {}
        return {client: member(client, self.session) for client in self.session.clients}

    @property
    def parties(self) -> tuple[int, ...]:
        """All clients, and those of the committee who are none."""
        return tuple(dict.fromkeys((*self.session.clients, *self.session.committee_members)))

    def asked(self, number: int) -> tuple[int, ...]:
        """Whom a round asks, where nobody has dropped."""
        return self.protocol.parties(self.session, self.protocol.steps[number].role)

    def quorum(self, number: int) -> int:
        """How many of them have to answer."""
        return self.protocol.quorum(self.session, self.protocol.steps[number].role)

    def keyholders(self) -> dict[int, Keyholder]:
        """Each committee member's share and rules, and an empty record of openings; none without a committee."""
        return {member: keyholder(member, self.session) for member in self.session.committee_members}

    def client(
        self,
        client: int,
        vector: Vector | None,
        entropy: Entropy,
        record: SessionRecord | None = None,
        openings: OpeningRecord | None = None,
    ) -> Client:
        """One party's machine, at its beginning."""
        return Client(
            self.protocol,
            self.session,
            client,
            vector,
            attached=attached_secrets(client, self.session) if client in self.session.clients else (),
            entropy=entropy,
            terms=self.member(client, record),
            keyholder=self.keyholder(client, openings),
        )

    def member(self, client: int, record: SessionRecord | None = None) -> ClientTerms | None:
        """What a party brings as a client to a session with a roster."""
        if self.session.roster is None or client not in self.session.clients:
            return None
        return member(client, self.session, record)

    def keyholder(self, party: int, openings: OpeningRecord | None = None) -> Keyholder | None:
        """What a party brings as a committee member."""
        return keyholder(party, self.session, openings) if party in self.session.committee_members else None

    def restored(
        self,
        client: int,
        data: bytes,
        entropy: Entropy,
        record: SessionRecord | None = None,
        openings: OpeningRecord | None = None,
    ) -> Client:
        """A party's machine as a snapshot under `SNAPSHOT_KEY` says, with its own or other records."""
        return Client.restore(
            self.protocol,
            self.session,
            data,
            key=SNAPSHOT_KEY,
            entropy=entropy,
            terms=self.member(client, record),
            keyholder=self.keyholder(client, openings),
        )

    def simulate(
        self,
        inputs: Mapping[int, Vector],
        *,
        drops: Mapping[str, Collection[int]] | None = None,
        tap: Callable[[Transmission], None] | None = None,
        entropy: Entropy | None = None,
    ) -> Outcome:
        """One sum in memory, with attached secrets and members where the session has them; repeatable, if not told."""
        return simulate(
            self.protocol,
            self.session,
            inputs,
            attached=self.attached(),
            terms=self.members(),
            keyholders=self.keyholders(),
            drops=drops,
            tap=tap,
            entropy=entropy or stream(b"simulation"),
        )

    def inputs(self, seed: int = 0) -> dict[int, Vector]:
        """Random vectors that include 0 and modulus - 1."""
        generator = np.random.default_rng(seed)
        drawn = {
            client: generator.integers(0, self.session.modulus, self.session.length, dtype=np.uint64, endpoint=False)
            for client in self.session.clients
        }
        for vector in drawn.values():
            vector[0], vector[-1] = 0, self.session.modulus - 1
        return drawn


def identity(client: int) -> Identity:
    """The identity that a client has in all tests."""
    return Identity(Secret(hashlib.sha256(b"identity of %d" % client).digest()))


def member(client: int, session: Session, record: SessionRecord | None = None) -> ClientTerms:
    """What a client brings to a session with a roster: no more than the session grants, and a tenth of corrupt ones."""
    if session.roster is None:
        raise LookupError("a session without a roster has no members")
    return ClientTerms(
        identity=identity(client),
        roster=session.roster,
        sessions=record or MemoryRecord(),
        adversarial=0.1,
        minimum_contributors=session.threshold,
        committee=None if session.committee is None else session.committee.key,
    )


def keyholder(member: int, session: Session, openings: OpeningRecord | None = None) -> Keyholder:
    """What a committee member brings: its share, and the session's own threshold and roster as its rules."""
    committee = session.committee
    if committee is None:
        raise LookupError("a session without a committee has no keyholders")
    key = committee.key
    shares = committee_keys.key_shares(1, key.members, key.threshold, remembering())
    return Keyholder(
        share=shares[committee.index(member) - 1],
        openings=openings or MemoryOpenings(),
        minimum_contributors=session.threshold,
        roster=session.roster,
    )


@cache
def remembering() -> Arithmetic:
    """The fastest arithmetic, which computes no list of powers twice.

    Openings take longest of all, and these tests repeat sums with the same entropy, and so the same powers, a lot.
    """
    fast = fastest()

    @lru_cache(maxsize=2048)
    def remembered(bases: tuple[int, ...], exponent: int, modulus: int) -> tuple[int, ...]:
        return tuple(fast.powers(bases, exponent, modulus))

    def powers(bases: Sequence[int], exponent: int, modulus: int) -> list[int]:
        return list(remembered(tuple(bases), exponent, modulus))

    return replace(fast, powers=powers)


def committee_of(members: tuple[int, ...]) -> Committee:
    """A committee of these, more than half of whom open a sum; the same key for all of a size."""
    key = committee_keys.threshold_key(1, len(members), len(members) // 2 + 1, remembering())
    return Committee(key=key, members=members)


def attached_secrets(client: int, session: Session) -> tuple[Secret, ...]:
    """Repeatable attached secrets, as many as the session has."""
    count = len(session.attached)
    return tuple(Secret(hashlib.sha256(b"attached %d %d" % (client, index)).digest()) for index in range(count))


def setting(
    protocol: SecureSum,
    clients: tuple[int, ...],
    threshold: int,
    *,
    length: int = 40,
    context: bytes = b"",
    attached: tuple[Opening, ...] = (),
    committee: tuple[int, ...] = COMMITTEE,
) -> Setting:
    """A session of the first modulus that the protocol takes, with a roster or a committee where it asks for one."""
    malicious = getattr(protocol, "adversary", None) is Adversary.MALICIOUS
    roster = Roster({client: identity(client).public for client in clients}) if malicious else None
    opened = committee_of(committee) if isinstance(protocol, EncryptedSum) else None
    for modulus in MODULI:
        session = Session(
            session_id=b"conformance of one sum",
            clients=clients,
            threshold=threshold,
            length=length,
            modulus=modulus,
            context=context,
            roster=roster,
            attached=attached,
            committee=opened,
        )
        try:
            protocol.validate(session)
        except ParameterError:
            continue
        kind = "-malicious" * malicious + "-attached" * bool(attached)
        kind += f"-opened-by-{len(committee)}" * (opened is not None)
        label = f"{protocol.name}-{len(clients)}-{threshold}{kind}"
        return Setting(label=label, protocol=protocol, session=session)
    raise LookupError(f"{protocol.name} takes none of the moduli {MODULI}")


def suggested(name: str) -> Setting:
    """The parameters that a protocol suggests for eight clients, one of which may drop out."""
    protocol, threshold = load(name).suggest(clients=len(IDS), adversarial=0.1, dropout=0.125)
    return setting(protocol, IDS, threshold)


def settings() -> list[Setting]:
    """Every registered protocol as it suggests itself, and small parameters by hand."""
    return [
        *(suggested(name) for name in available()),
        setting(SecAgg(), IDS[:2], 2),
        setting(SecAgg(), IDS[:3], 2),
        setting(SecAggPlus(neighbours=2, share_threshold=2), IDS[:4], 3),
        setting(SecAggPlus(neighbours=4, share_threshold=3), IDS[:7], 4),
        setting(SecAgg(adversary=Adversary.MALICIOUS), IDS[:4], 3),
        setting(SecAggPlus(neighbours=4, share_threshold=4, adversary=Adversary.MALICIOUS), IDS[:7], 5),
        setting(LightSecAgg(privacy=1, responders=2), IDS[:4], 3),
        setting(PaillierSum(adversary=Adversary.MALICIOUS), IDS[:4], 3, committee=IDS[1:6]),
        setting(OneShot(adversary=Adversary.MALICIOUS), IDS[:3], 2, committee=(IDS[0], 9, IDS[1])),
        setting(SecAgg(), IDS[:4], 2, attached=OPENINGS),
        setting(
            SecAggPlus(neighbours=4, share_threshold=4, adversary=Adversary.MALICIOUS), IDS[:6], 4, attached=OPENINGS
        ),
    ]


def stream(label: bytes) -> Entropy:
    """Repeatable entropy: SHAKE-256 of a label and a counter of calls."""
    calls = 0

    def draw(size: int) -> bytes:
        nonlocal calls
        calls += 1
        return hashlib.shake_256(label + calls.to_bytes(4, "big")).digest(size)

    return draw


def expected(inputs: Mapping[int, Vector], contributors: tuple[int, ...], modulus: int) -> list[int]:
    """The sum, in Python's own integers."""
    columns = zip(*(inputs[client].tolist() for client in contributors), strict=True)
    return [sum(column) % modulus for column in columns]


def unchecked(setting: Setting, number: int, reply: bytes) -> range:
    """Where a reply carries numbers that stand for themselves: a masked vector, or a sum of coded shares.

    Sums that a committee opens have no such bytes: a client's proof, and a member's, are about every byte sent.

    Nobody can tell a masked vector from another, by design, so a change of these bytes alone may change the sum: who
    could alter them could as well have sent another vector.  They are a field `packed`; everything else in every
    message is checked by somebody.
    """
    codec = Codec(setting.protocol.digest(setting.session), setting.protocol.message_limit(setting.session))
    message = codec.decode(number, setting.protocol.steps[number].reply, reply)
    if "packed" not in message.__struct_fields__:
        return range(0)
    packed = bytes(message.packed)
    start = reply.index(packed)
    return range(start, start + len(packed))


class Run:
    """All parties of one sum, driven round by round with repeatable entropy."""

    def __init__(self, setting: Setting, *, seed: bytes = b"run", vectors: Mapping[int, Vector] | None = None) -> None:
        self.setting = setting
        self.inputs = setting.inputs() if vectors is None else vectors
        self.records = {party: MemoryRecord() for party in setting.parties}
        self.openings = {party: MemoryOpenings() for party in setting.parties}
        self.clients = {
            party: setting.client(
                party, self.inputs.get(party), stream(seed + b"%d" % party), self.records[party], self.openings[party]
            )
            for party in setting.parties
        }
        self.server = Server(setting.protocol, setting.session)
        self.step: Continue | Finish = self.server.start()

    @property
    def requests(self) -> Mapping[int, bytes]:
        """What the server asks in the round that is open."""
        if not isinstance(self.step, Continue):
            raise LookupError("the sum is finished")
        return self.step.requests

    def replies(self) -> dict[int, bytes]:
        """Every asked client's reply in the round that is open."""
        return {client: self.clients[client].handle(request) for client, request in self.requests.items()}

    def deliver(self, replies: Mapping[int, bytes]) -> None:
        """Give the server these replies, in this order, and end the round."""
        for client, reply in replies.items():
            self.server.receive(client, reply)
        self.step = self.server.advance()

    def to_round(self, number: int) -> "Run":
        """Play that many rounds honestly."""
        for _ in range(number):
            self.deliver(self.replies())
        return self

    def finish(self) -> Finish:
        """Play what is left honestly."""
        while isinstance(self.step, Continue):
            self.deliver(self.replies())
        return self.step

    def is_exact(self, outcome: Finish) -> bool:
        """Whether the outcome is the sum of its contributors' inputs, at least as many as the threshold."""
        session = self.setting.session
        return (
            outcome.total.dtype == np.uint64
            and len(outcome.contributors) >= session.threshold
            and outcome.total.tolist() == expected(self.inputs, outcome.contributors, session.modulus)
        )


def refusal(run: Run, sender: int, reply: bytes) -> RemoteError | None:
    """The error with which the server refuses a reply; None where it takes it in."""
    try:
        run.server.receive(sender, reply)
    except RemoteError as error:
        if error.culprits != {sender}:
            raise LookupError(f"the server blames {sorted(error.culprits)}, not client {sender}") from error
        return error
    return None


class Forgetful:
    """A record of sessions that notes nothing, so that a test can go on from one snapshot in several ways."""

    def record(self, identity: bytes, session_id: bytes, number: int) -> None:
        """See `SessionRecord.record`."""


class Reopening:
    """A record of openings that notes nothing, for the same purpose."""

    def record(
        self, *, key: bytes, session_id: bytes, context: bytes, contributors: tuple[int, ...], minimum: int
    ) -> None:
        """See `OpeningRecord.record`."""


class Checkpoint:
    """A run in the middle of a round, kept as snapshots, to go on from it as often as a test likes."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._clients = {c: machine.snapshot(SNAPSHOT_KEY) for c, machine in run.clients.items() if not machine.closed}
        self._server = run.server.snapshot(SNAPSHOT_KEY, entropy=stream(b"checkpoint"))
        self._step = run.step

    def resume(self, *, clients: Collection[int] | None = None) -> Run:
        """A run from here on, of all clients or of these; always with the same entropy."""
        run = copy.copy(self._run)
        run.clients = {
            client: run.setting.restored(client, data, stream(b"%d" % client), Forgetful(), Reopening())
            for client, data in self._clients.items()
            if clients is None or client in clients
        }
        run.server = Server.restore(run.setting.protocol, run.setting.session, self._server, key=SNAPSHOT_KEY)
        run.step = self._step
        return run
