"""Messages in which something was altered on the way: the sum is exact, or nothing comes out but a typed error."""

from collections.abc import Mapping

import pytest

from protocols.errors import OrderError, ProtocolError, RemoteError, TooFewSurvivors
from protocols.secure_sum import Finish
from protocols.snapshot import write_state
from protocols.testing.hook import state_of
from protocols.testing.run import Checkpoint, ProtocolRun
from protocols.testing.scenario import Scenario
from protocols.testing.suite.base import Suite
from protocols.testing.suite.malformed import HEADER_BYTES, flips, relisted, resized

_FLIPS = 40

Standing = tuple[bytes, frozenset[int], tuple[tuple[int, bytes], ...]]


class AlterationTests(Suite):
    """Tests of messages with one bit changed, or with another value of a field, that are messages all the same."""

    def test_bit_flips_in_requests_end_in_an_exact_sum_or_a_typed_error(self, scenario: Scenario, number: int) -> None:
        asked, answered, replies = moments(scenario, number)
        victim = min(replies)
        honest = answered.resume().requests[victim]
        changed = {f"byte {position}": bad for position, bad in flips(honest, HEADER_BYTES, _FLIPS)}
        check_requests(asked, answered, replies, victim, changed)

    def test_bit_flips_in_replies_end_in_an_exact_sum_or_a_typed_error(self, scenario: Scenario, number: int) -> None:
        """Except in the bytes of vectors, which nobody can check: see `Scenario.unchecked`."""
        _, answered, replies = moments(scenario, number)
        sender, seen = min(replies), set[Standing]()
        free = scenario.unchecked_in(number, replies[sender])
        for position, bad in flips(replies[sender], HEADER_BYTES, _FLIPS):
            run = answered.resume()
            assert ends_well(run, replies | {sender: bad}, seen, exactly=position not in free), f"byte {position}"

    def test_fields_of_other_sizes_end_in_an_exact_sum_or_a_typed_error(self, scenario: Scenario, number: int) -> None:
        """Each byte string of a request and of a reply: empty, one byte shorter or longer, and doubled."""
        asked, answered, replies = moments(scenario, number)
        sender, seen, codec, row = min(replies), set[Standing](), scenario.codec, scenario.protocol.steps[number]
        reply = codec.decode(number, row.reply, replies[sender])
        for label, message in resized(reply):
            bad = replies | {sender: codec.encode(number, message)}
            assert ends_well(answered.resume(), bad, seen), label
        request = codec.decode(number, row.request, answered.resume().requests[sender])
        changed = {label: codec.encode(number, message) for label, message in resized(request)}
        check_requests(asked, answered, replies, sender, changed)

    def test_lists_of_other_elements_end_in_a_sum_or_a_typed_error(self, scenario: Scenario, number: int) -> None:
        """Each list of a request and of a reply: empty, shorter, with a repeated element, and reversed.

        The sum need not be exact: such a message may be one that an honest party sends in another run.
        """
        asked, answered, replies = moments(scenario, number)
        sender, seen, codec, row = min(replies), set[Standing](), scenario.codec, scenario.protocol.steps[number]
        for label, message in relisted(codec.decode(number, row.reply, replies[sender])):
            bad = replies | {sender: codec.encode(number, message)}
            assert ends_well(answered.resume(), bad, seen, exactly=False), label
        request = codec.decode(number, row.request, answered.resume().requests[sender])
        changed = {label: codec.encode(number, message) for label, message in relisted(request)}
        check_requests(asked, answered, replies, sender, changed, exactly=False)


def moments(scenario: Scenario, number: int) -> tuple[Checkpoint, Checkpoint, dict[int, bytes]]:
    """Return a step in which all are asked, the same step when all have answered, and the answers."""
    run = ProtocolRun(scenario).to_step(number)
    asked = Checkpoint(run)
    replies = run.replies()
    return asked, Checkpoint(run), replies


def check_requests(
    asked: Checkpoint,
    answered: Checkpoint,
    replies: dict[int, bytes],
    victim: int,
    changed: Mapping[str, bytes],
    *,
    exactly: bool = True,
) -> None:
    """Give one party each of the changed requests; whatever it answers, the sum must end well."""
    seen, others = set[Standing](), {client: reply for client, reply in replies.items() if client != victim}
    for label, bad in changed.items():
        run = answered.resume()
        run.clients[victim] = asked.resume(clients=[victim]).clients[victim]
        assert ends_well(run, others | answers(run, {victim: bad}), seen, exactly=exactly), label


def standing(run: ProtocolRun) -> Standing:
    """Return what the rest of a sum depends on: the states of the server and of all open machines, and who is missing.

    Runs of one checkpoint that stand alike go on alike, so only the first of them needs to go on.
    """
    machines = (
        (client, bytes(write_state(state_of(machine)))) for client, machine in run.clients.items() if not machine.closed
    )
    return bytes(write_state(state_of(run.server))), run.server.missing, tuple(sorted(machines))


def answers(run: ProtocolRun, requests: Mapping[int, bytes]) -> dict[int, bytes]:
    """Return the replies of those parties that reply. A party that refuses must be closed."""
    replies = {}
    for client, request in requests.items():
        try:
            replies[client] = run.clients[client].handle(request)
        except ProtocolError:
            assert run.clients[client].closed
    return replies


def ends_well(run: ProtocolRun, replies: dict[int, bytes], seen: set[Standing], *, exactly: bool = True) -> bool:
    """Return whether a sum goes on to an end that is allowed, if the driver takes misbehaviour for a drop."""
    _deliver(run, replies)
    now = standing(run)
    if now in seen:
        return True
    seen.add(now)
    while True:
        try:
            progress = run.server.advance()
        except (RemoteError, TooFewSurvivors):
            with pytest.raises(OrderError):
                run.server.advance()
            return True
        if isinstance(progress, Finish):
            enough = len(progress.contributors) >= run.scenario.session.threshold
            return run.is_exact(progress) or (not exactly and enough)
        _deliver(run, answers(run, progress.requests))


def _deliver(run: ProtocolRun, replies: Mapping[int, bytes]) -> None:
    """Give the server these replies; one that it refuses must leave its state unchanged."""
    for client, reply in replies.items():
        before = write_state(state_of(run.server))
        if run.refusal(client, reply) is not None:
            assert client in run.server.missing
            assert write_state(state_of(run.server)) == before
