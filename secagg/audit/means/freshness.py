"""Checks of the freshness of noise: between rounds, and between clients."""

import itertools
import math
from abc import abstractmethod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from secagg.audit.attack import Inapplicable, Level, Plan, Result
from secagg.audit.means.noise import SECONDS_OF_A_COORDINATE, OfNoise
from secagg.audit.means.planned import clients_add_noise, noise_of_client, not_seen, residual
from secagg.audit.means.subject import MeanSubject, Setting, Wish
from secagg.audit.mechanisms.statistics import correlation_p, detected_correlation, least_pairs


class _OfFreshness(OfNoise):
    """A check of the correlation between noises."""

    tests = ("C-16",)
    wish: ClassVar[Wish] = Wish(clients=4, minimum_contributors=3, dimension=4096)
    coordinates: ClassVar[dict[Level, int]] = {Level.QUICK: 4096, Level.FULL: 10 * 4096}

    @abstractmethod
    def tested(self, setting: Setting) -> int:
        """Return the number of correlations."""

    def plan(self, subject: MeanSubject, level: Level) -> Plan | Inapplicable:
        """Return the number of rounds."""
        setting = subject.setting(self.wish)
        refused = self.refused(setting)
        if refused is not None:
            return refused
        rounds = self.rounds(setting, least_pairs(noise_of_client(setting.mean)), level)
        if isinstance(rounds, Inapplicable):
            return rounds
        count = rounds * setting.mean.encoding.length
        correlation = detected_correlation(count, tests=self.tested(setting))
        return Plan(
            trials=count,
            power=f"a correlation of {correlation:.2g} or more",
            cpu_s=2 * count * len(setting.mean.clients) * SECONDS_OF_A_COORDINATE,
            details=(setting, rounds),
        )

    def refused(self, setting: Setting) -> Inapplicable | None:
        """Return why the noise cannot be seen; None if it can."""
        return not_seen(setting)

    def noises(
        self, subject: MeanSubject, setting: Setting, rounds: int, seed: bytes
    ) -> dict[str, NDArray[np.float64]]:
        """Return each client's noise and the released noise of all rounds, one after the other."""
        seen: dict[str, list[NDArray[np.int64]]] = {}
        for made in self.made(subject, setting, rounds, seed):
            parts = {"the release": residual(made)}
            if clients_add_noise(setting.mean):
                parts |= {f"client {client}": noise for client, noise in made.noise.items()}
            for name, part in parts.items():
                seen.setdefault(name, []).append(part)
        return {name: np.concatenate(parts).astype(np.float64) for name, parts in seen.items()}


class RoundCorrelation(_OfFreshness):
    """The noise of two halves of the rounds, in each client's contributions and in the releases."""

    id = "mechanism.rounds.correlation"
    title = "The noise of two rounds is tested for correlation, for each client and for the released sums"

    def tested(self, setting: Setting) -> int:
        """Return the number of correlations: the release, and each client that adds noise."""
        return 1 + (len(setting.mean.clients) if clients_add_noise(setting.mean) else 0)

    def run(self, subject: MeanSubject, plan: Plan, seed: bytes) -> Result:
        """Correlate two series of rounds."""
        setting, rounds = plan.details
        one, other = (self.noises(subject, setting, rounds, seed + label) for label in (b" one", b" other"))
        return _correlated({name: correlation_p(one[name], other[name]) for name in one}, "noise in two rounds of")


class ClientCorrelation(_OfFreshness):
    """The noise of two clients in one round."""

    id = "mechanism.clients.correlation"
    title = "The noise of every two clients of a round is tested for correlation"

    def refused(self, setting: Setting) -> Inapplicable | None:
        """Return why clients' noise cannot be seen; None if it can."""
        if not clients_add_noise(setting.mean):
            return Inapplicable(why="No client adds noise to its contribution.")
        return None

    def tested(self, setting: Setting) -> int:
        """Return the number of pairs."""
        return math.comb(len(setting.mean.clients), 2)

    def run(self, subject: MeanSubject, plan: Plan, seed: bytes) -> Result:
        """Correlate each two clients."""
        setting, rounds = plan.details
        noises = self.noises(subject, setting, rounds, seed)
        pairs = itertools.combinations([name for name in noises if name != "the release"], 2)
        found = {f"{one} and {other}": correlation_p(noises[one], noises[other]) for one, other in pairs}
        return _correlated(found, "noise in one round of")


def _correlated(found: dict[str, float], what: str) -> Result:
    where = min(found, key=found.__getitem__)
    return Result(
        statistic="smallest p value of the correlations",
        value=found[where],
        p_value=min(len(found) * found[where], 1.0),
        evidence=f"The {what} {where} is correlated.",
    )
