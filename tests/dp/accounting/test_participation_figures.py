"""The figures of `docs/participation.md` in multiple precision, and the product's account of the same releases."""

import math
from typing import Any, Final

import mpmath  # type: ignore[import-untyped]  # dp-accounting brings it; it has no type information
import pytest

from dp.accounting.guarantee import guarantee
from dp.events import GaussianEvent
from tests.support.exact_gaussian import exact_delta

ROUNDING: Final = 1e-15
"""How far the last digits of the figures may be off, relatively."""

# delta, noise multiplier, participations, epsilon
ACCOUNTED: Final = [
    ("1/3400", "1.069", 1, "3.2360047468307585"),
    ("1/3400", "1.069", 10, "13.883161052112372"),
    ("1/3400", "1.069", 44, "39.785226474286760"),
    ("1/3400", "1.069", 45, "40.462018628536496"),
    ("1/3400", "1.069", 46, "41.136195287087868"),
    ("1/3400", "1.069", 90, "69.036271906034470"),
    ("1/3400", "1.069", 1500, "779.87177305758087"),
    ("1/3400", "4.33", 45, "6.0021545688900888"),
    ("1/3400", "25", 1500, "6.0019342721621610"),
    ("1e-3", "1", 1, "3.1386705485829392"),
    ("1e-3", "1", 4, "7.5812799245701138"),
    ("1e-3", "4", 30, "4.6508966586209505"),
    ("1e-3", "10", 30, "1.5085811570108981"),
    ("1e-5", "1", 1, "4.3771780956812246"),
    ("1e-5", "4", 4, "1.9930914044151196"),
    ("1e-5", "4", 30, "6.3257153938762004"),
    ("1e-6", "4", 30, "7.0167885600669276"),
    ("1e-6", "10", 4, "0.83411754862405235"),
    ("2.94117e-4", "1.069", 45, "40.462022393641580"),
    ("2.94117e-4", "1.069", 1500, "779.87179465365263"),
]

# delta, epsilon, the largest mu
BUDGETS: Final = [
    ("1/3400", 1, "0.34378780252200978"),
    ("1/3400", 2, "0.62378584392999323"),
    ("1/3400", 3, "0.87819866874750651"),
    ("1/3400", 6, "1.5487942976664055"),
    ("1/3400", 10, "2.3101141133640741"),
    ("2.94117e-4", 6, "1.5487940998514465"),
    ("1e-3", 1, "0.38840124830658448"),
    ("1e-3", 2, "0.69192700214174772"),
    ("1e-3", 4, "1.2149521459845534"),
    ("1e-3", 6, "1.6711985249610491"),
    ("1e-3", 8, "2.0832736454596379"),
    ("1e-6", 6, "1.1963042725041234"),
    ("1e-5", 1, "0.26805112321129422"),
    ("1e-5", 2, "0.50155168916965666"),
    ("1e-5", 4, "0.92493089766693634"),
    ("1e-5", 6, "1.3095258394060230"),
    ("1e-5", 8, "1.6660305978457182"),
]
MU: Final = {(delta, epsilon): mu for delta, epsilon, mu in BUDGETS}


def number(text: str) -> Any:
    """Return the number that a text stands for, in multiple precision."""
    numerator, _, denominator = text.partition("/")
    return mpmath.mpf(numerator) / mpmath.mpf(denominator or 1)


@pytest.mark.parametrize(("delta", "noise_multiplier", "times", "epsilon"), ACCOUNTED)
def test_participations_cost_what_the_exact_account_says(
    delta: str, noise_multiplier: str, times: int, epsilon: str
) -> None:
    with mpmath.workdps(60):
        mu = mpmath.sqrt(times) / number(noise_multiplier)
        less, more = (exact_delta(mu, number(epsilon) * (1 + change)) for change in (ROUNDING, -ROUNDING))
        assert less < number(delta) < more
        event = GaussianEvent(noise_multiplier=float(noise_multiplier))
        found = guarantee({event: times}, delta=float(number(delta))).epsilon
        assert -1e-15 <= found / number(epsilon) - 1 <= 1e-7


@pytest.mark.parametrize(("delta", "epsilon", "mu"), BUDGETS)
def test_largest_mu_of_a_budget(delta: str, epsilon: int, mu: str) -> None:
    with mpmath.workdps(60):
        less, more = (exact_delta(number(mu) * (1 + change), epsilon) for change in (-ROUNDING, ROUNDING))
        assert less < number(delta) < more


@pytest.mark.parametrize(
    ("delta", "epsilon", "times", "noise_multiplier"),
    [
        ("1/3400", 6, 45, "4.3312426592780803"),
        ("1/3400", 6, 50, "4.5655306340677856"),
        ("1/3400", 6, 1500, "25.006441152597902"),
        ("2.94117e-4", 6, 45, "4.3312432124727170"),
        ("2.94117e-4", 6, 1500, "25.006444346468626"),
    ],
)
def test_noise_multiplier_of_a_cap(delta: str, epsilon: int, times: int, noise_multiplier: str) -> None:
    with mpmath.workdps(60):
        exact = mpmath.sqrt(times) / number(MU[delta, epsilon])
        assert abs(exact / number(noise_multiplier) - 1) < ROUNDING
        enough = GaussianEvent(noise_multiplier=float(exact) * (1 + 1e-8))
        assert guarantee({enough: times}, delta=float(number(delta))).epsilon <= epsilon


def test_four_digits_rounded_down_miss_the_budget() -> None:
    """Noise multipliers 4.33 and 25.0 do not reach epsilon 6; the next four digits above do."""
    delta = 1 / 3400
    for noise_multiplier, times, within in [
        (4.33, 45, False),
        (25.0, 1500, False),
        (4.3313, 45, True),
        (25.007, 1500, True),
    ]:
        event = GaussianEvent(noise_multiplier=noise_multiplier)
        assert (guarantee({event: times}, delta=delta).epsilon <= 6) is within


def test_least_cap_counts_those_asked() -> None:
    assert [math.ceil(1500 * asked / 3400) for asked in (100, 112)] == [45, 50]


@pytest.mark.parametrize(
    ("epsilon", "delta", "order", "more_noise"),
    [
        (8, "1e-3", "2.78399352847068", "1.08341065965291"),
        (4, "1e-3", "4.00389097727286", "1.09834703130849"),
        (2, "1e-3", "6.13335719491754", "1.11279903688251"),
        (6, "1/3400", "3.58576411072218", "1.08162790536973"),
        (6, "1e-6", "5.35949112335204", "1.05855442354039"),
    ],
)
def test_renyi_filter_needs_more_noise_than_the_gaussian_filter(
    epsilon: int, delta: str, order: str, more_noise: str
) -> None:
    """At the best order that is fixed beforehand: sums of a mu^2 / 2 up to B(a), arXiv 2004.00010v4, Proposition 12."""
    with mpmath.workdps(40):

        def largest_square(a: Any) -> Any:
            budget = epsilon - mpmath.log((a - 1) / a) + (mpmath.log(number(delta)) + mpmath.log(a)) / (a - 1)
            return 2 * budget / a

        best = mpmath.findroot(lambda a: mpmath.diff(largest_square, a), number(order))
        assert abs(best / number(order) - 1) < 1e-14
        ratio = number(MU[delta, epsilon]) / mpmath.sqrt(largest_square(best))
        assert abs(ratio / number(more_noise) - 1) < 1e-14
