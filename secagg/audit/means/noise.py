"""Checks of the noise in a round: what is left in releases, what each client adds, and whether it is fresh."""

import itertools
import math
from collections.abc import Iterator
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from dp.clipping.adaptive import AdaptiveClip
from protocols import TooFewSurvivors
from secagg.audit.attack import Attack, Inapplicable, Layer, Level, Plan, Result
from secagg.audit.means.planned import (
    clients_add_noise,
    colluding_of,
    known_steps,
    noise_of_client,
    noise_of_release,
    not_seen,
    residual,
)
from secagg.audit.means.subject import MeanSubject, Round, Setting, Wish, zeros
from secagg.audit.mechanisms.law import Moments
from secagg.audit.mechanisms.statistics import (
    LEAST_FREEDOM,
    correlation_p,
    detected_correlation,
    freedom,
    in_words,
    variance_p,
)

COORDINATES: Final = 20_480
"""The coordinates of a tested release: whole blocks of the rotation, and more than 20,000."""
_SECONDS_OF_A_COORDINATE: Final = 1e-6
_MOST_ROUNDS: Final = {Level.QUICK: 60, Level.FULL: 600}


class _OfNoise(Attack[MeanSubject]):
    """A check of the noise of some rounds of a mean, all with updates of zeros."""

    layer: ClassVar[Layer] = Layer.MECHANISM
    subjects: ClassVar[type[MeanSubject]] = MeanSubject
    statistical: ClassVar[bool] = True
    wish: ClassVar[Wish]
    coordinates: ClassVar[dict[Level, int]] = {Level.QUICK: COORDINATES, Level.FULL: 10 * COORDINATES}

    def rounds(self, setting: Setting, moments: Moments, level: Level) -> int | Inapplicable:
        """Return the number of rounds that give enough coordinates, or as many as there is time for."""
        length = setting.mean.encoding.length
        most, least = _MOST_ROUNDS[level], math.ceil(LEAST_FREEDOM / freedom(1, moments) / length)
        if least > most:
            return Inapplicable(
                why=f"A test would need {least} rounds of {length} coordinates, since the noise is almost always zero "
                "or the vector is short."
            )
        return max(least, min(most, math.ceil(self.coordinates[level] / length)))

    def made(
        self, subject: MeanSubject, setting: Setting, rounds: int, seed: bytes, *, dropped: int = 0
    ) -> Iterator[Round]:
        """Yield rounds with updates of zeros, of which the first clients drop out."""
        clients = setting.mean.clients
        for number in range(rounds):
            yield subject.observe(
                setting,
                zeros(setting),
                seed + b"%d %d" % (dropped, number),
                weights=setting.weights(),
                dropping=clients[len(clients) - dropped :],
            )


class ReleaseVariance(_OfNoise):
    """The noise in released means, without what colluding clients sent, for every number of dropouts."""

    id: ClassVar[str] = "mechanism.release.variance"
    title: ClassVar[str] = (
        "The noise in released sums, less what colluding clients sent, has the variance that the ledger counts"
    )
    tests: ClassVar[tuple[str, ...]] = ("C-14", "C-16")
    wish: ClassVar[Wish] = Wish(clients=5, minimum_contributors=4, dimension=COORDINATES)

    def plan(self, subject: MeanSubject, level: Level) -> Plan | Inapplicable:
        """Return the number of rounds for each number of dropouts."""
        setting = subject.setting(self.wish)
        unseen = not_seen(setting)
        if unseen is not None:
            return unseen
        mean = setting.mean
        moments = noise_of_release(mean, mean.minimum_contributors)
        rounds = self.rounds(setting, moments, level)
        if isinstance(rounds, Inapplicable):
            return rounds
        numbers = tuple(range(len(mean.clients) - mean.minimum_contributors + 1))
        if len(numbers) > 4:
            numbers = (0, 1, numbers[-2], numbers[-1])
        count = rounds * mean.encoding.length
        return Plan(
            trials=count * len(numbers),
            power=in_words(count, moments, tests=len(numbers)),
            cpu_s=len(numbers) * count * len(mean.clients) * _SECONDS_OF_A_COORDINATE,
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
            p_value=min(1.0, len(numbers) * p_value),
            evidence=f"After {worst} dropouts, the noise of the {relied} contributors that do not collude has "
            f"{ratio:.6g} times the variance that the ledger counts.",
        )


class ShareVariance(_OfNoise):
    """The noise of each client by itself."""

    id: ClassVar[str] = "mechanism.shares.variance"
    title: ClassVar[str] = "Each client's contribution of a zero update has the variance of its noise share"
    tests: ClassVar[tuple[str, ...]] = ("C-14", "C-15")
    wish: ClassVar[Wish] = Wish(clients=4, minimum_contributors=3, dimension=COORDINATES)

    def plan(self, subject: MeanSubject, level: Level) -> Plan | Inapplicable:
        """Return the number of rounds."""
        setting = subject.setting(self.wish)
        if not clients_add_noise(setting.mean):
            return Inapplicable(why="No client adds noise to its contribution.")
        moments = noise_of_client(setting.mean)
        rounds = self.rounds(setting, moments, level)
        if isinstance(rounds, Inapplicable):
            return rounds
        clients = len(setting.mean.clients)
        count = rounds * setting.mean.encoding.length
        return Plan(
            trials=count * clients,
            power=in_words(count, moments, tests=clients),
            cpu_s=count * clients * _SECONDS_OF_A_COORDINATE,
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
            p_value=min(1.0, len(found) * found[worst]),
            evidence=f"The noise of client {worst} has {ratio:.6g} times the variance of a noise share.",
        )


