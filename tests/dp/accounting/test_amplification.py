"""The oracle is enumeration: both directions summed term by term over the lattice, in 60-digit decimals."""

import math
from collections.abc import Callable
from decimal import Decimal, localcontext
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from dp.accounting.amplification import (
    MAXIMUM_ORDER,
    KnownDivergences,
    SubsampledDivergences,
    SubsamplingBound,
    subsampled_divergences,
)
from dp.errors import InvalidParameter

HIGHEST = 32
RATES = ("0.001", "0.01", "0.1", "0.5")
SIGMAS = ("0.7", "1", "2", "5")
DIGITS = 60
Law = dict[int, Decimal]


def discrete_gaussian_law(sigma: str) -> Law:
    """Return the weights within 25 sigma and 40 steps, without the constant that makes them a law."""
    reach = math.ceil(25 * float(sigma)) + 40
    return {x: (-Decimal(x * x) / (2 * Decimal(sigma) ** 2)).exp() for x in range(-reach, reach + 1)}


def skellam_law(sigma: str) -> Law:
    """Return I_|x|(2 mu) by its series, where mu = sigma^2 / 2 is the mean of each of the two Poisson variables."""
    mu = Decimal(sigma) ** 2 / 2
    reach = math.ceil(14 * float(sigma)) + 110

    def bessel(k: int) -> Decimal:
        term = math.prod((mu / i for i in range(1, k + 1)), start=Decimal(1))
        total, m = term, 0
        while term > total * Decimal(10) ** -DIGITS:
            m += 1
            term *= mu * mu / (m * (m + k))
            total += term
        return total

    weights = [bessel(k) for k in range(reach + 1)]
    return {x: weights[abs(x)] for x in range(-reach, reach + 1)}


def shifted_pair(law: Law, shift: int) -> tuple[list[Decimal], list[Decimal]]:
    """Return P and P + shift on the points where both are enumerated, each with total 1."""
    points = [x for x in law if x - shift in law]
    return normalised([law[x] for x in points]), normalised([law[x - shift] for x in points])


def normalised(weights: list[Decimal]) -> list[Decimal]:
    total = sum(weights, Decimal(0))
    return [weight / total for weight in weights]


def divergences(first: list[Decimal], second: list[Decimal]) -> list[float]:
    """Return D_a(first || second) for a = 2, ..., 32."""
    ratios = [p / q for p, q in zip(first, second, strict=True)]
    terms, result = list(first), []
    for order in range(2, HIGHEST + 1):
        terms = [term * ratio for term, ratio in zip(terms, ratios, strict=True)]
        result.append(float(sum(terms, Decimal(0)).ln() / (order - 1)))
    return result


def exact_directions(without: list[Decimal], added: list[Decimal], rate: str) -> tuple[list[float], list[float]]:
    q = Decimal(rate)
    mixed = [(1 - q) * p + q * shifted for p, shifted in zip(without, added, strict=True)]
    return divergences(mixed, without), divergences(without, mixed)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("sigma", SIGMAS)
@pytest.mark.parametrize("law", [discrete_gaussian_law, skellam_law])
def test_expansion_is_exact_in_one_direction_and_above_the_other(
    law: Callable[[str], Law], sigma: str, rate: str
) -> None:
    with localcontext(prec=DIGITS):
        without, added = shifted_pair(law(sigma), 1)
        adding, removing = exact_directions(without, added, rate)
        found = subsampled_divergences(
            divergences(added, without), sampling_rate=float(rate), known=KnownDivergences.BOTH_DIRECTIONS
        )
    assert found.bound is SubsamplingBound.BINOMIAL_EXPANSION
    assert found.divergences.tolist() == pytest.approx(adding, rel=1e-9, abs=0)
    assert (found.divergences >= adding).all()
    assert (found.divergences >= removing).all()
    assert (np.array(adding) > removing).all()


@pytest.mark.parametrize("rate", RATES)
def test_expansion_holds_for_larger_shifts_and_bounds_known_from_above(rate: str) -> None:
    shift, sigma = 3, 2.0
    with localcontext(prec=DIGITS):
        adding, removing = exact_directions(*shifted_pair(discrete_gaussian_law("2"), shift), rate)
    bounds = [order * shift**2 / (2 * sigma**2) for order in range(2, HIGHEST + 1)]
    found = subsampled_divergences(
        bounds, sampling_rate=float(rate), known=KnownDivergences.BOTH_DIRECTIONS
    ).divergences
    assert (found >= np.maximum(adding, removing)).all()
    assert (found <= bounds).all()


