"""Pairs of laws on finite sets, their products, and adversaries that choose the next pair after each result.

A pair is what one release may show in the two worlds: with the target's data, and without. Nothing here uses `dp`.
"""

import itertools
import math
from collections.abc import Iterator, Sequence

Pair = Sequence[tuple[float, float]]
"""For each result, its probability in the first world and in the second one."""

Strategy = tuple[bool, "Strategy", "Strategy"] | None
"""Whether the target takes part in the next round, and how it goes on after each of two results; None at the end."""

INDIFFERENT: Pair = ((0.25, 0.25), (0.75, 0.75))
"""A release without the target's data: it has one law in both worlds."""


def randomised_response(epsilon: float) -> Pair:
    """Return the pair of one bit that is told truly with probability e^epsilon / (1 + e^epsilon)."""
    truly = 1 / (1 + math.exp(-epsilon))
    return ((truly, 1 - truly), (1 - truly, truly))


def revealing(probability: float) -> Pair:
    """Return the pair of a mechanism that shows the world with this probability, and nothing otherwise."""
    return ((probability, 0.0), (0.0, probability), (1 - probability, 1 - probability))


def product(*pairs: Pair) -> Pair:
    """Return the pair of independent releases together."""
    return [
        (math.prod(first for first, _ in results), math.prod(second for _, second in results))
        for results in itertools.product(*pairs)
    ]


def reverse(pair: Pair) -> Pair:
    """Return the pair with its worlds exchanged."""
    return [(second, first) for first, second in pair]


def hockey_stick(pair: Pair, epsilon: float) -> float:
    """Return the delta of a pair at an epsilon, in the direction of its worlds."""
    return math.fsum(max(0.0, first - math.exp(epsilon) * second) for first, second in pair)


def strategies(rounds: int, cap: int) -> Iterator[Strategy]:
    """Yield all ways to put a target into at most `cap` rounds, each chosen from the results of the rounds before."""
    if rounds == 0:
        yield None
        return
    for takes_part in (False, True) if cap else (False,):
        rest = list(strategies(rounds - 1, cap - takes_part))
        for first, second in itertools.product(rest, repeat=2):
            yield takes_part, first, second


def transcript(strategy: Strategy, pair: Pair) -> Pair:
    """Return the pair of all results of a strategy, where each participation costs the target `pair`."""
    if strategy is None:
        return [(1.0, 1.0)]
    takes_part, *after = strategy
    return [
        (first * later_first, second * later_second)
        for (first, second), rest in zip(pair if takes_part else INDIFFERENT, after, strict=True)
        for later_first, later_second in transcript(rest, pair)
    ]


def best_continuation(first: Pair, choices: Sequence[Pair], epsilon: float) -> float:
    """Return the most delta of two releases, of which the second is chosen after the result of the first."""
    return math.fsum(
        max(hockey_stick([(p * a, q * b) for a, b in choice], epsilon) for choice in choices) for p, q in first
    )


def best_in_both_directions(first: Pair, choices: Sequence[Pair], epsilon: float) -> float:
    """Return the greater of `best_continuation` for the two orders of the worlds."""
    turned = [reverse(each) for each in choices]
    return max(best_continuation(first, choices, epsilon), best_continuation(reverse(first), turned, epsilon))
