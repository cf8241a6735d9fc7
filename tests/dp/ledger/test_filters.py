"""Privacy filters: what they admit, what they refuse, and two adversaries that a filter by curves would not stop."""

import math
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dp.accounting.gaussian_curve import largest_mu, least_multiplier
from dp.accounting.guarantee import Claim, guarantee
from dp.accounting.lattice import dominating_gaussian
from dp.accounting.privacy_loss import gaussian_epsilon
from dp.accounting.renyi_order import divergence_at, renyi_budget
from dp.calibration.least_noise import calibrate_noise
from dp.errors import BudgetExceeded, IncompatibleEvent
from dp.events import (
    DistributedDiscreteGaussianEvent,
    GaussianEvent,
    NoisyEvent,
    PoissonSampledEvent,
    PrivacyEvent,
    PrivacyUnit,
    RepeatedEvent,
    SkellamEvent,
)
from dp.ledger.filters import UNITS, GaussianFilter, RenyiFilter
from dp.ledger.ledger import Ledger
from dp.ledger.participation import Accounting
from dp.noise.distributed import DistributedDiscreteGaussian, DistributedSkellam
from tests.support.cohorts import DELTA, EITHER, EVENT, SAMPLED, CohortLedger, filtered, population
from tests.support.ledgers import ticks

DISCRETE: Final = DistributedDiscreteGaussianEvent(
    local_sigma=2.0, contributors=1, l2_sensitivity=1.0, dimension=1 << 20
)
SKELLAM: Final = SkellamEvent(variance=40.0, contributors=1, l2_sensitivity=2.0, dimension=650)
THIN: Final = SkellamEvent(variance=0.5, contributors=1, l2_sensitivity=0.2, dimension=2)


@pytest.mark.parametrize(("epsilon", "delta"), [(6.0, 2.94117e-4), (1.0, 1e-3), (8.0, 1e-5), (0.3, 1e-9)])
@pytest.mark.parametrize("releases", [1, 2, 45, 300])
def test_noise_calibrated_for_a_number_of_releases_is_admitted_that_often(
    epsilon: float, delta: float, releases: int
) -> None:
    multiplier = least_multiplier(left=largest_mu(epsilon, delta) ** 2, releases=releases)
    event = GaussianEvent(noise_multiplier=multiplier)
    with filtered(2, epsilon=epsilon, delta=delta).open() as ledger:
        for number in range(releases):
            assert ledger.remaining(event) == releases - number
            ledger.reserve(event, "round", participants=[1])
        with pytest.raises(BudgetExceeded, match=r"would charge \d.*where 0.* is left of \d.*gaussian-filter of eps"):
            ledger.reserve(event, "round", participants=[1])
        spent = ledger.spent()
        assert spent.used is not None
        assert 1 - 1e-12 < spent.used <= 1
        assert spent.epsilon == epsilon
        assert epsilon * (1 - 1e-6) < spent.least_bound <= epsilon
        assert ledger.remaining(event, participants=[0]) == releases


@pytest.mark.parametrize("mechanism", [DistributedDiscreteGaussian, DistributedSkellam])
@pytest.mark.parametrize(("epsilon", "releases"), [(6.0, 45), (1.5, 300)])
def test_integer_noise_calibrated_for_a_number_of_releases_is_admitted_that_often(
    mechanism: type[DistributedDiscreteGaussian] | type[DistributedSkellam], epsilon: float, releases: int
) -> None:
    noise = calibrate_noise(
        mechanism,
        epsilon=epsilon,
        delta=2.94117e-4,
        releases=releases,
        l2_sensitivity=4000.0,
        dimension=1 << 20,
        minimum_contributors=100,
    )
    with filtered(3400, epsilon=epsilon, delta=2.94117e-4).open() as ledger:
        assert ledger.remaining(noise.event) == releases
    exact = least_multiplier(left=largest_mu(epsilon, 2.94117e-4) ** 2, releases=releases)
    assert exact <= noise.event.noise_multiplier <= exact * 1.0005


