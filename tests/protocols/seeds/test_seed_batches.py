"""Batches of one session: sums of clients that were late for an earlier one, which send nothing again."""

from collections.abc import Collection, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.errors import MalformedMessage, OrderError, RemoteError, TooFewSurvivors
from protocols.machine import Client, Continue, Server
from protocols.replay import MemoryOpenings, MemoryRecord, OpeningRecord
from protocols.secure_sum import Finish
from protocols.seeds import PadKind
from protocols.testing import ProtocolRun, Scenario
from protocols.testing.repeatable import SNAPSHOT_KEY, repeatable_entropy
from secagg.storage.opening_store import OpeningStore
from tests.support.seed_world import AGREE, CHECK, CURIOUS, MALICIOUS, MASK, MEMBERS, OPEN, seed_scenario

NINE = (3, 0, 7, 2**32 - 2, 5, 11, 12, 13, 14)
FIRST, SECOND, THIRD = NINE[:3], NINE[3:6], NINE[6:]


def batched(adversary: Any = MALICIOUS, pads: PadKind = PadKind.STREAM, **fields: Any) -> Scenario:
    return seed_scenario(4, 1, adversary, pads=pads, clients=NINE, **{"batches": True, **fields})


def started(scenario: Scenario, **fields: Any) -> tuple[ProtocolRun, dict[int, bytes]]:
    """Return a run, and the messages of all clients, none of which has arrived."""
    run = ProtocolRun(scenario, **fields)
    return run, run.replies()


def summed(run: ProtocolRun) -> Finish:
    """Return the sum of the batch that is open, after checking it."""
    outcome = run.finish()
    assert run.is_exact(outcome)
    return outcome


def first_step(run: ProtocolRun, messages: Mapping[int, bytes], clients: Collection[int]) -> None:
    run.deliver({client: messages[client] for client in clients})


def next_batch(run: ProtocolRun) -> Continue:
    run.progress = progress = run.server.next_batch()
    return progress


@pytest.mark.parametrize("pads", list(PadKind))
@pytest.mark.parametrize("adversary", [CURIOUS, MALICIOUS])
def test_clients_that_are_late_for_one_batch_are_in_the_next_one_without_sending_again(
    adversary: Any, pads: PadKind
) -> None:
    """Three are on time; three are late, one in each later step of the first batch; three come when it is over."""
    run, messages = started(batched(adversary, pads))
    first_step(run, messages, FIRST)
    for late in SECOND:
        replies = run.replies()
        run.server.receive(late, messages[late])
        run.deliver(replies)
    assert isinstance(run.progress, Finish)
    assert run.is_exact(run.progress)
    assert set(run.progress.contributors) == set(FIRST)
    progress = next_batch(run)
    assert progress.step == "mask_input"
    assert set(progress.requests) == set(THIRD)
    assert run.server.missing == set(THIRD)
    run.progress = run.server.advance()
    assert set(summed(run).contributors) == set(SECOND)
    next_batch(run)
    first_step(run, messages, THIRD)
    assert set(summed(run).contributors) == set(THIRD)
    assert not next_batch(run).requests
    with pytest.raises(TooFewSurvivors):
        run.server.advance()


def test_batches_have_weights_of_their_own() -> None:
    run, messages = started(batched(weights=(1, 2, 7)))
    run.server.weigh(dict.fromkeys(FIRST, 2))
    first_step(run, messages, FIRST)
    assert set(summed(run).weights.values()) == {2}
    next_batch(run)
    run.server.weigh(dict.fromkeys(SECOND, 7))
    first_step(run, messages, (*SECOND, *THIRD))
    outcome = summed(run)
    assert outcome.weights == {**dict.fromkeys(sorted(SECOND), 7), **dict.fromkeys(THIRD, 1)}


@pytest.mark.parametrize("step", [CHECK, AGREE, OPEN])
def test_batch_that_fails_ends_alone_and_late_clients_are_in_the_next_one(step: int) -> None:
    """Too few members answer in a step. The batch's clients are in no later one; the others are."""
    run, messages = started(batched())
    first_step(run, messages, FIRST)
    for _ in range(step - CHECK):
        run.deliver(run.replies())
    member, reply = next(iter(run.replies().items()))
    run.server.receive(SECOND[0], messages[SECOND[0]])
    if step == OPEN:
        run.deliver({member: reply})  # The silent members are asked once more.
        reply = b""
    with pytest.raises(TooFewSurvivors):
        run.deliver({member: reply} if reply else {})
    assert run.server.step is None
    assert set(next_batch(run).requests) == {*SECOND[1:], *THIRD}
    first_step(run, messages, (*SECOND[1:], *THIRD))
    assert set(summed(run).contributors) == {*SECOND, *THIRD}


