"""Checks of the noise in a round: what is left in releases, what each client adds, and whether it is fresh."""

import math
from collections.abc import Iterator
from typing import ClassVar, Final

import numpy as np

from protocols import TooFewSurvivors
from secagg.audit.attack import Attack, Inapplicable, Layer, Level, Plan, Result
from secagg.audit.means.planned import (
    clients_add_noise,
    colluding_of,
    noise_of_client,
    noise_of_release,
    not_seen,
    residual,
)
from secagg.audit.means.subject import MeanSubject, Round, Setting, Wish, zeros
from secagg.audit.mechanisms.law import Moments
from secagg.audit.mechanisms.statistics import in_words, least_count, variance_p

COORDINATES: Final = 20_480
"""The coordinates of a tested release: whole blocks of the rotation, and more than 20,000."""
SECONDS_OF_A_COORDINATE: Final = 1e-6
_MOST_ROUNDS: Final = {Level.QUICK: 60, Level.FULL: 600}


class OfNoise(Attack[MeanSubject]):
    """A check of the noise of some rounds of a mean, all with updates of zeros."""

    layer = Layer.MECHANISM
    subjects = MeanSubject
    statistical = True
    wish: ClassVar[Wish]
    coordinates: ClassVar[dict[Level, int]] = {Level.QUICK: COORDINATES, Level.FULL: 10 * COORDINATES}

    def rounds(self, setting: Setting, needed: int, level: Level) -> int | Inapplicable:
        """Return the number of rounds that give enough coordinates, or as many as there is time for.

        Args:
            setting: The mean.
            needed: The number of coordinates below which the test does not have its level.
            level: How long the audit may take.
        """
        length = setting.mean.encoding.length
        most, least = _MOST_ROUNDS[level], math.ceil(needed / length)
        if least > most:
            return Inapplicable(
                why=f"A test would need {least} rounds of {length} coordinates, since the noise is almost always zero "
                "or the vector is short."
            )
        return max(least, min(most, math.ceil(self.coordinates[level] / length)))

    def made(
        self, subject: MeanSubject, setting: Setting, rounds: int, seed: bytes, *, dropped: int = 0
    ) -> Iterator[Round]:
        """Yield rounds with updates of zeros, in which the last clients drop out."""
        clients = setting.mean.clients
        for number in range(rounds):
            yield subject.observe(
                setting,
                zeros(setting),
                seed + b"%d %d" % (dropped, number),
                weights=setting.weights(),
                dropping=clients[len(clients) - dropped :],
            )


class ReleaseVariance(OfNoise):
    """The noise in released means, without what colluding clients sent, for every number of dropouts."""

    id = "mechanism.release.variance"
    title = (
        "The variance of the noise in released sums, without colluding clients, is compared with what the ledger counts"
    )
    tests = ("C-14", "C-16")
    wish: ClassVar[Wish] = Wish(clients=5, minimum_contributors=4, dimension=COORDINATES)

    def plan(self, subject: MeanSubject, level: Level) -> Plan | Inapplicable:
        """Return the number of rounds for each number of dropouts."""
        setting = subject.setting(self.wish)
        unseen = not_seen(setting)
        if unseen is not None:
            return unseen
        mean = setting.mean
        moments = noise_of_release(mean, mean.minimum_contributors)
        rounds = self.rounds(setting, least_count(moments), level)
        if isinstance(rounds, Inapplicable):
            return rounds
        numbers = tuple(range(len(mean.clients) - mean.minimum_contributors + 1))
        if len(numbers) > 4:
            numbers = (0, 1, numbers[-2], numbers[-1])
        count = rounds * mean.encoding.length
        return Plan(
            trials=count * len(numbers),
            power=in_words(count, moments, tests=len(numbers)),
            cpu_s=len(numbers) * count * len(mean.clients) * SECONDS_OF_A_COORDINATE,
            details=(setting, rounds, numbers),
        )

    def run(self, subject: MeanSubject, plan: Plan, seed: bytes) -> Result:
        """Compare the variance of what is left, for each number of dropouts."""
        setting, rounds, numbers = plan.details
        found: dict[int, tuple[float, float, int]] = {}
        for dropped in numbers:
            squares, count, moments, relied = 0.0, 0, Moments(variance=1.0), 0
            try:
                for made in self.made(subject, setting, rounds, seed, dropped=dropped):
                    left = residual(made).astype(np.float64)
                    squares, count = squares + float(left @ left), count + left.size
                    moments = noise_of_release(setting.mean, len(made.contributors))
                    relied = len(made.contributors) - len(colluding_of(made))
            except TooFewSurvivors:
                continue  # Nothing is released.
            found[dropped] = (variance_p(squares, count, moments), squares / count / moments.variance, relied)
        worst = min(found, key=lambda dropped: found[dropped][0])
        p_value, ratio, relied = found[worst]
        return Result(
            statistic="variance of the noise in a release over the one that the ledger counts",
            value=ratio,
            p_value=min(len(numbers) * p_value, 1.0),
            evidence=f"After {worst} dropouts, the noise of the {relied} contributors that do not collude has "
            f"{ratio:.6g} times the variance that the ledger counts.",
        )


class ShareVariance(OfNoise):
    """The noise of each client by itself."""

    id = "mechanism.shares.variance"
    title = "The variance of each client's contribution of a zero update is compared with that of a noise share"
    tests = ("C-14", "C-15")
    wish: ClassVar[Wish] = Wish(clients=4, minimum_contributors=3, dimension=COORDINATES)

    def plan(self, subject: MeanSubject, level: Level) -> Plan | Inapplicable:
        """Return the number of rounds."""
        setting = subject.setting(self.wish)
        if not clients_add_noise(setting.mean):
            return Inapplicable(why="No client adds noise to its contribution.")
        moments = noise_of_client(setting.mean)
        rounds = self.rounds(setting, least_count(moments), level)
        if isinstance(rounds, Inapplicable):
            return rounds
        clients = len(setting.mean.clients)
        count = rounds * setting.mean.encoding.length
        return Plan(
            trials=count * clients,
            power=in_words(count, moments, tests=clients),
            cpu_s=count * clients * SECONDS_OF_A_COORDINATE,
            details=(setting, rounds, moments),
        )

    def run(self, subject: MeanSubject, plan: Plan, seed: bytes) -> Result:
        """Compare the variance of each client's noise."""
        setting, rounds, moments = plan.details
        squares = dict.fromkeys(setting.mean.clients, 0.0)
        for made in self.made(subject, setting, rounds, seed):
            for client, noise in made.noise.items():
                squares[client] += float(noise.astype(np.float64) @ noise)
        count = rounds * setting.mean.encoding.length
        found = {client: variance_p(sum_, count, moments) for client, sum_ in squares.items()}
        worst = min(found, key=found.__getitem__)
        ratio = squares[worst] / count / moments.variance
        return Result(
            statistic="variance of a client's noise over the planned one",
            value=ratio,
            p_value=min(len(found) * found[worst], 1.0),
            evidence=f"The noise of client {worst} has {ratio:.6g} times the variance of a noise share.",
        )
