"""Exact checks of the sensitivity: integers of adversarial updates, and neighbours of the claimed relation."""

import math
from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dp.events import DistributedDiscreteGaussianEvent, SkellamEvent
from secagg.aggregation.mean import SecureMean
from secagg.aggregation.residues import reduced
from secagg.aggregation.rounding import squared_norm
from secagg.audit.attack import Attack, Inapplicable, Layer, Level, Plan, Result
from secagg.audit.means.directions import directions, norm_of_updates
from secagg.audit.means.subject import ADD_OR_REMOVE, REPLACE, ZERO_OUT, MeanSubject, Setting, Wish
from secagg.audit.seeds import Tape, generator_of
from secagg.engines.base import RoundPlan

_WISH: Final = Wish(clients=4, minimum_contributors=3, dimension=256)
_RANDOMS: Final = {Level.QUICK: 64, Level.FULL: 1024}
_SECONDS_OF_A_CASE: Final = 3e-4
RELATIONS: Final = (ZERO_OUT, ADD_OR_REMOVE, REPLACE)
_UNKNOWN: Final = Inapplicable(why=f"The claimed relation is none of {', '.join(RELATIONS)}.")


def planned_sensitivity(mean: SecureMean) -> float:
    """Return the sensitivity for which the noise is sized, in steps; without noise, the bound of the encoding."""
    match mean.realised(len(mean.clients)):
        case DistributedDiscreteGaussianEvent(l2_sensitivity=sensitivity) | SkellamEvent(l2_sensitivity=sensitivity):
            return sensitivity
        case _:
            return mean.encoding.l2_sensitivity


class _OfIntegers(Attack[MeanSubject]):
    """A check of one client's integers for adversarial updates."""

    layer = Layer.INVARIANT
    subjects = MeanSubject

    def plan(self, subject: MeanSubject, level: Level) -> Plan | Inapplicable:
        """Return the number of updates."""
        setting = subject.setting(_WISH)
        trials = _RANDOMS[level] + 13
        return Plan(trials=trials, cpu_s=trials * _SECONDS_OF_A_CASE, details=(setting, _RANDOMS[level]))


class IntegerNorm(_OfIntegers):
    """The norm of a client's integers."""

    id = "invariant.norm"
    title = "The norms of the integers of adversarial updates are compared with the norm that the noise is sized for"
    tests = ("C-17", "C-18", "C-19")

    def run(self, subject: MeanSubject, plan: Plan, seed: bytes) -> Result:
        """Encode each update without noise, and measure."""
        setting, randoms = plan.details
        made = subject.round_plan(setting, seed)
        bound = planned_sensitivity(setting.mean)
        limit = math.floor(Fraction(bound) ** 2)
        weight = setting.mean.encoding.max_weight if setting.is_weighted else None
        norms: dict[str, int] = {}
        for name, update in directions(setting, made.rotation, generator_of(seed), randoms):
            integers = subject.integers(made, setting.mean.clients[0], update, weight, Tape(seed, name))
            norms[name] = squared_norm(integers)
        over = [name for name, norm in norms.items() if norm > limit]
        worst = max(norms, key=norms.__getitem__)
        return Result(
            statistic="largest norm of a client's integers, in steps",
            value=math.sqrt(norms[worst]),
            threshold=bound,
            rejected=bool(over),
            evidence=f"{len(over)} of {len(norms)} updates have integers of a norm above {bound:.8g}, for which the "
            f"noise is sized; the largest is {math.sqrt(norms[worst]):.8g}, of the update '{worst}'.",
        )


