"""Targets of messages: the codec and both machines at every step of every protocol, and sealed snapshots."""

from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from protocols.crypto import sealing
from protocols.errors import (
    DamagedSnapshot,
    OrderError,
    ParameterError,
    ProtocolError,
    RemoteError,
    TooFewSurvivors,
)
from protocols.machine import Client, Server
from protocols.secure_sum import Finish
from protocols.snapshot import unseal, write_state
from protocols.testing import SNAPSHOT_KEY, Scenario
from protocols.testing.hook import state_of
from protocols.testing.repeatable import repeatable_entropy
from tests.fuzz.mutate import mutate_bytes
from tests.fuzz.mutate_tree import mutate_message, mutate_msgpack
from tests.fuzz.target import Entry, Finding, Target
from tests.fuzz.targets.protocol_runs import NoRecord, canaries, others, recorded, scenarios

_SLOW: Final = ("paillier", "oneshot", "seeds-lattice")
_FINISHED_EVERY: Final = 7
"""Of the replies that a server accepts, one in so many is followed to the end of its step."""


def entries() -> list[Entry]:
    """Return the targets of every scenario."""
    found = []
    for label, scenario in scenarios().items():
        slow = label.startswith(_SLOW)
        for number, row in enumerate(scenario.protocol.steps):
            for side in ("request", "reply"):
                name = f"codec/{label}/{row.name}/{side}"
                large = label.startswith(("oneshot", "seeds-lattice")) and (
                    side == "reply" or number == 1
                )  # Up to 80 kB.
                found.append(Entry(name, 40 if large else 400, partial(_codec, label, number, side)))
            found.append(Entry(f"client/{label}/{row.name}", 3 if slow else 8, partial(_client, label, number)))
            found.append(Entry(f"server/{label}/{row.name}", 4 if slow else 24, partial(_server, label, number)))
        for side in ("client", "server"):
            for layer in ("sealed", "content"):
                name = f"snapshot/{label}/{side}/{layer}"
                found.append(Entry(name, 2 if slow else 6, partial(_snapshot, label, side, layer)))
    return found


def _codec(label: str, number: int, side: str, folder: Path) -> Target:
    run = recorded(label)
    scenario, moment = run.scenario, run.moments[number]
    row, codec = scenario.protocol.steps[number], scenario.codec
    kind = row.request if side == "request" else row.reply
    sent = moment.requests if side == "request" else moment.replies

    def decode(data: bytes) -> None:
        message = codec.decode(number, kind, data)
        if codec.encode(number, message) != data:
            raise Finding("a second encoding of one message was accepted")

    return Target(
        seeds=tuple(dict.fromkeys(sent.values()))[:4],
        run=decode,
        mutate=mutate_message,
        refusals=(RemoteError,),
        covers=("protocols.codec:Codec.decode",),
        others=others(label),
        canaries=canaries(label),
        memory_base=2**17,
    )


def _client(label: str, number: int, folder: Path) -> Target:
    run = recorded(label)
    scenario, moment = run.scenario, run.moments[number]
    party = scenario.asked(number)[-1]
    row, codec, kept = scenario.protocol.steps[number], scenario.codec, moment.clients[party]
    honest = moment.requests[party]

    def handle(data: bytes) -> None:
        machine = restored(scenario, party, kept)
        try:
            reply = machine.handle(data)
        except ProtocolError:
            _check_closed(machine, honest)
            raise
        if codec.encode(number, codec.decode(number, row.reply, reply)) != reply:
            raise Finding("a reply is not canonical")

    return Target(
        seeds=(honest,),
        run=handle,
        mutate=mutate_message,
        refusals=(RemoteError, TooFewSurvivors),
        covers=("protocols.machine.client:Client.handle",),
        others=others(label),
        canaries=canaries(label),
        memory_base=2**22,
    )


def restored(scenario: Scenario, party: int, data: bytes) -> Client:
    """Return a party's machine from a snapshot; it keeps no records, so it may answer again."""
    return scenario.restored(party, data, repeatable_entropy(b"%d" % party), NoRecord(), NoRecord())


