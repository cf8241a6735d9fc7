"""Check of the realised noise: what was released, less the mean of the contributors' updates, trained again.

All data of a simulated run are known, and local training repeats. So every clipped update can be computed again, from
the weights that were kept before the round. What is left of a released mean is its noise, and its variance is tested
against the planned one, over all rounds together. A finished run cannot be run again, so that there is one attempt
only, and its level is 1e-6. Without noise, nothing may be left but rounding.

The level is that of normal values. Noise on a lattice, rotated, is nearly normal, and excess kurtosis g of a coordinate
changes the variance of the statistic by a part of g / 2. The fractions that are rounded are taken for uniform; if they
are not, the planned variance is off by at most a part of 1 / (6 s^2), with s the deviation of a share in steps. At the
widths of the shipped means, of 7,000 steps and more, neither matters.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import chi2

from dp.clipping.clip import clip_l2
from dp.events import Trust
from dp.noise.distributed import DistributedDiscreteGaussian
from dp.noise.removal import RemovableSkellam
from secagg.aggregation.weighting import Weighting
from secagg.arrays import Arrays
from secagg.audit.run_folder.check import HOLDS, Untested, VarianceTest, Verdict
from secagg.audit.run_folder.cohort import present_in
from secagg.audit.run_folder.evidence import Evidence
from secagg.audit.run_folder.plan import clip_of, parts_of
from secagg.engines.base import RoundPlan
from secagg.engines.client import weight_of
from secagg.engines.wire.work import Work
from secagg.runs.prepare import Prepared
from secagg.training.records import RoundRecord

LEVEL: Final = 1e-6
"""The level of the one attempt."""

_POWER: Final = 0.99
_ROUNDING_VARIANCE: Final = 1 / 6
"""The variance, in square steps, of rounding one coordinate at random: f (1 - f) for a fraction f uniform in [0, 1]."""


def check_noise(evidence: Evidence) -> Verdict:
    """Test the variance of the realised noise of all rounds together."""
    prepared = evidence.prepared
    if not evidence.config.private:
        raise Untested("The run has no noise, see run.noise.none.")
    if prepared.example_level is not None:
        raise Untested(
            "Clients add the noise in each step of their training, on examples that they draw afresh. So their updates "
            "cannot be computed again."
        )
    if prepared.mean.encoding.weighting is Weighting.WEIGHTED:
        raise Untested("The mean is weighted. Its divisor has noise too, so that its noise cannot be told apart.")
    rounds = _residuals(evidence)
    values = np.concatenate([found.residual / _planned_stddev(prepared, found) for found in rounds])
    test = variance_test(values, rounds=len(rounds))
    shown = (
        f"The variance over {test.coordinates:,} values of {test.rounds} rounds is {test.ratio:.4f} of the plan, "
        f"p = {test.p_value:.2g}. One attempt at level {LEVEL:g} rejects noise of at most {test.detects:.3f} times the "
        f"planned standard deviation with probability {_POWER:.0%}, and noise nearer to the plan with less."
    )
    if test.p_value < LEVEL:
        return Verdict(found=f"The released means have other noise than planned. {shown}", test=test)
    _check_all(evidence, rounds)
    return Verdict(shown=shown, test=test)


def check_no_noise(evidence: Evidence) -> Verdict:
    """Check that, without noise, a released mean is that of the contributors' updates up to rounding."""
    if evidence.config.private:
        raise Untested(
            "This check is for runs without noise. The noise of this run is the subject of run.noise.realised."
        )
    prepared = evidence.prepared
    rounds = _residuals(evidence)
    for found in rounds:
        encoding = prepared.mean.encoding
        bound = encoding.rounding_bound(contributors=found.contributors, total_weight=found.total_weight)
        allowed = bound * found.unit * (1 + 1e-6) + 1e-9
        if not np.abs(found.residual).max() <= allowed:  # Also if it is NaN.
            return Verdict(found=f"The mean of round {found.number} is not that of its contributors' updates.")
    _check_all(evidence, rounds)
    return HOLDS


def _check_all(evidence: Evidence, rounds: "list[_Residual]") -> None:
    """Raise `Untested` if some rounds have released a mean that was not tested; those that were are not rejected."""
    tested = {found.number for found in rounds}
    left_out = [record.round for record in evidence.records if record.contributors and record.round not in tested]
    if left_out:
        raise Untested(
            f"It is not known which clients contributed to {len(left_out)} of the rounds that released a "
            f"mean. The first is round {left_out[0]}. In the other rounds, nothing was found."
        )


def variance_test(values: NDArray[np.float64], *, rounds: int) -> VarianceTest:
    """Test whether independent normal values of mean 0 have variance 1.

    Args:
        values: The values, at least one.
        rounds: The number of rounds that they come from.
    """
    count, statistic = len(values), float(values @ values)
    p_value = 0.0  # Of values that no noise has: infinite ones and NaN.
    if np.isfinite(statistic):
        p_value = min(1.0, 2 * min(float(chi2.cdf(statistic, count)), float(chi2.sf(statistic, count))))
    return VarianceTest(
        ratio=statistic / count,
        p_value=p_value,
        coordinates=count,
        rounds=rounds,
        level=LEVEL,
        detects=float(brentq(lambda scale: power(scale, count) - _POWER, 1e-6, 1.0)),
    )


