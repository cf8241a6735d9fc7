"""Checks of the rounding to integers: unbiased, by coins that are fresh and secret."""

import math
from dataclasses import replace
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray
from scipy import special

from secagg.arrays import Arrays
from secagg.audit.attack import LEVEL_OF_ATTEMPT, Attack, Layer, Level, Plan, Result
from secagg.audit.means.directions import norm_of_updates
from secagg.audit.means.planned import clients_add_noise
from secagg.audit.means.subject import MeanSubject, Setting, Wish
from secagg.audit.mechanisms.replay import replayed
from secagg.audit.mechanisms.statistics import POWER_OF_ATTEMPT
from secagg.audit.seeds import Tape, generator_of
from secagg.engines.base import RoundPlan

_PART: Final = 0.3
"""The norm of an update over the clip, such that no coordinate is cut and no rounding is drawn again."""


def small_update(setting: Setting, seed: bytes) -> Arrays:
    """Return a random update well within the clip."""
    flat = generator_of(seed, "update").standard_normal(setting.entries)
    scale = _PART * norm_of_updates(setting) / math.sqrt(len(setting.shapes) * float(flat @ flat))
    return setting.split(flat * scale)


def exact_steps(made: RoundPlan, update: Arrays, weight: float | None) -> NDArray[np.float64]:
    """Return the rotated coordinates of an update within the clip before rounding, in steps."""
    encoding = made.mean.encoding
    flat = np.concatenate([array.reshape(-1) for array in made.parts.prepare(made.clip, update, weights=[])])
    if weight is not None:
        share = weight / encoding.max_weight
        flat = np.append(flat * share, share * encoding.clip_l2)
    return made.rotation.rotate(flat) / encoding.granularity


class RoundingBias(Attack[MeanSubject]):
    """The mean of the rounding errors, and their correlation with the fractions that are rounded.

    With f the fraction of a coordinate, its error has the mean 0 and the variance f (1 - f). Both statistics are sums
    of 20,000 independent bounded errors over their exact deviations, compared with the normal law. With fractions that
    are uniform, their excess kurtosis is below 0, so that the normal tails are not too small.
    """

    id = "mechanism.rounding.bias"
    title = "Rounding errors are tested for a mean other than zero, and for correlation with what is rounded"
    layer = Layer.MECHANISM
    tests = ("C-20",)
    subjects = MeanSubject
    statistical = True
    wish: ClassVar[Wish] = Wish(clients=4, minimum_contributors=3, dimension=20_480)
    coordinates: ClassVar[dict[Level, int]] = {Level.QUICK: 20_480, Level.FULL: 1_024_000}

    def plan(self, subject: MeanSubject, level: Level) -> Plan:
        """Return the number of coordinates and of encodings."""
        setting = subject.setting(self.wish)
        length = setting.mean.encoding.length
        encodings = math.ceil(self.coordinates[level] / length)
        spread = float(special.ndtri(1 - LEVEL_OF_ATTEMPT / 4) + special.ndtri(POWER_OF_ATTEMPT))
        bias = spread * math.sqrt(1 / 6 / (encodings * length))
        return Plan(
            trials=encodings * length,
            power=f"a mean error of {bias:.2g} steps or more",
            cpu_s=encodings * length * 1e-6,
            details=(setting, encodings),
        )

    def run(self, subject: MeanSubject, plan: Plan, seed: bytes) -> Result:
        """Encode updates within the clip, and compare with the exact coordinates."""
        setting, encodings = plan.details
        weight = setting.mean.encoding.max_weight if setting.is_weighted else None
        sums, spreads = np.zeros(2), np.zeros(2)
        for number in range(encodings):
            label = seed + b"%d" % number
            made = subject.round_plan(setting, label)
            update = small_update(setting, label)
            exact = exact_steps(made, update, weight)
            errors = subject.integers(made, setting.mean.clients[0], update, weight, Tape(label)) - exact
            fractions = exact - np.floor(exact)
            factors = np.stack([np.ones(exact.size), fractions - 0.5])
            sums += factors @ errors
            spreads += factors**2 @ (fractions * (1 - fractions))
        scores = sums / np.sqrt(spreads)
        p_values = 2 * special.ndtr(-np.abs(scores))
        return Result(
            statistic="mean rounding error, in steps",
            value=float(sums[0]) / plan.trials,
            p_value=min(2 * float(p_values.min()), 1.0),
            evidence=f"{plan.trials} rounding errors have the mean {sums[0] / plan.trials:.4g} steps, "
            f"{scores[0]:.4g} standard deviations from 0. With fractions they correlate at {scores[1]:.4g} of these.",
        )


class RoundingCoins(Attack[MeanSubject]):
    """The randomness of a contribution: of its rounding alone, and with its noise."""

    id = "replay.rounding"
    title = (
        "Single bytes that rounding and noise read are changed, and contributions of rounds are compared with "
        "each other"
    )
    layer = Layer.REPLAY
    tests = ("C-11", "C-16", "C-20")
    subjects = MeanSubject
    wish: ClassVar[Wish] = Wish(clients=4, minimum_contributors=3, dimension=256)

    def plan(self, subject: MeanSubject, level: Level) -> Plan:
        """Return the number of contributions: for each byte of the keys of rounding and noise, and some more."""
        return Plan(trials=102, cpu_s=0.06, details=subject.setting(self.wish))

    def run(self, subject: MeanSubject, plan: Plan, seed: bytes) -> Result:
        """Encode one update under altered tapes, without noise and with it."""
        setting: Setting = plan.details
        made, update = subject.round_plan(setting, seed), small_update(setting, seed)
        weight = setting.mean.encoding.max_weight if setting.is_weighted else None
        client = setting.mean.clients[0]
        rounding = replayed(lambda tape: subject.integers(made, client, update, weight, tape), seed)
        if rounding.rejected or not clients_add_noise(setting.mean):
            return replace(rounding, evidence=f"Rounding: {rounding.evidence}")
        return replayed(lambda tape: subject.contribution(made, client, update, weight, tape).vector, seed)


ROUNDING: Final = (RoundingBias(), RoundingCoins())