@given(
    st.lists(st.tuples(st.floats(2.0, 40.0), st.sampled_from([1, 2, 7])), min_size=1, max_size=25),
    st.sampled_from([1.0, 4.0]),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_gaussian_filter_admits_what_plain_fractions_admit(noises: list[tuple[float, int]], epsilon: float) -> None:
    limit, total = Fraction(largest_mu(epsilon, DELTA)) ** 2, Fraction(0)
    with filtered(1, epsilon=epsilon).open() as ledger:
        for multiplier, times in noises:
            event = RepeatedEvent(times=times, event=GaussianEvent(noise_multiplier=multiplier))
            charge = times / Fraction(multiplier) ** 2
            fits = ledger.remaining(event)
            assert total + fits * charge <= limit < total + (fits + 1) * charge
            if fits:
                ledger.reserve(event, "round", participants=[0])
                total += charge
            else:
                with pytest.raises(BudgetExceeded):
                    ledger.reserve(event, "round", participants=[0])
        charged, left, most = ledger.charged(), ledger.left(), ledger.limit
        assert charged is not None
        assert left is not None
        assert most is not None
        assert limit * (1 - Fraction(1, 2**50)) <= Fraction(most) <= limit
        assert total <= Fraction(charged) <= total * (1 + Fraction(1, 2**50))
        assert Fraction(left) <= limit - total
        assert Fraction(left) >= limit - total - limit * Fraction(1, 2**50)


def test_charges_are_rounded_up_and_limits_down() -> None:
    rule = GaussianFilter(epsilon=6.0, delta=DELTA)
    square = Fraction(largest_mu(6.0, DELTA)) ** 2
    assert Fraction(rule.limit) <= square
    for event in (
        EVENT,
        DISCRETE,
        SKELLAM,
        GaussianEvent(noise_multiplier=1e30),
        GaussianEvent(noise_multiplier=1e-30),
    ):
        gaussian = dominating_gaussian(event)
        assert gaussian is not None
        exact = 1 / Fraction(gaussian.noise_multiplier) ** 2
        assert exact <= Fraction(rule.units(event), UNITS) * Fraction(rule.limit)
        assert exact <= Fraction(rule.charge(event))
        assert rule.units(event) <= exact / Fraction(rule.limit) * UNITS + 1


def test_integer_noise_is_charged_as_the_gaussian_that_dominates_it() -> None:
    """With sigma in place of s the charge would be too small."""
    rule = GaussianFilter(epsilon=6.0, delta=DELTA)
    assert rule.charge(DISCRETE) == pytest.approx(1 / (4 - 1 / 12), rel=1e-3)
    assert rule.charge(DISCRETE) > 1 / 4 * 1.02
    assert rule.charge(SKELLAM) == pytest.approx(4 / (40 - 7 / 12), rel=1e-3)


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (SAMPLED, "a sampled release"),
        (RepeatedEvent(times=2, event=SAMPLED), "a sampled release"),
        (
            SkellamEvent(variance=0.5, contributors=1, l2_sensitivity=0.2, dimension=2, relation=EITHER),
            "Skellam noise of a variance below 0.6, for which no such noise is known",
        ),
    ],
)
def test_gaussian_filter_refuses_what_no_gaussian_describes(event: PrivacyEvent, reason: str) -> None:
    with filtered(9, relation=EITHER, participation=None).open() as ledger:
        for use in (
            lambda: ledger.reserve(event, "round"),
            lambda: ledger.check(event, label="round", contributors=1),
            lambda: ledger.remaining(event),
        ):
            with pytest.raises(IncompatibleEvent, match=rf"found .*{reason}.*Make a ledger with .*renyi-filter"):
                use()
        assert ledger.entries() == ()


def test_renyi_filter_takes_every_event() -> None:
    events: list[PrivacyEvent] = [SAMPLED, SAMPLED.event, RepeatedEvent(times=3, event=SAMPLED)]
    events += [PoissonSampledEvent(sampling_rate=0.01, event=event) for event in _either(DISCRETE, SKELLAM, THIN)]
    events += _either(DISCRETE, SKELLAM, THIN)
    stored = CohortLedger(9, relation=EITHER, participation=None, epsilon=1e3, accounting=Accounting.RENYI_FILTER)
    with stored.open() as ledger:
        order = ledger.budget.order
        assert order is not None
        for event in events:
            ledger.reserve(event, "round")
        total = math.fsum(divergence_at(event, order) for event in events)
        assert ledger.charged() == pytest.approx(total, rel=1e-12)
        assert ledger.spent() == ledger.spent()
        assert ledger.spent().least_bound <= 1e3


def _either(*events: NoisyEvent) -> list[NoisyEvent]:
    changed = []
    for event in events:
        given = {name: getattr(event, name) for name in event.__struct_fields__}
        changed.append(type(event)(**given | {"relation": EITHER}))
    return changed


