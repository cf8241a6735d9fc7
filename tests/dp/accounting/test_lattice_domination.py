"""What `docs/lattice-gaussian.md` proves, against laws that are enumerated by code that shares nothing with `dp`.

Every comparison is relative: no stick is above its bound by more than 1e-11 of it, however small both are.
"""

import itertools
import math
from typing import Any, Final

import mpmath  # type: ignore[import-untyped]  # dp-accounting brings it; it has no type information
import numpy as np
import pytest

from dp.accounting.privacy_loss import loss_epsilon
from dp.events import PoissonSampledEvent
from tests.support.lattice_events import deviation_of, event_of
from tests.support.lattice_laws import (
    Noise,
    Shares,
    Skellam,
    Vector,
    gaussian_hockey_stick,
    hockey_stick,
    law,
    pair,
    pair_of_vectors,
    sampled,
    sampled_gaussian_hockey_stick,
    spacings,
)

NOISES: Final[list[Noise]] = [
    *(Shares(sigma) for sigma in (0.58, 0.6, 0.8, 1.0, 1.5, 2.0, 4.0, 10.0)),
    *(Shares(sigma, number) for sigma, number in ((0.5, 2), (0.6, 5), (0.7, 2), (0.7, 10), (1.0, 3), (1.0, 20))),
    *(Shares(2.0, number) for number in (2, 3, 30)),
    *(Skellam(variance) for variance in (0.6, 1.0, 2.0, 4.0, 10.0, 25.0, 100.0, 400.0)),
]
WIDE: Final[list[Noise]] = [Shares(30.0), Shares(1000.0), Skellam(1e4), Skellam(1e6)]
FEW: Final[list[Noise]] = [Shares(0.6), Shares(1.0), Shares(0.7, 2), Shares(1.0, 3), Skellam(0.6), Skellam(4.0)]
EPSILONS: Final = np.arange(-2, 8.01, 0.5).tolist()
RATES: Final = (0.01, 0.2, 0.5)
ROUNDING: Final = 1e-11
NOTHING: Final = 1e-200
"""A bound below this says nothing of an enumeration that ends where probabilities are about as small."""


def is_below(stick: float, bound: float) -> bool:
    return stick <= bound * (1 + ROUNDING) + NOTHING


@pytest.mark.parametrize("noise", [*NOISES, *WIDE], ids=str)
def test_spacings_are_at_most_that_of_the_gaussian_and_largest_at_the_centre(noise: Noise) -> None:
    found = spacings(noise)
    assert len(found) > 8
    assert found.argmax() == 0 or found[0] >= found.max() * (1 - ROUNDING)
    assert found.max() <= (1 + ROUNDING) / deviation_of(noise)


def exact_half_law(noise: Noise, cells: int) -> list[Any]:
    """Return p(0), ..., p(cells) in multiple precision; of a sum of noise shares by adding one after another."""
    match noise:
        case Skellam(variance):
            factor = mpmath.exp(-mpmath.mpf(variance))
            return [factor * mpmath.besseli(k, variance) for k in range(cells + 1)]
        case Shares(sigma, number):
            reach = math.ceil(14 * sigma * math.sqrt(number)) + 4
            one = [mpmath.exp(-(mpmath.mpf(x) ** 2) / (2 * mpmath.mpf(sigma) ** 2)) for x in range(-reach, reach + 1)]
            found = one
            for _ in range(number - 1):
                found = [
                    mpmath.fdot(
                        (found[y], one[x - y + reach]) for y in range(len(one)) if 0 <= x - y + reach < len(one)
                    )
                    for x in range(len(one))
                ]
            total = mpmath.fsum(found)
            return [found[reach + k] / total for k in range(cells + 1)]


@pytest.mark.parametrize(
    ("noise", "cells"),
    [
        *((Shares(sigma), math.ceil(8 * sigma)) for sigma in (0.6, 0.8, 1.0, 2.0, 4.0)),
        *((Shares(sigma, number), 5) for sigma, number in ((0.5, 2), (0.7, 2), (0.7, 4), (1.0, 3))),
        *((Skellam(variance), 12) for variance in (1.0, 1e7, 1e9)),
    ],
    ids=str,
)
def test_spacings_are_at_most_that_of_the_gaussian_in_forty_digits(noise: Noise, cells: int) -> None:
    with mpmath.workdps(60):
        most = 1 / mpmath.mpf(deviation_of(noise))
        half = exact_half_law(noise, cells)
        below = [(1 + half[0]) / 2 + mpmath.fsum(half[1:k]) for k in range(1, cells + 1)]
        edges = [mpmath.sqrt(2) * mpmath.erfinv(2 * each - 1) for each in below]
        assert 2 * edges[0] < most
        for lower, upper in itertools.pairwise(edges):
            assert upper - lower < 2 * edges[0]