def power(scale: float, count: int) -> float:
    """Return the probability that the test rejects values whose standard deviation is `scale` instead of 1."""
    low, high = chi2.ppf(LEVEL / 2, count), chi2.isf(LEVEL / 2, count)
    return float(chi2.cdf(low / scale**2, count) + chi2.sf(high / scale**2, count))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Residual:
    """What is left of the mean update of one round, less the mean of the contributors' updates."""

    number: int
    contributors: int
    total_weight: float | None
    unit: float
    residual: NDArray[np.float64]


def _residuals(evidence: Evidence) -> list[_Residual]:
    prepared = evidence.prepared
    if prepared.mean.sample is not None:
        raise Untested("Clients were drawn in secret, so that the metrics do not say who contributed.")
    if prepared.mean.encoding.kept is not None:
        raise Untested(
            "Clients sent a random part of the rotated coordinates, which follows from the session's id. The metrics "
            "do not state it, so that the error of what was not sent cannot be told apart."
        )
    found = []
    for record in evidence.records:
        present = present_in(evidence.asked(record.round), record, evidence.refusing)
        if record.contributors and record.contributors == len(present):
            found.append(_residual(evidence, record, present))
    if not found:
        raise Untested("No round has released a mean whose contributors are known.")
    return found


def _residual(evidence: Evidence, record: RoundRecord, contributors: list[int]) -> _Residual:
    prepared, parts = evidence.prepared, parts_of(evidence.prepared)
    if parts.entries:
        raise Untested("The model keeps running statistics, which share the noise with the trained arrays.")
    mean, clip = prepared.mean, clip_of(prepared, record.clip_bound)
    start = evidence.weights(record.round - 1)
    work = Work("audit", record.round, (), clip=clip, parts=parts)
    plan = RoundPlan(mean=mean, session=mean.session(bytes(16)), work=work)
    total: Arrays = [np.zeros(shape) for shape in mean.encoding.shapes]
    weights = 0.0
    for client in contributors:
        share = (weight_of(plan, prepared.devices.examples(client)) or 1.0) / mean.encoding.max_weight
        weights += share
        if client in record.failed:
            continue
        prepared_update = parts.prepare(clip, prepared.devices.train(client, start, record.round), weights=start)
        for array, clipped in zip(total, clip_l2(prepared_update, bound=mean.encoding.clip_l2).arrays, strict=True):
            array += share * clipped
    expected, _ = parts.after(clip, [np.asarray(array / weights) for array in total], weights=start)
    moved = _mean_update(evidence, record.round)
    roles = [index for index, role in enumerate(prepared.devices.roles) if role.travels]
    pieces = [(moved[index] - update).reshape(-1) for index, update in zip(roles, expected, strict=True)]
    return _Residual(
        number=record.round,
        contributors=record.contributors,
        total_weight=None if mean.encoding.weighting is Weighting.UNIFORM else weights * mean.encoding.max_weight,
        unit=clip.unit / parts.factor,
        residual=np.concatenate(pieces),
    )


def _mean_update(evidence: Evidence, number: int) -> Arrays:
    """Return the mean update that moved the weights in a round, by inverting the server's step."""
    step = evidence.config.server_step
    velocity = _velocity(evidence, number)
    earlier = [record.round for record in evidence.records if record.contributors and record.round < number]
    if not earlier or not step.momentum:
        return velocity
    before = _velocity(evidence, earlier[-1])
    return [np.asarray(now - step.momentum * last) for now, last in zip(velocity, before, strict=True)]


def _velocity(evidence: Evidence, number: int) -> Arrays:
    """Return the velocity that moved the weights in a round that released a mean."""
    rate = evidence.config.server_step.learning_rate
    pairs = zip(evidence.weights(number), evidence.weights(number - 1), strict=True)
    return [np.asarray((after - before) / rate) for after, before in pairs]


def _planned_stddev(prepared: Prepared, found: _Residual) -> float:
    """Return the standard deviation that each value of a residual should have."""
    mean = prepared.mean
    noise, shares = mean.noise, found.contributors
    if mean.target is not None and mean.target.trust is Trust.CENTRAL:
        shares = 1
    if isinstance(noise, RemovableSkellam):
        variance = float(noise.clients * noise.variances[0])  # The same for every number of dropouts.
    elif isinstance(noise, DistributedDiscreteGaussian):
        variance = shares * noise.local_sigma**2
    elif noise is not None:
        variance = shares * noise.local_variance
    else:
        raise Untested("The sums have no noise.")
    variance += found.contributors * _ROUNDING_VARIANCE
    return float(np.sqrt(variance) * mean.encoding.granularity * found.unit / found.contributors)
