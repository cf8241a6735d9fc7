"""Checks that a realised release has no less noise, and costs no more, than the release that was reserved.

A ledger enforces the reserved event, the worst case that was planned for. A realised release may be recorded under it
if these checks find it at least as private. Any other release must not be made.
"""

from typing import assert_never

import numpy as np

from dp.accounting.accountants import accountants_of
from dp.accounting.lattice import dominating_gaussian
from dp.accounting.privacy_loss_accountant import PrivacyLossAccountant
from dp.accounting.renyi import renyi_divergences
from dp.accounting.renyi_accountant import RenyiAccountant
from dp.accounting.renyi_order import divergence_at
from dp.errors import IncompatibleEvent, InvalidParameter, InvalidReservation
from dp.events import (
    DistributedDiscreteGaussianEvent,
    GaussianEvent,
    NoisyEvent,
    PrivacyEvent,
    SkellamEvent,
    decompose,
    with_noise,
)
from dp.ledger.records import Budget


def least_contributors(event: PrivacyEvent) -> int:
    """Return how many parties' noise an event counts on."""
    _, _, noisy = decompose(event)
    return noisy.contributors


def check_noise(name: str, *, reserved: PrivacyEvent, realised: PrivacyEvent) -> None:
    """Refuse a realised event that no accountant finds as private as the reserved one.

    Only parameters are compared, and only between events of the same kind. So the result does not depend on the version
    or the number of the accountants. `check_cost` decides the rest.

    Args:
        name: The beginning of the messages.
        reserved: The event that was reserved.
        realised: The event with the noise that was really in the release.

    Raises:
        InvalidParameter: `realised` is not a privacy event.
        IncompatibleEvent: Its relation or unit is not the reserved one.
        InvalidReservation: It has less noise, more sensitivity or more coordinates. Or it is the same release, but more
            often or at a higher sampling rate. Or the noise of both is Gaussian, and it is more often, or at a higher
            sampling rate.
    """
    if not isinstance(realised, PrivacyEvent):
        raise InvalidParameter(f"realised: expected a privacy event or None, found {type(realised).__name__}")
    if (realised.relation, realised.unit) != (reserved.relation, reserved.unit):
        raise IncompatibleEvent(
            f"{name}: expected relation {reserved.relation.value} and unit {reserved.unit.value}, as reserved, found "
            f"{realised.relation.value} and {realised.unit.value}. Give the realised event the reserved ones."
        )
    most_times, most_sampling, promised = decompose(reserved)
    times, sampling, found = decompose(realised)
    if type(found) is not type(promised):
        return
    if isinstance(promised, GaussianEvent) and (times > most_times or sampling > most_sampling):
        raise InvalidReservation(
            f"{name}: expected Gaussian noise no more often and at no higher sampling rate than was reserved, found "
            "another event. Do not make this release."
        )
    more = times >= most_times and sampling >= most_sampling and (times, sampling) != (most_times, most_sampling)
    if more and found == promised:
        raise InvalidReservation(
            f"{name}: expected that release {most_times} times at a sampling rate of {most_sampling:g}, as was "
            f"reserved, found it {times} times at {sampling:g}. Do not make this release."
        )
    _at_least(name, "noise", promised=_noise(promised), found=_noise(found))
    if not isinstance(promised, GaussianEvent) and not isinstance(found, GaussianEvent):
        _at_most(name, "L2 sensitivity", promised=promised.l2_sensitivity, found=found.l2_sensitivity)
        _at_most(name, "dimension", promised=promised.dimension, found=found.dimension)