def arbitrary_pair(seed: int) -> tuple[list[Decimal], list[Decimal]]:
    generator = np.random.default_rng(seed)
    first, second = (
        normalised([Decimal(float(x)) for x in np.exp((0.2 + seed / 3) * generator.normal(size=4))]) for _ in range(2)
    )
    return first, second


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("rate", RATES)
def test_both_bounds_cover_both_directions_of_arbitrary_pairs(rate: str, seed: int) -> None:
    with localcontext(prec=DIGITS):
        without, added = arbitrary_pair(seed)
        one = divergences(added, without)
        both = np.maximum(one, divergences(without, added))
        truth = np.maximum(*exact_directions(without, added, rate))
    expanded = subsampled_divergences(both, sampling_rate=float(rate), known=KnownDivergences.BOTH_DIRECTIONS)
    generic = subsampled_divergences(one, sampling_rate=float(rate), known=KnownDivergences.WITH_AGAINST_WITHOUT)
    assert expanded.bound is SubsamplingBound.BINOMIAL_EXPANSION
    assert generic.bound is SubsamplingBound.GENERIC
    assert (expanded.divergences >= truth).all()
    assert (generic.divergences >= truth).all()


@pytest.mark.parametrize("rate", ["0.01", "0.5", "0.99"])
@pytest.mark.parametrize("seed", range(12))
def test_removal_is_below_the_weighted_mean_of_the_lemma(seed: int, rate: str) -> None:
    with localcontext(prec=DIGITS):
        without, added = arbitrary_pair(seed)
        forward, removing = exact_directions(without, added, rate)
        backward, _ = exact_directions(added, without, rate)
    q = float(rate)
    for order in range(2, HIGHEST + 1):
        weight = 3 * (1 - q) / (3 + 2 * (order - 2) * q)
        ours, first, second = (math.expm1((order - 1) * one[order - 2]) for one in (removing, forward, backward))
        assert ours <= (weight * first + (1 - weight) * second) * (1 + 1e-9)


def test_expansion_of_one_direction_alone_would_be_wrong_for_lopsided_pairs() -> None:
    rate = 0.5
    with localcontext(prec=DIGITS):
        without, added = [Decimal("0.5"), Decimal("0.5")], [Decimal("0.999"), Decimal("0.001")]
        _, removing = exact_directions(without, added, str(rate))
        one = divergences(added, without)
    generic = subsampled_divergences(one, sampling_rate=rate, known=KnownDivergences.WITH_AGAINST_WITHOUT).divergences
    assert (expansion(one, rate).divergences < removing).any()
    assert (generic >= removing).all()


@pytest.mark.parametrize("rate", [1e-4, 0.01, 0.3])
def test_expansion_is_below_the_bound_with_factor_three(rate: float) -> None:
    bounds = [order / 8 for order in range(2, HIGHEST + 1)]
    found = expansion(bounds, rate).divergences
    for order in range(2, HIGHEST + 1):
        terms = [
            math.comb(order, j) * (1 - rate) ** (order - j) * rate**j * math.exp((j - 1) * bounds[j - 2])
            for j in range(2, order + 1)
        ]
        constant = (1 - rate) ** (order - 1) * (order * rate - rate + 1)
        tripled = math.log(constant + terms[0] + 3 * sum(terms[1:])) / (order - 1)
        assert found[order - 2] <= tripled * (1 + 1e-6)
    assert found[-1] < 0.99 * tripled


def test_generic_bound_is_the_larger_of_its_two_directions() -> None:
    bounds = [0.3, 0.5, 0.6, 1.0]
    for rate in (1e-4, 0.05, 0.6):
        found = subsampled_divergences(bounds, sampling_rate=rate, known=KnownDivergences.WITH_AGAINST_WITHOUT)
        for order in range(2, 6):
            factor = (1 - rate) ** (1 - order) - 1 - (order - 1) * rate
            removing = min(-math.log(1 - rate), math.log1p(factor * math.expm1(0.3)) / (order - 1))
            expected = max(removing, expansion(bounds, rate).divergences[order - 2])
            assert found.divergences[order - 2] == pytest.approx(expected, rel=1e-6)


def expansion(bounds: list[float], rate: float) -> SubsampledDivergences:
    return subsampled_divergences(bounds, sampling_rate=rate, known=KnownDivergences.BOTH_DIRECTIONS)


def test_expansion_agrees_with_the_sampled_gaussian_of_dp_accounting() -> None:
    from dp_accounting import PoissonSampledDpEvent
    from dp_accounting.dp_event import GaussianDpEvent
    from dp_accounting.rdp import RdpAccountant

    orders = list(range(2, 257))
    accountant = RdpAccountant(orders).compose(PoissonSampledDpEvent(0.01, GaussianDpEvent(1.5)))
    found = expansion([order / (2 * 1.5**2) for order in orders], 0.01)
    assert found.divergences.tolist() == pytest.approx(list(accountant.rdp), rel=1e-6)


