"""A network that loses, doubles, swaps, replays and alters messages, and machines that restart, in any order.

Whatever happens, a sum ends as the exact one over the contributors that the server declares, or with a typed error. A
server that refuses a message is unchanged, and a client that refuses one is closed. This module needs hypothesis, so
that the tests of a class do not need it; `check_network` is a test on its own.
"""

from collections.abc import Sequence
from typing import ClassVar, Final

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from protocols.crypto.entropy import Entropy
from protocols.errors import MalformedMessage, OrderError, ProtocolError, RemoteError, SessionReused, TooFewSurvivors
from protocols.machine import Client, Continue, Server
from protocols.secure_sum import Finish, Role
from protocols.snapshot import write_state
from protocols.testing.hook import state_of
from protocols.testing.repeatable import SNAPSHOT_KEY, repeatable_entropy
from protocols.testing.run import ProtocolRun
from protocols.testing.scenario import Scenario
from protocols.testing.suite.malformed import flipped
from protocols.testing.suite.openings import records_roots

ANY: Final = st.integers(0, 2**16)
"""A choice of one of several things, by its remainder."""


def has_messages(network: "UnreliableNetwork") -> bool:
    """Return whether a reply is on its way to an open server."""
    return bool(network.flying) and network.is_open


def has_history(network: "UnreliableNetwork") -> bool:
    """Return whether an open server has taken in a reply."""
    return bool(network.taken) and network.is_open


def is_open(network: "UnreliableNetwork") -> bool:
    """Return whether the sum has neither ended nor failed."""
    return network.is_open