def check_cost(name: str, *, reserved: PrivacyEvent, realised: PrivacyEvent, budget: Budget) -> None:
    """Refuse a realised event that `check_noise` accepts, but which may cost more than the reserved one.

    Formal guarantees:
        An accepted event costs no more in a composition with any other events, under relation and unit of `reserved`.
        There are two cases. First, it is the same release with more noise, less often or at a lower sampling rate: then
        it is post-processing of the reserved one, or has a smaller bound of the same form. Second, each accountant that
        may have given the cost of the reserved event finds that the realised one costs no more. For Renyi DP, the
        divergences of the realised event are greater at no order of the accountant, nor at the order of the budget's
        filter. For Gaussian noise that dominates the reserved event
        (`dp.accounting.lattice`), other Gaussian noise dominates the realised event, with no smaller noise multiplier,
        no more often, and at no higher sampling rate; so that one is post-processing of the other. What any further
        accountant says of the reserved event is bounded by neither: then only the first case is accepted.

    Args:
        name: The beginning of the messages.
        reserved: The event that was reserved.
        realised: The event with the noise that was really in the release.
        budget: The budget that the reserved event is charged to.

    Raises:
        InvalidReservation: It may cost more.
    """
    if realised == reserved or _has_more_of_everything(reserved=reserved, realised=realised):
        return
    supporting = accountants_of(reserved, budget.delta)
    if not all(isinstance(each, RenyiAccountant | PrivacyLossAccountant) for each in supporting):
        raise InvalidReservation(
            f"{name}: expected at least the reserved noise, no more often and at no higher sampling rate, because an "
            "accountant other than Renyi DP supports the reserved event, found another event. Do not make this release."
        )
    most_times, most_sampling, promised = decompose(reserved)
    times, sampling, found = decompose(realised)
    least, gaussian = dominating_gaussian(promised), dominating_gaussian(found)
    if least is not None and (
        gaussian is None
        or gaussian.noise_multiplier < least.noise_multiplier
        or times > most_times
        or sampling > most_sampling
    ):
        raise InvalidReservation(
            f"{name}: expected noise that Gaussian noise of a multiplier of at least {least.noise_multiplier:.9g} "
            "dominates, as it does the reserved noise, no more often and at no higher sampling rate, found another "
            "event. Do not make this release."
        )
    if isinstance(promised, GaussianEvent):  # Its divergences are those of the Gaussian noise that was just compared.
        return
    bound, cost = renyi_divergences(reserved), renyi_divergences(realised)
    if gaussian is not None:
        cost = np.minimum(cost, renyi_divergences(with_noise(realised, gaussian)))
    order = budget.order
    charged_more = order is not None and divergence_at(realised, order) > divergence_at(reserved, order)
    if charged_more or np.any((cost > bound) & np.isfinite(bound)):
        raise InvalidReservation(
            f"{name}: expected no Renyi divergence above those of the event that was reserved, found at least one. Do "
            "not make this release."
        )


def _has_more_of_everything(*, reserved: PrivacyEvent, realised: PrivacyEvent) -> bool:
    """Return whether an event that `check_noise` accepts differs only by more noise, fewer times or less sampling."""
    most_times, most_sampling, promised = decompose(reserved)
    times, sampling, found = decompose(realised)
    if times > most_times or sampling > most_sampling or type(found) is not type(promised):
        return False
    # More noises of a smaller parameter may have the same variance, but their sum is further from a discrete Gaussian.
    return (
        not isinstance(promised, DistributedDiscreteGaussianEvent)
        or not isinstance(found, DistributedDiscreteGaussianEvent)
        or (found.local_sigma >= promised.local_sigma and found.contributors >= promised.contributors)
    )


def _noise(event: NoisyEvent) -> float:
    """Return the amount of noise of an event, in a unit that is the same only for events of the same kind."""
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
            f"{name}: expected {what} of at least the {promised:.9g} that was reserved, found {found:.9g}. Do not "
            "make this release."
        )


def _at_most(name: str, what: str, *, promised: float, found: float) -> None:
    if found > promised:
        raise InvalidReservation(
            f"{name}: expected {what} of at most the {promised:.9g} that was reserved, found {found:.9g}. Do not "
            "make this release."
        )
