"""Exact checks of what is released: on the grid of the integers, and without wrapping around."""

import math
from collections.abc import Mapping
from typing import ClassVar, Final

import numpy as np
from scipy import special

from secagg.aggregation.residues import centred, half, reduced
from secagg.arrays import Arrays
from secagg.audit.attack import Attack, Inapplicable, Layer, Level, Plan, Result
from secagg.audit.means.directions import norm_of_updates
from secagg.audit.means.planned import clients_add_noise, noise_of_client
from secagg.audit.means.rounding import small_update
from secagg.audit.means.subject import MeanSubject, Round, Setting, Wish, decoded
from secagg.audit.seeds import Tape

_WHOLE: Final = 2.0**-20
_RARE: Final = 2.0**-40
_TRIES: Final = 40


class Granularity(Attack[MeanSubject]):
    """Whether a released mean is a whole number of steps in each rotated coordinate."""

    id = "invariant.granularity"
    title = "The coordinates of a released mean are compared with whole steps, or one sum is decoded twice"
    layer = Layer.INVARIANT
    tests = ("C-21",)
    subjects = MeanSubject
    wish: ClassVar[Wish] = Wish(clients=4, minimum_contributors=3, dimension=256)

    def plan(self, subject: MeanSubject, level: Level) -> Plan | Inapplicable:
        """Return the number of coordinates."""
        setting = subject.setting(self.wish)
        server_adds = setting.mean.noise is not None and not clients_add_noise(setting.mean)
        if server_adds and not setting.is_released_on_the_grid:
            return Inapplicable(
                why="The server adds the noise and releases a quotient or a part of the coordinates, in which whole "
                "steps are not seen."
            )
        return Plan(trials=setting.mean.encoding.length, cpu_s=0.02, details=setting)

    def run(self, subject: MeanSubject, plan: Plan, seed: bytes) -> Result:
        """Look for fractions of a step; in a quotient, for randomness after the sum."""
        setting: Setting = plan.details
        updates = {client: small_update(setting, seed + b"%d" % client) for client in setting.mean.clients}
        made = self.made(subject, setting, updates, seed)
        if setting.is_released_on_the_grid:
            off = np.abs(made.released_steps - np.rint(made.released_steps))
            return Result(
                statistic="largest distance of a released coordinate from a whole step",
                value=float(off.max()),
                threshold=_WHOLE,
                rejected=float(off.max()) > _WHOLE,
                evidence=f"Rotated coordinate {int(off.argmax())} of the released mean, times {len(made.contributors)} "
                f"contributors, is {float(off.max()):.4g} of a step off a whole number.",
            )
        again = decoded(made.plan, made.outcome, Tape(seed, "another server"))
        if again is None or made.released is None:
            raise TypeError("round: expected a released mean, found none")
        pairs = zip(made.released.mean, again.mean, strict=True)
        change = max(float(np.abs(one - other).max()) for one, other in pairs)
        return Result(
            statistic="change of the released mean if the same sum is decoded again",
            value=change,
            threshold=0.0,
            rejected=change > 0,
            evidence="Two decodings of one sum differ: randomness is added after the noise of the clients.",
        )

    def made(self, subject: MeanSubject, setting: Setting, updates: Mapping[int, Arrays], seed: bytes) -> Round:
        """Return the first round that releases a mean: noise may leave no positive total weight."""
        for number in range(_TRIES):
            made = subject.observe(setting, updates, seed + b"%d" % number, weights=setting.weights())
            if made.released is not None:
                return made
        raise TypeError(f"rounds: expected one of {_TRIES} that releases a mean, found none")


class WrapAround(Attack[MeanSubject]):
    """All clients at the clip in one rotated coordinate, and the noise at its reach."""

    id = "invariant.wrap"
    title = "The largest sum of all clients at the clip, with the largest planned noise, is compared with the modulus"
    layer = Layer.INVARIANT
    tests = ("C-22",)
    subjects = MeanSubject
    wish: ClassVar[Wish] = Wish(clients=8, minimum_contributors=6, dimension=256)

    def plan(self, subject: MeanSubject, level: Level) -> Plan:
        """Return the number of cases: either sign."""
        return Plan(trials=2, cpu_s=0.02, details=subject.setting(self.wish))

    def run(self, subject: MeanSubject, plan: Plan, seed: bytes) -> Result:
        """Add up the integers of aligned updates, and read the sum's residues."""
        setting: Setting = plan.details
        mean, made = setting.mean, subject.round_plan(setting, seed)
        at = made.rotation.padded // 3
        aligned = np.zeros(made.rotation.padded)
        aligned[at] = 1.0
        flat = made.rotation.restore(aligned)[: setting.entries]
        flat *= norm_of_updates(setting) / math.sqrt(float(flat @ flat))
        reach = self.reach(setting)
        largest = 0
        for sign in (1, -1):
            total = np.zeros(mean.encoding.length, dtype=np.int64)
            for client in mean.clients:
                weight = mean.encoding.max_weight if setting.is_weighted else None
                total += subject.integers(
                    made, client, setting.split(sign * flat), weight, Tape(seed, f"client {client}")
                )
            total[at] += int(np.sign(total[at])) * reach
            largest = max(largest, int(np.abs(total).max()))
            if not np.array_equal(centred(reduced(total, mean.encoding.modulus), mean.encoding.modulus), total):
                return self.result(setting, largest, reach, rejected=True)
        return self.result(setting, largest, reach, rejected=False)

    def result(self, setting: Setting, largest: int, reach: int, *, rejected: bool) -> Result:
        """Return what the largest sum came to."""
        room = half(setting.mean.encoding.modulus)
        return Result(
            statistic="largest magnitude of a coordinate of the sum over the room of the modulus",
            value=largest / room,
            threshold=1.0,
            rejected=rejected,
            evidence=f"{len(setting.mean.clients)} clients at the clip, with noise at its reach of {reach} steps, make "
            f"a sum of {largest} steps, which is read as another one: the modulus has room for {room}.",
        )

    def reach(self, setting: Setting) -> int:
        """Return what the noise of all clients exceeds in a coordinate with a probability of about 2^-40.

        It is the quantile of the normal law, which is not above that of the noise.
        """
        mean = setting.mean
        if not clients_add_noise(mean):
            return 0
        deviation = math.sqrt(noise_of_client(mean).variance * len(mean.clients))
        return math.floor(deviation * -float(special.ndtri(_RARE / (2 * mean.encoding.length))))


RELEASED: Final = (Granularity(), WrapAround())
