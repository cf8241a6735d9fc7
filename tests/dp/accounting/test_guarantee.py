import math
from typing import Any, Final

import msgspec
import numpy as np
import pytest

from dp.accounting.guarantee import guarantee, is_within, subsampled_gaussian_epsilon
from dp.accounting.lattice import dominating_gaussian
from dp.accounting.privacy_loss import gaussian_epsilon
from dp.accounting.renyi import HIGHEST_AMPLIFIED_ORDER, ORDERS, renyi_divergences
from dp.checks import check_delta
from dp.errors import IncompatibleEvent, InvalidParameter
from dp.events import (
    DistributedDiscreteGaussianEvent,
    GaussianEvent,
    NeighbouringRelation,
    PoissonSampledEvent,
    PrivacyEvent,
    PrivacyUnit,
    RepeatedEvent,
    SkellamEvent,
)

pytestmark = pytest.mark.slow

ADD_OR_REMOVE: Final = NeighbouringRelation.ADD_OR_REMOVE_ONE


def distributed(local_sigma: float, contributors: int, l2: float, dimension: int) -> DistributedDiscreteGaussianEvent:
    return DistributedDiscreteGaussianEvent(
        local_sigma=local_sigma, contributors=contributors, l2_sensitivity=l2, dimension=dimension
    )


def sampled(sampling_rate: float, noise_multiplier: float) -> PoissonSampledEvent:
    event = GaussianEvent(noise_multiplier=noise_multiplier, relation=ADD_OR_REMOVE)
    return PoissonSampledEvent(sampling_rate=sampling_rate, event=event)


def sampled_lattice(sampling_rate: float) -> PoissonSampledEvent:
    event = SkellamEvent(variance=400.0, contributors=100, l2_sensitivity=10.0, dimension=64, relation=ADD_OR_REMOVE)
    return PoissonSampledEvent(sampling_rate=sampling_rate, event=event)


def balle_wang_delta(epsilon: float, multiplier: float) -> float:
    """Return the exact delta of one Gaussian release (Balle and Wang, arXiv 1805.06530, Theorem 8)."""

    def phi(t: float) -> float:
        return 0.5 * math.erfc(-t / math.sqrt(2))

    half = 1 / (2 * multiplier)
    return phi(half - epsilon * multiplier) - math.exp(epsilon) * phi(-half - epsilon * multiplier)


@pytest.mark.parametrize("delta", [1e-3, 1e-6, 1e-9])
@pytest.mark.parametrize("multiplier", [0.5, 1.0, 4.0, 50.0])
def test_epsilon_lies_between_the_exact_one_and_the_textbook_bound(multiplier: float, delta: float) -> None:
    spent = guarantee({GaussianEvent(noise_multiplier=multiplier): 1}, delta=delta)
    assert spent.pld_epsilon is not None
    assert balle_wang_delta(spent.epsilon, multiplier) <= delta
    assert balle_wang_delta((1 - 1e-6) * spent.epsilon, multiplier) > delta
    # Bun and Steinke, arXiv 1605.02065, Proposition 1.3.
    rho = 1 / (2 * multiplier**2)
    assert spent.epsilon == spent.pld_epsilon < spent.rdp_epsilon <= rho + 2 * math.sqrt(rho * math.log(1 / delta))
    assert balle_wang_delta(0.75 * spent.rdp_epsilon, multiplier) > delta
    assert not spent.renyi.order_at_edge
    assert spent.accountant.startswith("exact")


# dp-accounting 0.6 doubles the sensitivity under its REPLACE_ONE, which is not what replacing by zero does.
def test_zero_out_of_a_gaussian_is_that_of_its_own_sensitivity() -> None:
    one = GaussianEvent(noise_multiplier=1.0)
    zeroed = guarantee({one: 1}, delta=1e-5)
    removed = guarantee(
        {GaussianEvent(noise_multiplier=1.0, relation=ADD_OR_REMOVE): 1}, delta=1e-5, relation=ADD_OR_REMOVE
    )
    assert (zeroed.epsilon, zeroed.rdp_epsilon) == (removed.epsilon, removed.rdp_epsilon)
    assert zeroed.epsilon == pytest.approx(4.377178, abs=1e-6)
    assert guarantee({GaussianEvent(noise_multiplier=0.5): 1}, delta=1e-5).epsilon > 2 * zeroed.epsilon


