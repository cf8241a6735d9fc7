"""The randomness of draws: all of it from the given source, and every byte of it used."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secagg.audit.attack import Attack, Inapplicable, Layer, Level, Plan, Result
from secagg.audit.mechanisms.subject import MechanismSubject
from secagg.audit.seeds import Tape

_STATISTIC = "bytes without effect"
_MOST_VALUES = 2**20
_VALUES = 256
"""The number of values of one draw; two draws of noise of at least variance 1 differ with certainty."""


class DrawReplay(Attack[MechanismSubject]):
    """One draw under altered tapes."""

    id = "replay.noise"
    title = "Noise is drawn twice with the same randomness, and with single bytes of it changed"
    layer = Layer.REPLAY
    tests = ("C-11", "C-16")
    subjects = MechanismSubject

    def plan(self, subject: MechanismSubject, level: Level) -> Plan | Inapplicable:
        """Return the number of draws: one for each byte of a key, and three more."""
        # Sparse noise needs more values, since two draws that are zero throughout are equal.
        variance = subject.law.moments.variance
        values = round(_VALUES / min(1.0, variance))
        if values > _MOST_VALUES:
            return Inapplicable(why="The noise is almost always zero, so that two draws are equal by chance.")
        return Plan(trials=35, cpu_s=35 * values * 1e-7, details=values)

    def run(self, subject: MechanismSubject, plan: Plan, seed: bytes) -> Result:
        """Draw again with the same bytes, with others, and with each byte complemented."""
        return replayed(lambda tape: subject.draw(plan.details, tape), seed)


def replayed(drawn: Callable[[Tape], NDArray[Any]], seed: bytes) -> Result:
    """Return whether something is a function of its tape, and of every byte of it.

    Args:
        drawn: Returns what is drawn from a tape.
        seed: The seed of the tapes.
    """
    tape = Tape(seed)
    first = drawn(tape)
    if not np.array_equal(first, drawn(Tape(seed))):
        return _rejected(1, "Two draws with the same randomness differ: there is other randomness beside it.")
    if np.array_equal(first, drawn(Tape(seed, "another"))):
        return _rejected(1, "Two draws with fresh randomness are equal.")
    dead = [at for at in range(tape.position) if np.array_equal(first, drawn(Tape(seed, complemented=at)))]
    if dead:
        return _rejected(
            len(dead), f"{len(dead)} of {tape.position} bytes have no effect; the first is byte {dead[0]}."
        )
    return Result(statistic=f"{_STATISTIC}, of {tape.position}", value=0.0, threshold=1.0)


def _rejected(value: int, evidence: str) -> Result:
    return Result(statistic=_STATISTIC, value=float(value), threshold=1.0, rejected=True, evidence=evidence)
