"""The cohorts of a run, one after the other, and what must be known to go on after an interruption.

Each draw uses up places, whatever becomes of its round: who was asked counts, also if the round failed. So after an
interruption the draws go on from what the ledger has counted. Without noise there is no ledger; the draws of the rounds
that were made are then repeated.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from secagg.errors import ConfigurationError
from secagg.privacy.least_cap import least_cap
from secagg.training.cohorts import (
    Draw,
    Entropy,
    draw_at_random,
    draw_by_poisson,
    draw_in_turn,
    in_order,
    most_rounds,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """The clients of one round.

    Attributes:
        clients: Ids of the clients that were drawn, ascending.
        padding: With Poisson sampling, ids of clients that were not drawn and contribute zeros, since a session needs
            more clients than were drawn.
    """

    clients: tuple[int, ...]
    padding: tuple[int, ...] = ()

    @property
    def asked(self) -> tuple[int, ...]:
        """Ids of all clients of the session, ascending."""
        return tuple(sorted((*self.clients, *self.padding)))


@dataclass(slots=True, kw_only=True)
class Cohorts:
    """Draws the clients of each round of a run.

    Attributes:
        clients: The number of clients of the population, whose ids are 0, 1, ...
        cohort: The number of clients of a round; with Poisson sampling, the expected number, and the least number of
            clients of a session.
        draw: How they are drawn.
        cap: The most rounds that may ask one client; None with Poisson sampling, which has no cap.
        rounds: The number of rounds of the run, for which random draws keep places.
        seed: Seed of the draws in turn and at random. They are public, and independent of the data.
        entropy: Secret randomness of Poisson sampling; `os.urandom` outside tests.
        counts: How often each client was asked, shape `(clients,)`, uint32.
        turn: The number of cohorts that were drawn.

    Raises:
        ConfigurationError: The cohort is larger than the population, there is a cap with Poisson sampling or none
            without, or the cap is below `least_cap`.
    """

    clients: int
    cohort: int
    draw: Draw
    cap: int | None
    rounds: int
    seed: int
    entropy: Entropy = os.urandom
    counts: NDArray[np.uint32] = field(init=False, repr=False)
    turn: int = field(init=False, default=0)
    _order: NDArray[np.int64] | None = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        if not 2 <= self.cohort <= self.clients:
            raise ConfigurationError(
                f"cohort: expected from 2 to all {self.clients} clients of the population, found {self.cohort}"
            )
        if (self.cap is None) != (self.draw is Draw.POISSON):
            raise ConfigurationError(f"cap: expected one if and only if the draw is not poisson, found {self.cap}")
        least = least_cap(self.rounds, cohort=self.cohort, clients=self.clients)
        if self.cap is not None and self.cap < least:
            raise ConfigurationError(f"cap: expected at least {least} for {self.rounds} rounds, found {self.cap}")
        self.counts = np.zeros(self.clients, dtype=np.uint32)

    def next(self, number: int) -> Drawn:
        """Return the clients of a round, and count those that were drawn as asked.

        Args:
            number: The number of the round, from 1; a round that is repeated is drawn again.

        Raises:
            CohortsExhausted: Too few clients are below the cap; nobody is counted.
        """
        drawn = self._next(number)
        self.counts[list(drawn.clients)] += 1
        self.turn += 1
        return drawn

    def go_on(self, counts: Sequence[int] | NDArray[np.uint32], *, turn: int) -> None:
        """Go on after an interruption.

        Args:
            counts: How often each client was asked.
            turn: The number of cohorts that were drawn.
        """
        self.counts = np.array(counts, dtype=np.uint32)
        self.turn = turn

    def repeat(self, rounds: int) -> None:
        """Go on after this number of rounds of a run without noise, none of which was repeated."""
        self.counts[:] = 0
        self.turn = 0
        if self.draw is not Draw.POISSON:
            for number in range(1, rounds + 1):
                self.next(number)

    @property
    def feasible(self) -> int | None:
        """The number of further rounds for which there are places; None without a cap."""
        if self.cap is None:
            return None
        return most_rounds(self._left, cohort=self.cohort, wanted=self.cap * self.clients // self.cohort)

    @property
    def _left(self) -> NDArray[np.int64]:
        """The places of each client."""
        return np.maximum(0, (self.cap or 0) - self.counts.astype(np.int64))

    def _next(self, number: int) -> Drawn:
        match self.draw:
            case Draw.IN_TURN:
                if self._order is None:
                    self._order = in_order(self.clients, seed=self.seed)
                return Drawn(clients=draw_in_turn(self._order, self._left, cohort=self.cohort, turn=self.turn))
            case Draw.RANDOM:
                wanted, seed = max(1, self.rounds - number + 1), (self.seed, self.turn)
                return Drawn(clients=draw_at_random(self._left, cohort=self.cohort, wanted=wanted, seed=seed))
            case Draw.POISSON:
                drawn = draw_by_poisson(self.clients, rate=self.cohort / self.clients, entropy=self.entropy)
                return Drawn(clients=drawn, padding=self._padding(drawn))

    def _padding(self, drawn: tuple[int, ...]) -> tuple[int, ...]:
        missing = self.cohort - len(drawn)
        if missing <= 0:
            return ()
        others = np.setdiff1d(np.arange(self.clients), drawn)
        return tuple(np.random.default_rng().choice(others, size=missing, replace=False).tolist())
