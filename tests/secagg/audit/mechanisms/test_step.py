from collections.abc import Sequence

import numpy as np
import pytest

from secagg.audit.attack import Level
from secagg.audit.finding import Verdict
from secagg.audit.mechanisms.step import (
    STEPS,
    Step,
    StepChange,
    StepNoise,
    StepSubject,
    clipped_noisy_sum,
    step_of_query,
    step_of_training,
)
from secagg.audit.runner import finding
from secagg.audit.seeds import Tape
from secagg.models.clipped_sum import ClippedNoisySum

pytestmark = pytest.mark.tensorflow

QUERY = step_of_query(clipped_noisy_sum)
TRAINING = pytest.param(step_of_training, marks=[pytest.mark.example_level, pytest.mark.long])


@pytest.mark.parametrize("step", [QUERY, TRAINING])
def test_step_is_the_sum_of_clipped_gradients(step: Step) -> None:
    gradients = np.array([[3.0, 4.0, 0.0, 0.0], [0.0, 0.0, 0.6, 0.8]], dtype=np.float32)
    found = step(gradients, Tape(b"seed"), noise_stddev=0.0)
    np.testing.assert_allclose(found, [0.9, 1.2, 0.6, 0.8], rtol=1e-6)


@pytest.mark.parametrize("step", [QUERY, TRAINING])
def test_step_has_all_of_its_randomness_from_the_tape(step: Step) -> None:
    zeros = np.zeros((1, 8), dtype=np.float32)
    one, same, other = (step(zeros, Tape(seed), noise_stddev=1.0) for seed in (b"a", b"a", b"b"))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("attack", STEPS, ids=lambda attack: attack.id)
def test_step_of_the_toolkit_is_not_rejected(attack: StepChange | StepNoise) -> None:
    subject = StepSubject(QUERY, name="right")
    assert finding(subject, attack, level=Level.QUICK, master=b"steps").verdict is Verdict.NOT_REJECTED


@pytest.mark.long
@pytest.mark.example_level
@pytest.mark.parametrize("attack", STEPS, ids=lambda attack: attack.id)
def test_step_of_training_is_not_rejected(attack: StepChange | StepNoise) -> None:
    subject = StepSubject(step_of_training, name="training", finite=True)
    assert finding(subject, attack, level=Level.FULL, master=b"steps").verdict is Verdict.NOT_REJECTED


@pytest.mark.parametrize("levels", [(), (Level.FULL,)])
def test_step_that_takes_too_long_is_not_tested(levels: Sequence[Level]) -> None:
    subject = StepSubject(QUERY, name="long", levels=levels)
    assert finding(subject, StepNoise(), level=Level.QUICK, master=b"steps").verdict is Verdict.NOT_APPLICABLE


def test_step_with_less_noise_is_rejected() -> None:
    less = step_of_query(
        lambda tensorflow, generator, clip_l2, noise_stddev: ClippedNoisySum(
            tensorflow, generator, clip_l2=clip_l2, noise_stddev=0.98 * noise_stddev
        )
    )
    found = finding(StepSubject(less, name="less"), StepNoise(), level=Level.QUICK, master=b"steps")
    assert found.verdict is Verdict.REJECTED
