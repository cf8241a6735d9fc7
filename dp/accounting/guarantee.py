"""Accounting of releases: what all of them satisfy together, as (epsilon, delta).

Every set of releases is accounted by Renyi DP: `dp.accounting.renyi` bounds the divergences of each, composition adds
the curves (Mironov, arXiv 1702.07476v3, Proposition 1), also where later releases are chosen adaptively, and the
conversion of the sum to epsilon is dp-accounting's: arXiv 2004.00010v4, Proposition 12, with epsilon = 0 where delta
already covers the Kullback-Leibler divergence.

Where all noise is Gaussian, sampled or not, privacy loss distributions (`dp.accounting.privacy_loss`) give a second
upper bound, nearly always the lower one at any epsilon and delta; the lesser is the guarantee, the other its
cross-check.
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dp.accounting.privacy_loss import LossEpsilon, loss_epsilon, unsupported_reason
from dp.accounting.renyi import HIGHEST_AMPLIFIED_ORDER, ORDERS, renyi_divergences, subsampling_bound
from dp.checks import integer_at_least, member, positive_real, probability
from dp.errors import IncompatibleEvent, InvalidParameter
from dp.events import (
    GaussianEvent,
    NeighbouringRelation,
    PoissonSampledEvent,
    PrivacyEvent,
    PrivacyUnit,
    single_releases,
)

RENYI_ACCOUNTANT: Final = "Renyi DP (converted by arXiv 2004.00010v4 Proposition 12)"
EXACT_ACCOUNTANT: Final = "exact for Gaussian noise (arXiv 1805.06530v2 Theorem 8)"
LOSS_ACCOUNTANT: Final = "privacy loss distributions (arXiv 2207.04380v1)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarantee:
    """What a set of releases satisfies together: (epsilon, delta)-differential privacy.

    Attributes:
        delta: the delta that epsilon was computed for.
        relation: the neighbouring relation.
        unit: the privacy unit.
        accountant: how `epsilon` was computed and, where privacy loss distributions were not used, why not.
        pld_epsilon: epsilon by privacy loss distributions, at least 0, possibly infinite; None where not used.
        rdp_epsilon: epsilon by Renyi DP, at least 0, possibly infinite.
        order: the Renyi order that gave `rdp_epsilon`.
        order_at_edge: whether `rdp_epsilon` is above 0 and that order is an end of the grid, or the last at which the
            sampling of a release is accounted for, or above: orders outside could do better. The guarantee holds
            nonetheless.
        infinite_orders: how many orders of the grid had no finite bound.
        subsampling: the bounds on sampled divergences that `rdp_epsilon` rests on, as texts; empty without sampling.
    """

    delta: float
    relation: NeighbouringRelation
    unit: PrivacyUnit
    accountant: str
    pld_epsilon: float | None
    rdp_epsilon: float
    order: float
    order_at_edge: bool
    infinite_orders: int
    subsampling: tuple[str, ...]

    @property
    def epsilon(self) -> float:
        """The least upper bound there is: at least 0, possibly infinite."""
        return self.rdp_epsilon if self.pld_epsilon is None else min(self.pld_epsilon, self.rdp_epsilon)


def guarantee(
    events: Mapping[PrivacyEvent, int],
    *,
    delta: float,
    relation: NeighbouringRelation = NeighbouringRelation.ZERO_OUT,
    unit: PrivacyUnit = PrivacyUnit.CLIENT,
) -> Guarantee:
    """Return the (epsilon, delta) guarantee of all events together.

    Sampled Gaussian noise takes up to some seconds for each noise, mostly tenths of a second; all else takes
    milliseconds.

    Args:
        events: how often each event took place, 0 to 2**53 times.
        delta: strictly between 0 and 1.
        relation: the neighbouring relation that the guarantee is stated for.
        unit: the privacy unit that the guarantee is stated for.

    Formal guarantees:
        If every release is what its event says (noise, sensitivity under `relation` for one `unit`), all of them
        together are (epsilon, delta)-differentially private under `relation` for one `unit`. What is asked of the data
        may depend on earlier releases; the events may not.

    Raises:
        IncompatibleEvent: an event has another relation or unit.
        InvalidParameter: `delta` or a count is out of range, or an event, `relation` or `unit` is not one.
    """
    delta = probability("delta", delta)
    releases = _single_releases(events, relation, unit)
    total = composed_divergences(releases)
    rdp_epsilon, order = renyi_epsilon(total, delta)
    reason = unsupported_reason(releases)
    losses = None if reason else loss_epsilon(releases, delta=delta)
    bounds = {bound.value for event in releases if (bound := subsampling_bound(event)) is not None}
    return Guarantee(
        delta=delta,
        relation=relation,
        unit=unit,
        accountant=_accountant(losses, rdp_epsilon, reason),
        pld_epsilon=None if losses is None else losses.epsilon,
        rdp_epsilon=rdp_epsilon,
        order=order,
        order_at_edge=rdp_epsilon > 0
        and (order in (ORDERS[0], ORDERS[-1]) or (bool(bounds) and order >= HIGHEST_AMPLIFIED_ORDER)),
        infinite_orders=int(np.isinf(total).sum()),
        subsampling=tuple(sorted(bounds)),
    )


def is_within(
    events: Mapping[PrivacyEvent, int],
    *,
    epsilon: float,
    delta: float,
    relation: NeighbouringRelation = NeighbouringRelation.ZERO_OUT,
    unit: PrivacyUnit = PrivacyUnit.CLIENT,
) -> bool:
    """Return whether `guarantee(events, ...).epsilon <= epsilon`, and compute no more than that takes.

    Renyi DP takes milliseconds and settles it wherever it is within `epsilon`, or no other accountant applies.

    Args:
        events: how often each event took place, 0 to 2**53 times.
        epsilon: above 0.
        delta: strictly between 0 and 1.
        relation: the neighbouring relation that the guarantee is stated for.
        unit: the privacy unit that the guarantee is stated for.

    Formal guarantees:
        Where it is True, all events together are (`epsilon`, `delta`)-differentially private as `guarantee` has it.

    Raises:
        IncompatibleEvent: an event has another relation or unit.
        InvalidParameter: a number is out of range, or an event, `relation` or `unit` is not one.
    """
    epsilon, delta = positive_real("epsilon", epsilon), probability("delta", delta)
    releases = _single_releases(events, relation, unit)
    rdp_epsilon, _ = renyi_epsilon(composed_divergences(releases), delta)
    if rdp_epsilon <= epsilon or unsupported_reason(releases):
        return rdp_epsilon <= epsilon
    return loss_epsilon(releases, delta=delta).epsilon <= epsilon


def subsampled_gaussian_epsilon(*, sampling: float, noise_multiplier: float, rounds: int, delta: float) -> float:
    """Return the epsilon of Poisson-sampled rounds with Gaussian noise, under add-or-remove-one.

    Args:
        sampling: probability of each unit to take part in a round, above 0 and at most 1.
        noise_multiplier: standard deviation of the noise in a round's sum, over the most in L2 that adding or
            removing one unit changes that sum; 1e-30 to 1e30.
        rounds: 1 to 2**53.
        delta: strictly between 0 and 1.

    Formal guarantees:
        If units are sampled independently of each other, of all other rounds and in secret, all rounds together are
        (epsilon, `delta`)-differentially private under add-or-remove-one for one unit, the one that is sampled and
        that the sensitivity is measured for. What is asked may depend on earlier rounds. The noise is taken for
        real-valued: what floating-point noise leaks is not covered.

    Raises:
        InvalidParameter: an argument is out of range.
    """
    relation = NeighbouringRelation.ADD_OR_REMOVE_ONE
    noisy = GaussianEvent(noise_multiplier=noise_multiplier, relation=relation)
    event = PoissonSampledEvent(sampling_rate=sampling, event=noisy)
    return guarantee({event: integer_at_least("rounds", rounds, 1)}, delta=delta, relation=relation).epsilon


def check_delta(delta: float, *, population: int) -> None:
    """Refuse a delta that would allow publishing a random member's data outright.

    Args:
        delta: strictly between 0 and 1.
        population: number of privacy units whose data may be touched, 1 to 2**53.

    Raises:
        InvalidParameter: `delta` is at least 1 / `population`, or an argument is out of range.
    """
    delta = probability("delta", delta)
    population = integer_at_least("population", population, 1)
    if delta * population >= 1:
        raise InvalidParameter(
            f"delta: expected less than 1/{population} = {1 / population:.3g} (one over the population), found "
            f"{delta}; such a delta would allow one member's data to be published whole"
        )


def _single_releases(
    events: Mapping[PrivacyEvent, int], relation: NeighbouringRelation, unit: PrivacyUnit
) -> Counter[PrivacyEvent]:
    """Return how often each release took place, those of repeated events one by one and none that did not."""
    if not isinstance(events, Mapping):
        raise InvalidParameter(f"events: expected a mapping from events to counts, found {type(events).__name__}")
    member("relation", relation, NeighbouringRelation)
    member("unit", unit, PrivacyUnit)
    counts: dict[PrivacyEvent, int] = {}
    for event, count in events.items():
        if not isinstance(event, PrivacyEvent):
            raise InvalidParameter(f"events: expected privacy events, found {type(event).__name__}")
        if event.relation is not relation or event.unit is not unit:
            raise IncompatibleEvent(
                f"events: expected relation {relation.value} and unit {unit.value}, found {event.relation.value} and "
                f"{event.unit.value}; account them apart"
            )
        counts[event] = integer_at_least("count", count, 0)
    return single_release_counts(counts)


def single_release_counts(events: Mapping[PrivacyEvent, int]) -> Counter[PrivacyEvent]:
    """Return how often each single release took place, those of repeated events one by one, none that did not."""
    found: Counter[PrivacyEvent] = Counter()
    for event, times in events.items():
        if times:
            repeated, release = single_releases(event)
            found[release] += times * repeated
    return found


def composed_divergences(releases: Mapping[PrivacyEvent, int]) -> NDArray[np.float64]:
    """Return the divergences of all releases together, at the orders of `dp.accounting.renyi.ORDERS`.

    Args:
        releases: how often each took place.

    Returns:
        Shape `(len(ORDERS),)`, float64.
    """
    total = np.zeros(len(ORDERS))
    for event, times in releases.items():
        total += _rounded_up(times) * renyi_divergences(event)
    return total


def _rounded_up(count: int) -> float:
    """Return the least float64 that is not below `count`; numpy multiplies by no integer of 2**64 or more."""
    nearest = float(count)
    return nearest if nearest >= count else math.nextafter(nearest, math.inf)


def renyi_epsilon(divergences: NDArray[np.float64], delta: float) -> tuple[float, float]:
    """Return the epsilon of composed divergences, and the Renyi order that gives it.

    Source: arXiv 2004.00010v4, Proposition 12, as dp-accounting has it.

    Args:
        divergences: at the orders of `dp.accounting.renyi.ORDERS`; shape `(len(ORDERS),)`, float64.
        delta: strictly between 0 and 1.
    """
    import dp_accounting.rdp

    epsilon, order = dp_accounting.rdp.compute_epsilon(ORDERS, divergences.tolist(), delta)
    return float(epsilon), float(order)


def _accountant(losses: LossEpsilon | None, rdp_epsilon: float, reason: str | None) -> str:
    if losses is None:
        return f"{RENYI_ACCOUNTANT}; privacy loss distributions not used: {reason}"
    used = f"{LOSS_ACCOUNTANT} on a grid of {losses.discretisation:.3g}" if losses.discretisation else EXACT_ACCOUNTANT
    return used if losses.epsilon <= rdp_epsilon else f"{RENYI_ACCOUNTANT}; {used} gave more"
