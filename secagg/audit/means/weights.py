"""Checks of weights: limited, and hidden in the sum."""

import math
import struct
from collections.abc import Mapping
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from protocols import Transmission
from secagg.audit.attack import LEVEL_OF_ATTEMPT, Attack, Inapplicable, Layer, Level, Plan, Result
from secagg.audit.means.rounding import small_update
from secagg.audit.means.subject import MeanSubject, Setting, Wish
from secagg.audit.mechanisms.statistics import POWER_OF_ATTEMPT
from secagg.audit.seeds import Tape
from secagg.errors import EncodingError

_WISH: Final = Wish(clients=3, minimum_contributors=2, dimension=16)
_UNIFORM: Final = Inapplicable(why="The mean is uniform: clients have no weights.")
_LEAST_DIGITS: Final = 6


class WeightLimit(Attack[MeanSubject]):
    """Weights that nobody may choose."""

    id = "invariant.weights.limit"
    title = "A client is given weights above the limit, not above zero, or not finite, and has to refuse each of them"
    layer = Layer.INVARIANT
    tests = ("C-19",)
    subjects = MeanSubject

    def plan(self, subject: MeanSubject, level: Level) -> Plan | Inapplicable:
        """Return the number of weights."""
        setting = subject.setting(_WISH)
        if not setting.is_weighted:
            return _UNIFORM
        limit = setting.mean.encoding.max_weight
        refused = (
            math.nextafter(limit, math.inf),
            1.01 * limit,
            2 * limit,
            1e6 * limit,
            0.0,
            -limit,
            math.nan,
            math.inf,
        )
        return Plan(trials=len(refused), cpu_s=0.01, details=(setting, refused))

    def run(self, subject: MeanSubject, plan: Plan, seed: bytes) -> Result:
        """Try each weight."""
        setting, refused = plan.details
        made, update = subject.round_plan(setting, seed), small_update(setting, seed)
        for weight in refused:
            try:
                subject.integers(made, setting.mean.clients[0], update, weight, Tape(seed))
            except EncodingError:
                continue
            return self.result(
                1, f"The weight {weight!r} is accepted; the limit is {setting.mean.encoding.max_weight!r}."
            )
        return self.result(0, "")

    def result(self, accepted: int, evidence: str) -> Result:
        """Return what was accepted."""
        return Result(
            statistic="weights that should be refused and are accepted",
            value=float(accepted),
            threshold=1.0,
            rejected=bool(accepted),
            evidence=evidence,
        )


class WeightsHidden(Attack[MeanSubject]):
    """A weight of the auditor's choice, searched in every message.

    Besides, messages may depend on a weight only if they depend on the update too, for the same randomness of all
    parties: those are the masked or encrypted vectors.
    """

    id = "invariant.weights.hidden"
    title = "Messages are searched for weights, and for fields that depend on nothing but a weight"
    layer = Layer.INVARIANT
    tests = ("C-19",)
    subjects = MeanSubject

    def plan(self, subject: MeanSubject, level: Level) -> Plan | Inapplicable:
        """Return the number of sessions."""
        setting = subject.setting(_WISH)
        return Plan(trials=3, cpu_s=0.05, details=setting) if setting.is_weighted else _UNIFORM

    def run(self, subject: MeanSubject, plan: Plan, seed: bytes) -> Result:
        """Compare sessions with other weights, and with other updates."""
        setting: Setting = plan.details
        limit = setting.mean.encoding.max_weight
        canaries = {c: limit * (0.3 + 0.5 / (7.0 + at)) for at, c in enumerate(setting.mean.clients)}
        first = views(subject, setting, seed, b"updates", canaries)
        found = [at for at, message in enumerate(first) if any(_holds(message.data, w) for w in canaries.values())]
        if found:
            return _shown(first[found[0]], "contains a client's weight")
        others = dict.fromkeys(canaries, limit / 2)
        weighed, updated = (
            views(subject, setting, seed, b"updates", others),
            views(subject, setting, seed, b"other updates", canaries),
        )
        if not len(first) == len(weighed) == len(updated):
            return _shown(first[-1], "is not the last one with other weights")
        for message, other, changed in zip(first, weighed, updated, strict=True):
            if message.data != other.data and message.data == changed.data:
                return _shown(message, "depends on the weights, and not on the updates")
        return Result(statistic=f"messages of {len(first)} that show a weight", value=0.0, threshold=1.0)


