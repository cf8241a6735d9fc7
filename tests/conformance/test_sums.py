"""Every protocol gives the exact sum, whoever vanishes and in whatever order messages arrive, or nothing."""

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from protocols import Finish, OrderError, TooFewSurvivors, Transmission, available
from tests.conformance.cohorts import Run, Setting, expected, settings, suggested


def test_registry_lists_the_protocols_of_this_package() -> None:
    assert {"plain", "secagg", "secagg-plus"} <= set(available())


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
        for row in setting.protocol.rounds:
            for client in setting.session.clients:
                outcome = setting.simulate(inputs, drops={row.name: [client]})
                assert set(outcome.contributors) >= set(setting.session.clients) - {client}
                assert outcome.total.tolist() == expected(inputs, outcome.contributors, setting.session.modulus)
                assert outcome.dropped == {client: row.name}


@budget(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_drops_give_the_exact_sum_or_nothing(data: st.DataObject) -> None:
    setting = data.draw(st.sampled_from(settings()), label="setting")
    names = [row.name for row in setting.protocol.rounds]
    fates = data.draw(
        st.fixed_dictionaries({c: st.sampled_from([None, None, *names]) for c in setting.session.clients})
    )
    drops = {name: [client for client, fate in fates.items() if fate == name] for name in names}
    left = sum(fate is None for fate in fates.values())
    inputs = setting.inputs()
    try:
        outcome = setting.simulate(inputs, drops=drops)
    except TooFewSurvivors:
        return
    assert left >= setting.session.threshold
    assert len(outcome.contributors) >= setting.session.threshold
    assert set(outcome.contributors).isdisjoint(drops[names[0]])
    assert outcome.total.tolist() == expected(inputs, outcome.contributors, setting.session.modulus)


def test_fewer_replies_than_the_threshold_close_the_server(point: tuple[Setting, int]) -> None:
    setting, number = point
    run = Run(setting).to_round(number)
    replies = run.replies()
    for client in sorted(replies)[: setting.session.threshold - 1]:
        run.server.receive(client, replies[client])
    with pytest.raises(TooFewSurvivors):
        run.server.advance()
    late = sorted(replies)[-1]
    with pytest.raises(OrderError):
        run.server.receive(late, replies[late])
    with pytest.raises(OrderError):
        run.server.advance()


def test_simulated_drop_reaches_no_later_round(setting: Setting) -> None:
    session = setting.session
    seen: list[Transmission] = []
    first = setting.protocol.rounds[0].name
    try:
        setting.simulate(setting.inputs(), drops={first: session.clients[:1]}, tap=seen.append)
    except TooFewSurvivors:
        assert len(session.clients) - 1 < session.threshold
    assert [each.round for each in seen if each.receiver == session.clients[0]] == [first]
    assert all(each.sender != session.clients[0] for each in seen)


def test_costs_count_every_byte(setting: Setting) -> None:
    seen: list[Transmission] = []
    outcome = setting.simulate(setting.inputs(), tap=seen.append)
    for client in setting.session.clients:
        assert outcome.cost.sent_bytes[client] == sum(len(each.data) for each in seen if each.sender == client)
        assert outcome.cost.received_bytes[client] == sum(len(each.data) for each in seen if each.receiver == client)
