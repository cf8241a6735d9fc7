"""Composed losses against the exact composition of randomised response, whose loss has two values."""

import math

import numpy as np
import pytest

from dp.accounting.composition import Losses, composed_epsilon

STEP = 0.5
POINTS = 1 << 12


def randomised_response(infinite: float = 0.0) -> Losses:
    """Return the losses -h, 0 and h, of which 0 has no mass: the epsilon of one release is h."""
    logarithms = np.array([-math.log1p(math.exp(STEP)), -math.inf, -math.log1p(math.exp(-STEP))])
    return Losses(-1, logarithms, infinite)


def exact_delta(epsilon: float, times: int) -> float:
    """Return the least delta of a number of releases at an epsilon, by the binomial law of their losses."""
    upper = 1 / (1 + math.exp(-STEP))
    return math.fsum(
        math.comb(times, ups)
        * upper**ups
        * (1 - upper) ** (times - ups)
        * max(0.0, -math.expm1(epsilon - (2 * ups - times) * STEP))
        for ups in range(times + 1)
    )


@pytest.mark.parametrize("delta", [1e-2, 1e-6, 1e-12])
@pytest.mark.parametrize("times", [1, 2, 20, 100])
def test_epsilon_of_many_releases_is_the_exact_one_from_above(times: int, delta: float) -> None:
    found = composed_epsilon([(randomised_response(), times)], grid=STEP, delta=delta, most_points=POINTS)
    # As a float, an epsilon near a loss decides its delta to a thousandth, if that is 1e-12.
    assert exact_delta(found.epsilon, times) <= delta * (1 + 1e-3)
    assert exact_delta(found.epsilon - 1e-6, times) > delta


def test_delta_below_the_mass_of_the_largest_loss_needs_nearly_all_of_it() -> None:
    """Losses that are bounded above: every larger tilt gives a better bound, and too large a one is lost in float64."""
    found = composed_epsilon([(randomised_response(), 20)], grid=STEP, delta=1e-12, most_points=POINTS)
    assert 10 - 1e-6 < found.epsilon < 10


def test_releases_that_are_listed_apart_compose_like_one_repeated() -> None:
    one = randomised_response()
    together = composed_epsilon([(one, 10)], grid=STEP, delta=1e-6, most_points=POINTS)
    apart = composed_epsilon([(one, 3), (one, 7)], grid=STEP, delta=1e-6, most_points=POINTS)
    assert apart.epsilon == pytest.approx(together.epsilon, rel=1e-9)


def test_infinite_mass_takes_its_part_of_delta() -> None:
    releases = [(randomised_response(infinite=1e-7), 10)]
    none = composed_epsilon([(randomised_response(), 10)], grid=STEP, delta=2e-6, most_points=POINTS)
    some = composed_epsilon(releases, grid=STEP, delta=3e-6, most_points=POINTS)
    assert some.epsilon == pytest.approx(none.epsilon, abs=1e-6)
    assert composed_epsilon(releases, grid=STEP, delta=1e-6, most_points=POINTS).epsilon == math.inf


def test_too_few_points_give_no_epsilon_and_the_number_that_is_needed() -> None:
    releases = [(randomised_response(), 1000)]
    refused = composed_epsilon(releases, grid=STEP, delta=1e-6, most_points=16)
    assert refused.epsilon == math.inf
    assert refused.points > 16
    assert composed_epsilon(releases, grid=STEP, delta=1e-6, most_points=refused.points).epsilon < math.inf


def test_losses_without_cost_need_no_epsilon() -> None:
    free = Losses(0, np.zeros(1), 0.0)
    assert composed_epsilon([(free, 5)], grid=STEP, delta=1e-6, most_points=POINTS).epsilon == 0


@pytest.mark.parametrize("times", [1, 1000])
@pytest.mark.parametrize("steps", [1, 1000, 5000])
@pytest.mark.parametrize("delta", [1e-3, 1e-6, 3e-9, 5.33e-12, 1e-13])
def test_epsilon_next_to_a_loss_with_nearly_all_mass_is_rounded_upwards(delta: float, steps: int, times: int) -> None:
    """Far from 0, a last digit of epsilon or of a tilted loss is more of such a delta than the allowance."""
    grid, rest = 2.0**-7, 1e-14
    logarithms = np.full(steps + 1, -math.inf)
    logarithms[0], logarithms[-1] = math.log(rest), math.log1p(-rest)
    found = composed_epsilon(
        [(Losses(3000 - steps, logarithms, 0.0), times)], grid=grid, delta=delta, most_points=1 << 20
    )
    largest = 3000 * grid * times  # This is exact.
    assert largest * (1 - 2.0**-49) - 2 * delta < found.epsilon
    # Only the mass of the largest loss counts here, which is a lower bound of delta.
    assert math.exp(times * math.log1p(-rest)) * -math.expm1(found.epsilon - largest) <= delta