class WeightsAlike(Attack[MeanSubject]):
    """Two sets of inputs with one sum and other weights, told apart by one byte of the view.

    A byte's position and a rule are chosen on one half of the sessions, and judged on the other half by a binomial
    test. As many sessions have either input, so that its p value is valid for every distribution of the messages, see
    `secagg.audit.sums.indistinguishable`.
    """

    id = "mechanism.weights.view"
    title = "Bytes and lengths of the view are searched for one that tells which of two clients has the larger weight"
    layer = Layer.VIEW
    tests = ("C-19",)
    subjects = MeanSubject
    statistical = True
    sessions: ClassVar[dict[Level, int]] = {Level.QUICK: 100, Level.FULL: 1000}

    def plan(self, subject: MeanSubject, level: Level) -> Plan | Inapplicable:
        """Return the number of sessions."""
        setting = subject.setting(_WISH)
        if not setting.is_weighted:
            return _UNIFORM
        sessions = self.sessions[level]
        return Plan(
            trials=sessions,
            power=f"a byte or a length by which {_needed(sessions // 2):.3g} of the views are told apart",
            cpu_s=sessions * 3e-3,
            details=setting,
        )

    def run(self, subject: MeanSubject, plan: Plan, seed: bytes) -> Result:
        """Choose a byte on one half of the sessions, and judge it on the other."""
        setting: Setting = plan.details
        limit, clients = setting.mean.encoding.max_weight, setting.mean.clients
        low, high = dict.fromkeys(clients, limit / 2), dict.fromkeys(clients, limit / 2)
        low[clients[0]], low[clients[1]] = limit / 4, 3 * limit / 4
        high[clients[0]], high[clients[1]] = 3 * limit / 4, limit / 4
        sides = np.arange(plan.trials) % 2
        rows = [
            views(subject, setting, seed + b"%d" % number, b"", (low, high)[side])
            for number, side in enumerate(sides.tolist())
        ]
        features = _features(rows)
        training = plan.trials // 2 // 2 * 2
        column, threshold, above = _best(features[:training], sides[:training])
        guesses = (features[training:, column] > threshold) == above
        right = int(np.count_nonzero(guesses == sides[training:].astype(bool)))
        trials = plan.trials - training
        return Result(
            statistic=f"views of {trials} that are told apart, by the best of {features.shape[1]} bytes and lengths",
            value=right / trials,
            p_value=float(stats.binom.sf(right - 1, trials, 0.5)),
            evidence=f"One byte or length of the view tells which client has the larger weight in {right} of {trials} "
            "sessions whose sums are equal.",
        )


def views(
    subject: MeanSubject, setting: Setting, seed: bytes, updates: bytes, weights: Mapping[int, float]
) -> list[Transmission]:
    """Return all messages of a round; all clients have one update, so that weights of one total have one sum."""
    seen: list[Transmission] = []
    update = small_update(setting, seed + updates)
    subject.observe(setting, dict.fromkeys(setting.mean.clients, update), seed, weights=weights, tap=seen.append)
    return seen


def _holds(data: bytes, weight: float) -> bool:
    """Return whether bytes contain a weight as a float of 8 bytes, or in decimal digits."""
    packed = [struct.pack(form, weight) for form in ("<d", ">d")]
    return any(part in data for part in (*packed, f"{weight:.{_LEAST_DIGITS}f}".encode()))


def _features(rows: list[list[Transmission]]) -> NDArray[np.int64]:
    """Return one row a view: the length of each message, and its bytes as far as all views have them."""
    messages = min(len(row) for row in rows)
    shortest = [min(len(row[at].data) for row in rows) for at in range(messages)]
    return np.array(
        [
            [
                len(row),
                *(len(row[at].data) for at in range(messages)),
                *b"".join(row[at].data[: shortest[at]] for at in range(messages)),
            ]
            for row in rows
        ],
        dtype=np.int64,
    )


def _best(features: NDArray[np.int64], sides: NDArray[np.int64]) -> tuple[int, float, bool]:
    """Return the column whose means differ most, the middle between the means, and whether side 1 is above it."""
    means = np.stack([features[sides == side].mean(axis=0) for side in (0, 1)])
    spread = features.std(axis=0) + 1e-9
    column = int(np.argmax(np.abs(means[1] - means[0]) / spread))
    return column, float(means[:, column].mean()), bool(means[1, column] > means[0, column])


def _needed(trials: int) -> float:
    """Return the part of right guesses that one attempt rejects with 99.5% probability."""
    least = stats.binom.isf(LEVEL_OF_ATTEMPT, trials, 0.5) + 1
    parts = np.linspace(0.5, 1, 1001)
    return float(parts[np.argmax(stats.binom.sf(least - 1, trials, parts) >= POWER_OF_ATTEMPT)])


def _shown(message: Transmission, what: str) -> Result:
    sender = "the server" if message.sender is None else f"client {message.sender}"
    return Result(
        statistic="messages that show a weight",
        value=1.0,
        threshold=1.0,
        rejected=True,
        evidence=f"The message of step {message.step} from {sender} {what}.",
    )


WEIGHTS: Final = (WeightLimit(), WeightsHidden(), WeightsAlike())
