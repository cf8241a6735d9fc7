"""The check of the noise on an adaptive clip's count."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from dp.clipping.adaptive import AdaptiveClip
from secagg.audit.attack import Inapplicable, Level, Plan, Result
from secagg.audit.means.noise import OfNoise
from secagg.audit.means.planned import colluding_of, known_steps, noise_of_release, not_seen
from secagg.audit.means.subject import MeanSubject, Round, Setting, Wish
from secagg.audit.mechanisms.law import Moments
from secagg.audit.mechanisms.statistics import in_words, variance_p


class CountVariance(OfNoise):
    """The noise on the count of an adaptive clip: all of it, and without that of colluding clients."""

    id = "mechanism.count.variance"
    title = (
        "The variance of the noise on the count of clients within the adaptive clip is compared with the planned one"
    )
    tests = ("C-14",)
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
            power=in_words(self.trials[level], moments, tests=2),
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
        relied, entire, colluding = 0.0, 0.0, 0
        for made in self.made(subject, setting, plan.trials, seed):
            if made.released is None:
                raise TypeError("round: expected a released mean, found none")
            released = float(made.released.mean[-1][0]) * len(made.contributors) / setting.mean.encoding.granularity
            exact = np.sum([made.bare[client] for client in made.contributors], axis=0)
            relied += (released - _count(made, known_steps(made))) ** 2
            entire += (released - _count(made, exact)) ** 2
            colluding = len(colluding_of(made))
        moments, contributors = self.moments(setting), len(setting.mean.clients)
        of_all = moments.times(contributors / (contributors - colluding))
        found = {
            "of clients that do not collude": (variance_p(relied, plan.trials, moments), relied / moments.variance),
            "of all clients": (variance_p(entire, plan.trials, of_all), entire / of_all.variance),
        }
        whose = min(found, key=lambda name: found[name][0])
        p_value, ratio = found[whose]
        return Result(
            statistic="variance of the count's noise over the planned one",
            value=ratio / plan.trials,
            p_value=min(2 * p_value, 1.0),
            evidence=f"In {plan.trials} rounds, the noise {whose} in the count has {ratio / plan.trials:.6g} times the "
            "planned variance.",
        )


def _count(made: Round, steps: NDArray[np.int64]) -> float:
    """Return the coordinate of the count, in steps."""
    return float(made.plan.rotation.restore(steps.astype(np.float64))[-1])
