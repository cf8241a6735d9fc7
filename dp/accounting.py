r"""Renyi accounting of releases, and its conversion to (epsilon, delta).

Sums of discrete Gaussians are accounted after Kairouz, Liu, Steinke, "The Distributed Discrete Gaussian Mechanism for
Federated Learning with Secure Aggregation", arXiv 2102.06387v4, Proposition 14: with n independent noises
N_Z(0, sigma^2), sigma >= 1/2, in each of d coordinates, and a change of the sum by at most D1 in L1 and D2 in L2, for
every order a >= 1

    tau = 10 sum_{k=1}^{n-1} exp(-2 pi^2 sigma^2 k / (k + 1)),     s = sqrt(n) sigma,
    RDP(a) <= min { a/2 (D2/s)^2 + tau d,
                    a/2 ((D2/s)^2 + 2 tau D1/s + tau^2 d),
                    a/2 (D2/s + tau sqrt(d))^2 }.

tau bounds how far the sum of the noises is from one discrete Gaussian of the same variance. An integer vector has
D1 <= min(sqrt(d) D2, D2^2), which is what is put for D1. The continuous Gaussian, and the conversion of the composed
curve to epsilon, are dp-accounting's: the latter is arXiv 2004.00010v4, Proposition 12, with epsilon = 0 where delta
already covers the Kullback-Leibler divergence.

Composition adds the curves (Mironov, arXiv 1702.07476v3, Proposition 1), also where later ones are chosen adaptively.
"""

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, assert_never

import numpy as np
from numpy.typing import NDArray

from dp.checks import integer_at_least, member, probability
from dp.errors import IncompatibleEvent, InvalidParameter
from dp.events import (
    DistributedDiscreteGaussianEvent,
    GaussianEvent,
    NeighbouringRelation,
    PrivacyEvent,
    PrivacyUnit,
)

ACCOUNTANT: Final = "Renyi DP (arXiv 2102.06387v4 Proposition 14, converted by arXiv 2004.00010v4 Proposition 12)"

# Orders from 1.02 to a million, each 2% further from 1 than the one before: a best order that falls between two of them
# costs less than a ten-thousandth of epsilon.
ORDERS: Final = tuple(float(order) for order in 1 + np.geomspace(0.02, 1e6, 896))
EXACT_TAU_TERMS: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarantee:
    """What a set of releases satisfies together: (epsilon, delta)-differential privacy.

    Attributes:
        epsilon: at least 0, possibly infinite.
        delta: the delta that epsilon was computed for.
        relation: the neighbouring relation.
        unit: the privacy unit.
        accountant: how it was computed.
        order: the Renyi order that gave epsilon.
        order_at_edge: whether that order is an end of the grid while epsilon is above 0, so that orders outside the
            grid could do better; the guarantee holds nonetheless.
    """

    epsilon: float
    delta: float
    relation: NeighbouringRelation
    unit: PrivacyUnit
    accountant: str
    order: float
    order_at_edge: bool


def guarantee(
    events: Mapping[PrivacyEvent, int],
    *,
    delta: float,
    relation: NeighbouringRelation = NeighbouringRelation.ZERO_OUT,
    unit: PrivacyUnit = PrivacyUnit.CLIENT,
) -> Guarantee:
    """Return the (epsilon, delta) guarantee of all events together.

    Args:
        events: how often each event took place, 0 to 2**53 times.
        delta: strictly between 0 and 1.
        relation: the neighbouring relation that the guarantee is stated for.
        unit: the privacy unit that the guarantee is stated for.

    Formal guarantees:
        If every release is what its event says (noise, sensitivity under `relation` for one `unit`), all of them
        together, chosen adaptively, are (epsilon, delta)-differentially private under `relation` for one `unit`.

    Raises:
        IncompatibleEvent: an event has another relation or unit.
        InvalidParameter: `delta` or a count is out of range, or an event, `relation` or `unit` is not one.
    """
    delta = probability("delta", delta)
    member("relation", relation, NeighbouringRelation)
    member("unit", unit, PrivacyUnit)
    total = np.zeros(len(ORDERS))
    for event, count in events.items():
        if not isinstance(event, PrivacyEvent):
            raise InvalidParameter(f"events: expected privacy events, found {type(event).__name__}")
        if event.relation is not relation or event.unit is not unit:
            raise IncompatibleEvent(
                f"events: expected relation {relation.value} and unit {unit.value}, found {event.relation.value} and "
                f"{event.unit.value}; account them apart"
            )
        if times := integer_at_least("count", count, 0):
            total += times * renyi_divergences(event)
    epsilon, order = _convert(total, delta)
    return Guarantee(
        epsilon=epsilon,
        delta=delta,
        relation=relation,
        unit=unit,
        accountant=ACCOUNTANT,
        order=order,
        order_at_edge=epsilon > 0 and order in (ORDERS[0], ORDERS[-1]),
    )


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


