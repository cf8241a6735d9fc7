"""Which clients a round asks: the rules by which a cohort is drawn from the population.

In turn and at random, at most `cap` rounds ask a client, and the draw depends on the seed and on who was asked before:
on public facts. By Poisson sampling each client is drawn by itself, with randomness of the operating system, and who
was drawn must stay secret.

Formal guarantees: no draw depends on clients' data or on released models, so what is known of the cohorts beforehand is
known to everybody. Towards the server, a client has the cost of the rounds that it was asked for together. Only Poisson
sampling allows an amplified statement, and only towards readers of the released models (`SecureMean`).
"""

import os
from collections.abc import Callable, Sequence
from enum import StrEnum
from fractions import Fraction
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from protocols.crypto.entropy import draw as entropy_of
from secagg.errors import CohortsExhausted, ConfigurationError

Entropy = Callable[[int], bytes]
Counts = NDArray[Any]

_ORDER: Final = 0x6F72646572  # Keeps these streams apart from others of the same seed.
_WORD_BYTES: Final = 8


class Draw(StrEnum):
    """How the clients of a round are drawn."""

    IN_TURN = "in-turn"
    """In a random order of the population, the next ones each time."""

    RANDOM = "random"
    """At random without replacement, by a rule that keeps enough places for the rounds that follow."""

    POISSON = "poisson"
    """Each client by itself with the same probability, in secret."""


def spare_places(left: Counts, *, cohort: int, rounds: int) -> int:
    """Return how many places more than needed the clients have for this number of rounds; negative: too few.

    Args:
        left: For each client, how many more rounds may ask it.
        cohort: The number of clients of a round.
        rounds: The number of rounds, in each of which a client has at most one place.
    """
    return int(np.minimum(left, rounds).sum()) - cohort * rounds


def most_rounds(left: Counts, *, cohort: int, wanted: int) -> int:
    """Return the most rounds, at most `wanted`, for which the clients have places; 0 if not even one has.

    Args:
        left: As for `spare_places`.
        cohort: As for `spare_places`.
        wanted: At least 0.
    """
    # The places less those needed are concave in the number of rounds, and 0 for none.
    low, high = 0, wanted
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if spare_places(left, cohort=cohort, rounds=middle) >= 0 else (low, middle - 1)
    return low


def in_order(clients: int, *, seed: int) -> NDArray[np.int64]:
    """Return the order in which draws in turn go through the population, shape `(clients,)`."""
    return np.random.default_rng([seed, _ORDER]).permutation(clients)


def draw_in_turn(order: NDArray[np.int64], left: Counts, *, cohort: int, turn: int) -> tuple[int, ...]:
    """Return the clients of a round: the next ones of an order, which begins again after its end.

    Args:
        order: What `in_order` returned.
        left: As for `spare_places`.
        cohort: The number of clients of a round, at most the population.
        turn: The number of cohorts that were drawn before.

    Returns:
        The ids, ascending.

    Raises:
        CohortsExhausted: One of them has no place left.
    """
    chosen = order[(turn * cohort + np.arange(cohort)) % len(order)]
    if not (left[chosen] > 0).all():
        raise exhausted(left, cohort=cohort)
    return _ids(chosen)


def draw_at_random(left: Counts, *, cohort: int, wanted: int, seed: Sequence[int]) -> tuple[int, ...]:
    """Return the clients of a round, drawn so that no later round runs dry.

    With R rounds to go, this one included, and r_i places of client i, let H be the clients with r_i >= R, and S the
    places beyond those needed, `spare_places`. Of H, |H| - S are drawn first, if that is positive; the others uniformly
    from all clients left that have a place. A drawn client outside H costs one place of S, so S stays at least 0.

    Args:
        left: As for `spare_places`.
        cohort: The number of clients of a round.
        wanted: The number of rounds to go, this one included, at least 1. Where there are too few places for them, R is
            the most rounds for which there are enough.
        seed: Seeds the draw; another one for each draw.

    Returns:
        The ids, ascending.

    Raises:
        CohortsExhausted: Fewer than `cohort` clients have a place left.
    """
    rounds = most_rounds(left, cohort=cohort, wanted=wanted)
    if not rounds:
        raise exhausted(left, cohort=cohort)
    generator = np.random.default_rng([*seed, _ORDER])
    needed = np.flatnonzero(left >= rounds)
    first = max(0, len(needed) - spare_places(left, cohort=cohort, rounds=rounds))
    chosen = generator.choice(needed, size=first, replace=False)
    free = left > 0
    free[chosen] = False
    rest = generator.choice(np.flatnonzero(free), size=cohort - first, replace=False)
    return _ids(np.concatenate([chosen, rest]))


def draw_by_poisson(clients: int, *, rate: float, entropy: Entropy = os.urandom) -> tuple[int, ...]:
    """Return the clients of a round, each drawn by itself with a probability of `rate`, or less by at most 2^-64.

    Args:
        clients: The number of clients.
        rate: The probability, in (0, 1].
        entropy: Secret randomness; `os.urandom` outside tests.

    Returns:
        The ids, ascending; possibly none.

    Raises:
        ConfigurationError: `rate` is not such a probability.
    """
    if not 0 < rate <= 1:
        raise ConfigurationError(f"rate: expected a probability in (0, 1], found {rate!r}. Use such a number.")
    words = np.frombuffer(entropy_of(entropy, _WORD_BYTES * clients), dtype="<u8")
    below = int(Fraction(rate) * 2**64)  # Rounded down: a smaller rate costs less.
    drawn = words < np.uint64(below) if below < 2**64 else np.ones(clients, dtype=bool)
    return _ids(np.flatnonzero(drawn))


def exhausted(left: Counts, *, cohort: int) -> CohortsExhausted:
    """Return the error of a round that finds too few clients below the cap."""
    return CohortsExhausted(
        f"cohort: expected at least {cohort} clients below the cap, found {int((left > 0).sum())} of {len(left)}. A "
        "round that was given up or repeated has used places up. Begin with a larger cap, which needs more noise."
    )


def _ids(chosen: NDArray[np.int64]) -> tuple[int, ...]:
    return tuple(np.sort(chosen).tolist())
