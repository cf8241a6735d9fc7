"""Every protocol: the step that reveals is recorded, and two sums of one context do not differ in few clients."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Final

import pytest

from protocols import Adversary, LightSecAgg, OneShot, PaillierSum, SecAgg, SecureSum, Step, available
from protocols.encrypted.protocol import EncryptedSum
from protocols.testing.suite.openings import OpeningTests
from tests.conformance.cohorts import IDS, setting, settings

SMALL: Final = (
    setting(PaillierSum(), IDS[:3], 2),
    setting(OneShot(adversary=Adversary.MALICIOUS), IDS[:3], 2, committee=(IDS[0], 9, IDS[1])),
)
"""The two protocols whose openings take longest, for which few clients have to be enough."""


class TestOpenings(OpeningTests):
    scenarios: ClassVar = (*(each for each in settings() if not isinstance(each.protocol, EncryptedSum)), *SMALL)

    def test_suite_looks_at_every_registered_protocol(self) -> None:
        assert {kind.name for kind in self.kinds()} == set(available())


@dataclass(frozen=True, kw_only=True)
class Silent(SecAgg):
    """A protocol whose author forgot to say which step reveals."""

    @property
    def steps(self) -> tuple[Step[Any, Any, Any, Any], ...]:
        return tuple(replace(row, reveals=None) for row in super().steps)


@dataclass(frozen=True, kw_only=True)
class Early(LightSecAgg):
    """One whose author names the step before the one that reveals."""

    steps = (
        *LightSecAgg.steps[:2],
        replace(LightSecAgg.steps[2], reveals=lambda party, delivered: (*delivered.clients, party._client)),
        replace(LightSecAgg.steps[3], reveals=None),
    )


@dataclass(frozen=True, kw_only=True)
class Everyone(SecAgg):
    """One that names all clients of the session in the place of the contributors."""

    @property
    def steps(self) -> tuple[Step[Any, Any, Any, Any], ...]:
        *rows, last = super().steps
        return (*rows, replace(last, reveals=lambda party, _: party._session.clients))


@pytest.mark.parametrize(
    "protocol", [Silent(), Everyone(), Early(privacy=1, responders=2)], ids=["silent", "everyone", "early"]
)
def test_suite_rejects_a_protocol_whose_clients_record_something_else(protocol: SecureSum) -> None:
    scenario, suite, rejected = setting(protocol, IDS[:4], 3), OpeningTests(), 0
    for number in range(len(protocol.steps)):
        for test in (
            suite.test_contributors_are_recorded_in_the_step_that_reveals_and_in_no_other,
            partial(suite.test_two_sums_that_differ_in_one_client_are_not_both_opened, fewer_first=False),
        ):
            try:
                test(scenario, number)
            except AssertionError:
                rejected += 1
    assert rejected
