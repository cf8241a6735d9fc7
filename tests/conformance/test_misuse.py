"""Every protocol refuses calls out of order and input that it cannot sum, before anything is sent."""

from dataclasses import replace
from typing import ClassVar

import pytest

from protocols import Committee, Session, available, load
from protocols.testing import ProtocolRun, Scenario, repeatable_entropy
from protocols.testing.suite.digests import DigestTests
from protocols.testing.suite.misuse import MisuseTests
from tests.conformance.cohorts import committee_of, settings
from tests.support import committee_keys


class TestMisuse(MisuseTests):
    scenarios: ClassVar = settings()


class TestDigests(DigestTests):
    scenarios: ClassVar = settings()

    def test_suite_suggests_for_every_registered_protocol(self) -> None:
        assert {kind.name for kind in self.kinds()} == set(available())


@pytest.mark.parametrize("scenario", settings(), ids=lambda each: each.label)
def test_digest_changes_with_the_key_and_the_members_of_a_committee(scenario: Scenario) -> None:
    session, protocol = scenario.session, scenario.protocol
    members = session.committee_members or (21, 22, 23)
    other_key = committee_keys.threshold_key(1, len(members), len(members))
    variants = [
        session,
        replace(session, committee=None if session.committee else committee_of(members)),
        replace(session, committee=committee_of(members[::-1])),
        replace(session, committee=committee_of((*members[:-1], 4))),
        replace(session, committee=committee_of((*members, 4, 6))),
        replace(session, committee=Committee(key=other_key, members=members)),
    ]
    assert len({protocol.digest(each) for each in variants}) == len(variants)


@pytest.mark.parametrize("scenario", settings(), ids=lambda each: each.label)
def test_every_client_but_that_of_the_baseline_draws_entropy_in_its_first_step(scenario: Scenario) -> None:
    """Otherwise no test would show that such a client refuses entropy of a wrong length."""
    run, drawn = ProtocolRun(scenario), list[int]()
    client = scenario.session.clients[0]

    def entropy(size: int) -> bytes:
        drawn.append(size)
        return repeatable_entropy(b"%d" % len(drawn))(size)

    scenario.client(client, run.inputs[client], entropy).handle(run.requests[client])
    assert bool(drawn) == scenario.protocol.protects


def test_digests_of_different_protocols_differ() -> None:
    session = Session(session_id=bytes(16), clients=(0, 1, 2), threshold=2, length=1, modulus=2**16)
    suggested = [load(name).suggest(clients=3, adversarial=0.0, dropout=0.0)[0] for name in available()]
    assert len({protocol.digest(session) for protocol in suggested}) == len(suggested)
