"""What every conformance test runs over: settings of all registered protocols, and a driver that stops at any round."""

import copy
import hashlib
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from protocols import (
    Adversary,
    Client,
    Continue,
    Finish,
    Identity,
    LightSecAgg,
    Member,
    MemoryRecord,
    Opening,
    Outcome,
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
    messages,
    simulate,
)
from protocols.registry import available
from protocols.session import Entropy, Vector

IDS: Final = (5, 0, 2**32 - 2, 17, 3, 300, 70_000, 1)
OPENINGS: Final = (Opening(least_dropped=0, most_dropped=0), Opening(least_dropped=1, most_dropped=2))
SNAPSHOT_KEY: Final = Secret(hashlib.sha256(b"key of snapshots").digest())
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

    def members(self) -> dict[int, Member]:
        """Each client's identity and terms, with a fresh record of sessions; none where there is no roster."""
        if self.session.roster is None:
            return {}
        return {client: member(client, self.session) for client in self.session.clients}

    def client(self, client: int, vector: Vector, entropy: Entropy, record: SessionRecord | None = None) -> Client:
        """One client's machine, at its beginning."""
        return Client(
            self.protocol,
            self.session,
            client,
            vector,
            attached=attached_secrets(client, self.session),
            entropy=entropy,
            member=member(client, self.session, record) if self.session.roster else None,
        )

    def restored(self, client: int, data: bytes, entropy: Entropy, record: SessionRecord | None = None) -> Client:
        """A client's machine as a snapshot under `SNAPSHOT_KEY` says, with its own or another record of sessions."""
        return Client.restore(
            self.protocol,
            self.session,
            data,
            key=SNAPSHOT_KEY,
            entropy=entropy,
            member=member(client, self.session, record) if self.session.roster else None,
        )

    def simulate(
        self,
        inputs: Mapping[int, Vector],
        *,
        drops: Mapping[str, Collection[int]] | None = None,
        tap: Callable[[Transmission], None] | None = None,
        entropy: Entropy = os.urandom,
    ) -> Outcome:
        """One sum in memory, with attached secrets and members where the session has them."""
        return simulate(
            self.protocol,
            self.session,
            inputs,
            attached=self.attached(),
            members=self.members(),
            drops=drops,
            tap=tap,
            entropy=entropy,
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


def member(client: int, session: Session, record: SessionRecord | None = None) -> Member:
    """What a client brings to a session with a roster: no more than the session grants, and a tenth of corrupt ones."""
    if session.roster is None:
        raise LookupError("a session without a roster has no members")
    return Member(
        identity=identity(client),
        roster=session.roster,
        sessions=record or MemoryRecord(),
        adversarial=0.1,
        minimum_contributors=session.threshold,
    )


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
) -> Setting:
    """A session of the first modulus that the protocol takes, with a roster where it asks for one."""
    malicious = getattr(protocol, "adversary", None) is Adversary.MALICIOUS
    roster = Roster({client: identity(client).public for client in clients}) if malicious else None
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
        )
        try:
            protocol.validate(session)
        except ParameterError:
            continue
        kind = "-malicious" * malicious + "-attached" * bool(attached)
        label = f"{protocol.name}-{len(clients)}-{threshold}{kind}"
        return Setting(label=label, protocol=protocol, session=session)
    raise LookupError(f"{protocol.name} takes none of the moduli {MODULI}")


def suggested(name: str) -> Setting:
    """The parameters that a protocol suggests for eight clients, one of whom may vanish."""
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

    Nobody can tell a masked vector from another, by design, so a change of these bytes alone may change the sum: who
    could alter them could as well have sent another vector.  They are a field `packed`; everything else in every
    message is checked by somebody.
    """
    codec = messages.Codec(setting.protocol.digest(setting.session), setting.protocol.message_limit(setting.session))
    message = codec.decode(number, setting.protocol.rounds[number].reply, reply)
    if "packed" not in message.__struct_fields__:
        return range(0)
    packed = bytes(message.packed)
    start = reply.index(packed)
    return range(start, start + len(packed))


class Run:
    """All parties of one sum, driven round by round with repeatable entropy."""

    def __init__(self, setting: Setting, *, seed: bytes = b"run") -> None:
        self.setting = setting
        self.inputs = setting.inputs()
        self.records = {client: MemoryRecord() for client in setting.session.clients}
        self.clients = {
            client: setting.client(client, self.inputs[client], stream(seed + b"%d" % client), self.records[client])
            for client in setting.session.clients
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
            client: run.setting.restored(client, data, stream(b"%d" % client), Forgetful())
            for client, data in self._clients.items()
            if clients is None or client in clients
        }
        run.server = Server.restore(run.setting.protocol, run.setting.session, self._server, key=SNAPSHOT_KEY)
        run.step = self._step
        return run
