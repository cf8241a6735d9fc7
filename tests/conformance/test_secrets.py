"""No protocol gives its secrets away: not to the server, not by repr, pickling, copying or error texts."""

from typing import ClassVar

import pytest

from protocols import Transmission
from protocols.testing import ProtocolRun, Scenario
from protocols.testing.suite.reachable import identities, secrets_in, windows
from protocols.testing.suite.secrecy import SecrecyTests
from tests.conformance.cohorts import settings, suggested

POINTS = [
    pytest.param(each, number, id=f"{each.label}-{row.name}")
    for each in settings()
    for number, row in enumerate(each.protocol.steps)
]


class TestSecrecy(SecrecyTests):
    scenarios: ClassVar = settings()


def test_baselines_servers_view_holds_every_input() -> None:
    """The control: the test of the server's view can fail."""
    scenario = suggested("plain")
    inputs = scenario.inputs(seed=1)
    view: list[Transmission] = []
    scenario.simulate(inputs, tap=view.append)
    seen = b"".join(each.data for each in view)
    for vector in inputs.values():
        assert any(window in seen for window in windows(vector, scenario.session.modulus))


def test_baseline_is_the_only_registered_protocol_that_protects_nobody() -> None:
    """The test of the server's view says nothing of a protocol that protects nobody."""
    assert {each.protocol.name for each in settings() if not each.protocol.protects} == {"plain"}


@pytest.mark.parametrize(("scenario", "number"), POINTS)
def test_parties_hold_secrets_between_steps(scenario: Scenario, number: int) -> None:
    """The control: there are secrets that a repr could give away, and that a client must drop once it closes.

    A party does not close after a step that repeats, since it may be asked once more.
    """
    run = ProtocolRun(scenario).to_step(number)
    insecure, lasting = not scenario.protocol.protects, identities(scenario)
    assert insecure or number == 0 or secrets_in(run.clients[min(run.requests)]) - lasting
    run.replies()
    found = sum(len(secrets_in(machine) - lasting) for machine in (*run.clients.values(), run.server))
    closes = number == len(scenario.protocol.steps) - 1 and not scenario.protocol.steps[number].repeats
    assert (found == 0) == (closes or insecure)