@pytest.mark.parametrize("order", [3.0, 3.586, 17.0])
def test_renyi_filter_admits_no_more_than_its_budget(order: float) -> None:
    stored = CohortLedger(4, epsilon=6.0, accounting=Accounting.RENYI_FILTER, order=order)
    noises = [GaussianEvent(noise_multiplier=3.0 + number / 7) for number in range(200)]
    limit = renyi_budget(order, epsilon=6.0, delta=DELTA)
    total = 0.0
    with stored.open() as ledger:
        assert ledger.limit == limit
        for event in noises:
            try:
                ledger.reserve(event, "round", participants=[2])
            except BudgetExceeded:
                assert total + order / (2 * event.noise_multiplier**2) > limit * (1 - 1e-9)
                break
            total += order / (2 * event.noise_multiplier**2)
        assert total <= limit
        assert ledger.charged() == pytest.approx(total, rel=1e-9)
        charged = ledger.charged()
    with stored.open() as again:
        # The order is that of the first record, whatever order would be best for what was reserved since.
        assert (again.budget.order, again.limit, again.charged()) == (order, limit, charged)


def test_filters_of_a_ledger_without_participation_charge_everybody(path: Path) -> None:
    options: dict[str, Any] = {"epsilon": 2.0, "delta": 1e-3, "population": 300, "clock": ticks()}
    with Ledger.create(path, **options, accounting=Accounting.GAUSSIAN_FILTER) as ledger:
        fits = ledger.remaining(EVENT)
        for _ in range(fits):
            ledger.commit(ledger.reserve(EVENT, "round", contributors=250), contributors=250)
        other = GaussianEvent(noise_multiplier=50.0)
        assert ledger.remaining(other) > 0
        with pytest.raises(BudgetExceeded):
            ledger.reserve(EVENT, "round")
        ledger.reserve(other, "round")
        used, head = ledger.spent().used, ledger.head
    with Ledger.open(path, head=head) as ledger:
        assert ledger.spent().used == used
        assert ledger.spent().bounds == guarantee({EVENT: fits, other: 1}, delta=1e-3).bounds


def test_larger_realised_noise_is_recorded_and_not_given_back() -> None:
    more = GaussianEvent(noise_multiplier=40.0)
    for accounting in Accounting:
        with CohortLedger(9, accounting=accounting).open() as ledger:
            number = ledger.reserve(EVENT, "round", participants=[0, 1])
            before = (ledger.spent(), ledger.charged(), ledger.remaining(EVENT))
            ledger.commit(number, contributors=[0], realised=more)
            assert (ledger.spent(), ledger.charged(), ledger.remaining(EVENT)) == before
            commitment = ledger.entries()[0].commitment
            assert commitment is not None
            assert commitment.realised == more


def test_gaussian_filter_costs_nothing_against_fixed_accounting() -> None:
    """As many releases of one kind are admitted, within the rounding."""
    for multiplier in (1.069, 4.3312432, 30.0):
        event = GaussianEvent(noise_multiplier=multiplier)
        stored = [
            CohortLedger(100, epsilon=6.0, delta=2.94117e-4, accounting=accounting)
            for accounting in (Accounting.FIXED, Accounting.GAUSSIAN_FILTER)
        ]
        counts = [one.read().remaining(event) for one in stored]
        assert counts[0] == counts[1]


# Two adversaries who choose a second release after they have seen the first. Composition of curves or of loss
# distributions, path by path, finds both paths within a delta that the adversary exceeds.

Pair = tuple[NDArray[np.float64], NDArray[np.float64]]


def hockey_stick(pair: Pair, ratio: float) -> float:
    return float(np.maximum(pair[0] - ratio * pair[1], 0).sum())


def product(one: Pair, other: Pair) -> Pair:
    return np.outer(one[0], other[0]).ravel(), np.outer(one[1], other[1]).ravel()


def adaptive_delta(first: Pair, choices: list[Pair], epsilon: float) -> float:
    """Return the delta of the best adversary, who chooses the second pair for each result of the first."""
    ratio = math.exp(epsilon)
    return math.fsum(
        max(float(np.maximum(p * with_unit - ratio * q * without, 0).sum()) for with_unit, without in choices)
        for p, q in zip(*first, strict=True)
    )


def renyi(pair: Pair, order: float) -> float:
    p, q = pair
    if (p[q == 0] > 0).any():
        return math.inf
    both = (p > 0) & (q > 0)
    logarithms = order * np.log(p[both]) + (1 - order) * np.log(q[both])
    highest = float(logarithms.max())
    return (highest + math.log(float(np.exp(logarithms - highest).sum()))) / (order - 1)


