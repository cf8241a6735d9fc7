"""The deviation of the Gaussian noise that dominates integer noise: figures in forty digits, rounding, and mistakes."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import mpmath  # type: ignore[import-untyped]  # dp-accounting brings it; it has no type information
import numpy as np
import pytest

from dp.accounting.lattice import (
    dominating_deviation,
    dominating_gaussian,
    least_local_sigma,
    least_skellam_variance,
    needed_curvature,
    no_gaussian_reason,
    ripple,
)
from dp.events import (
    DistributedDiscreteGaussianEvent,
    GaussianEvent,
    LatticeEvent,
    PoissonSampledEvent,
    PrivacyUnit,
    RepeatedEvent,
    SkellamEvent,
)
from tests.support.lattice_events import ADD_OR_REMOVE, deviation_of, event_of
from tests.support.lattice_figures import exact_deviation, exact_ripple, gaussian_total_variation
from tests.support.lattice_laws import Noise, Shares, Skellam, law

DEVIATIONS: Final[list[tuple[Noise, str]]] = [
    (Shares(0.6), "0.478528781638"),
    (Shares(1.0), "0.953020613871"),
    (Shares(2.0), "1.97859905375"),
    (Shares(4.0), "3.98951476473"),
    (Shares(30.0), "29.9986109503"),
    (Shares(0.7, 10), "1.80703021329"),
    (Shares(1.0, 3), "1.70597548506"),
    (Shares(1.0, 20), "4.44337252881"),
    (Shares(2.0, 2), "2.81349960752"),
    (Shares(2.0, 100), "19.9979161239"),
    (Skellam(0.6), "0.426463797263"),
    (Skellam(1.0), "0.782698711534"),
    (Skellam(2.0), "1.24116895892"),
    (Skellam(4.0), "1.86654348712"),
    (Skellam(10.0), "3.07320856321"),
    (Skellam(25.0), "4.94246671781"),
    (Skellam(100.0), "9.97093321574"),
    (Skellam(400.0), "19.9854291468"),
    (Skellam(1e4), "99.9970834332"),
    (Skellam(3e5), "547.722024998"),
]
RIPPLES: Final = [
    (0.7, 10, 0.047173989),
    (1.0, 3, 0.00021460131),
    (1.0, 20, 0.00021782402),
    (2.0, 2, 2.8628663e-17),
    (2.0, 100, 2.8628719e-17),
]
PAGE: Final = (Path(__file__).parents[3] / "docs" / "lattice-gaussian.md").read_text(encoding="utf-8")
OTHERS: Final[list[Noise]] = [
    *(Shares(0.577351), Shares(0.58), Shares(1e6), Shares(0.5, 2), Shares(0.5, 4), Shares(0.6, 30), Shares(50.0, 17)),
    *(Skellam(0.61), Skellam(0.7), Skellam(1e7), Skellam(3e9), Skellam(1e12), Skellam(1e30)),
]


@pytest.mark.parametrize(("noise", "told"), DEVIATIONS, ids=str)
def test_deviation_is_within_1e_11_of_forty_digits_and_never_above(noise: Noise, told: str) -> None:
    with mpmath.workdps(40):
        exact = exact_deviation(noise)
        assert mpmath.nstr(exact, 12) == told
        assert f" {told} |" in PAGE
        assert exact * (1 - mpmath.mpf("1e-11")) <= deviation_of(noise) < exact


@pytest.mark.parametrize("noise", OTHERS, ids=str)
def test_deviation_of_other_noise_is_never_above_forty_digits_either(noise: Noise) -> None:
    with mpmath.workdps(80):
        exact = exact_deviation(noise)
        assert exact * (1 - mpmath.mpf("1e-9")) <= deviation_of(noise) < exact


@pytest.mark.parametrize("variance", [0.6, 0.65, 0.8, 1, 1.7, 3, 8, 60, 1e3, 1e5, 1e7, 1e9, 3e9, 1e12])
def test_bound_at_the_centre_of_skellam_noise_is_never_the_one_that_decides(variance: float) -> None:
    """So the formula for k >= 1 inverts the deviation; and the other is above it where float64 tells them apart."""
    with mpmath.workdps(50):
        centre = mpmath.exp(-mpmath.mpf(variance)) * mpmath.besseli(0, variance)
        assert mpmath.erf(1 / (exact_deviation(Skellam(variance)) * mpmath.sqrt(8))) > centre


@pytest.mark.parametrize(("sigma", "number", "told"), RIPPLES)
def test_ripple_is_within_1e_11_of_forty_digits_and_never_below(sigma: float, number: int, told: float) -> None:
    with mpmath.workdps(40):
        exact = exact_ripple(Shares(sigma, number))
        assert exact < ripple(sigma, number) <= exact * (1 + mpmath.mpf("1e-11"))
        assert ripple(sigma, number) == pytest.approx(told, rel=1e-7)


def test_ripple_of_one_noise_share_is_nothing_and_that_of_many_a_bound() -> None:
    assert ripple(0.5, 1) == 0
    with mpmath.workdps(30):
        assert (
            exact_ripple(Shares(1.0, 1201))
            < ripple(1.0, 1201)
            < exact_ripple(Shares(1.0, 1201)) * (1 + mpmath.mpf("1e-3"))
        )


def test_ripple_is_felt_from_a_million_million_noise_shares_on() -> None:
    lost = [1 - deviation_of(Shares(2.0, number)) ** 2 / (4 * number) for number in (10**6, 10**12, 2**53)]
    assert lost == pytest.approx([2.1e-8, 2.3e-4, 0.687], rel=0.02)


MISTAKES: Final[dict[str, list[tuple[Noise, Callable[[Any], float], float]]]] = {
    "the same sigma": [
        (Shares(1.0), lambda noise: noise.sigma, 0.3829249225),
        (Shares(2.0), lambda noise: noise.sigma, 0.1974126514),
    ],
    "0.08 for 1/12": [
        (Shares(1.0), lambda noise: math.sqrt(noise.sigma**2 - 0.08), 0.3978324723),
        (Shares(2.0), lambda noise: math.sqrt(noise.sigma**2 - 0.08), 0.1993748593),
    ],
    "the same variance": [
        (Skellam(4.0), lambda noise: math.sqrt(noise.variance), 0.1974126514),
        (Skellam(25.0), lambda noise: math.sqrt(noise.variance), 0.0796556746),
    ],
    "m - 0.33": [
        (Skellam(4.0), lambda noise: math.sqrt(noise.variance - 0.33), 0.2059058544),
        (Skellam(25.0), lambda noise: math.sqrt(noise.variance - 0.33), 0.0801848793),
    ],
    "without the ripple": [
        (
            Shares(0.7, 2),
            lambda noise: math.sqrt((1 + math.sqrt(1 - 1 / (3 * 0.98))) / 2 * 0.98),
            0.4042932203,
        ),
    ],
}
RIGHT: Final = {
    Shares(1.0): (0.3989422783, 0.4001718259),
    Shares(2.0): (0.1994711402, 0.1995030843),
    Skellam(4.0): (0.2070019212, 0.2112043234),
    Skellam(25.0): (0.0801967736, 0.0805797738),
    Shares(0.7, 2): (0.4092872307, 0.4168842834),
}


def total_variation(noise: Noise) -> float:
    """Return the total variation between X and X + 1, which is p(0)."""
    found = law(noise)
    return float(np.abs(np.diff(found)).sum() / 2)


def is_dominated(noise: Noise, deviation: float) -> bool:
    """Return whether X and X + 1 are no easier to tell apart than Gaussian noise of a deviation makes them."""
    return total_variation(noise) <= gaussian_total_variation(deviation)


@pytest.mark.parametrize("noise", [*RIGHT, *(noise for noise, _ in DEVIATIONS)], ids=str)
def test_total_variation_is_at_most_that_of_the_gaussian(noise: Noise) -> None:
    assert is_dominated(noise, deviation_of(noise))


@pytest.mark.parametrize("noise", RIGHT, ids=str)
def test_total_variations_are_those_of_the_table(noise: Noise) -> None:
    told, bound = RIGHT[noise]
    assert f"| {total_variation(noise):.10f} | {gaussian_total_variation(deviation_of(noise)):.10f} |" in PAGE
    assert total_variation(noise) == pytest.approx(told, abs=1e-10)
    assert gaussian_total_variation(deviation_of(noise)) == pytest.approx(bound, abs=1e-10)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistaken_formulas_fail_the_very_same_check(mistake: str) -> None:
    for noise, formula, told in MISTAKES[mistake]:
        assert is_dominated(noise, deviation_of(noise))
        assert not is_dominated(noise, formula(noise))
        assert gaussian_total_variation(formula(noise)) == pytest.approx(told, abs=1e-10)
        assert f": {told:.10f}" in PAGE


def test_calibration_gives_the_known_figures() -> None:
    assert least_local_sigma(10.0, 1) == pytest.approx(10.0041693, abs=1e-7)
    assert least_skellam_variance(10.0) == pytest.approx(100.5805072, abs=1e-7)
    assert least_local_sigma(2.0, 1) == pytest.approx(2.02116461, abs=1e-8)
    assert least_skellam_variance(2.0) == pytest.approx(4.52332790, abs=1e-8)


def enough(deviation: float, contributors: int) -> list[tuple[float, Callable[[float], LatticeEvent]]]:
    """Return the calibrated parameters of both kinds of noise, and what makes an event of a parameter."""
    sigma, variance = least_local_sigma(deviation, contributors), least_skellam_variance(deviation)
    assert sigma is not None
    assert variance is not None
    return [
        (sigma, lambda value: event_of(Shares(value, contributors))),
        (variance, lambda value: event_of(Skellam(value))),
    ]


@pytest.mark.parametrize("contributors", [1, 7, 100])
@pytest.mark.parametrize("deviation", [0.45, 0.7, 1.0, 2.0, 10.0, 547.3, 1e6, 1e9])
def test_calibrated_noise_is_enough_and_hardly_more(deviation: float, contributors: int) -> None:
    if contributors > 1 and deviation < 0.51 * math.sqrt(contributors):
        return
    for parameter, event in enough(deviation, contributors):
        found = dominating_deviation(event(parameter))
        assert found is not None
        assert found >= deviation
        less = dominating_deviation(event(parameter * (1 - 1e-9)))
        assert less is None or less < deviation or contributors > 1


def test_calibrated_noise_shares_are_hardly_more_than_enough() -> None:
    """The bound on the ripple is that of a smaller parameter, which counts below a parameter of 1 only."""
    for deviation, contributors, part in ((20.0, 100, 1e-9), (5.0, 20, 1e-5), (3.0, 10, 1e-3)):
        sigma = least_local_sigma(deviation, contributors)
        assert sigma is not None
        less = dominating_deviation(event_of(Shares(max(sigma * (1 - part), 0.5), contributors)))
        assert less is None or less < deviation


@pytest.mark.parametrize("deviation", [1e-3, 0.4, 0.408])
def test_calibration_finds_nothing_for_deviations_that_the_method_does_not_reach(deviation: float) -> None:
    """Every noise with a bound at all has a deviation of more than sqrt(1/6), the least of the formula."""
    assert needed_curvature(deviation) is None
    assert least_local_sigma(deviation, 1) is None
    assert least_skellam_variance(deviation) is None


def test_calibration_finds_no_thin_noise_shares_and_no_thin_skellam_noise() -> None:
    assert least_local_sigma(1.0, 100) is None
    assert least_skellam_variance(0.42) is None
    assert needed_curvature(0.42) is not None


@pytest.mark.parametrize("deviation", [0.41, 1.0, 3.7, 1e5, 1e15])
def test_needed_curvature_is_rounded_down(deviation: float) -> None:
    with mpmath.workdps(60):
        square = mpmath.mpf(deviation) ** 2
        exact = 1 / square - 1 / (12 * square**2)
        found = needed_curvature(deviation)
        assert found is not None
        assert exact * (1 - mpmath.mpf("1e-10")) <= found < exact


@pytest.mark.parametrize("sensitivity", [1.0, 3.0, 0.1, 1e6 / 7])
@pytest.mark.parametrize("noise", [Shares(2.0, 100), Skellam(25.0)], ids=str)
def test_noise_multiplier_is_the_deviation_over_the_sensitivity_rounded_down(noise: Noise, sensitivity: float) -> None:
    found = dominating_gaussian(event_of(noise, l2_sensitivity=sensitivity, dimension=10))
    assert found is not None
    with mpmath.workdps(40):
        exact = exact_deviation(noise) / mpmath.mpf(sensitivity)
        assert exact * (1 - mpmath.mpf("1e-11")) <= found.noise_multiplier < exact


def test_relation_and_unit_stay_and_dimension_does_not_matter() -> None:
    found = dominating_gaussian(event_of(Skellam(25.0), dimension=7))
    assert found is not None
    assert found.relation is ADD_OR_REMOVE
    assert found == dominating_gaussian(event_of(Skellam(25.0), dimension=2**53))
    event = SkellamEvent(
        variance=25.0, contributors=1, l2_sensitivity=1.0, dimension=7, unit=PrivacyUnit.EXAMPLE, relation=ADD_OR_REMOVE
    )
    example = dominating_gaussian(event)
    assert example is not None
    assert example.unit is PrivacyUnit.EXAMPLE
    assert example.noise_multiplier == found.noise_multiplier


def test_gaussian_noise_dominates_itself() -> None:
    event = GaussianEvent(noise_multiplier=0.01)
    assert dominating_gaussian(event) == event


@pytest.mark.parametrize(
    ("noise", "reason"),
    [
        (Skellam(0.5999), "Skellam noise of a variance below 0.6"),
        (Skellam(1e-30), "Skellam noise of a variance below 0.6"),
        (Shares(0.5), "a discrete Gaussian of a parameter of 0.58 or less"),
        (Shares(0.57735), "a discrete Gaussian of a parameter of 0.58 or less"),
        (Shares(0.5, 2000), "too many discrete Gaussian noise shares of too small a parameter"),
        (Shares(0.5, 2**53), "too many discrete Gaussian noise shares of too small a parameter"),
    ],
    ids=str,
)
def test_noise_without_a_dominating_gaussian_has_a_reason(noise: Noise, reason: str) -> None:
    event = event_of(noise)
    assert dominating_deviation(event) is None
    assert dominating_gaussian(event) is None
    assert no_gaussian_reason(event) == reason
    repeated = RepeatedEvent(times=3, event=PoissonSampledEvent(sampling_rate=0.1, event=event))
    assert no_gaussian_reason(repeated) == reason


def test_gaussian_noise_has_no_reason() -> None:
    with pytest.raises(TypeError, match="found Gaussian noise"):
        no_gaussian_reason(GaussianEvent(noise_multiplier=1.0))


def test_extreme_events_have_a_deviation_below_their_own() -> None:
    for noise in (Shares(1e30, 2**53), Shares(0.58, 1), Shares(1e30, 1), Skellam(1e30), Skellam(0.6)):
        event = event_of(noise, l2_sensitivity=1e10)
        found = dominating_gaussian(event)
        assert found is not None
        assert 0 < found.noise_multiplier < event.noise_multiplier
    assert isinstance(event_of(Shares(1.0)), DistributedDiscreteGaussianEvent)
