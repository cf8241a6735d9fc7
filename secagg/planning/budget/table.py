"""Epsilon by rounds and noise: a table around a plan, each row a run of its own."""

import math
from fractions import Fraction
from typing import Final

from dp.errors import InvalidParameter
from dp.events import PrivacyEvent
from secagg.planning.budget.answer import Epsilon, Table, as_epsilon
from secagg.planning.budget.digits import enough
from secagg.planning.budget.noise import epsilon_of, with_multiplier
from secagg.planning.budget.request import BudgetRequest
from secagg.privacy.least_cap import least_cap

_PARTS: Final = tuple(Fraction(part) for part in ("1/10", "1/4", "1/2", "3/4", "1", "3/2", "2"))
_FACTORS: Final = (1 / 2, 1 / math.sqrt(2), 1.0, math.sqrt(2), 2.0)
# Sampled rounds take tenths of a second for each figure.
_SAMPLED_PARTS: Final = tuple(Fraction(part) for part in ("1/4", "1/2", "1", "2"))
_SAMPLED_FACTORS: Final = (1 / math.sqrt(2), 1.0, math.sqrt(2))


def tabulated(request: BudgetRequest, event: PrivacyEvent) -> Table:
    """Return the epsilon of fewer and more rounds, with less and more noise.

    Args:
        request: The request; a number of rounds that may be added later has a row.
        event: The event of one round with the noise of the plan.

    Returns:
        One row for each number of rounds, up to twice the plan's. One column for each noise, up to twice the plan's, in
        the digits that are shown: the middle one is the plan's, rounded up.
    """
    sampled = request.rate != 1
    rounds = {math.ceil(part * request.rounds) for part in (_SAMPLED_PARTS if sampled else _PARTS)}
    if request.more_rounds is not None:
        rounds.add(request.rounds + request.more_rounds)
    releases = tuple(_releases(request, number) for number in sorted(rounds))
    factors = _SAMPLED_FACTORS if sampled else _FACTORS
    noises = tuple(dict.fromkeys(float(enough(event.noise_multiplier * factor)) for factor in factors))
    return Table(
        rounds=tuple(sorted(rounds)),
        releases=releases,
        noise_multipliers=noises,
        epsilon=tuple(tuple(_epsilon(request, event, noise, count) for noise in noises) for count in releases),
    )


def _releases(request: BudgetRequest, rounds: int) -> int:
    """Return the most releases that one client is asked for: the least cap, or the given one if that is larger."""
    if request.cohort is None:
        return rounds
    least = least_cap(rounds, cohort=request.cohort, clients=request.clients)
    return least if request.cap is None else max(least, min(request.cap, rounds))


def _epsilon(request: BudgetRequest, event: PrivacyEvent, noise: float, releases: int) -> Epsilon:
    try:
        other = with_multiplier(event, noise)
    except InvalidParameter:  # The noise is below what can be accounted.
        return as_epsilon(math.inf)
    return as_epsilon(epsilon_of(other, releases, delta=request.chosen_delta))
