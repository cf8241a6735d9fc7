"""How the epsilon of a ledger grew, what is left of it, and what it is at other deltas: curves for a report.

Every figure is the lesser of what the accountants of `dp.accounting` give, as the total that is enforced is. Where
Gaussian noise is sampled, privacy loss distributions take hundredths of a second for each figure: they are on a coarser
grid than the total's, an upper bound by some ten-thousandths more, and of fewer releases. What is not computed is
left out. Epsilon never falls as releases are added, so that the total bounds what was spent before its last release.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dp.accounting import is_within
from dp.events import GaussianEvent, PrivacyEvent, RepeatedEvent
from dp.loss import MINIMUM_DELTA, loss_epsilon, loss_epsilons, why_not
from dp.records import Budget
from dp.renyi import ORDERS, renyi_divergences
from dp.reporting.wording import sampling_rate, single

MAXIMUM_ACCOUNTED: Final = 200
MAXIMUM_REMAINING: Final = 1 << 40
PROJECTED: Final = 40

# What curves take in compositions of one kind of sampled Gaussian noise, and the points of a release's distribution.
COMPOSITIONS: Final = 40
PROJECTED_COMPOSITIONS: Final = 10
LEAST_COMPOSITIONS: Final = 5
POINTS: Final = 10_000
SECANTS: Final = 6


def accounted(releases: int, most: int = MAXIMUM_ACCOUNTED) -> tuple[int, ...]:
    """Return the positions, from 0, of `releases`: all, or, of more than `most`, so many, evenly spread to the last."""
    if releases <= most:
        return tuple(range(releases))
    return tuple((position + 1) * releases // most - 1 for position in range(most))


def epsilons_after(events: Sequence[PrivacyEvent], *, delta: float, total: float) -> dict[int, float]:
    """Return what all releases up to and with each accounted one cost.

    Args:
        events: of the releases, in order.
        delta: strictly between 0 and 1.
        total: epsilon of all of them, by the accountants of the ledger.

    Returns:
        Epsilon by position, where it was computed: at the positions of `accounted`, or, with sampled Gaussian noise, at
        up to 40 of them. The last one is `total`.
    """
    found: dict[int, float] = {}
    releases: Counter[PrivacyEvent] = Counter()
    divergences, done = np.zeros(len(ORDERS)), 0
    positions = accounted(len(events))
    for position in (positions[index] for index in accounted(len(positions), _figures(events, len(positions)))):
        divergences += composed(events[done : position + 1])
        releases.update(_counted(events[done : position + 1]))
        done = position + 1
        # On its coarser grid a figure may come out above a later total, which bounds it, too.
        found[position] = total if done == len(events) else min(total, _epsilon(releases, divergences, delta))
    return found


def remaining(events: Iterable[PrivacyEvent], event: PrivacyEvent, *, budget: Budget) -> int:
    """Return how many further releases of `event` the ledger would admit, at most 2**40.

    Renyi divergences tell where to begin, losses on a coarser grid where to go on; they only ever err on the safe side.
    Whether one more would do is asked as the ledger does.
    """
    spent, one = composed(events := tuple(events)), renyi_divergences(event)
    together, made = Counter(events), _counted(events)
    sampled = any(map(_is_sampled_gaussian, (*made, *_single(event, 1))))

    def by_renyi(count: int) -> float:
        return epsilon_of(spent + count * one, budget.delta)

    def by_losses(count: int) -> float:
        return _epsilon(_with(made, event, count), spent + count * one, budget.delta)

    def admitted(count: int) -> bool:
        return (sampled and by_losses(count) <= budget.epsilon) or is_within(
            together + Counter({event: count}),
            epsilon=budget.epsilon,
            delta=budget.delta,
            relation=budget.relation,
            unit=budget.unit,
        )

    found = _most(lambda count: by_renyi(count) <= budget.epsilon, 0)
    return _most(admitted, _crossing(by_losses, budget.epsilon, found) if sampled else found)


def projected(
    events: Iterable[PrivacyEvent], event: PrivacyEvent, *, further: int, budget: Budget
) -> tuple[tuple[int, float], ...]:
    """Return what all would cost after some of `further` more releases of `event`: pairs of how many, and epsilon.

    Args:
        events: of the releases made.
        event: of those to come.
        further: so many, which the ledger would admit: they cost the budget's epsilon at most.
        budget: the ledger's.
    """
    spent, one = composed(events := tuple(events)), renyi_divergences(event)
    made = _counted(events)
    figures = PROJECTED_COMPOSITIONS if any(map(_is_sampled_gaussian, (*made, *_single(event, 1)))) else PROJECTED
    return tuple(
        (
            position + 1,
            min(
                budget.epsilon,
                _epsilon(_with(made, event, position + 1), spent + (position + 1) * one, budget.delta),
            ),
        )
        for position in accounted(further, figures)
    )


def epsilons_at(events: Iterable[PrivacyEvent], deltas: Sequence[float], *, delta: float) -> dict[float, float]:
    """Return what all releases cost at each delta, by the accountants that apply at the budget's.

    Args:
        events: of the releases.
        deltas: strictly between 0 and 1.
        delta: the budget's.

    Returns:
        Epsilon by delta, where it was computed: by privacy loss distributions of sampled releases from 1e-9 on.
    """
    releases, divergences = _counted(events := tuple(events)), composed(events)
    at_most = epsilon_of(divergences, delta)
    if why_not(releases, delta=delta, at_most=at_most):
        return {at: epsilon_of(divergences, at) for at in deltas}
    if any(map(_is_sampled_gaussian, releases)):
        deltas = [at for at in deltas if at >= MINIMUM_DELTA]
    losses = loss_epsilons(releases, deltas=deltas, at_most=at_most, points=POINTS)
    return {at: min(loss, epsilon_of(divergences, at)) for at, loss in zip(deltas, losses, strict=True)}


def composed(events: Iterable[PrivacyEvent]) -> NDArray[np.float64]:
    """Return the divergences of all events together, at every order of the grid; shape `(len(ORDERS),)`, float64."""
    total = np.zeros(len(ORDERS))
    for event in events:
        total += renyi_divergences(event)
    return total


def epsilon_of(divergences: NDArray[np.float64], delta: float) -> float:
    """Return the epsilon of composed divergences, converted by arXiv 2004.00010v4, Proposition 12."""
    import dp_accounting.rdp

    return float(dp_accounting.rdp.compute_epsilon(ORDERS, divergences.tolist(), delta)[0])


def _epsilon(releases: Mapping[PrivacyEvent, int], divergences: NDArray[np.float64], delta: float) -> float:
    """Return the lesser of what the accountants give for single releases and their composed divergences."""
    renyi = epsilon_of(divergences, delta)
    if why_not(releases, delta=delta, at_most=renyi):
        return renyi
    return min(renyi, loss_epsilon(releases, delta=delta, at_most=renyi, points=POINTS).epsilon)


def _figures(events: Sequence[PrivacyEvent], most: int) -> int:
    """Return of how many releases a curve is computed, `most` where that is quick."""
    kinds = set(_counted(events))
    if not any(map(_is_sampled_gaussian, kinds)):
        return most
    return max(LEAST_COMPOSITIONS, COMPOSITIONS // len(kinds))


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


def _counted(events: Iterable[PrivacyEvent]) -> Counter[PrivacyEvent]:
    """Return how often each single release took place."""
    found: Counter[PrivacyEvent] = Counter()
    for event, times in Counter(events).items():
        found.update(_single(event, times))
    return found


def _with(made: Counter[PrivacyEvent], event: PrivacyEvent, count: int) -> Counter[PrivacyEvent]:
    return made + _single(event, count)


def _single(event: PrivacyEvent, times: int) -> Counter[PrivacyEvent]:
    if isinstance(event, RepeatedEvent):
        return Counter({event.event: times * event.times})
    return Counter({event: times})


def _is_sampled_gaussian(event: PrivacyEvent) -> bool:
    rate = sampling_rate(event)
    return rate is not None and rate < 1 and isinstance(single(event), GaussianEvent)
