import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from protocols.crypto.entropy import Entropy
from secagg.audit.attack import LEVEL_OF_ATTEMPT, Level
from secagg.audit.finding import Verdict
from secagg.audit.mechanisms.sampling import (
    SAMPLING,
    SampleSizes,
    SamplingSubject,
    Schedule,
    detected_overlap,
    poisson_samples,
    two_sided,
)
from secagg.audit.mechanisms.statistics import POWER_OF_ATTEMPT
from secagg.audit.runner import finding
from secagg.audit.seeds import Tape
from secagg.models.poisson import poisson_sample

SCHEDULE = Schedule(examples=50, rate=0.2, steps=3)


def test_poisson_samples_are_drawn_one_after_the_other() -> None:
    tape = Tape(b"seed")
    right = [poisson_sample(50, 0.2, tape) for _ in range(3)]
    for one, other in zip(poisson_samples(SCHEDULE, Tape(b"seed")), right, strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("level", list(Level))
def test_poisson_samples_are_not_rejected(level: Level) -> None:
    for attack in SAMPLING:
        subject = SamplingSubject(poisson_samples, name="right")
        found = finding(subject, attack, level=level, master=b"test of samples")
        assert found.verdict is Verdict.NOT_REJECTED
        assert found.power


def test_samples_at_another_rate_are_rejected_by_their_total() -> None:
    def rarer(schedule: Schedule, entropy: Entropy) -> list[NDArray[np.int64]]:
        return poisson_samples(Schedule(examples=schedule.examples, rate=0.047, steps=schedule.steps), entropy)

    found = finding(SamplingSubject(rarer, name="rarer"), SampleSizes(), level=Level.QUICK, master=b"x")
    assert found.verdict is Verdict.REJECTED
    assert "The total" in found.evidence


def test_a_source_of_too_few_steps_is_no_finding() -> None:
    short = SamplingSubject(lambda schedule, entropy: poisson_samples(schedule, entropy)[1:], name="short")
    assert finding(short, SampleSizes(), level=Level.QUICK, master=b"x").verdict is Verdict.ERRORED


def test_overlap_of_the_stated_correlation_is_rejected_with_the_stated_power() -> None:
    schedule = Schedule(examples=2000, rate=0.05, steps=200)
    pairs, independent = 200_000, 0.05**2
    shared = independent + detected_overlap(schedule) * 0.05 * 0.95
    least = next(count for count in range(500, 1000) if two_sided(count, pairs, independent) < LEVEL_OF_ATTEMPT)
    assert stats.binom.sf(least - 1, pairs, shared) == pytest.approx(POWER_OF_ATTEMPT, abs=1e-6)
