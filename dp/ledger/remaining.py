"""How many more releases a budget has room for."""

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
    """Return how many further releases of `event` the ledger would admit, at most 2**40.

    The quickest accountants tell where to begin and quick figures of all of them where to go on. Whether that many fit
    is asked as the ledger asks before each of them.

    Args:
        events: how often each was released.
        event: of the releases to come.
        budget: the ledger's.

    Raises:
        IncompatibleEvent: an event has not the budget's relation and unit.
        InvalidParameter: an event is not one.
    """

    def admitted(count: int) -> bool:
        return is_within(
            {**events, event: events.get(event, 0) + count},
            epsilon=budget.epsilon,
            delta=budget.delta,
            relation=budget.relation,
            unit=budget.unit,
        )

    admitted(0)  # checks the events
    made = QuickTotal.of(events)
    found = _most(lambda count: made.plus({event: count}).first_epsilon(budget.delta) <= budget.epsilon, 0)
    if made.plus({event: 1}).takes_long:
        found = _crossing(lambda count: made.plus({event: count}).epsilon(budget.delta), budget.epsilon, found)
    return _most(admitted, found)


def _most(fits: Callable[[int], bool], guess: int) -> int:
    """Return the greatest count that fits, 0 to 2**40, near a guess; where one does not fit, no greater one does."""
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
    """Return about the greatest count of at most this cost, by some secants from a count of no more than that."""
    before, at = known, known + 1
    for _ in range(SECANTS):
        less, more = cost(before), cost(at)
        if at == before or not less < more < math.inf:
            break
        ahead = (limit - more) / (more - less) * (at - before)
        before, at = at, at + max(-at, math.floor(min(ahead, MAXIMUM_REMAINING - at)))
    return at