def randomised_response(epsilon: float) -> Pair:
    truth = math.exp(epsilon) / (1 + math.exp(epsilon))
    return np.array([truth, 1 - truth]), np.array([1 - truth, truth])


def test_randomised_response_is_the_smallest_counterexample_to_a_filter_by_curves() -> None:
    """First 0.5, then either 1.0 or a mechanism that reveals all with probability 0.1790498892."""
    reveals = 0.1790498892168
    first, second = randomised_response(0.5), randomised_response(1.0)
    revealing = (np.array([1 - reveals, reveals, 0.0]), np.array([1 - reveals, 0.0, reveals]))
    for one in (second, revealing):
        assert hockey_stick(product(first, one), math.e) == pytest.approx(0.1790498892168, abs=2e-13)
    delta = adaptive_delta(first, [second, revealing], 1.0)
    assert delta == pytest.approx(0.2466485041399, abs=2e-13)
    # By Renyi DP no budget admits what reveals all, at any order. Without it, the least budget that admits the other
    # is above what the adversary reaches, who may also stop after the first.
    nothing = (np.array([1.0]), np.array([1.0]))
    for order in (1.5, 2.0, 4.0, 9.0):
        assert math.isinf(renyi(revealing, order))
        spent = renyi(first, order) + renyi(second, order)
        delta = math.exp((order - 1) * (spent - 1 + math.log((order - 1) / order)) - math.log(order))
        assert delta >= adaptive_delta(first, [second, nothing], 1.0)
        if delta < 1:
            assert renyi_budget(order, epsilon=1.0, delta=delta) == pytest.approx(spent, rel=1e-9)


def discrete_gaussian(sigma: float, rate: float = 1.0) -> Pair:
    """Return the laws with and without the unit, whose vector is 1."""
    most = math.ceil(20 * sigma)
    x = np.arange(-most, most + 1)
    law = np.exp(-(x**2) / (2 * sigma**2))
    law /= law.sum()
    moved = np.roll(law, 1)
    return (1 - rate) * law + rate * moved, law


SECOND: Final = [(6.0, 1.0), (0.7, 0.03964)]


def event_of(sigma: float, rate: float) -> PrivacyEvent:
    noisy = DistributedDiscreteGaussianEvent(
        local_sigma=sigma, contributors=1, l2_sensitivity=1.0, dimension=1, relation=EITHER, unit=PrivacyUnit.EXAMPLE
    )
    return noisy if rate == 1 else PoissonSampledEvent(sampling_rate=rate, event=noisy)


def of_examples(accounting: Accounting, epsilon: float, delta: float, **changes: Any) -> CohortLedger:
    return CohortLedger(
        100,
        epsilon=epsilon,
        delta=delta,
        unit=PrivacyUnit.EXAMPLE,
        relation=EITHER,
        accounting=accounting,
        participation=population(3, size=3),
        **changes,
    )


def test_sampled_lattice_noise_is_a_counterexample_that_adaptive_ledgers_refuse() -> None:
    """Sampled DG(1.2) at .2, then DG(6) or sampled DG(.7) at .03964: 1.129 times the delta of both."""
    first, choices = discrete_gaussian(1.2, 0.2), [discrete_gaussian(*one) for one in SECOND]
    deltas = [hockey_stick(product(first, one), math.exp(0.5)) for one in choices]
    assert deltas[0] == pytest.approx(deltas[1], rel=1e-4)
    assert adaptive_delta(first, choices, 0.5) / max(deltas) == pytest.approx(1.1293, abs=1e-4)
    with of_examples(Accounting.FIXED, 8.0, 1e-3).open() as ledger:
        ledger.reserve(event_of(1.2, 0.2), "first", participants=[0])
        for one in SECOND:
            with pytest.raises(IncompatibleEvent, match="because cohorts or the time to stop may depend on results"):
                ledger.reserve(event_of(*one), "second", participants=[0])
    with of_examples(Accounting.GAUSSIAN_FILTER, 8.0, 1e-3).open() as ledger:
        with pytest.raises(IncompatibleEvent, match="a sampled release"):
            ledger.reserve(event_of(1.2, 0.2), "first", participants=[0])
        assert ledger.entries() == ()


