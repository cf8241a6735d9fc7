"""Whether a release came to be as it was reserved: by no thinner noise, and at no greater cost.

What a ledger enforces is the reserved event, the worst that was planned for. A release that is at least as private, by
what is checked here, may stand under it; any other must not be made.
"""

from typing import assert_never

import numpy as np

from dp.accounting.renyi import renyi_divergences
from dp.errors import IncompatibleEvent, InvalidParameter, InvalidReservation
from dp.events import (
    DistributedDiscreteGaussianEvent,
    GaussianEvent,
    NoisyEvent,
    PrivacyEvent,
    SkellamEvent,
    decompose,
)


def least_contributors(event: PrivacyEvent) -> int:
    """Return how many parties' noise an event counts on."""
    _, _, noisy = decompose(event)
    return 1 if isinstance(noisy, GaussianEvent) else noisy.contributors


def check_noise(name: str, *, reserved: PrivacyEvent, realised: PrivacyEvent) -> None:
    """Refuse a realised event that no accountant would find as private as the reserved one.

    Compares parameters only, and noise only between events of one kind, so that what passes today passes always. What
    reserved Gaussian noise may become is settled here (`check_cost` says why); the cost of a lattice's noise is not.

    Args:
        name: begins the messages.
        reserved: what was reserved.
        realised: what came to be.

    Raises:
        InvalidParameter: `realised` is not a privacy event.
        IncompatibleEvent: its relation or unit is not the reserved one.
        InvalidReservation: it has less noise, more sensitivity or more coordinates, is the same release more often or
            at a higher sampling rate, or Gaussian noise was reserved and it is another kind, or that.
    """
    if not isinstance(realised, PrivacyEvent):
        raise InvalidParameter(f"realised: expected a privacy event or None, found {type(realised).__name__}")
    if (realised.relation, realised.unit) != (reserved.relation, reserved.unit):
        raise IncompatibleEvent(
            f"{name}: expected relation {reserved.relation.value} and unit {reserved.unit.value}, as reserved, found "
            f"{realised.relation.value} and {realised.unit.value}"
        )
    most_times, most_sampling, promised = decompose(reserved)
    times, sampling, found = decompose(realised)
    if isinstance(promised, GaussianEvent) and (
        not isinstance(found, GaussianEvent) or times > most_times or sampling > most_sampling
    ):
        raise InvalidReservation(
            f"{name}: expected Gaussian noise, no more often and at no higher sampling rate than was reserved, found "
            "another event; such a release must not be made"
        )
    if type(found) is not type(promised):
        return
    more = times >= most_times and sampling >= most_sampling and (times, sampling) != (most_times, most_sampling)
    if more and found == promised:
        raise InvalidReservation(
            f"{name}: expected that release {most_times} times at a sampling rate of {most_sampling:g}, as was "
            f"reserved, found it {times} times at {sampling:g}; such a release must not be made"
        )
    _at_least(name, "noise", promised=_noise(promised), found=_noise(found))
    if not isinstance(promised, GaussianEvent) and not isinstance(found, GaussianEvent):
        _at_most(name, "L2 sensitivity", promised=promised.l2_sensitivity, found=found.l2_sensitivity)
        _at_most(name, "dimension", promised=promised.dimension, found=found.dimension)


def check_cost(name: str, *, reserved: PrivacyEvent, realised: PrivacyEvent) -> None:
    """Refuse a realised event that `check_noise` accepts, but which costs more than the reserved one.

    Formal guarantees:
        What passes has no greater cost in a composition with any other events, under relation and unit of `reserved`.
        Either it is made of the same release with more noise, less often or at a lower sampling rate: then it is
        post-processing of the reserved one, or has a smaller bound of the same form. Or the reserved noise is a
        lattice's, which `dp.accounting` accounts by Renyi divergences, and those of the realised event are nowhere
        greater. Reserved Gaussian noise may have been accounted by its loss distribution, which no comparison of Renyi
        divergences bounds; so only the former will do.

    Args:
        name: begins the messages.
        reserved: what was reserved.
        realised: what came to be.

    Raises:
        InvalidReservation: it may cost more.
    """
    if realised == reserved or _is_dominated(reserved=reserved, realised=realised):
        return
    bound, cost = renyi_divergences(reserved), renyi_divergences(realised)
    if np.any((cost > bound) & np.isfinite(bound)):
        raise InvalidReservation(
            f"{name}: expected no Renyi divergence above those of the event that was reserved, found some; such a "
            "release must not be made"
        )


def _is_dominated(*, reserved: PrivacyEvent, realised: PrivacyEvent) -> bool:
    """Whether an event that `check_noise` accepts differs by more noise, fewer times or less sampling alone."""
    most_times, most_sampling, promised = decompose(reserved)
    times, sampling, found = decompose(realised)
    if times > most_times or sampling > most_sampling or type(found) is not type(promised):
        return False
    # More noises of a smaller parameter may have the same variance, but are further from one discrete Gaussian.
    return (
        not isinstance(promised, DistributedDiscreteGaussianEvent)
        or not isinstance(found, DistributedDiscreteGaussianEvent)
        or (found.local_sigma >= promised.local_sigma and found.contributors >= promised.contributors)
    )


def _noise(event: NoisyEvent) -> float:
    """Return the noise of an event as what only events of the same kind compare by."""
    match event:
        case GaussianEvent():
            return event.noise_multiplier
        case DistributedDiscreteGaussianEvent():
            return event.local_sigma**2 * event.contributors
        case SkellamEvent():
            return event.variance
        case _:
            assert_never(event)


def _at_least(name: str, what: str, *, promised: float, found: float) -> None:
    if found < promised:
        raise InvalidReservation(
            f"{name}: expected {what} of at least the {promised:.9g} that was reserved, found {found:.9g}; such a "
            "release must not be made"
        )


def _at_most(name: str, what: str, *, promised: float, found: float) -> None:
    if found > promised:
        raise InvalidReservation(
            f"{name}: expected {what} of at most the {promised:.9g} that was reserved, found {found:.9g}; such a "
            "release must not be made"
        )
