"""Messages: canonical and bounded bytes, and every other byte string is refused with a typed error.

A client closes on a bad request. A server that refuses a reply is unchanged: it still takes in the honest reply, and
the sum is still exact.
"""

import itertools
from dataclasses import replace

import pytest

from protocols.codec import Message
from protocols.errors import MalformedMessage, OrderError, ParameterError, RemoteError
from protocols.secure_sum import Finish
from protocols.testing.run import Checkpoint, ProtocolRun
from protocols.testing.scenario import Scenario
from protocols.testing.suite.base import STRANGER, Suite
from protocols.testing.suite.malformed import malformed


class MessageTests(Suite):
    """Tests of messages that are not those of the step: altered, of another session, of another sender, or repeated."""

    def test_messages_survive_decoding_and_encoding(self, scenario: Scenario, number: int) -> None:
        run = ProtocolRun(scenario).to_step(number)
        codec, row = scenario.codec, scenario.protocol.steps[number]
        sides: list[tuple[type[Message], list[bytes]]] = [(row.request, list(run.requests.values()))]
        sides.append((row.reply, list(run.replies().values())))
        for kind, sent in sides:
            for data in sent:
                message = codec.decode(number, kind, data)
                assert type(message) is kind
                assert codec.encode(number, message) == data
                assert len(data) <= scenario.protocol.message_limit(scenario.session)

    def test_client_closes_on_a_malformed_request(self, scenario: Scenario, number: int) -> None:
        run = ProtocolRun(scenario).to_step(number)
        checkpoint = Checkpoint(run)
        client = scenario.asked(number)[-1]
        honest = run.requests[client]
        for label, bad in malformed(honest, scenario.protocol.message_limit(scenario.session)):
            machine = checkpoint.resume(clients=[client]).clients[client]
            with pytest.raises(MalformedMessage):
                machine.handle(bad)
            assert machine.closed, label
            with pytest.raises(OrderError):
                machine.handle(honest)

    def test_server_is_unchanged_by_malformed_replies(self, scenario: Scenario, number: int) -> None:
        run = ProtocolRun(scenario).to_step(number)
        replies = run.replies()
        for client, honest in replies.items():
            bad_ones = malformed(honest, scenario.protocol.message_limit(scenario.session))
            for label, bad in itertools.islice(bad_ones, None if client < 5 else 9):
                with pytest.raises(MalformedMessage) as caught:
                    run.server.receive(client, bad)
                assert caught.value.culprits == {client}, label
                assert client in run.server.missing, label
        run.deliver(replies)
        assert run.is_exact(run.finish())

    @pytest.mark.parametrize("data", [None, "text", 7, [1], bytearray(b"\x94"), memoryview(b"\x94")])
    def test_what_is_not_bytes_is_refused(self, scenario: Scenario, data: object) -> None:
        run = ProtocolRun(scenario)
        replies = run.replies()
        sender = next(iter(replies))
        with pytest.raises(MalformedMessage):
            run.server.receive(sender, data)  # type: ignore[arg-type]  # that is the test
        client = ProtocolRun(scenario).clients[sender]
        with pytest.raises(MalformedMessage):
            client.handle(data)  # type: ignore[arg-type]  # that is the test
        run.deliver(replies)
        assert run.is_exact(run.finish())

    def test_replayed_reply_is_refused(self, scenario: Scenario, number: int) -> None:
        """A reply of an earlier step, and a second reply in the same step."""
        run, earlier = ProtocolRun(scenario), list[bytes]()
        client = scenario.asked(number)[0]
        for _ in range(number):
            replies = run.replies()
            earlier.append(replies.get(client, next(iter(replies.values()))))
            run.deliver(replies)
        replies = run.replies()
        for reply in earlier:
            with pytest.raises(MalformedMessage):
                run.server.receive(client, reply)
        run.server.receive(client, replies.pop(client))
        with pytest.raises(RemoteError) as caught:
            run.server.receive(client, next(iter(replies.values())))
        assert caught.value.culprits == {client}
        run.deliver(replies)
        assert run.is_exact(run.finish())

    def test_replayed_or_reordered_request_closes_the_client(self, scenario: Scenario) -> None:
        """A request of every other step, to every party that is asked in the step.

        In a session with batches, a committee member begins anew with its first step, but not with the same clients.
        """
        refused = RemoteError if scenario.session.batches else MalformedMessage
        run, history, checkpoints = ProtocolRun(scenario), list[dict[int, bytes]](), list[Checkpoint]()
        while not isinstance(run.progress, Finish):
            history.append(dict(run.requests))
            checkpoints.append(Checkpoint(run))
            run.deliver(run.replies())
        for (number, checkpoint), later in itertools.product(enumerate(checkpoints), range(len(history))):
            if number == later:
                continue
            for client in scenario.asked(number):
                machine = checkpoint.resume(clients=[client]).clients[client]
                if later == other_role(scenario, client, number):
                    assert machine.handle(history[later][client])  # It has missed only the steps of its first role.
                    last = all(client not in later_on for later_on in history[later + 1 :])
                    assert machine.closed == (last and scenario.ends(client))
                else:
                    with pytest.raises(refused):
                        machine.handle(next(iter(history[later].values())))
                    assert machine.closed
        for party, finished in run.clients.items():
            if not scenario.ends(party):
                assert finished.handle(history[-1][party])  # The step repeats.
                with pytest.raises(MalformedMessage):
                    finished.handle(history[0][min(history[0])])
            assert finished.closed
            for requests in history:
                with pytest.raises(OrderError):
                    finished.handle(next(iter(requests.values())))

    def test_messages_of_another_session_are_refused(self, scenario: Scenario, number: int) -> None:
        other = replace(scenario, session=replace(scenario.session, context=b"another round of training"))
        here, there = ProtocolRun(scenario).to_step(number), ProtocolRun(other).to_step(number)
        client = scenario.asked(number)[0]
        machine = ProtocolRun(scenario).to_step(number).clients[client]
        with pytest.raises(MalformedMessage):
            machine.handle(there.requests[client])
        replies = here.replies()
        for sender, foreign in there.replies().items():
            with pytest.raises(MalformedMessage):
                here.server.receive(sender, foreign)
        here.deliver(replies)
        assert here.is_exact(here.finish())

    @pytest.mark.parametrize("stranger", [STRANGER, -1, 2**32 - 1, 2**70, True, 0.0, None, "0", [1]], ids=repr)
    def test_replies_of_strangers_are_refused(self, scenario: Scenario, stranger: object) -> None:
        run = ProtocolRun(scenario)
        replies = run.replies()
        with pytest.raises((RemoteError, ParameterError)):
            run.server.receive(stranger, next(iter(replies.values())))  # type: ignore[arg-type]  # that is the test
        run.deliver(replies)
        assert run.is_exact(run.finish())


def other_role(scenario: Scenario, party: int, number: int) -> int | None:
    """Return the first later step that asks a party in its other role, if it has one."""
    steps = scenario.protocol.steps
    later = range(number + 1, len(steps))
    found = (step for step in later if steps[step].role is not steps[number].role and party in scenario.asked(step))
    return next(found, None)