@pytest.mark.parametrize("order", [3.0, 5.5, 9.0, 14.0])
@pytest.mark.parametrize("direction", [0, 1])
def test_renyi_filter_stops_the_adversary_at_its_budget(order: float, direction: int) -> None:
    """Whatever the filter admits, the best adversary stays within (epsilon, delta), in both directions."""
    pairs = [discrete_gaussian(1.2, 0.2), *(discrete_gaussian(*one) for one in SECOND)]
    first, *choices = pairs if direction == 0 else [(without, with_unit) for with_unit, without in pairs]
    for epsilon, delta in ((0.5, 0.009), (1.0, 0.003), (2.0, 1e-4)):
        if renyi_budget(order, epsilon=epsilon, delta=delta) <= 0:
            continue
        with of_examples(Accounting.RENYI_FILTER, epsilon, delta, order=order).open() as ledger:
            if not ledger.remaining(event_of(1.2, 0.2), participants=[0]):
                continue
            ledger.reserve(event_of(1.2, 0.2), "first", participants=[0])
            admitted = [
                pair
                for pair, one in zip(choices, SECOND, strict=True)
                if ledger.remaining(event_of(*one), participants=[0])
            ]
            # The adversary may also stop after the first: then the second pair tells nothing.
            nothing = (np.array([1.0]), np.array([1.0]))
            assert adaptive_delta(first, [*admitted, nothing], epsilon) <= delta
            for pair in admitted:
                assert renyi(first, order) + renyi(pair, order) <= (ledger.limit or 0.0)


def gaussian_delta(epsilon: NDArray[np.float64], mu: float) -> NDArray[np.float64]:
    from scipy.special import ndtr

    delta: NDArray[np.float64] = ndtr(mu / 2 - epsilon / mu) - np.exp(epsilon) * ndtr(-mu / 2 - epsilon / mu)
    return delta


def failure(multiplier: float, claims: tuple[float, float], stop_above: float) -> float:
    """Return the delta of one or two releases, of which the second is made if the loss of the first is at most a bound.

    Args:
        multiplier: The noise multiplier of each.
        claims: The epsilon that is claimed after one release, and after two.
        stop_above: The bound.
    """
    mu = 1 / multiplier
    edges = np.linspace(mu**2 / 2 - 12 * mu, mu**2 / 2 + 12 * mu, 400_001)
    loss = (edges[1:] + edges[:-1]) / 2
    mass = np.exp(-((loss - mu**2 / 2) ** 2) / (2 * mu**2)) / (mu * math.sqrt(2 * math.pi)) * np.diff(edges)
    stopped = np.maximum(1 - np.exp(claims[0] - loss), 0)
    return float((mass * np.where(loss > stop_above, stopped, gaussian_delta(claims[1] - loss, mu))).sum())


@pytest.mark.parametrize(("multiplier", "factor"), [(1.0, 1.689786), (4.0, 1.586276), (10.0, 1.508825)])
def test_ledger_that_may_stop_because_of_results_claims_the_budget(multiplier: float, factor: float) -> None:
    """One or two releases, the second only if the loss of the first is small: epsilon so far fails by 1.69 delta.

    The ledger claims its budget after one release and after two, and the budget is kept.
    """
    spent = [gaussian_epsilon(multiplier / math.sqrt(count), 1e-3) for count in (1, 2)]
    assert failure(multiplier, (spent[0], spent[1]), spent[0]) / 1e-3 == pytest.approx(factor, abs=2e-5)
    if multiplier == 1:
        assert spent == [pytest.approx(3.13867, abs=1e-5), pytest.approx(4.84525, abs=1e-5)]
    event, budget = GaussianEvent(noise_multiplier=multiplier), spent[1] * (1 + 1e-6)
    assert failure(multiplier, (budget, budget), spent[0]) <= 1e-3
    for accounting in (Accounting.FIXED, Accounting.GAUSSIAN_FILTER):
        with CohortLedger(100, epsilon=budget, delta=1e-3, accounting=accounting).open() as ledger:
            for count in (1, 2):
                ledger.reserve(event, "round", participants=[5])
                assert (ledger.spent().claim, ledger.spent().epsilon) == (Claim.BUDGET, budget)
                assert ledger.spent(5).least_bound == pytest.approx(spent[count - 1], rel=1e-9)
            assert ledger.remaining(event) == 0


def test_renyi_filter_is_made_for_one_order() -> None:
    limits = {order: RenyiFilter(epsilon=6.0, delta=DELTA, order=order).limit for order in (4.0, 5.36, 8.0)}
    assert len(set(limits.values())) == 3
    for order, limit in limits.items():
        assert limit <= 6 - math.log((order - 1) / order) + (math.log(DELTA) + math.log(order)) / (order - 1)
