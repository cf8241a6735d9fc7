"""Every protocol gives the exact sum or nothing, for all dropouts and all orders of arrival."""

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from protocols import Finish, OrderError, TooFewSurvivors, Transmission, available
from protocols.encrypted.protocol import EncryptedSum
from protocols.secure_sum import Role
from tests.conformance.cohorts import Run, Setting, expected, settings, suggested


def test_registry_lists_the_protocols_of_this_package() -> None:
    assert {"plain", "secagg", "secagg-plus", "lightsecagg", "paillier", "oneshot"} <= set(available())


def test_sum_is_exact_when_nobody_drops(setting: Setting) -> None:
    run = Run(setting)
    outcome = run.finish()
    assert outcome.contributors == tuple(sorted(setting.session.clients))
    assert run.is_exact(outcome)


def test_sum_is_exact_with_the_operating_systems_entropy(setting: Setting) -> None:
    inputs = setting.inputs()
    outcome = setting.simulate(inputs, entropy=os.urandom)
    assert outcome.dropped == {}
    assert outcome.total.tolist() == expected(inputs, outcome.contributors, setting.session.modulus)


def test_sum_of_extreme_entries_wraps_at_the_modulus(setting: Setting) -> None:
    session = setting.session
    largest = np.full(session.length, session.modulus - 1, dtype=np.uint64)
    outcome = setting.simulate(dict.fromkeys(session.clients, largest))
    assert outcome.total.tolist() == [-len(session.clients) % session.modulus] * session.length


def test_inputs_are_not_changed(setting: Setting) -> None:
    inputs, before = setting.inputs(), setting.inputs()
    setting.simulate(inputs)
    assert all((inputs[client] == before[client]).all() for client in inputs)


def test_replies_in_any_order_give_the_same_requests_and_sum(setting: Setting) -> None:
    forwards, backwards = Run(setting), Run(setting)
    while not isinstance(forwards.step, Finish):
        forwards.deliver(forwards.replies())
        backwards.deliver(dict(reversed(backwards.replies().items())))
        if not isinstance(forwards.step, Finish):
            assert forwards.requests == backwards.requests
    assert isinstance(backwards.step, Finish)
    assert forwards.step.contributors == backwards.step.contributors
    assert (forwards.step.total == backwards.step.total).all()


def test_suggested_parameters_survive_the_dropout_they_were_made_for() -> None:
    for name in available():
        setting = suggested(name)
        inputs = setting.inputs()
        for number, row in enumerate(setting.protocol.steps):
            for party in setting.asked(number):
                outcome = setting.simulate(inputs, drops={row.name: [party]})
                assert set(outcome.contributors) >= set(setting.session.clients) - {party}
                assert outcome.total.tolist() == expected(inputs, outcome.contributors, setting.session.modulus)
                assert outcome.dropped == {party: row.name}


def test_party_that_no_later_round_asks_may_vanish(setting: Setting) -> None:
    last = setting.protocol.steps[-1].name
    idle = set(setting.parties) - set(setting.asked(len(setting.protocol.steps) - 1))
    outcome = setting.simulate(setting.inputs(), drops={last: idle})
    assert outcome.dropped == {}
    assert outcome.contributors == tuple(sorted(setting.session.clients))
    closed = {party for party, machine in Run(setting).to_round(1).clients.items() if machine.closed}
    if setting.protocol.steps[-1].role is Role.COMMITTEE:
        assert closed == idle != set()


@budget(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_drops_give_the_exact_sum_or_nothing(data: st.DataObject) -> None:
    setting = data.draw(st.sampled_from(settings()), label="setting")
    names = [row.name for row in setting.protocol.steps]
    fates = data.draw(st.fixed_dictionaries({p: st.sampled_from([None, None, *names]) for p in setting.parties}))
    drops = {name: [party for party, fate in fates.items() if fate == name] for name in names}
    # Enough of those whom a round asks are there, as far as the sets of drops say.
    enough = [
        sum(fates[party] not in names[: number + 1] for party in setting.asked(number)) >= setting.quorum(number)
        for number in range(len(names))
    ]
    inputs = setting.inputs()
    try:
        outcome = setting.simulate(inputs, drops=drops)
    except TooFewSurvivors:
        assert not (isinstance(setting.protocol, EncryptedSum) and all(enough))
        return
    assert all(enough)
    assert len(outcome.contributors) >= setting.session.threshold
    assert set(outcome.contributors).isdisjoint(drops[names[0]])
    assert outcome.total.tolist() == expected(inputs, outcome.contributors, setting.session.modulus)


def test_fewer_replies_than_the_threshold_close_the_server(point: tuple[Setting, int]) -> None:
    setting, number = point
    run = Run(setting).to_round(number)
    replies = run.replies()
    for client in sorted(replies)[: setting.quorum(number) - 1]:
        run.server.receive(client, replies[client])
    with pytest.raises(TooFewSurvivors):
        run.server.advance()
    late = sorted(replies)[-1]
    with pytest.raises(OrderError):
        run.server.receive(late, replies[late])
    with pytest.raises(OrderError):
        run.server.advance()


def test_simulated_drop_reaches_no_later_round(setting: Setting) -> None:
    """But for rounds of a committee, whose members are asked whether or not they brought an input."""
    session = setting.session
    seen: list[Transmission] = []
    first, *later = setting.protocol.steps
    gone = session.clients[0]
    asked = [first.name]
    try:
        setting.simulate(setting.inputs(), drops={first.name: [gone]}, tap=seen.append)
        asked += [row.name for row in later if row.role is Role.COMMITTEE and gone in session.committee_members]
    except TooFewSurvivors:
        assert len(session.clients) - 1 < session.threshold
    assert [each.step for each in seen if each.receiver == gone] == asked
    assert all(each.sender != gone for each in seen)


def test_costs_count_every_byte(setting: Setting) -> None:
    seen: list[Transmission] = []
    outcome = setting.simulate(setting.inputs(), tap=seen.append)
    for client in setting.parties:
        assert outcome.cost.sent_bytes[client] == sum(len(each.data) for each in seen if each.sender == client)
        assert outcome.cost.received_bytes[client] == sum(len(each.data) for each in seen if each.receiver == client)