@pytest.mark.parametrize("noise", NOISES, ids=str)
def test_hockey_sticks_are_below_those_of_the_gaussian_sampled_or_not(noise: Noise) -> None:
    """Forty-two for each of eight shifts without sampling, and a hundred and twenty-six with."""
    deviation = deviation_of(noise)
    for shift in range(1, 9):
        still, moved = pair(noise, shift)
        for epsilon in EPSILONS:
            bound = gaussian_hockey_stick(shift / deviation, epsilon)
            assert is_below(hockey_stick(moved, still, epsilon), bound)
            assert is_below(hockey_stick(still, moved, epsilon), bound)
            for rate in RATES:
                added, removed = sampled_gaussian_hockey_stick(shift / deviation, epsilon, rate)
                _, mixed = sampled(still, moved, rate)
                assert is_below(hockey_stick(mixed, still, epsilon), added)
                assert is_below(hockey_stick(still, mixed, epsilon), removed)


@pytest.mark.parametrize("noise", FEW, ids=str)
def test_largest_spacing_is_the_least_that_hockey_sticks_allow(noise: Noise) -> None:
    """Both directions of Theorem 1."""
    most = float(spacings(noise).max())
    for shift in range(1, 5):
        still, moved = pair(noise, shift)
        for epsilon in EPSILONS:
            assert is_below(hockey_stick(moved, still, epsilon), gaussian_hockey_stick(shift * most, epsilon))
    still, moved = pair(noise, 1)
    assert not is_below(hockey_stick(moved, still, 0.0), gaussian_hockey_stick(most * (1 - 1e-9), 0.0))


@pytest.mark.parametrize("noise", FEW, ids=str)
@pytest.mark.parametrize("shifts", [(1, 1), (2, -1), (3, 2), (0, 3)], ids=str)
def test_hockey_sticks_in_two_dimensions_are_below_those_of_the_gaussian(noise: Noise, shifts: tuple[int, int]) -> None:
    change = math.hypot(*shifts) / deviation_of(noise)
    still, moved = pair_of_vectors(noise, shifts)
    for epsilon in EPSILONS[::2]:
        assert is_below(hockey_stick(moved, still, epsilon), gaussian_hockey_stick(change, epsilon))
        assert is_below(hockey_stick(still, moved, epsilon), gaussian_hockey_stick(change, epsilon))
        for rate in RATES:
            added, removed = sampled_gaussian_hockey_stick(change, epsilon, rate)
            _, mixed = sampled(still, moved, rate)
            assert is_below(hockey_stick(mixed, still, epsilon), added)
            assert is_below(hockey_stick(still, mixed, epsilon), removed)


def composed(still: Vector, moved: Vector, times: int, *, least: float = 1e-20) -> tuple[Vector, Vector]:
    """Return the laws of `times` independent draws of each of two laws, without the outcomes that are less likely."""
    one = other = np.ones(1)
    for _ in range(times):
        one, other = np.outer(one, still).ravel(), np.outer(other, moved).ravel()
        kept = one + other > least
        one, other = one[kept], other[kept]
    return one, other


@pytest.mark.parametrize("noise", FEW, ids=str)
def test_hockey_sticks_of_three_releases_are_below_those_of_the_gaussian(noise: Noise) -> None:
    for shift in (1, 2):
        still, moved = composed(*pair(noise, shift), 3)
        for epsilon in EPSILONS:
            bound = gaussian_hockey_stick(math.sqrt(3) * shift / deviation_of(noise), epsilon)
            assert is_below(hockey_stick(moved, still, epsilon), bound + 1e-18)


@pytest.mark.parametrize("noise", FEW, ids=str)
@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("times", [1, 2, 3])
def test_account_of_sampled_releases_is_above_their_enumeration(noise: Noise, rate: float, times: int) -> None:
    event = PoissonSampledEvent(sampling_rate=rate, event=event_of(noise, l2_sensitivity=2.0))
    still, moved = composed(*sampled(*pair(noise, 2), rate), times)
    for delta in (1e-2, 1e-6):
        found = loss_epsilon({event: times}, delta=delta, points=20_000).epsilon
        assert max(hockey_stick(moved, still, found), hockey_stick(still, moved, found)) <= delta


