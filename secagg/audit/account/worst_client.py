"""What the worst client's releases cost, by formulas of the audit's own.

Noise in a sum is priced as the Gaussian noise whose post-processing it is (`secagg.audit.epsilon.exact`), so that a
release has a mu, and releases add up by mu^2. At a Renyi order, it is priced as Gaussian noise of the same variance.
For sampled noise, epsilon has a lower bound by optimistic privacy loss distributions of the package dp-accounting, and
a Renyi divergence is integrated numerically. Each formula gives at most what the toolkit's accountants may state, so
that a figure below it is too small.
"""

import math
from collections import defaultdict
from collections.abc import Mapping
from typing import Final, assert_never

import numpy as np

from dp.events import (
    DistributedDiscreteGaussianEvent,
    GaussianEvent,
    NoisyEvent,
    PrivacyEvent,
    SkellamEvent,
    decompose,
)
from secagg.audit.account.participation import Recount
from secagg.audit.epsilon.estimators import gaussian_epsilon, gaussian_mu
from secagg.audit.epsilon.exact import LEAST_VARIANCE, exact_mu

TOLERANCE: Final = 1e-6
"""Relative; the formulas compute in floating point."""

_POINTS: Final = 200_001
_WIDTH: Final = 20.0
_GRID: Final = 1e-3


_LARGEST_MU: Final = 10.0
"""Above this mu, sampled releases take grids that are too large, and cost an epsilon that protects nobody."""


class Unpriced(Exception):
    """Releases that have no formula here; the text is the reason, a sentence."""


def costs(recount: Recount, events: Mapping[int, PrivacyEvent]) -> list[float | None]:
    """Return what the worst client's releases cost after each reservation.

    Args:
        recount: The ledger.
        events: The event of each reservation, by its number.

    Returns:
        After no reservation, after the first one, and so on: the part of a filter's limit that is used, or without a
        filter epsilon, if the releases are sampled a lower bound on it, of all reservations only. None where it is not
        computed.

    Raises:
        Unpriced: There is no formula for these releases.
    """
    kinds, order = set(events.values()), recount.order
    if recount.accounting == "gaussian-filter":
        limit = gaussian_mu(recount.epsilon, recount.delta) ** 2
        return [worst / limit for worst in _worst(recount, events, {event: _square(event) for event in kinds})]
    if order is not None:
        limit = recount.epsilon - math.log((order - 1) / order) + math.log(recount.delta * order) / (order - 1)
        prices = {event: _divergence(event, order) for event in kinds}
        return [worst / limit for worst in _worst(recount, events, prices)]
    if all(decompose(event)[1] == 1 for event in kinds):
        worst = _worst(recount, events, {event: _square(event) for event in kinds})
        return [gaussian_epsilon(math.sqrt(each), recount.delta) for each in worst]
    if len(kinds) > 1:
        raise Unpriced("The releases are sampled, and not all alike.")
    (event,) = kinds
    *before, count = _worst(recount, events, {event: 1.0})
    return [*(None for _ in before), sampled_epsilon(event, round(count), recount.delta)]


def _worst(recount: Recount, events: Mapping[int, PrivacyEvent], prices: Mapping[PrivacyEvent, float]) -> list[float]:
    return running_worst(recount, {number: prices[event] for number, event in events.items()})


def sampled_epsilon(event: PrivacyEvent, count: int, delta: float) -> float:
    """Return a lower bound on the epsilon of equal sampled releases.

    Raises:
        Unpriced: There is no formula for these releases.
    """
    from dp_accounting.pld import privacy_loss_distribution as pld

    if not count:
        return 0.0
    times, rate, noisy = decompose(event)
    if _mu(noisy) > _LARGEST_MU:
        raise Unpriced(f"The sampled releases have a mu above {_LARGEST_MU:g}.")
    loss = pld.from_gaussian_mechanism(
        1 / _mu(noisy),
        sampling_prob=rate,
        value_discretization_interval=_GRID,
        use_connect_dots=False,
        pessimistic_estimate=False,
    )
    return float(loss.self_compose(times * count).get_epsilon_for_delta(delta))


def running_worst(recount: Recount, prices: Mapping[int, float]) -> list[float]:
    """Return the largest sum of a client's prices, before all reservations and after each.

    Args:
        recount: The ledger.
        prices: The price of each reservation, by its number; one that has none costs nothing.
    """
    sums: defaultdict[int, float] = defaultdict(float)
    found = [0.0]
    for asking in recount.askings:
        price, clients = prices.get(asking.number, 0.0), (asking.clients or ()) if recount.by_client else (0,)
        for client in clients:
            sums[client] += price
        found.append(max([found[-1], *(sums[client] for client in clients)]))
    return found


def sampled_divergence(rate: float, mu: float, order: float) -> float:
    """Return the Renyi divergence of a sampled Gaussian release from one without the unit, by numerical integration.

    Args:
        rate: The probability that the unit is drawn.
        mu: The sensitivity over the standard deviation.
        order: Above 1.
    """
    from scipy.integrate import trapezoid

    x = np.linspace(-_WIDTH, order * mu + _WIDTH, _POINTS)
    ratio = np.logaddexp(math.log1p(-rate), math.log(rate) + mu * x - mu**2 / 2)
    logarithms = order * ratio - x**2 / 2
    most = float(logarithms.max())
    integral = float(trapezoid(np.exp(logarithms - most), x)) / math.sqrt(2 * math.pi)
    return (most + math.log(integral)) / (order - 1)


def _square(event: PrivacyEvent) -> float:
    times, rate, noisy = decompose(event)
    if rate < 1:
        raise Unpriced("The releases are sampled, which have no single mu.")
    return times * _mu(noisy) ** 2


def _divergence(event: PrivacyEvent, order: float) -> float:
    times, rate, noisy = decompose(event)
    mu = _least_mu(noisy)
    if rate < 1 and mu > _LARGEST_MU:
        raise Unpriced(f"The sampled releases have a mu above {_LARGEST_MU:g}.")
    return times * (order * mu**2 / 2 if rate == 1 else sampled_divergence(rate, mu, order))


def _least_mu(noisy: NoisyEvent) -> float:
    """Return the mu of Gaussian noise of the same variance."""
    match noisy:
        case GaussianEvent():
            return _mu(noisy)
        case DistributedDiscreteGaussianEvent(local_sigma=sigma, contributors=contributors):
            return noisy.l2_sensitivity / (sigma * math.sqrt(contributors))
        case SkellamEvent(variance=variance):
            return noisy.l2_sensitivity / math.sqrt(variance)
        case _:
            assert_never(noisy)


def _mu(noisy: NoisyEvent) -> float:
    match noisy:
        case GaussianEvent(noise_multiplier=multiplier):
            return 1 / multiplier
        case DistributedDiscreteGaussianEvent(local_sigma=sigma) if sigma**2 >= LEAST_VARIANCE:
            return exact_mu(noisy)
        case SkellamEvent(variance=variance) if variance >= LEAST_VARIANCE:
            return exact_mu(noisy)
        case _:
            raise Unpriced(f"The noise has a variance below {LEAST_VARIANCE:g} squared steps.")