@functools.lru_cache(maxsize=256)
def renyi_divergences(event: PrivacyEvent) -> NDArray[np.float64]:
    """Return the bound on the Renyi divergence of one event at every order of `ORDERS`; read-only."""
    match event:
        case GaussianEvent():
            divergences = _gaussian(event)
        case DistributedDiscreteGaussianEvent():
            divergences = _distributed_discrete_gaussian(event)
        case _:
            assert_never(event)
    divergences.flags.writeable = False
    return divergences


@functools.lru_cache(maxsize=1024)
def inflation(local_sigma: float, contributors: int) -> float:
    """Return tau, an upper bound on what the sum of `contributors` noises deviates from one discrete Gaussian.

    The terms fall with k; those after the first ten thousand are bounded by the next one.
    """
    exact = min(contributors - 1, EXACT_TAU_TERMS)
    k = np.arange(1.0, exact + 1.0)
    total = float(np.exp(-2 * (math.pi * local_sigma) ** 2 * k / (k + 1)).sum())
    rest = contributors - 1 - exact
    if rest:
        total += rest * math.exp(-2 * (math.pi * local_sigma) ** 2 * (exact + 1) / (exact + 2))
    return 10 * total


def _distributed_discrete_gaussian(event: DistributedDiscreteGaussianEvent) -> NDArray[np.float64]:
    orders = np.array(ORDERS)
    tau = inflation(event.local_sigma, event.contributors)
    central_sigma = event.local_sigma * math.sqrt(event.contributors)
    l2 = event.l2_sensitivity / central_sigma
    l1 = min(math.sqrt(event.dimension) * event.l2_sensitivity, event.l2_sensitivity**2) / central_sigma
    shifted = orders / 2 * l2**2 + tau * event.dimension
    expanded = orders / 2 * (l2**2 + 2 * tau * l1 + tau**2 * event.dimension)
    triangle = orders / 2 * (l2 + tau * math.sqrt(event.dimension)) ** 2
    return np.minimum(shifted, np.minimum(expanded, triangle))


def _gaussian(event: GaussianEvent) -> NDArray[np.float64]:
    import dp_accounting.rdp

    accountant = dp_accounting.rdp.RdpAccountant(
        ORDERS,
        {
            NeighbouringRelation.ZERO_OUT: dp_accounting.NeighboringRelation.REPLACE_SPECIAL,
            NeighbouringRelation.ADD_OR_REMOVE_ONE: dp_accounting.NeighboringRelation.ADD_OR_REMOVE_ONE,
        }[event.relation],
    )
    accountant.compose(dp_accounting.GaussianDpEvent(event.noise_multiplier))
    return np.array(accountant.rdp, dtype=np.float64)


def _convert(divergences: NDArray[np.float64], delta: float) -> tuple[float, float]:
    import dp_accounting.rdp

    epsilon, order = dp_accounting.rdp.compute_epsilon(ORDERS, divergences.tolist(), delta)
    return float(epsilon), float(order)