@pytest.mark.parametrize("count", [1, 30, 1000])
def test_composition_is_that_of_one_release_with_less_noise(count: int) -> None:
    many = guarantee({GaussianEvent(noise_multiplier=10.0): count}, delta=1e-5)
    one = guarantee({GaussianEvent(noise_multiplier=10.0 / math.sqrt(count)): 1}, delta=1e-5)
    assert many.rdp_epsilon == pytest.approx(one.rdp_epsilon, rel=1e-12)
    assert many.epsilon == pytest.approx(one.epsilon, rel=1e-9)


def test_composition_adds_different_events() -> None:
    lattice = distributed(5.0, 9, 4.0, 10)
    events: dict[PrivacyEvent, int] = {GaussianEvent(noise_multiplier=3.0): 2, lattice: 3}
    spent = guarantee(events, delta=1e-5)
    by_hand = min(
        2 * order / 18 + 3 * one + math.log1p(-1 / order) - math.log(1e-5 * order) / (order - 1)
        for order, one in zip(ORDERS, renyi_divergences(lattice), strict=True)
    )
    assert spent.rdp_epsilon == pytest.approx(by_hand, rel=1e-12)
    gaussian = dominating_gaussian(lattice)
    assert gaussian is not None
    together = math.hypot(math.sqrt(2) / 3.0, math.sqrt(3) / gaussian.noise_multiplier)
    assert spent.epsilon == spent.pld_epsilon == pytest.approx(gaussian_epsilon(1 / together, 1e-5), rel=1e-9)
    assert spent.epsilon < spent.rdp_epsilon
    assert "counted as the Gaussian noise that dominates it" in spent.accountant


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (
            SkellamEvent(variance=0.5, contributors=1, l2_sensitivity=1.0, dimension=10),
            "Skellam noise of a variance below 0.6",
        ),
        (distributed(0.5, 1, 4.0, 10), "a discrete Gaussian of a parameter of 0.58 or less"),
        (distributed(0.5, 2**40, 4.0, 10), "too many discrete Gaussian noise shares of too small a parameter"),
    ],
)
def test_noise_that_no_gaussian_dominates_is_accounted_by_renyi_alone(event: PrivacyEvent, reason: str) -> None:
    spent = guarantee({event: 3, GaussianEvent(noise_multiplier=3.0): 2}, delta=1e-5)
    assert spent.pld_epsilon is None
    assert spent.epsilon == spent.rdp_epsilon
    assert spent.accountant.endswith(f"not used: no Gaussian noise is known to dominate {reason}")
    wide = msgspec.structs.replace(event, variance=1.0) if isinstance(event, SkellamEvent) else distributed(1, 3, 4, 10)
    assert guarantee({wide: 3}, delta=1e-5).pld_epsilon is not None


def test_repeated_events_count_as_often_as_they_say() -> None:
    event = sampled_lattice(0.1)
    repeated: dict[PrivacyEvent, int] = {RepeatedEvent(times=5, event=event): 3, event: 2}
    assert guarantee(repeated, delta=1e-5, relation=ADD_OR_REMOVE) == guarantee(
        {event: 17}, delta=1e-5, relation=ADD_OR_REMOVE
    )


def test_grid_costs_next_to_nothing() -> None:
    for multiplier in (0.2, 1.0, 7.0, 300.0):
        spent = guarantee({GaussianEvent(noise_multiplier=multiplier): 1}, delta=1e-6)
        continuous = min(
            a / (2 * multiplier**2) + math.log1p(-1 / a) - math.log(1e-6 * a) / (a - 1)
            for a in 1 + np.geomspace(0.02, 1e6, 40_000)
        )
        assert continuous <= spent.rdp_epsilon <= continuous * (1 + 1e-4)


