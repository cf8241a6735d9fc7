"""The cohorts that the settings of a run draw, by code of the audit's own.

The rules are those of `secagg.training.cohorts`, written again from their description. The draws in turn and at random
are public: they follow from the seed and from who was asked before. A secret draw by Poisson sampling does not follow
from anything, so only its range can be checked.
"""

from bisect import bisect_left
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_STREAM: Final = 0x6F72646572


def in_turn(*, clients: int, cohort: int, seed: int, turn: int) -> tuple[int, ...]:
    """Return who is asked in a turn, counted from 0: the next ones of a random order, which begins anew at its end."""
    order = np.random.default_rng([seed, _STREAM]).permutation(clients)
    return tuple(sorted(int(order[place % clients]) for place in range(turn * cohort, (turn + 1) * cohort)))


def at_random(counts: NDArray[Any], *, cohort: int, cap: int, wanted: int, seed: int, turn: int) -> tuple[int, ...]:
    """Return who is asked in a turn, at random below a cap; nobody if too few clients have a place.

    Args:
        counts: How often each client was asked before, shape `(clients,)`.
        cohort: How many are asked.
        cap: The most rounds that may ask one client.
        wanted: How many rounds are to come, this one included, at least 1.
        seed: The seed of the settings.
        turn: How many cohorts were drawn before.
    """
    left = cap - counts

    def spare(rounds: int) -> int:
        return int(np.clip(left, 0, rounds).sum()) - cohort * rounds

    # The spare places are concave in the number of rounds, and none for no round.
    rounds = bisect_left(range(1, wanted + 1), True, key=lambda rounds: spare(rounds) < 0)
    if not rounds:
        return ()
    generator = np.random.default_rng([seed, turn, _STREAM])
    needed = np.flatnonzero(left >= rounds)
    first = generator.choice(needed, size=max(0, len(needed) - spare(rounds)), replace=False)
    free = np.setdiff1d(np.flatnonzero(left > 0), first)
    rest = generator.choice(free, size=cohort - len(first), replace=False)
    return tuple(sorted((*first.tolist(), *rest.tolist())))
