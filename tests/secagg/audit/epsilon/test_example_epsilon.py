"""The canary in private training: its sums are those of the training's own query, and the audit of them."""

import math

import numpy as np
import pytest

from dp.events import NeighbouringRelation, PrivacyUnit
from secagg.audit.attack import Level, Plan
from secagg.audit.epsilon.example import BlackBox, ExampleSubject, WhiteBox
from secagg.audit.finding import Verdict
from secagg.audit.runner import finding
from secagg.audit.seeds import Tape
from secagg.privacy.example_level import ExampleLevel

pytestmark = pytest.mark.tensorflow

SEED = bytes(range(32))


@pytest.fixture(scope="module")
def audited() -> ExampleSubject:
    """Training at a rate of 0.1 with 20 steps."""
    training = ExampleLevel(clip_l2=0.5, noise_multiplier=0.6, examples=200, clients=1, epochs=2, batch_size=20)
    return ExampleSubject(training, name="example level")


@pytest.mark.parametrize(("level", "trials"), [(Level.QUICK, 2_000), (Level.FULL, 20_000)])
def test_example_audit_plans_its_trials_by_level(audited: ExampleSubject, level: Level, trials: int) -> None:
    plan = WhiteBox().plan(audited, level)
    assert isinstance(plan, Plan)
    assert plan.trials == trials


def test_sums_have_the_planned_noise_and_the_canary_at_the_clip_as_often_as_it_is_sampled(
    audited: ExampleSubject,
) -> None:
    """8,000 sums each; the false alarm rate of each comparison is 1e-6."""
    out, inn = (audited.sums(400, Tape(SEED, str(present)), present=present) for present in (False, True))
    assert out.shape == inn.shape == (400, 20)
    assert out.std() == pytest.approx(0.6, rel=5 / math.sqrt(16_000))
    assert abs(out.mean()) < 5 * 0.6 / math.sqrt(8_000)
    deviation = math.sqrt(0.6**2 + 0.09)
    assert inn.mean() == pytest.approx(0.1, abs=5 * deviation / math.sqrt(8_000))
    assert inn.std() == pytest.approx(deviation, rel=0.06)
    assert abs(np.corrcoef(out[:, 0], out[:, 1])[0, 1]) < 5 / 20


def test_sums_are_repeated_by_their_entropy(audited: ExampleSubject) -> None:
    first, again, other = (audited.sums(5, Tape(seed), present=True) for seed in (SEED, SEED, bytes(32)))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_example_audits_measure_and_reject_nothing(audited: ExampleSubject) -> None:
    white, black = (
        finding(audited, attack, level=Level.QUICK, master=bytes(32)) for attack in (WhiteBox(), BlackBox())
    )
    for found in (white, black):
        assert found.verdict is Verdict.MEASURED
        assert found.alpha == 0
        assert [row.confidence for row in found.epsilon] == [0.95, 1 - 1e-6]
        row = found.epsilon[0]
        assert (row.unit, row.relation) == (PrivacyUnit.EXAMPLE.value, NeighbouringRelation.ADD_OR_REMOVE_ONE.value)
        assert row.ledger == row.exact == pytest.approx(10.4977, abs=1e-3)
    assert 0.7 < (white.epsilon[0].part or 0) < 1
    assert 0.2 < (black.epsilon[0].part or 0) < (white.epsilon[0].part or 0)