def _check_closed(machine: Client, honest: bytes) -> None:
    if not machine.closed:
        raise Finding("a client is open after an error")
    try:
        machine.handle(honest)
    except OrderError:
        return
    raise Finding("a closed client has answered")


def _server(label: str, number: int, folder: Path) -> Target:
    run = recorded(label)
    return Target(
        seeds=(run.moments[number].replies[run.scenario.asked(number)[0]],),
        run=_Receiver(label, number).receive,
        mutate=mutate_message,
        refusals=(RemoteError,),
        covers=("protocols.machine.server:Server.receive",),
        others=others(label),
        canaries=canaries(label),
        memory_base=2**22,
    )


class _Receiver:
    """A server in the middle of a step. It is restored only after it has changed, which a refused reply must not do."""

    def __init__(self, label: str, number: int) -> None:
        run = recorded(label)
        self._scenario, self._moment = run.scenario, run.moments[number]
        self._sender = self._scenario.asked(number)[0]
        self._accepted = 0
        self._restore()

    def _restore(self) -> None:
        scenario = self._scenario
        self._server = Server.restore(scenario.protocol, scenario.session, self._moment.server, key=SNAPSHOT_KEY)
        self._standing = bytes(write_state(state_of(self._server)))

    def receive(self, data: bytes) -> None:
        """Give the server one reply, and check that it is unchanged if it refuses it."""
        try:
            self._server.receive(self._sender, data)
        except RemoteError as error:
            self._check_unchanged(error)
            raise
        except BaseException:
            self._restore()
            raise
        self._accepted += 1
        try:
            if self._accepted % _FINISHED_EVERY == 1:
                self._finish()
        finally:
            self._restore()

    def _check_unchanged(self, error: RemoteError) -> None:
        server = self._server
        unchanged = server.step is not None and bytes(write_state(state_of(server))) == self._standing
        if not unchanged or self._sender not in server.missing:
            self._restore()
            raise Finding("a server has changed with a reply that it refused")
        if error.culprits != {self._sender}:
            raise Finding("the error names another culprit than the sender")

    def _finish(self) -> None:
        """End the step with the honest replies of all others."""
        for client, reply in self._moment.replies.items():
            if client != self._sender:
                self._server.receive(client, reply)
        try:
            outcome = self._server.advance()
        except (RemoteError, TooFewSurvivors):
            return  # The replies do not fit together, so nothing is released.
        if isinstance(outcome, Finish) and len(outcome.contributors) < self._scenario.session.threshold:
            raise Finding("a sum of fewer contributors than the threshold")


def _snapshot(label: str, side: str, layer: str, folder: Path) -> Target:
    run = recorded(label)
    scenario, digest = run.scenario, run.scenario.protocol.digest(run.scenario.session)
    client = scenario.session.clients[0]
    member = next(iter(scenario.session.committee_members), client)
    kept = [
        moment.server if side == "server" else data
        for moment in run.moments
        for party in dict.fromkeys((client, member))
        if (data := moment.clients.get(party)) is not None
    ]

    def restore(data: bytes) -> None:
        if side == "server":
            Server.restore(scenario.protocol, scenario.session, data, key=SNAPSHOT_KEY)
            return
        party = unseal(data, digest=digest, key=SNAPSHOT_KEY).owner
        known = party if party in scenario.parties else client
        restored(scenario, known, data)

    def restore_content(data: bytes) -> None:
        restore(sealing.seal_with_nonce(SNAPSHOT_KEY, data, nonce=bytes(12), bound=b"secagg snapshot v1" + digest))

    content = [msgspec.msgpack.encode(unseal(data, digest=digest, key=SNAPSHOT_KEY)) for data in kept]
    return Target(
        seeds=tuple(dict.fromkeys(kept if layer == "sealed" else content)),
        run=restore if layer == "sealed" else restore_content,
        mutate=mutate_bytes if layer == "sealed" else mutate_msgpack,
        refusals=(DamagedSnapshot, ParameterError),
        covers=(f"protocols.machine.{side}:{side.title()}.restore", "protocols.snapshot:unseal"),
        canaries=canaries(label),
        memory_base=2**22,
    )