@pytest.mark.parametrize("noise", FEW, ids=str)
@pytest.mark.parametrize("rate", RATES)
def test_account_of_sampled_releases_of_two_coordinates_is_above_their_enumeration(noise: Noise, rate: float) -> None:
    event = PoissonSampledEvent(
        sampling_rate=rate, event=event_of(noise, l2_sensitivity=math.sqrt(5) * (1 + 1e-15), dimension=2)
    )
    still, moved = sampled(*pair_of_vectors(noise, (1, 2)), rate)
    found = loss_epsilon({event: 1}, delta=1e-4, points=20_000).epsilon
    assert max(hockey_stick(moved, still, found), hockey_stick(still, moved, found)) <= 1e-4


def test_no_single_direction_is_the_worst_one() -> None:
    """One coordinate moved by 2 costs more than four moved by 1, or less: it depends on epsilon."""
    along, across = pair(Skellam(4.0), 2), composed(*pair(Skellam(4.0), 1), 4, least=1e-12)
    small, large = (
        tuple(hockey_stick(moved, still, epsilon) for still, moved in (along, across)) for epsilon in (0.33205, 3.49758)
    )
    assert small[0] == pytest.approx(0.3, rel=1e-4)
    assert small[1] < 0.99 * small[0]
    assert large[1] == pytest.approx(1e-4, rel=1e-3)
    assert large[0] < 0.3 * large[1]


@pytest.mark.parametrize("order", [1, 1.5, 2, 3.3, 10, 31.6, 100, 1000])
@pytest.mark.parametrize("argument", [0.1, 0.6, 1, 2, 4, 10, 25, 100, 1e3, 1e5, 1e7])
def test_lemma_a_holds_in_fifty_digits(order: float, argument: float) -> None:
    with mpmath.workdps(50 if argument < 1e5 else 80):
        x, nu = mpmath.mpf(argument), mpmath.mpf(order)
        below, at, above = (mpmath.besseli(nu + step, x) for step in (-1, 0, 1))
        left = 1 - below * above / at**2
        bound = 1 / mpmath.sqrt(x**2 + nu**2 - mpmath.mpf(1) / 4)
        assert 0 < left < bound
        assert argument < 1e3 or left > bound * (1 - 1 / x)


@pytest.mark.parametrize("step", [0.01, 0.1, 0.3, 0.5, 1, 1.5, 2, 2.44])
@pytest.mark.parametrize("position", [-9, -5, -2, -1, -0.5, -0.3, 0, 0.2, 1, 3, 7, 20])
def test_lemma_b_holds_in_fifty_digits(position: float, step: float) -> None:
    with mpmath.workdps(60):
        z, a = mpmath.mpf(position), mpmath.mpf(step)

        def mass(j: int) -> Any:
            low, high = z + j * a, z + (j + 1) * a
            if low < 0:
                low, high = -high, -low
            return mpmath.erfc(low / mpmath.sqrt(2)) - mpmath.erfc(high / mpmath.sqrt(2))

        before, at, after = (mpmath.log(mass(j)) for j in (-1, 0, 1))
        assert before + after - 2 * at < -(a**2) + a**4 / 12
        assert before + after - 2 * at > -(a**2)


def test_lemma_b_cannot_have_a_larger_constant() -> None:
    """At the centre the second difference is -a^2 + a^4/12 but for terms of the order of a^6."""
    with mpmath.workdps(60):
        a = mpmath.mpf("0.01")
        at, after = (mpmath.log(mpmath.ncdf((j + 0.5) * a) - mpmath.ncdf((j - 0.5) * a)) for j in (0, 1))
        assert 2 * after - 2 * at + a**2 == pytest.approx(a**4 / 12, rel=1e-3)


@pytest.mark.parametrize("noise", NOISES, ids=str)
def test_laws_are_as_the_proofs_assume(noise: Noise) -> None:
    found = law(noise)
    assert math.fsum(found) == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(found, found[::-1], rtol=1e-12)
    curvature = 2 * np.log(found[1:-1]) - np.log(found[:-2]) - np.log(found[2:])
    assert (curvature > -1e-12).all()
