from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction

import numpy as np
import pytest

import dp.noise.discrete_gaussian as sampler_module
from dp.noise.discrete_gaussian import KeyStream, discrete_gaussian
from dp.noise.skellam import skellam, thresholds
from secagg.audit.attack import Level
from secagg.audit.finding import Finding, Verdict
from secagg.audit.mechanisms.exact_gaussian import ExactGaussian
from secagg.audit.mechanisms.exact_poisson import ExactPoisson
from secagg.audit.mechanisms.steered import Steered
from secagg.audit.mechanisms.subject import MechanismSubject
from secagg.audit.mechanisms.suite import gaussian_subject, removable_subject, skellam_subject
from secagg.audit.mechanisms.twin import ExactTwin, gaussian_twin, skellam_twin
from secagg.audit.planted.patch import replaced
from secagg.audit.runner import finding
from secagg.audit.seeds import Tape


def found(subject: MechanismSubject) -> Finding:
    return finding(subject, ExactTwin(), level=Level.QUICK, master=b"test of twins")


@pytest.mark.parametrize("sigma", [0.25, 1.5, 2.0, 17.3, 100.0])
def test_twin_of_the_discrete_gaussian_draws_the_same(sigma: float) -> None:
    exact = gaussian_twin(sigma).exact(20_000, KeyStream(Tape(b"tape")))
    assert np.array_equal(exact, discrete_gaussian(sigma, 20_000, Tape(b"tape")))


@pytest.mark.parametrize("variance", [2.0**-20, 0.7, 3.0, 500.0])
def test_twin_of_the_skellam_noise_draws_the_same(variance: float) -> None:
    exact = skellam_twin(variance).exact(20_000, KeyStream(Tape(b"tape")))
    assert np.array_equal(exact, skellam(variance, 20_000, Tape(b"tape")))


@pytest.mark.parametrize("mean", [Fraction(1, 8), Fraction(1, 2), Fraction(40)])
def test_limits_of_the_poisson_twin_are_those_of_the_sampler(mean: Fraction) -> None:
    """The two are computed in different ways: decimal fractions of 120 digits, and integers with error bounds."""
    first, floors = thresholds(mean, 64)
    limits = [int(limit) for limit in ExactPoisson.of(mean).limits]
    assert limits[:first] == [0] * first
    assert limits[first : first + len(floors)] == floors


def test_borders_are_on_both_sides_of_every_limit() -> None:
    exact = ExactGaussian.of(Fraction(2))
    (words,) = exact.borders()[0]
    uniform = words & np.uint64(2**47 - 1)
    for limit in exact.limits[1:]:
        assert {int(limit) - 1, int(limit), int(limit) + 1} <= {int(each) for each in uniform}


@contextmanager
def margin(value: float) -> Iterator[None]:
    with replaced(sampler_module, "MARGIN", value):
        yield


@pytest.mark.parametrize("subject", [gaussian_subject(2.0), gaussian_subject(100.0)])
def test_a_sampler_that_trusts_floats_at_the_border_is_rejected_by_steered_words_alone(
    subject: MechanismSubject,
) -> None:
    assert found(subject).verdict is Verdict.NOT_REJECTED
    with margin(-1.0):
        rejected = found(subject)
    assert rejected.verdict is Verdict.REJECTED
    assert "borders" in rejected.evidence


def test_skellam_twin_finds_a_word_on_a_limit_that_is_not_refined() -> None:
    subject = skellam_subject(1.0)
    assert found(subject).verdict is Verdict.NOT_REJECTED

    def not_refined(mean: Fraction, prefix: int, bits: object) -> int:
        first, floors = thresholds(mean, 64)
        return first + int(np.searchsorted(np.array(floors, dtype=np.uint64), np.uint64(prefix)))

    import dp.noise.skellam as skellam_module

    with replaced(skellam_module, "settle", not_refined):
        rejected = found(subject)
    assert rejected.verdict is Verdict.REJECTED
    assert "borders" in rejected.evidence


def test_a_subject_without_a_twin_cannot_be_tested() -> None:
    assert found(removable_subject()).verdict is Verdict.NOT_APPLICABLE


def test_steered_words_come_first() -> None:
    queue = (np.array([5, 6], dtype=np.uint64), np.array([7], dtype=np.uint64))
    bits, rest = Steered(queue, KeyStream(Tape(b"a"))), KeyStream(Tape(b"a"))
    one, two, three = (rest.words(3) for _ in range(3))
    assert bits.words(3).tolist() == [5, 6, int(one[2])]
    assert bits.words(3).tolist() == [7, *two.tolist()[1:]]
    assert bits.words(3).tolist() == three.tolist()
    assert bits.integer(8) == rest.integer(8)