@pytest.mark.parametrize("rate", [0.01, 1.0])
@pytest.mark.parametrize("known", KnownDivergences)
def test_orders_that_are_asked_for_are_those_of_all(known: KnownDivergences, rate: float) -> None:
    bounds, orders = np.linspace(0.1, 4, 40), np.array([41, 2, 7, 7])
    every = subsampled_divergences(bounds, sampling_rate=rate, known=known)
    some = subsampled_divergences(bounds, sampling_rate=rate, known=known, orders=orders)
    assert some.divergences.tolist() == every.divergences[orders - 2].tolist()
    assert some.bound is every.bound
    with pytest.raises(ValueError, match="read-only"):
        some.divergences[0] = 0


@pytest.mark.parametrize("known", KnownDivergences)
def test_divergences_grow_with_the_rate_and_with_each_bound(known: KnownDivergences) -> None:
    bounds = np.linspace(0.1, 4, 40)

    def found(given: Any, rate: float) -> Any:
        return subsampled_divergences(given, sampling_rate=rate, known=known).divergences

    for lower, higher in pairwise((1e-6, 1e-3, 0.1, 0.7, 1.0)):
        assert (found(bounds, lower)[:3] < found(bounds, higher)[:3]).all()
        assert (found(bounds, lower) <= found(bounds, higher)).all()
    for index in range(len(bounds)):
        raised = bounds.copy()
        raised[index] *= 1.5
        assert (found(raised, 0.1) >= found(bounds, 0.1)).all()


def test_ends_of_the_range() -> None:
    assert expansion([0.25, 0.5], 1).divergences.tolist() == [0.25, 0.5]
    assert expansion([0, 0, 0], 0.3).divergences.tolist() == [0, 0, 0]
    infinite = expansion([0.5, math.inf, 2.0], 0.3).divergences
    assert 0 < infinite[0] < 0.5
    assert infinite[1] == math.inf
    assert infinite[2] == 2.0
    one_direction = subsampled_divergences([0.25], sampling_rate=1, known=KnownDivergences.WITH_AGAINST_WITHOUT)
    assert one_direction.divergences.tolist() == [math.inf]
    huge = expansion([1e306] * 600, 1e-300).divergences
    assert (huge <= 1e306).all()


def test_result_is_read_only_and_the_argument_untouched() -> None:
    given = np.array([0.25, 0.5])
    for rate in (0.5, 1.0):
        found = subsampled_divergences(given, sampling_rate=rate, known=KnownDivergences.BOTH_DIRECTIONS)
        with pytest.raises(ValueError, match="read-only"):
            found.divergences[0] = 0
    assert given.flags.writeable
    assert given.tolist() == [0.25, 0.5]


@pytest.mark.parametrize("rate", [0, -0.1, 1.1, math.nan, math.inf, True, "0.1", None])
def test_bad_sampling_rates_are_refused(rate: Any) -> None:
    with pytest.raises(InvalidParameter, match="sampling_rate"):
        subsampled_divergences([0.5], sampling_rate=rate, known=KnownDivergences.BOTH_DIRECTIONS)


@pytest.mark.parametrize(
    "given",
    [
        [],
        [-0.1],
        [math.nan],
        [[0.5]],
        [True, 0.5],
        [np.True_, 0.5],
        ["0.5"],
        [1j],
        [[0.5], 0.5],
        0.5,
        None,
        [0.0] * MAXIMUM_ORDER,
    ],
)
def test_bad_divergences_are_refused(given: Any) -> None:
    with pytest.raises(InvalidParameter, match="divergences"):
        subsampled_divergences(given, sampling_rate=0.1, known=KnownDivergences.BOTH_DIRECTIONS)


@pytest.mark.parametrize(
    "orders",
    [
        np.array([1]),
        np.array([4]),
        np.array([2, 3, 4]),
        np.array([], dtype=np.int64),
        np.array([[2]]),
        np.array([2.0]),
        np.array([True]),
        [2],
        2,
    ],
)
def test_bad_orders_are_refused(orders: Any) -> None:
    with pytest.raises(InvalidParameter, match="orders"):
        subsampled_divergences([0.5, 0.6], sampling_rate=0.1, known=KnownDivergences.BOTH_DIRECTIONS, orders=orders)


def test_directions_given_as_text_are_refused() -> None:
    with pytest.raises(InvalidParameter, match="known"):
        subsampled_divergences([0.5], sampling_rate=0.1, known="both")  # type: ignore[arg-type]