class UnreliableNetwork(RuleBasedStateMachine):
    """One sum on an unreliable network.

    Attributes:
        scenarios: The scenarios, of which one is drawn.
        rooted: The labels of those whose committee members may say the same once more.
        run: All machines.
        number: The step that is open.
        sent: By step, the server's requests.
        answered: By client, the last step that it answered.
        kept: By client, snapshots from before each of its answers, with the step.
        said: By client and request, its answer.
        flying: Replies on their way: step, sender, bytes.
        taken: Replies that the server has taken in.
        accepted: Who has answered the open step, by what the server took in.
    """

    scenarios: ClassVar[Sequence[Scenario]] = ()
    rooted: ClassVar[frozenset[str]] = frozenset()

    def __init__(self) -> None:
        super().__init__()
        self.is_open = False

    @initialize(which=ANY, steps=ANY)
    def begin(self, which: int, steps: int) -> None:
        scenario = self.scenarios[which % len(self.scenarios)]
        self.run = ProtocolRun(scenario)
        self.number = 0
        self.sent = [dict(self.run.requests)]
        self.answered = dict.fromkeys(scenario.parties, -1)
        self.kept: dict[int, list[tuple[int, bytes]]] = {party: [] for party in scenario.parties}
        self.said: dict[tuple[int, bytes], bytes] = {}
        self.flying: list[tuple[int, int, bytes]] = []
        self.taken: list[tuple[int, int, bytes]] = []
        self.accepted: set[int] = set()
        self.is_open = True
        for _ in range(steps % len(scenario.protocol.steps)):
            self.run_a_step()  # The test begins in any step.

    def pick(self, which: int) -> int:
        return sorted(self.run.requests)[which % len(self.run.requests)]

    def restored(self, client: int, data: bytes, entropy: Entropy) -> Client:
        return self.run.scenario.restored(client, data, entropy, self.run.records[client], self.run.openings[client])

    def ask(self, client: int, request: bytes) -> None:
        """Let a client answer, if it has not yet and is still there."""
        machine = self.run.clients[client]
        if machine.closed or self.answered[client] >= self.number:
            return
        self.kept[client].append((self.number, machine.snapshot(SNAPSHOT_KEY)))
        try:
            reply = machine.handle(request)
        except RemoteError:
            assert machine.closed
            return
        self.answered[client], self.said[client, request] = self.number, reply
        self.flying.append((self.number, client, reply))

    def give(self, number: int, sender: int, reply: bytes) -> None:
        """Hand a reply to the server, which takes it in or is what it was."""
        before = write_state(state_of(self.run.server))
        if self.run.refusal(sender, reply) is not None:
            assert write_state(state_of(self.run.server)) == before
            return
        if number == self.number:
            assert sender not in self.accepted
            self.accepted.add(sender)
        else:  # A client's message for a later batch, once in the session.
            assert self.run.scenario.session.batches
            assert number == 0
            assert all((0, sender) != (step, party) for step, party, _ in self.taken)
        self.taken.append((number, sender, reply))

    @precondition(is_open)
    @rule(which=ANY)
    def answer(self, which: int) -> None:
        client = self.pick(which)
        self.ask(client, self.run.requests[client])

    @precondition(is_open)
    @rule()
    def answer_everything(self) -> None:
        for client, request in self.run.requests.items():
            self.ask(client, request)

    @precondition(is_open)
    @rule(which=ANY, position=ANY, bit=st.integers(0, 7))
    def answer_damaged(self, which: int, position: int, bit: int) -> None:
        client = self.pick(which)
        self.ask(client, altered(self.run.requests[client], position, bit))

    @precondition(has_messages)
    @rule(which=ANY)
    def deliver(self, which: int) -> None:
        self.give(*self.flying.pop(which % len(self.flying)))

    @precondition(has_messages)
    @rule(which=ANY)
    def double(self, which: int) -> None:
        self.flying.append(self.flying[which % len(self.flying)])

    @precondition(has_messages)
    @rule(which=ANY)
    def lose(self, which: int) -> None:
        self.flying.pop(which % len(self.flying))

    @precondition(has_messages)
    @rule(which=ANY, position=ANY, bit=st.integers(0, 7))
    def damage(self, which: int, position: int, bit: int) -> None:
        """Anything but the bytes of a masked vector: see `Scenario.unchecked`."""
        number, sender, reply = self.flying[which % len(self.flying)]
        try:
            free = self.run.scenario.unchecked_in(number, reply)
        except MalformedMessage:
            return  # it is damaged already
        if position % len(reply) not in free:
            self.flying[which % len(self.flying)] = (number, sender, altered(reply, position, bit))

    @precondition(has_history)
    @rule(which=ANY)
    def replay(self, which: int) -> None:
        """What was taken in once: from the same sender again, or where it is of an earlier step, from anyone.

        In a session with batches, a reply to the first step is of no earlier step, so it comes from the same sender.
        """
        number, sender, reply = self.taken[which % len(self.taken)]
        same = number == self.number or (number == 0 and self.run.scenario.session.batches)
        before = write_state(state_of(self.run.server))
        with pytest.raises(RemoteError):
            self.run.server.receive(sender if same else self.pick(which), reply)
        assert write_state(state_of(self.run.server)) == before

    @precondition(lambda self: self.is_open and self.number > 0)
    @rule(which=ANY, earlier=ANY)
    def replay_request(self, which: int, earlier: int) -> None:
        client, old = self.pick(which), self.sent[earlier % self.number]
        machine = self.run.clients[client]
        if client not in old:
            return
        refused: tuple[type[ProtocolError], ...] = (MalformedMessage, SessionReused)
        if self.run.scenario.session.batches:  # The request for the first step of a batch is read again, and refused.
            refused = (*refused, RemoteError)
        with pytest.raises(OrderError if machine.closed else refused):
            machine.handle(old[client])
        assert machine.closed

    @precondition(is_open)
    @rule()
    def restart_server(self) -> None:
        scenario = self.run.scenario
        data = self.run.server.snapshot(SNAPSHOT_KEY, entropy=repeatable_entropy(b"%d" % len(self.taken)))
        self.run.server = Server.restore(scenario.protocol, scenario.session, data, key=SNAPSHOT_KEY)

    @precondition(is_open)
    @rule(which=ANY)
    def restart_client(self, which: int) -> None:
        client = self.pick(which)
        if not self.run.clients[client].closed:
            data = self.run.clients[client].snapshot(SNAPSHOT_KEY)
            entropy = repeatable_entropy(b"%d of %d" % (self.number, client))
            self.run.clients[client] = self.restored(client, data, entropy)

    @precondition(is_open)
    @rule(which=ANY, earlier=ANY)
    def restart_client_from_long_ago(self, which: int, earlier: int) -> None:
        """With a record that has survived, it answers nothing for a second time, or nothing but the same."""
        client = self.pick(which)
        scenario = self.run.scenario
        kept = [
            (number, data)
            for number, data in self.kept[client]
            if number <= self.answered[client]
            and (scenario.session.roster is not None or scenario.protocol.steps[number].role is Role.COMMITTEE)
        ]
        if not kept:
            return
        number, data = kept[earlier % len(kept)]
        ghost, request = self.restored(client, data, repeatable_entropy(b"ghost")), self.sent[number][client]
        if scenario.protocol.steps[number].role is Role.COMMITTEE and scenario.label in self.rooted:
            reply = ghost.handle(request)
            assert self.said.get((client, request), reply) == reply
            return
        with pytest.raises(SessionReused):
            ghost.handle(request)
        assert ghost.closed

    @precondition(is_open)
    @rule(patience=ANY)
    def advance(self, patience: int) -> None:
        """The deadline of the step has passed; seldom before enough have answered."""
        if len(self.accepted) >= self.run.scenario.quorum(self.number) or patience % 8 == 1:
            self.end_the_step()

    @precondition(lambda self: not self.is_open)
    @rule()
    def disturb_what_is_over(self) -> None:
        for call in (self.run.server.start, self.run.server.advance, lambda: self.run.server.receive(0, b"")):
            with pytest.raises(OrderError):
                call()
        with pytest.raises(OrderError):
            self.run.server.snapshot(SNAPSHOT_KEY, entropy=repeatable_entropy(b"late"))

    def end_the_step(self) -> None:
        try:
            step = self.run.server.advance()
        except (TooFewSurvivors, RemoteError):
            self.is_open = False
            with pytest.raises(OrderError):
                self.run.server.advance()
            return
        self.run.progress = step
        if isinstance(step, Finish):
            self.is_open = False
            assert self.run.is_exact(step)
            return
        names = [row.name for row in self.run.scenario.protocol.steps]
        repeated, self.number = self.number, names.index(step.step)
        if self.number == repeated:  # A party that is asked once more may answer once more.
            self.sent.pop()
            self.answered |= dict.fromkeys(step.requests, self.number - 1)
        self.accepted = set()
        self.sent.append(dict(step.requests))

    @precondition(is_open)
    @rule()
    def run_a_step(self) -> None:
        self.answer_everything()
        while self.flying:
            self.give(*self.flying.pop(0))
        self.end_the_step()

    @invariant()
    def server_misses_whom_it_has_not_taken_in(self) -> None:
        if self.is_open:
            assert isinstance(self.run.progress, Continue)
            assert self.run.server.missing == self.run.requests.keys() - self.accepted

    def teardown(self) -> None:
        """Whatever the network has done, the rest goes by itself: an exact sum or a typed error."""
        for _ in range(len(self.run.scenario.protocol.steps) if self.is_open else 0):
            if self.is_open:
                self.run_a_step()
        if isinstance(self.run.progress, Finish):
            assert self.run.is_exact(self.run.progress)


def altered(data: bytes, position: int, bit: int) -> bytes:
    """Return a copy with one bit changed, at the position's remainder."""
    return flipped(data, position % len(data), bit)


def check_network(scenarios: Sequence[Scenario], *, examples: int = 200) -> None:
    """Run sums of these scenarios on an unreliable network; hypothesis chooses what happens, and shortens a failure.

    Args:
        scenarios: The scenarios.
        examples: The number of sums.

    Raises:
        AssertionError: A sum was wrong, or a machine did not refuse what it must refuse.
    """
    rooted = frozenset(each.label for each in scenarios if each.session.committee and records_roots(each))
    fields = {"scenarios": tuple(scenarios), "rooted": rooted}
    network = type("UnreliableNetworkOfScenarios", (UnreliableNetwork,), fields)
    budget = hypothesis.settings(max_examples=examples, stateful_step_count=30, deadline=None)
    run_state_machine_as_test(network, settings=budget)
