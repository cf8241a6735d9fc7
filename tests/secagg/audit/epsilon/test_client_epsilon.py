"""The audit of a single release: what it plans, what it claims, and that colluding noise has to be subtracted."""

import math
import os

import numpy as np
import pytest

from protocols.pairwise import SecAgg
from protocols.plain import PlainSum
from secagg.aggregation.rotation import Rotation
from secagg.audit.attack import Inapplicable, Level, Plan
from secagg.audit.epsilon.client import Canary, claimed_mu, scores
from secagg.audit.epsilon.estimators import Errors, gaussian_epsilon, gaussian_mu, mu_low
from secagg.audit.epsilon.subject import DELTA, ReleaseSubject
from secagg.privacy.noise import Target

SEED = bytes(range(32))


class Unsubtracted(ReleaseSubject):
    """A subject whose colluding clients keep what they know to themselves."""

    @property
    def colluding(self) -> tuple[int, ...]:
        return ()


def planned(epsilon: float, level: str) -> Plan | Inapplicable:
    subject = ReleaseSubject.planned(PlainSum(), name="planned", epsilon=epsilon)
    return Canary().plan(subject, Level(level))


@pytest.mark.parametrize(
    ("epsilon", "level", "trials", "power"),
    [
        (4.38, "quick", 2_000, "0.67"),
        (10, "quick", 500, "0.67"),
        (4.38, "full", 20_000, "0.8"),
        (0.1, "full", 20_000, "0.2"),
    ],
)
def test_canary_plans_its_trials_by_level_and_claim_and_says_what_they_show(
    epsilon: float, level: str, trials: int, power: str
) -> None:
    plan = planned(epsilon, level)
    assert isinstance(plan, Plan)
    assert plan.trials == trials
    assert plan.power == f"noise at {power} times the planned deviation"


def test_canary_is_not_for_cohorts_whose_sums_take_long() -> None:
    subject = ReleaseSubject.planned(PlainSum(), name="large", epsilon=10, clients=9)
    found = Canary().plan(subject, Level.FULL)
    assert isinstance(found, Inapplicable)
    assert "9 clients" in found.why


def test_claimed_mu_is_that_of_the_ledgers_noise_and_at_most_that_of_the_target() -> None:
    one = ReleaseSubject.planned(PlainSum(), name="one", epsilon=4.38)
    assert 4.0 < gaussian_epsilon(claimed_mu(one), DELTA) < 4.38
    target = Target(epsilon=4.38, delta=DELTA, releases=4, colluding=1)
    four = ReleaseSubject.keeping(target, PlainSum(), name="four")
    assert claimed_mu(four) < gaussian_mu(4.38, DELTA) / 2
    assert claimed_mu(four) == pytest.approx(claimed_mu(one) / 2, rel=0.02)


def test_scores_go_through_masks_and_are_the_canary_plus_noise() -> None:
    """With 40 releases each; the mean is off by more than 5 deviations with probability below 1e-6."""
    subject = ReleaseSubject.planned(SecAgg(), name="masked", epsilon=10)
    out, inn = scores(subject, 40, SEED)
    deviation = 1 / claimed_mu(subject)
    assert abs(out.mean()) < 5 * deviation / math.sqrt(40)
    assert abs(inn.mean() - 1) < 5 * deviation / math.sqrt(40)
    assert 0.4 * deviation < out.std() < 1.7 * deviation


def test_canary_nearly_reaches_the_declared_sensitivity() -> None:
    encoding = ReleaseSubject.planned(SecAgg(), name="canary", epsilon=4.38).mean.encoding
    canary = [np.full(4, 0.5)]
    integers = encoding.encode(canary, weight=None, rotation=Rotation(4, b"public"), entropy=os.urandom)
    clip = encoding.clip_l2 / encoding.granularity  # Both are within a step of the grid of it.
    assert 0 <= encoding.l2_sensitivity - clip < 1
    assert abs(np.linalg.norm(integers) - clip) < 1
    assert np.linalg.norm(integers) <= encoding.l2_sensitivity


def test_scores_are_repeated_by_their_seed() -> None:
    subject = ReleaseSubject.planned(PlainSum(), name="repeated", epsilon=10)
    first, again, other = (scores(subject, 3, seed) for seed in (SEED, SEED, bytes(32)))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_noise_of_colluding_clients_makes_the_audit_loose_unless_it_is_subtracted() -> None:
    target = Target(epsilon=10, delta=DELTA, releases=1, colluding=2)
    subject = ReleaseSubject.keeping(target, PlainSum(), name="three", clients=3)
    bounds = []
    for audited in (subject, Unsubtracted(subject.mean, name=subject.name)):
        out, inn = scores(audited, 150, SEED)
        bounds.append((mu_low(Errors.at(out, inn, 0.5), 0.05), float(out.std())))
    (tight, deviation), (loose, wider) = bounds
    assert subject.colluding == (2, 3)
    assert wider / deviation == pytest.approx(math.sqrt(3), rel=0.25)
    assert loose < 0.75 * tight < claimed_mu(subject)


def test_what_rows_rest_on_is_said() -> None:
    subject = ReleaseSubject.planned(PlainSum(), name="rows", epsilon=0.9, dimension=1)
    out, inn = scores(subject, 10, SEED)
    result = Canary().run(subject, Plan(trials=10), SEED)
    assert len(out) == len(inn) == 10
    assert "not promised" in result.statistic
    assert "1 colluding client, whose contributions are subtracted" in result.epsilon[0].rests_on
    assert (result.epsilon[0].unit, result.epsilon[0].relation) == ("client", "zero-out")