class NeighbourDistance(_OfIntegers):
    """The distance of the integers of neighbours under the claimed relation."""

    id = "invariant.neighbours"
    title = "The distance between the integers of neighbouring inputs is compared with the sensitivity"
    tests = ("C-17",)

    def plan(self, subject: MeanSubject, level: Level) -> Plan | Inapplicable:
        """Return the number of pairs of neighbours."""
        return super().plan(subject, level) if subject.relation in RELATIONS else _UNKNOWN

    def run(self, subject: MeanSubject, plan: Plan, seed: bytes) -> Result:
        """Encode both neighbours without noise and with the same coins, and measure."""
        setting, randoms = plan.details
        made = subject.round_plan(setting, seed)
        bound = planned_sensitivity(setting.mean)
        weight = setting.mean.encoding.max_weight if setting.is_weighted else None
        client = setting.mean.clients[0]
        distances: dict[str, int] = {}
        for name, update in directions(setting, made.rotation, generator_of(seed), randoms):
            integers = subject.integers(made, client, update, weight, Tape(seed, name))
            if subject.relation == REPLACE:
                integers -= subject.integers(made, client, [-array for array in update], weight, Tape(seed, name))
            distances[name] = squared_norm(integers)
        worst = max(distances, key=distances.__getitem__)
        other = {REPLACE: "its opposite"}.get(subject.relation, "no contribution")
        return Result(
            statistic="largest distance of neighbours' integers, in steps",
            value=math.sqrt(distances[worst]),
            threshold=bound,
            rejected=distances[worst] > math.floor(Fraction(bound) ** 2),
            evidence=f"Under the relation {subject.relation}, the update '{worst}' and {other} are "
            f"{math.sqrt(distances[worst]):.8g} steps apart; the noise is sized for {bound:.8g}.",
        )


class MeanChange(Attack[MeanSubject]):
    """The change of the released mean between neighbours, where the divisor may change as well."""

    id = "invariant.mean.change"
    title = (
        "The change of the released mean between neighbouring inputs, times the clients, is compared with the "
        "sensitivity"
    )
    layer = Layer.INVARIANT
    tests = ("C-17",)
    subjects = MeanSubject

    def plan(self, subject: MeanSubject, level: Level) -> Plan | Inapplicable:
        """Return the one case: all clients against the last."""
        setting = subject.setting(_WISH)
        if subject.relation not in RELATIONS:
            return _UNKNOWN
        if setting.is_weighted:
            return Inapplicable(why="A weighted mean is computed from the sum alone, whose sensitivity is tested.")
        if setting.mean.minimum_contributors == len(setting.mean.clients):
            return Inapplicable(why="The mean is released for one number of contributors only.")
        return Plan(trials=1, cpu_s=0.01, details=setting)

    def run(self, subject: MeanSubject, plan: Plan, seed: bytes) -> Result:
        """Decode the sums of all clients and of the neighbour, without noise."""
        setting: Setting = plan.details
        mean, made = setting.mean, subject.round_plan(setting, seed)
        flat = generator_of(seed).standard_normal(setting.entries)
        flat *= norm_of_updates(setting) / math.sqrt(float(flat @ flat))
        *others, last = mean.clients
        integers = {
            client: subject.integers(
                made, client, setting.split(-flat if client == last else flat), None, Tape(seed, f"client {client}")
            )
            for client in mean.clients
        }
        rest = np.sum([integers[client] for client in others], axis=0)
        present = _decoded(made, rest + integers[last], len(mean.clients))
        contributors = len(others) if subject.relation == ADD_OR_REMOVE else len(mean.clients)
        left = rest - integers[last] if subject.relation == REPLACE else rest
        neighbour = _decoded(made, left, contributors)
        change = len(mean.clients) * math.sqrt(float(((present - neighbour) ** 2).sum()))
        bound = planned_sensitivity(mean) * mean.encoding.granularity * (1 + 1e-9)
        return Result(
            statistic="change of the released mean, times the clients",
            value=change,
            threshold=bound,
            rejected=change > bound,
            evidence=f"Under the relation {subject.relation}, one client changes the released mean, times the "
            f"{len(mean.clients)} clients, by {change:.6g}; the noise is sized for {bound:.6g}.",
        )


def _decoded(made: RoundPlan, integers: NDArray[np.int64], contributors: int) -> NDArray[np.float64]:
    """Return the mean that the server decodes from a sum, as one vector, without noise."""
    encoding = made.mean.encoding
    total = reduced(integers, encoding.modulus)
    decoded = encoding.decode(total, contributors=contributors, rotation=made.rotation)
    return np.concatenate([array.reshape(-1) for array in decoded.mean])


SENSITIVITY: Final = (IntegerNorm(), NeighbourDistance(), MeanChange())
