import numpy as np
import pytest

from protocols import LightSecAgg, PaillierSum, SecAgg, SecureSum
from secagg.audit.sums.inputs import exact_sum, random_inputs, reach, residues
from secagg.audit.sums.subject import SumSubject


@pytest.mark.parametrize(
    ("protocol", "low", "high"),
    [
        (SecAgg(), -(2**23), 2**23 - 1),
        (SecAgg(headroom=True), -((2**23 - 1) // 3), (2**23 - 1) // 3),
        (LightSecAgg(privacy=1, responders=2), -(16777213 // 2), 16777213 // 2),
        (PaillierSum(), -(2**23), 2**23 - 1),
        (PaillierSum(value_bits=8), -128, 127),
        (PaillierSum(headroom=True), -((2**23 - 1) // 3), (2**23 - 1) // 3),
    ],
    ids=str,
)
def test_random_vectors_lie_in_the_reach_of_the_protocol(protocol: SecureSum, low: int, high: int) -> None:
    cohort = SumSubject.of(protocol).cohort(3, length=500)
    assert reach(cohort) == (low, high)
    modulus = cohort.session.modulus
    for vector in random_inputs(cohort, b"seed").values():
        signed = [entry if entry < modulus - modulus // 2 else entry - modulus for entry in vector.tolist()]
        assert low <= min(signed) < 0.9 * low
        assert 0.9 * high < max(signed) <= high


def test_sums_are_exact_at_the_largest_modulus() -> None:
    inputs = {1: residues([-1, 0, 5], 2**64), 2: residues([-1, 2**63, -6], 2**64), 3: residues([9, 9, 9], 2**64)}
    assert inputs[1].dtype == np.uint64
    assert exact_sum(inputs, (1, 2), 2**64) == [2**64 - 2, 2**63, 2**64 - 1]