class _OfFreshness(_OfNoise):
    """A check of the correlation between noises."""

    tests: ClassVar[tuple[str, ...]] = ("C-16",)
    wish: ClassVar[Wish] = Wish(clients=4, minimum_contributors=3, dimension=4096)
    coordinates: ClassVar[dict[Level, int]] = {Level.QUICK: 4096, Level.FULL: 10 * 4096}

    def tested(self, setting: Setting) -> int:
        """Return the number of correlations."""
        raise NotImplementedError

    def plan(self, subject: MeanSubject, level: Level) -> Plan | Inapplicable:
        """Return the number of rounds."""
        setting = subject.setting(self.wish)
        refused = self.refused(setting)
        if refused is not None:
            return refused
        rounds = self.rounds(setting, noise_of_client(setting.mean), level)
        if isinstance(rounds, Inapplicable):
            return rounds
        count = rounds * setting.mean.encoding.length
        correlation = detected_correlation(count, tests=self.tested(setting))
        return Plan(
            trials=count,
            power=f"a correlation of {correlation:.2g} or more",
            cpu_s=2 * count * len(setting.mean.clients) * _SECONDS_OF_A_COORDINATE,
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

    id: ClassVar[str] = "mechanism.rounds.correlation"
    title: ClassVar[str] = "The noises of two rounds, of each client and of the releases, are tested for correlation"

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

    id: ClassVar[str] = "mechanism.clients.correlation"
    title: ClassVar[str] = "The noises of each two clients of a round are tested for correlation"

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


class CountVariance(_OfNoise):
    """The noise on the count of an adaptive clip."""

    id: ClassVar[str] = "mechanism.count.variance"
    title: ClassVar[str] = "The noise on the count of clients within an adaptive bound has its planned variance"
    tests: ClassVar[tuple[str, ...]] = ("C-14",)
    wish: ClassVar[Wish] = Wish(clients=3, minimum_contributors=3, dimension=16)
    trials: ClassVar[dict[Level, int]] = {Level.QUICK: 100, Level.FULL: 2000}

    def plan(self, subject: MeanSubject, level: Level) -> Plan | Inapplicable:
        """Return the number of rounds."""
        setting = subject.setting(self.wish)
        if not isinstance(setting.clip, AdaptiveClip):
            return Inapplicable(why="The clip does not adapt, so that there is no count.")
        unseen = not_seen(setting)
        if unseen is not None or setting.is_weighted:
            return unseen or Inapplicable(
                why="A weighted mean is a quotient, from which the count's noise is not seen."
            )
        moments = self.moments(setting)
        return Plan(
            trials=self.trials[level],
            power=in_words(self.trials[level], moments),
            cpu_s=self.trials[level] * 5e-3,
            details=setting,
        )

    def moments(self, setting: Setting) -> Moments:
        """Return the moments of the noise on the count's coordinate: a sum over a block, which the rotation keeps."""
        mean = setting.mean
        noise = noise_of_release(mean, len(mean.clients))
        return Moments(variance=noise.variance, fourth=noise.fourth / mean.rotation(mean.session(bytes(16))).block)

    def run(self, subject: MeanSubject, plan: Plan, seed: bytes) -> Result:
        """Compare the released counts with the exact ones."""
        setting: Setting = plan.details
        squares = 0.0
        for made in self.made(subject, setting, plan.trials, seed):
            if made.released is None:
                raise TypeError("round: expected a released mean, found none")
            released = float(made.released.mean[-1][0]) * len(made.contributors) / setting.mean.encoding.granularity
            known = made.plan.rotation.restore(known_steps(made).astype(np.float64))[-1]
            squares += (released - float(known)) ** 2
        moments = self.moments(setting)
        ratio = squares / plan.trials / moments.variance
        return Result(
            statistic="variance of the count's noise over the planned one",
            value=ratio,
            p_value=variance_p(squares, plan.trials, moments),
            evidence=f"In {plan.trials} rounds, the noise on the count has {ratio:.6g} times the planned variance.",
        )


def _correlated(found: dict[str, float], what: str) -> Result:
    where = min(found, key=found.__getitem__)
    return Result(
        statistic="smallest p value of the correlations",
        value=found[where],
        p_value=min(1.0, len(found) * found[where]),
        evidence=f"The {what} {where} is correlated.",
    )


NOISE: Final = (ReleaseVariance(), ShareVariance(), RoundCorrelation(), ClientCorrelation(), CountVariance())