def test_first_step_that_too_few_clients_answer_is_opened_again_with_those_that_did() -> None:
    run, messages = started(batched())
    with pytest.raises(TooFewSurvivors):
        first_step(run, messages, FIRST[:2])
    assert set(next_batch(run).requests) == set(NINE) - set(FIRST[:2])
    first_step(run, messages, FIRST[2:])
    assert set(summed(run).contributors) == set(FIRST)


def test_late_message_is_taken_in_once_and_only_if_it_is_good() -> None:
    run, messages = started(batched())
    first_step(run, messages, FIRST)
    for sender, message in ((FIRST[0], messages[FIRST[0]]), (SECOND[0], messages[SECOND[1]]), (THIRD[0], b"")):
        with pytest.raises(RemoteError) as caught:
            run.server.receive(sender, message)
        assert caught.value.culprits == {sender}
    with pytest.raises(MalformedMessage):
        run.server.receive(SECOND[0], messages[SECOND[0]][:-1])
    run.server.receive(SECOND[0], messages[SECOND[0]])
    with pytest.raises(RemoteError, match="was not asked"):
        run.server.receive(SECOND[0], messages[SECOND[0]])
    assert set(summed(run).contributors) == set(FIRST)


def test_session_without_batches_takes_nothing_late_and_has_one_sum() -> None:
    run, messages = started(batched(batches=False))
    first_step(run, messages, FIRST)
    with pytest.raises(RemoteError, match="was not asked"):
        run.server.receive(SECOND[0], messages[SECOND[0]])
    summed(run)
    with pytest.raises(OrderError, match="no batch of a session with batches has ended"):
        run.server.next_batch()


def test_next_batch_begins_only_when_one_has_ended() -> None:
    run, messages = started(batched())
    with pytest.raises(OrderError):
        run.server.next_batch()
    first_step(run, messages, FIRST)
    with pytest.raises(OrderError):
        run.server.next_batch()
    summed(run)
    with pytest.raises(OrderError, match="no step is open"):
        run.server.receive(SECOND[0], messages[SECOND[0]])
    with pytest.raises(OrderError, match="no step is open"):
        run.server.advance()
    next_batch(run)
    with pytest.raises(OrderError):
        run.server.next_batch()


# Restarts.


@pytest.mark.parametrize("step", range(MASK, OPEN + 1))
def test_server_and_members_that_restart_in_a_later_batch_go_on(step: int) -> None:
    """All machines are restored from snapshots in the middle of the second batch, with a late message in the server."""
    scenario = batched()
    run, messages = started(scenario)
    first_step(run, messages, FIRST)
    summed(run)
    next_batch(run)
    if step:
        first_step(run, messages, SECOND)
    for _ in range(step - 1):
        run.deliver(run.replies())
    run.server.receive(THIRD[0], messages[THIRD[0]])
    kept = run.server.snapshot(SNAPSHOT_KEY, entropy=repeatable_entropy(b"server"))
    run.server = Server.restore(scenario.protocol, scenario.session, kept, key=SNAPSHOT_KEY)
    for member in MEMBERS[:4]:
        sealed = run.clients[member].snapshot(SNAPSHOT_KEY)
        run.clients[member] = scenario.restored(
            member, sealed, repeatable_entropy(b"again"), run.records[member], run.openings[member]
        )
    if not step:
        for client in SECOND:
            run.server.receive(client, messages[client])
        run.progress = run.server.advance()
        assert set(summed(run).contributors) == {*SECOND, THIRD[0]}
        return
    assert set(summed(run).contributors) == set(SECOND)
    next_batch(run)
    first_step(run, messages, THIRD[1:])
    assert set(summed(run).contributors) == set(THIRD)


def test_server_that_crashes_between_two_batches_releases_the_first_again_and_goes_on() -> None:
    scenario = batched()
    run, messages = started(scenario)
    first_step(run, messages, FIRST)
    for _ in range(2):
        run.deliver(run.replies())
    kept, progress, replies = (
        run.server.snapshot(SNAPSHOT_KEY, entropy=repeatable_entropy(b"server")),
        run.progress,
        run.replies(),
    )
    run.deliver(replies)
    assert isinstance(run.progress, Finish)
    before = run.progress.total.tolist()
    run.server = Server.restore(scenario.protocol, scenario.session, kept, key=SNAPSHOT_KEY)
    run.progress = progress
    run.deliver(replies)
    assert isinstance(run.progress, Finish)
    assert run.progress.total.tolist() == before
    next_batch(run)
    first_step(run, messages, SECOND)
    assert set(summed(run).contributors) == set(SECOND)


