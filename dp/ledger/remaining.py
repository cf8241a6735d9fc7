"""The number of further releases that fit into a budget."""

import math
from collections.abc import Callable, Mapping
from typing import Final

from dp.accounting.guarantee import is_within
from dp.accounting.quick import QuickTotal
from dp.events import PrivacyEvent
from dp.ledger.records import Budget

MAXIMUM_REMAINING: Final = 1 << 40
SECANTS: Final = 6


def remaining(events: Mapping[PrivacyEvent, int], event: PrivacyEvent, *, budget: Budget) -> int:
    """Return how many further releases of `event` the ledger admits, at most 2**40.

    A first guess comes from the quickest accountants, a better one from quick figures of all accountants. Whether a
    number of releases fits is then decided in the same way as the ledger decides before each release.

    Args:
        events: How often each event was released.
        event: The event of each further release.
        budget: The budget of the ledger.

    Raises:
        IncompatibleEvent: The relation or unit of an event is not that of the budget.
        InvalidParameter: An event is not a privacy event.
    """

    def admitted(count: int) -> bool:
        return within(events, event, count, budget)

    admitted(0)  # This checks the events.
    made = QuickTotal.of(events)
    found = _most(lambda count: made.plus({event: count}).first_epsilon(budget.delta) <= budget.epsilon, 0)
    if made.plus({event: 1}).takes_long:
        found = _crossing(lambda count: made.plus({event: count}).epsilon(budget.delta), budget.epsilon, found)
    return _most(admitted, found)


def within(events: Mapping[PrivacyEvent, int], event: PrivacyEvent, count: int, budget: Budget) -> bool:
    """Return whether events and `count` more of `event` stay within a budget, by all accountants."""
    return is_within(
        {**events, event: events.get(event, 0) + count},
        epsilon=budget.epsilon,
        delta=budget.delta,
        relation=budget.relation,
        unit=budget.unit,
    )


def _most(fits: Callable[[int], bool], guess: int) -> int:
    """Return the greatest count that fits, 0 to 2**40, starting at a guess.

    If a count does not fit, no greater count may fit.
    """
    low, high, step = guess, guess + 1, 1
    while low and not fits(low):
        low, high, step = max(0, low - step), low, 2 * step
    if low == guess:
        while high <= MAXIMUM_REMAINING and fits(high):
            low, step = high, 2 * step
            high = min(low + step, MAXIMUM_REMAINING + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _crossing(cost: Callable[[int], float], limit: float, known: int) -> int:
    """Return about the greatest count whose cost is at most `limit`, by secants from a known count within it."""
    before, at = known, known + 1
    for _ in range(SECANTS):
        less, more = cost(before), cost(at)
        if at == before or not less < more < math.inf:
            break
        ahead = (limit - more) / (more - less) * (at - before)
        before, at = at, at + max(-at, math.floor(min(ahead, MAXIMUM_REMAINING - at)))
    return at
