"""The least noise with which a number of further releases stays within what a ledger has left."""

import math
from collections.abc import Callable
from typing import Final

from dp.accounting.gaussian_curve import least_multiplier
from dp.accounting.quick import QuickTotal
from dp.errors import InfeasibleTarget
from dp.events import GaussianEvent, PrivacyEvent, decompose
from dp.ledger.charges import Charges, FilteredCharges
from dp.ledger.filters import GaussianFilter
from dp.ledger.participants import Clients
from dp.ledger.records import Budget

MINIMUM_MULTIPLIER: Final = 1e-3
MAXIMUM_MULTIPLIER: Final = 1e12
TOLERANCE: Final = 1e-6
SAMPLED_TOLERANCE: Final = 1e-4
_CLIPPED: Final = 50.0
_FIRST_FACTOR: Final = 2.0
_NEAR: Final = 1.0005
"""The first factor from a guess by quick figures, which are greater by a few ten-thousandths."""


def least_further_multiplier(
    charges: Charges, clients: Clients, releases: int, event_of: Callable[[float], PrivacyEvent], *, budget: Budget
) -> float:
    """Return the least noise multiplier with which further releases are admitted for each of some clients.

    With a Gaussian filter and events of Gaussian noise it is sqrt(releases / what is left). Otherwise it is searched
    for, between 1e-3 and 1e12, to a part of 1e-6; of 1e-4 if privacy loss distributions of sampled releases are used,
    each of which takes tenths of a second.

    Args:
        charges: What the clients were charged.
        clients: The clients that each of the releases asks.
        releases: Their number, at least 1.
        event_of: Returns the event of each release, given a noise multiplier.
        budget: The budget of the ledger.

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
    guess = _guess(charges, clients, releases, event_of, budget)
    low, high = _bracket(fits, 1.0, _FIRST_FACTOR) if guess is None else _bracket(fits, guess, _NEAR)
    if math.isinf(high):
        raise InfeasibleTarget(
            f"{releases} more releases: expected a noise multiplier of at most {MAXIMUM_MULTIPLIER:g}, found that not "
            "even that one stays within what is left. Plan fewer releases, or clients that were asked less often."
        )
    _, rate, _ = decompose(event_of(1.0))
    tolerance = TOLERANCE if rate == 1 or isinstance(charges, FilteredCharges) else SAMPLED_TOLERANCE
    while high > low * (1 + tolerance):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high


def _guess(
    charges: Charges, clients: Clients, releases: int, event_of: Callable[[float], PrivacyEvent], budget: Budget
) -> float | None:
    """Return about the least multiplier by quick figures; None with a filter, whose charges are quick themselves.

    So the figures of a guarantee, which take tenths of a second if releases are sampled, are computed near it only.
    """
    import scipy.optimize

    events = None if isinstance(charges, FilteredCharges) else charges.events(charges.worst(clients))
    if events is None:
        return None
    made = QuickTotal.of(events)

    def excess(position: float) -> float:
        found = made.plus({event_of(math.exp(position)): releases}).epsilon(budget.delta)
        return min(max(math.log(found / budget.epsilon), -_CLIPPED), _CLIPPED) if found > 0 else -_CLIPPED

    low, high = _bracket(lambda multiplier: excess(math.log(multiplier)) <= 0, 1.0, _FIRST_FACTOR)
    if math.isinf(high) or low == high:
        return None
    return math.exp(scipy.optimize.brentq(excess, math.log(low), math.log(high), xtol=SAMPLED_TOLERANCE))


def _bracket(fits: Callable[[float], bool], start: float, factor: float) -> tuple[float, float]:
    """Return a multiplier that does not fit and a larger one that does; twice the least one, or infinity at the end.

    Steps grow from `start` on, since multipliers far below what is needed take longest to account.
    """
    at = start
    if fits(at):
        while at > MINIMUM_MULTIPLIER:
            less = max(at / factor, MINIMUM_MULTIPLIER)
            if not fits(less):
                return less, at
            at, factor = less, factor**2
        return at, at
    while at < MAXIMUM_MULTIPLIER:
        more = min(at * factor, MAXIMUM_MULTIPLIER)
        if fits(more):
            return at, more
        at, factor = more, factor**2
    return at, math.inf
