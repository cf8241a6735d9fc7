"""The least noise with which a number of further releases stays within what a ledger has left."""

import math
from collections.abc import Callable
from typing import Final

from dp.accounting.gaussian_curve import least_multiplier
from dp.errors import InfeasibleTarget
from dp.events import GaussianEvent, PrivacyEvent
from dp.ledger.charges import Charges, FilteredCharges
from dp.ledger.filters import GaussianFilter
from dp.ledger.participants import Clients

MINIMUM_MULTIPLIER: Final = 1e-3
MAXIMUM_MULTIPLIER: Final = 1e12
TOLERANCE: Final = 1e-6


def least_further_multiplier(
    charges: Charges, clients: Clients, releases: int, event_of: Callable[[float], PrivacyEvent]
) -> float:
    """Return the least noise multiplier with which further releases are admitted for each of some clients.

    With a Gaussian filter and events of Gaussian noise it is sqrt(releases / what is left). Otherwise it is searched
    for, between 1e-3 and 1e12, to a part of 1e-6.

    Args:
        charges: What the clients were charged.
        clients: The clients that each of the releases asks.
        releases: Their number, at least 1.
        event_of: Returns the event of each release, given a noise multiplier.

    Raises:
        IncompatibleEvent: The accounting cannot take the event.
        InfeasibleTarget: Nothing is left, or the noise multiplier needed is above 1e12.
    """

    def fits(multiplier: float) -> bool:
        return charges.admits(event_of(multiplier), clients, releases)

    charges.check(event_of(1.0))
    if isinstance(charges, FilteredCharges) and isinstance(charges.rule, GaussianFilter):
        left = charges.left(charges.worst(clients))
        if left > 0 and isinstance(event_of(1.0), GaussianEvent):
            multiplier = least_multiplier(left=left, releases=releases)
            if MINIMUM_MULTIPLIER <= multiplier <= MAXIMUM_MULTIPLIER and fits(multiplier):
                return multiplier
    low, high = MINIMUM_MULTIPLIER, MAXIMUM_MULTIPLIER
    if not fits(high):
        raise InfeasibleTarget(
            f"{releases} more releases: expected a noise multiplier of at most {high:g}, found that not even that one "
            "stays within what is left. Plan fewer releases, or clients that were asked less often."
        )
    if fits(low):
        return low
    while high > low * (1 + TOLERANCE):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high
