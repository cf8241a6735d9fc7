"""What a coordinator may try with its offers against a node's budget; each attack also without the rule against it.

"Without the rule" is a node that believes what the mean says of itself (`mean.noise.event`), or that checks each
release by itself. The attack then works: the ledger takes it, and the true epsilon is far above the budget.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from dp.accounting.guarantee import guarantee
from dp.errors import BudgetExceeded
from dp.events import PrivacyEvent
from dp.noise.distributed import DistributedDiscreteGaussian, DistributedNoise
from secagg.aggregation.mean import SecureMean, Target
from secagg.engines.node.home import Home
from secagg.engines.node.policy import NodePolicy
from secagg.engines.wire.offer import Offer
from tests.support.homes import FIELDS, homes, policy, policy_text
from tests.support.offers import CLIENTS, TARGET, Offered, made, offered

EPSILON: Final = 4.0
DELTA: Final = 1e-5
NODE: Final = CLIENTS[0]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """A home whose budget has room for exactly what the honest coordinator plans."""
    text = policy_text(epsilon=EPSILON, delta=DELTA, encrypted_live_folder=str(tmp_path / "live"))
    home = Home.open(homes(tmp_path, text=text)[0])
    with home.lock():
        yield home


def honest() -> Offered:
    return offered("secagg-plus", noise="gaussian-distributed")


def epsilon(event: PrivacyEvent, times: int = 1) -> float:
    return guarantee({event: times}, delta=DELTA, relation=event.relation, unit=event.unit).epsilon


def own(given: Offered) -> PrivacyEvent:
    """Return the event that a node reserves, after its policy has accepted the session."""
    found: NodePolicy = policy(epsilon=EPSILON, delta=DELTA)
    found.check(given.mean, given.session, roster=given.roster, node=NODE)
    event = found.event(given.mean, given.session, roster=given.roster)
    assert event is not None
    return event


def claimed(given: Offered) -> PrivacyEvent:
    """Return the event that the mean states of itself."""
    assert isinstance(given.mean.noise, DistributedNoise)
    event: PrivacyEvent = given.mean.noise.event
    return event


def with_noise(given: Offered, **changes: Any) -> Offered:
    """Return the session of a mean that says something else of its noise."""
    assert isinstance(given.mean.noise, DistributedDiscreteGaussian)
    mean: SecureMean = dataclasses.replace(given.mean, noise=dataclasses.replace(given.mean.noise, **changes))
    return given._replace(mean=mean, session=mean.session(given.session.session_id, context=given.session.context))


def test_honest_offer_is_paid_for_as_it_was_planned(home: Home) -> None:
    """An honest coordinator asks once too often; the budget must stop it, and nothing before."""
    given = honest()
    assert own(given) == claimed(given)
    for number in range(TARGET["releases"]):
        home.reserve(own(given), f"session {number}")
    with pytest.raises(BudgetExceeded):
        home.reserve(own(given), "one session too many")


def test_noise_scale_that_the_planned_epsilon_belies_costs_what_it_is(home: Home) -> None:
    """The coordinator says that its target is epsilon 4, and offers noise of two steps where that takes millions."""
    given = honest()
    offer = msgspec.structs.replace(given.offer, scale=2.0)
    mean, session = Offer.from_bytes(offer.to_bytes()).build(given.roster, given.committee_key)
    attack = given._replace(mean=mean, session=session)
    true = own(attack)
    assert epsilon(true) > 1e6
    with pytest.raises(BudgetExceeded):
        home.reserve(true, "attack")
    # Without the rule: the node reserves what the target of the plan says of a release.
    home.reserve(claimed(given), "attack")


def test_sensitivity_that_is_smaller_than_that_of_the_encoding_is_not_believed(home: Home) -> None:
    """The coordinator claims a smaller sensitivity; the node must take that of the encoding, and refuse."""
    given = honest()
    assert isinstance(given.mean.noise, DistributedDiscreteGaussian)
    factor = given.mean.noise.local_sigma / 2.0
    attack = with_noise(given, local_sigma=2.0, l2_sensitivity=given.mean.noise.l2_sensitivity / factor)
    # Noise shares of sigma 2 are worth slightly less than continuous noise of their variance.
    assert 1 < epsilon(claimed(attack)) / epsilon(claimed(given)) < 1.003
    assert epsilon(own(attack)) > 1e6
    with pytest.raises(BudgetExceeded):
        home.reserve(own(attack), "attack")
    home.reserve(claimed(attack), "attack")  # Without the rule.


def test_noise_that_counts_on_a_million_contributors_is_not_believed(home: Home) -> None:
    """The coordinator counts on a million noise shares; the node must count those of the session, and refuse."""
    given = honest()
    assert isinstance(given.mean.noise, DistributedDiscreteGaussian)
    contributors = given.mean.noise.minimum_contributors
    sigma = given.mean.noise.local_sigma * (contributors / 10**6) ** 0.5
    attack = with_noise(given, local_sigma=sigma, minimum_contributors=10**6)
    assert epsilon(claimed(attack)) == pytest.approx(epsilon(claimed(given)), rel=1e-3)
    assert epsilon(own(attack)) > 100 * epsilon(claimed(given))
    with pytest.raises(BudgetExceeded):
        home.reserve(own(attack), "attack")
    home.reserve(claimed(attack), "attack")  # Without the rule.


def test_colluding_clients_are_those_that_the_node_expects_and_not_none(home: Home) -> None:
    """The coordinator counts nobody as colluding, and the node 3 of the 9 in its roster."""
    given = offered("secagg-plus", target=Target(**TARGET | {"colluding": 0}))
    strict = policy(adversarial=0.34)
    event = strict.event(given.mean, given.session, roster=given.roster)
    assert event is not None
    assert epsilon(event, TARGET["releases"]) > 1.3 * epsilon(claimed(given), TARGET["releases"])


def test_thousand_rounds_of_epsilon_a_tenth_end_with_the_budget(tmp_path: Path) -> None:
    """The coordinator asks a thousand times at a small cost; the total budget of the node must stop it."""
    text = policy_text(epsilon=0.5, delta=DELTA, encrypted_live_folder=str(tmp_path / "live"))
    home, answered, event = Home.open(homes(tmp_path, text=text)[0]), 0, None
    small = Target(epsilon=0.1, delta=DELTA, releases=1, colluding=1)
    given = offered("secagg-plus", target=small)
    with home.lock():
        for serial in range(1000):
            attack = made(
                given.mean.protocol, given.session.threshold, FIELDS["adversary"], target=small, serial=serial
            )
            event = own(attack)
            assert epsilon(event) <= 0.1  # Without the rule: a limit for each release, which all 1,000 keep.
            try:
                home.reserve(event, f"session {serial}")
            except BudgetExceeded:
                break
            answered += 1
        assert event is not None
        assert epsilon(event, answered) <= 0.5 < epsilon(event, answered + 1)
        with home.ledger() as ledger:
            assert ledger.remaining(event) == 0  # The same for every later round.
    assert 5 <= answered < 1000
    assert epsilon(event, 1000) > 6 * 0.5