FIGURES: Final = [
    (0.001, 0.5, 1000, 4.235),
    (0.01, 1, 10_000, 6.907),
    (0.1, 8, 10_000, 6.354),
    (0.01, 2, 100_000, 8.985),
]


@pytest.mark.parametrize(("sampling", "noise_multiplier", "rounds", "epsilon"), FIGURES)
def test_subsampled_gaussian_reaches_the_published_figures(
    sampling: float, noise_multiplier: float, rounds: int, epsilon: float
) -> None:
    found = guarantee({sampled(sampling, noise_multiplier): rounds}, delta=1e-6, relation=ADD_OR_REMOVE)
    assert found.pld_epsilon is not None
    assert found.pld_epsilon == pytest.approx(epsilon, abs=0.002)
    assert found.epsilon == found.pld_epsilon < found.rdp_epsilon < 1.5 * found.pld_epsilon
    assert found.epsilon == subsampled_gaussian_epsilon(
        sampling=sampling, noise_multiplier=noise_multiplier, rounds=rounds, delta=1e-6
    )
    assert found.accountant.endswith("on a grid of 0.0001")
    assert found.renyi.subsampling == ("binomial expansion at integer orders",)
    assert not found.renyi.order_at_edge
    assert found.renyi.infinite_orders == 0


def test_subsampled_gaussian_is_tight_where_the_losses_are_small() -> None:
    """A grid of 1e-4 for all of them costs several times the noise here."""
    found = guarantee({sampled(0.01, 1000.0): 1_000_000}, delta=1e-6, relation=ADD_OR_REMOVE)
    assert found.pld_epsilon is not None
    assert 0.9 * found.rdp_epsilon < found.epsilon == found.pld_epsilon < found.rdp_epsilon


def test_the_limit_on_epsilon_does_not_look_at_renyi() -> None:
    """Renyi DP has more than 700 from a noise multiplier of 0.295 on, seven times what is true."""
    for noise, epsilon in ((0.296, 109.62), (0.294, 111.40), (0.28, 125.05)):
        found = guarantee({sampled(0.1, noise): 100}, delta=1e-5, relation=ADD_OR_REMOVE)
        assert found.epsilon == pytest.approx(epsilon, rel=1e-3)


def test_a_delta_next_to_nothing_is_accounted_by_losses_too() -> None:
    just, below = (guarantee({sampled(0.1, 8.0): 10}, delta=1e-9 * part, relation=ADD_OR_REMOVE) for part in (1, 0.99))
    assert just.epsilon < below.epsilon < 1.001 * just.epsilon


@pytest.mark.parametrize(
    "more_private", [{"sampling": 0.09}, {"noise_multiplier": 9.0}, {"rounds": 900}, {"delta": 1e-5}]
)
def test_subsampled_gaussian_epsilon_is_monotone(more_private: dict[str, Any]) -> None:
    assert 0 < subsampled_gaussian_epsilon(**ROUNDS | more_private) < subsampled_gaussian_epsilon(**ROUNDS)


ROUNDS: Final[dict[str, Any]] = {"sampling": 0.1, "noise_multiplier": 8.0, "rounds": 1000, "delta": 1e-6}
BAD_ROUNDS: Final[dict[str, list[Any]]] = {
    "sampling": [0.0, -0.1, 1.0001, math.nan, math.inf, True, "0.1", 10**400],
    "noise_multiplier": [0, -1.0, math.nan, math.inf, True, 1e-31, 1e31],
    "rounds": [0, -1, 1.0, True, 2**53 + 1],
    "delta": [0.0, 1.0, -1e-6, math.nan, True],
}


