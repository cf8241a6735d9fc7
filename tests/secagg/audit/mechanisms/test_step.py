import numpy as np
import pytest

from secagg.audit.attack import Level
from secagg.audit.finding import Verdict
from secagg.audit.mechanisms.step import STEPS, StepNoise, StepSubject, clipped_noisy_sum
from secagg.audit.runner import finding
from secagg.audit.seeds import Tape
from secagg.models.clipped_sum import ClippedNoisySum

pytestmark = pytest.mark.tensorflow


def test_step_is_the_sum_of_clipped_gradients() -> None:
    subject = StepSubject(clipped_noisy_sum, name="right")
    gradients = np.array([[3.0, 4.0, 0.0, 0.0], [0.0, 0.0, 0.6, 0.8]], dtype=np.float32)
    found = subject.sum(gradients, Tape(b"seed"), noise_stddev=0.0)
    np.testing.assert_allclose(found, [0.9, 1.2, 0.6, 0.8], rtol=1e-6)


def test_step_has_all_of_its_randomness_from_the_tape() -> None:
    subject = StepSubject(clipped_noisy_sum, name="right")
    zeros = np.zeros((1, 8), dtype=np.float32)
    one, same, other = (subject.sum(zeros, Tape(seed), noise_stddev=1.0) for seed in (b"a", b"a", b"b"))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_step_of_the_toolkit_is_not_rejected() -> None:
    for attack in STEPS:
        subject = StepSubject(clipped_noisy_sum, name="right")
        assert finding(subject, attack, level=Level.QUICK, master=b"steps").verdict is Verdict.NOT_REJECTED


def test_step_with_less_noise_is_rejected() -> None:
    less = StepSubject(
        lambda tensorflow, generator, clip_l2, noise_stddev: ClippedNoisySum(
            tensorflow, generator, clip_l2=clip_l2, noise_stddev=0.98 * noise_stddev
        ),
        name="less",
    )
    assert finding(less, StepNoise(), level=Level.QUICK, master=b"steps").verdict is Verdict.REJECTED
