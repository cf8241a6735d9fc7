import os
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from dp.noise.discrete_gaussian import discrete_gaussian
from protocols.crypto.entropy import Entropy
from secagg.audit.attack import Level
from secagg.audit.finding import Verdict
from secagg.audit.mechanisms.law import DiscreteGaussianLaw
from secagg.audit.mechanisms.replay import DrawReplay
from secagg.audit.mechanisms.subject import MechanismSubject
from secagg.audit.mechanisms.suite import skellam_subject
from secagg.audit.runner import finding

Draw = Callable[[int, Entropy], NDArray[np.int64]]


def cut_to_32_bits(size: int, entropy: Entropy) -> NDArray[np.int64]:
    seed = entropy(32)[:4] + bytes(28)
    return discrete_gaussian(2.0, size, lambda _: seed)


def beside(size: int, entropy: Entropy) -> NDArray[np.int64]:
    entropy(32)
    return discrete_gaussian(2.0, size, os.urandom)


def constant(size: int, entropy: Entropy) -> NDArray[np.int64]:
    entropy(32)
    return discrete_gaussian(2.0, size, bytes)


@pytest.mark.parametrize(
    ("draw", "evidence"),
    [
        (cut_to_32_bits, "28 of 32 bytes have no effect; the first is byte 4"),
        (beside, "other randomness beside it"),
        (constant, "with fresh randomness are equal"),
    ],
)
def test_randomness_that_is_cut_or_another_is_rejected(draw: Draw, evidence: str) -> None:
    subject = MechanismSubject(draw, DiscreteGaussianLaw(2.0), name="wrong")
    found = finding(subject, DrawReplay(), level=Level.QUICK, master=b"x")
    assert found.verdict is Verdict.REJECTED
    assert evidence in found.evidence


@pytest.mark.parametrize("variance", [1.0, 2.0**-8])
def test_every_byte_of_sparse_noise_is_seen(variance: float) -> None:
    found = finding(skellam_subject(variance), DrawReplay(), level=Level.QUICK, master=b"x")
    assert found.verdict is Verdict.NOT_REJECTED
