"""What all parts of the suite share: the scenarios of a class, and how its tests are run over them."""

from collections.abc import Sequence
from typing import ClassVar, Final

import pytest

from protocols.secure_sum import SecureSum
from protocols.testing.scenario import Scenario

STRANGER: Final = 4
"""The id that no party of a scenario has, so that tests can play a stranger."""

LEAST_LENGTH: Final = 32
"""The smallest length of the vectors of a scenario, so that tests can recognise parts of a vector."""


class Suite:
    """A class of tests over scenarios.

    A test with an argument `scenario` runs once for each scenario. A test with an argument `number` as well runs once
    for each step of each scenario, and `number` is the number of the step.
    """

    scenarios: ClassVar[Sequence[Scenario]] = ()
    """The scenarios that every test of the class runs over; at least one."""

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run a test over the scenarios, or over the steps of each of them; pytest calls this for each test."""
        check_scenarios(type(self).__name__, self.scenarios)
        if "number" in metafunc.fixturenames:
            rows = [
                pytest.param(scenario, number, id=f"{scenario.label}-{row.name}")
                for scenario in self.scenarios
                for number, row in enumerate(scenario.protocol.steps)
            ]
            metafunc.parametrize(("scenario", "number"), rows)
        elif "scenario" in metafunc.fixturenames:
            metafunc.parametrize("scenario", [pytest.param(each, id=each.label) for each in self.scenarios])

    def kinds(self) -> tuple[type[SecureSum], ...]:
        """Return the classes of the scenarios' protocols, each once."""
        return tuple(dict.fromkeys(type(scenario.protocol) for scenario in self.scenarios))


def check_scenarios(owner: str, scenarios: Sequence[Scenario]) -> None:
    """Raise `pytest.UsageError` unless there are scenarios, and the tests can use each of them."""
    if not scenarios:
        raise pytest.UsageError(f"{owner}.scenarios: expected at least one scenario, found none")
    for scenario in scenarios:
        if STRANGER in scenario.parties:
            raise pytest.UsageError(
                f"{scenario.label}: expected no party {STRANGER}, which plays a stranger, found one"
            )
        if scenario.session.length < LEAST_LENGTH:
            found = scenario.session.length
            raise pytest.UsageError(f"{scenario.label}: length: expected at least {LEAST_LENGTH}, found {found}")