@pytest.mark.parametrize(("name", "bad"), [(name, bad) for name, values in BAD_ROUNDS.items() for bad in values])
def test_subsampled_gaussian_epsilon_refuses_parameters(name: str, bad: Any) -> None:
    with pytest.raises(InvalidParameter, match=name):
        subsampled_gaussian_epsilon(**ROUNDS | {name: bad})


def test_sampled_lattice_noise_costs_less_than_all_of_it() -> None:
    event = sampled_lattice(0.02)
    found = guarantee({event: 500}, delta=1e-5, relation=ADD_OR_REMOVE)
    whole = guarantee({event.event: 500}, delta=1e-5, relation=ADD_OR_REMOVE)
    assert found.epsilon == found.pld_epsilon
    assert found.epsilon < min(found.rdp_epsilon, whole.epsilon / 10)
    assert found.renyi.subsampling
    assert not whole.renyi.subsampling


def test_order_above_the_last_that_sampling_is_accounted_at_is_reported_as_an_edge() -> None:
    wide = msgspec.structs.replace(sampled_lattice(0.5).event, variance=1e12)
    found = guarantee({PoissonSampledEvent(sampling_rate=0.5, event=wide): 1}, delta=1e-6, relation=ADD_OR_REMOVE)
    assert found.renyi.order >= HIGHEST_AMPLIFIED_ORDER
    assert found.renyi.order_at_edge
    whole = guarantee({wide: 1}, delta=1e-6, relation=ADD_OR_REMOVE)
    assert found.epsilon <= whole.epsilon
    assert not whole.renyi.order_at_edge


WITHIN: Final[list[tuple[dict[PrivacyEvent, int], NeighbouringRelation]]] = [
    ({distributed(5.0, 9, 4.0, 10): 3}, NeighbouringRelation.ZERO_OUT),
    ({GaussianEvent(noise_multiplier=3.0): 2}, NeighbouringRelation.ZERO_OUT),
    ({sampled(0.1, 8.0): 1000}, ADD_OR_REMOVE),
    ({sampled(0.1, 8.0): 1000, sampled_lattice(0.1): 3}, ADD_OR_REMOVE),
]


@pytest.mark.parametrize(("events", "relation"), WITHIN)
@pytest.mark.parametrize("delta", [1e-5, 1e-10])
def test_is_within_says_what_the_guarantee_says(
    events: dict[PrivacyEvent, int], relation: NeighbouringRelation, delta: float
) -> None:
    spent = guarantee(events, delta=delta, relation=relation)
    for bound in (spent.epsilon, spent.rdp_epsilon, 100.0):
        assert is_within(events, epsilon=bound, delta=delta, relation=relation)
        assert is_within(events, epsilon=0.9999 * bound, delta=delta, relation=relation) is (
            spent.epsilon <= 0.9999 * bound
        )


def test_is_within_refuses_what_the_guarantee_refuses() -> None:
    one: dict[PrivacyEvent, int] = {GaussianEvent(noise_multiplier=1.0): 1}
    for epsilon in (0, -1.0, math.nan, math.inf, True):
        with pytest.raises(InvalidParameter, match="epsilon"):
            is_within(one, epsilon=epsilon, delta=1e-5)
    with pytest.raises(InvalidParameter, match="delta"):
        is_within(one, epsilon=1.0, delta=1.0)
    with pytest.raises(IncompatibleEvent, match="found zero-out"):
        is_within(one, epsilon=1.0, delta=1e-5, relation=ADD_OR_REMOVE)
    with pytest.raises(IncompatibleEvent, match="unit example"):
        is_within(one, epsilon=1.0, delta=1e-5, unit=PrivacyUnit.EXAMPLE)


def test_nothing_released_costs_nothing() -> None:
    spent = guarantee({}, delta=1e-5)
    assert spent.epsilon == 0
    assert not spent.renyi.order_at_edge
    assert guarantee({GaussianEvent(noise_multiplier=1.0): 0}, delta=1e-5).epsilon == 0