def test_member_that_begins_anew_in_the_second_batch_takes_part_in_it(tmp_path: Any) -> None:
    """It has lost all but its key and its record: a new machine of it is asked for the second batch's entries."""
    with OpeningStore.create(tmp_path / "openings") as store:
        scenario = batched()
        openings: dict[int, OpeningRecord] = {party: MemoryOpenings() for party in scenario.parties}
        openings[MEMBERS[0]] = store
        run, messages = started(scenario, openings=openings)
        first_step(run, messages, FIRST)
        summed(run)
        next_batch(run)
        first_step(run, messages, SECOND)
        run.clients[MEMBERS[0]] = scenario.client(
            MEMBERS[0], None, repeatable_entropy(b"anew"), MemoryRecord(), openings[MEMBERS[0]]
        )
        assert set(summed(run).contributors) == set(SECOND)


# What members refuse.


def member_of(run: ProtocolRun) -> Client:
    return run.clients[MEMBERS[0]]


def test_member_opens_no_box_of_a_client_again() -> None:
    """A second entry of a client that it has accepted could be another one than the root that it has signed names."""
    run, messages = started(batched())
    first_step(run, messages, FIRST)
    request = run.requests[MEMBERS[0]]
    member_of(run).handle(request)
    with pytest.raises(RemoteError, match="found 3 that it has accepted before"):
        member_of(run).handle(request)
    assert member_of(run).closed


def test_member_of_a_session_without_batches_checks_entries_once() -> None:
    run, messages = started(batched(batches=False))
    first_step(run, messages, FIRST)
    request = run.requests[MEMBERS[0]]
    member_of(run).handle(request)
    with pytest.raises(MalformedMessage):
        member_of(run).handle(request)


def test_member_keeps_seeds_of_clients_that_may_be_in_a_later_batch_and_no_others() -> None:
    run, messages = started(batched())
    first_step(run, messages, FIRST)
    summed(run)
    assert set(member_of(run)._party.state.seeds) == set(FIRST)
    next_batch(run)
    first_step(run, messages, SECOND)
    run.deliver(run.replies())
    assert set(member_of(run)._party.state.seeds) == {*FIRST, *SECOND}
    run.deliver(run.replies())
    assert set(member_of(run)._party.state.seeds) == set(SECOND)
    assert set(member_of(run)._party.state.entries) == {*FIRST, *SECOND}


# Any order.


@settings(deadline=None, max_examples=15)
@given(st.data())
def test_batches_are_exact_and_disjoint_whatever_arrives_when_and_whoever_restarts(data: st.DataObject) -> None:
    """Clients arrive in any step; the server and one member restart in any step; one member may be silent in a step."""
    scenario = batched()
    run, messages = started(scenario)
    outside, seen = set(NINE), set[int]()

    def arrive(what: str) -> None:
        for client in sorted(data.draw(st.sets(st.sampled_from(sorted(outside))), label=what)) if outside else ():
            run.server.receive(client, messages[client])
            outside.discard(client)

    def restart(step: str) -> None:
        if data.draw(st.booleans(), label=f"restart in {step}"):
            kept = run.server.snapshot(SNAPSHOT_KEY, entropy=repeatable_entropy(b"server"))
            run.server = Server.restore(scenario.protocol, scenario.session, kept, key=SNAPSHOT_KEY)
            member = data.draw(st.sampled_from(MEMBERS[:4]))
            sealed = run.clients[member].snapshot(SNAPSHOT_KEY)
            run.clients[member] = scenario.restored(
                member, sealed, repeatable_entropy(b"again"), run.records[member], run.openings[member]
            )

    for _ in range(data.draw(st.integers(1, 3), label="batches")):
        arrive("first step")
        restart("first step")
        in_time = set(NINE) - outside - seen
        try:
            progress = run.server.advance()
        except TooFewSurvivors:
            assert len(in_time) < scenario.session.threshold
            next_batch(run)
            continue
        seen |= in_time
        silent = data.draw(st.sampled_from([None, *MEMBERS[:4]]), label="silent in the last step")
        while isinstance(progress, Continue):
            run.progress = progress
            restart(progress.step)
            for member, request in progress.requests.items():
                if progress.step == "open_sum" and member == silent:
                    continue
                run.server.receive(member, run.clients[member].handle(request))
            arrive(progress.step)
            progress = run.server.advance()
        assert run.is_exact(progress)
        assert set(progress.contributors) == in_time
        next_batch(run)
    assert run.server.missing == outside