@pytest.mark.parametrize(("multiplier", "delta"), [(1e-6, 1e-3), (1e8, 1e-300)])
def test_best_order_at_an_end_of_the_grid_is_reported(multiplier: float, delta: float) -> None:
    spent = guarantee({GaussianEvent(noise_multiplier=multiplier): 1}, delta=delta)
    assert spent.renyi.order_at_edge
    assert spent.renyi.order in (ORDERS[0], ORDERS[-1])


def test_mixing_relations_is_refused() -> None:
    other = GaussianEvent(noise_multiplier=1.0, relation=NeighbouringRelation.ADD_OR_REMOVE_ONE)
    assert guarantee({other: 1}, delta=1e-5, relation=NeighbouringRelation.ADD_OR_REMOVE_ONE).epsilon > 0
    with pytest.raises(IncompatibleEvent, match=r"zero-out.*add-or-remove-one"):
        guarantee({GaussianEvent(noise_multiplier=1.0): 1, other: 1}, delta=1e-5)


@pytest.mark.parametrize("delta", [0, 1, -0.1, 1.5, math.nan, True, "1e-5"])
def test_guarantee_refuses_delta(delta: float) -> None:
    with pytest.raises(InvalidParameter, match="delta"):
        guarantee({}, delta=delta)


@pytest.mark.parametrize("count", [-1, 1.0, True, 10**400])
def test_guarantee_refuses_counts(count: int) -> None:
    with pytest.raises(InvalidParameter, match="count"):
        guarantee({GaussianEvent(noise_multiplier=1.0): count}, delta=1e-5)


def test_guarantee_refuses_unknown_events() -> None:
    with pytest.raises(InvalidParameter, match="privacy events, found str"):
        guarantee({"laplace": 1}, delta=1e-5)  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("local_sigma", "contributors", "l2", "dimension"),
    [
        (0.49, 2, 1.0, 1),
        (math.nan, 2, 1.0, 1),
        (True, 2, 1.0, 1),
        (2.0, 0, 1.0, 1),
        (2.0, 2.0, 1.0, 1),
        (2.0, True, 1.0, 1),
        (2.0, 2, 0.0, 1),
        (2.0, 2, math.inf, 1),
        (2.0, 2, 1.0, 0),
        (2.0, 2, 1e200, 1),
        (2.0, 10**400, 1.0, 1),
        (2.0, 2, 1.0, 10**400),
        (1e30, 2, 1e-30, 1),
    ],
)
def test_events_refuse_parameters(local_sigma: float, contributors: int, l2: float, dimension: int) -> None:
    with pytest.raises(InvalidParameter, match="expected"):
        distributed(local_sigma, contributors, l2, dimension)


@pytest.mark.parametrize("multiplier", [0, -1.0, math.nan, math.inf, False, 1e-31, 1e31, 10**400])
def test_gaussian_event_refuses_multipliers(multiplier: float) -> None:
    with pytest.raises(InvalidParameter, match="noise_multiplier"):
        GaussianEvent(noise_multiplier=multiplier)


def test_relations_and_units_are_members_not_texts() -> None:
    texts: list[dict[str, Any]] = [{"relation": "zero-out"}, {"unit": "client"}]
    for changes in texts:
        with pytest.raises(InvalidParameter, match=r"expected (NeighbouringRelation|PrivacyUnit)\..*found str"):
            GaussianEvent(noise_multiplier=1.0, **changes)
        with pytest.raises(InvalidParameter, match="found str"):
            DistributedDiscreteGaussianEvent(
                local_sigma=2.0, contributors=2, l2_sensitivity=1.0, dimension=1, **changes
            )
        with pytest.raises(InvalidParameter, match="found str"):
            guarantee({}, delta=1e-3, **changes)


def test_check_delta_wants_less_than_one_over_the_population() -> None:
    check_delta(1e-3, population=999)
    with pytest.raises(InvalidParameter, match="one over the population"):
        check_delta(1e-3, population=1000)
    with pytest.raises(InvalidParameter, match="population"):
        check_delta(1e-3, population=0)
