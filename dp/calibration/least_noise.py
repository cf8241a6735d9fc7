"""The least noise for a target (epsilon, delta).

Without sampling, the least Gaussian noise follows from a formula (`dp.accounting.gaussian_curve`), and so does the
integer noise that it dominates (`dp.accounting.lattice`). Everything else is searched for, by the accountants that the
ledger uses too: the search starts from a formula, brackets the result, and continues by Brent's method on logarithms,
in which epsilon is nearly a linear function of the noise.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, Final, TypeVar

from dp.accounting import accountants
from dp.accounting.accountants import accountants_of
from dp.accounting.gaussian_curve import largest_mu, least_multiplier
from dp.accounting.guarantee import is_within
from dp.accounting.lattice import dominating_gaussian, least_local_sigma, least_skellam_variance
from dp.accounting.privacy_loss_accountant import PrivacyLossAccountant
from dp.calibration.release_target import MAXIMUM_NOISE_MULTIPLIER, ReleaseTarget
from dp.checks import magnitude
from dp.errors import InfeasibleTarget, InvalidParameter, LatticeTooCoarse
from dp.events import GaussianEvent, NeighbouringRelation, NoisyEvent, PrivacyEvent
from dp.noise.distributed import MECHANISMS, DistributedDiscreteGaussian, DistributedNoise

Mechanism = TypeVar("Mechanism", bound=DistributedNoise[Any])

RELATIVE_TOLERANCE: Final = 1e-5
MINIMUM_NOISE_MULTIPLIER: Final = 1e-3

# The points of a release's privacy loss distribution during the search. Epsilon is then too large by a part of about
# 1e-4, rarely of 1e-2.
_SEARCH_POINTS: Final = 40_000
_FIRST_STEP: Final = 0.1  # The first step on the logarithm of the noise; each further step is twice as long.
_FLOOR_TOLERANCE: Final = 1e-3  # The least noise share may be more than is needed by at most this part.
_CAP: Final = 50.0  # The largest logarithm of spent over target, which is infinite if 0 or infinity is spent.


def calibrate_noise(
    mechanism: type[Mechanism],
    *,
    epsilon: float,
    delta: float,
    releases: int,
    l2_sensitivity: float,
    dimension: int,
    minimum_contributors: int,
    relation: NeighbouringRelation = NeighbouringRelation.ZERO_OUT,
    sampling_rate: float = 1.0,
) -> Mechanism:
    """Return the distributed mechanism with the least noise that stays within a budget.

    Args:
        mechanism: The class of the mechanism, one of `MECHANISMS`.
        epsilon: The budget for all releases together, above 0.
        delta: Strictly between 0 and 1.
        releases: The number of sums that will be released, at least 1.
        l2_sensitivity: The largest L2 norm of one client's vector, in steps of the integer grid.
        dimension: The number of coordinates.
        minimum_contributors: The least number of honest and secret noise shares in every released sum: the protocol's
            threshold minus the clients that may collude.
        relation: The neighbouring relation. Under add-or-remove-one, at least `minimum_contributors` noise shares must
            be in the sum whether the client is present or not.
        sampling_rate: The probability that a client takes part in a release, drawn afresh, independently and in secret,
            in (0, 1]. Below 1 the relation must be add-or-remove-one.

    Formal guarantees:
        `releases` sums, each with at least `minimum_contributors` noise shares, are together (`epsilon`,
        `delta`)-differentially private, under `relation`, for one client. The parameter of a noise share (`local_sigma`
        or `local_variance`) is within 1e-5 of the least that the accountant accepts, on the safe side.

    Raises:
        InfeasibleTarget: A client's noise share would need a sigma above 2**40 steps of the integer grid, or a Skellam
            variance above 2**32 squared steps.
        LatticeTooCoarse: The least noise shares, of sigma 2 or of Skellam variance 2**-30, are together more noise than
            the budget needs. Multiply the values and `l2_sensitivity` by the error's `scale`, and divide the sum by
            it.
        IncompatibleEvent: There is sampling, and the relation is not add-or-remove-one.
        InvalidParameter: An argument is out of range.
    """
    if mechanism not in MECHANISMS.values():
        known = " or ".join(each.__name__ for each in MECHANISMS.values())
        raise InvalidParameter(f"mechanism: expected the class {known}, found {mechanism!r:.100}")
    parameter = mechanism.parameter

    def of(value: float, scale: float = 1.0) -> Mechanism:
        return mechanism.of(
            value,
            minimum_contributors=minimum_contributors,
            l2_sensitivity=magnitude("l2_sensitivity", l2_sensitivity) * scale,
            dimension=dimension,
        )

    target = ReleaseTarget(
        epsilon=epsilon, delta=delta, releases=releases, relation=relation, sampling_rate=sampling_rate
    )
    multiplier = gaussian_multiplier(target)

    def spent(noise: Mechanism) -> float:
        return _spent_without_losses(target, noise.event)

    def is_enough(thin: Mechanism) -> bool:
        gaussian = dominating_gaussian(thin.event)
        return (gaussian is not None and gaussian.noise_multiplier >= multiplier) or spent(thin) <= target.epsilon

    dominated = _dominated(mechanism, multiplier * of(parameter.reference).l2_sensitivity, minimum_contributors)
    otherwise = least_noise(
        lambda value: spent(of(value)),
        epsilon=target.epsilon,
        lowest=parameter.lowest,
        highest=parameter.highest,
        start=parameter.guess(target.noise_multiplier, at_reference=of(parameter.reference).noise_multiplier),
    )
    found = max(parameter.lowest, min(dominated, otherwise))
    if found > parameter.highest:
        most = f"{parameter.name} above {parameter.highest:.6g} {parameter.unit}"
        raise _infeasible(target, most, of(parameter.highest))
    if found == parameter.lowest:
        least = f"{parameter.name} {parameter.least} {parameter.unit}"
        _check_floor(target, lambda scale: is_enough(of(parameter.lowest, scale)), of(parameter.lowest), least)
    return of(found)


def calibrate_gaussian(
    *,
    epsilon: float,
    delta: float,
    releases: int,
    relation: NeighbouringRelation = NeighbouringRelation.ZERO_OUT,
    sampling_rate: float = 1.0,
) -> float:
    """Return the least noise multiplier of the continuous Gaussian that stays within a budget.

    Args:
        epsilon: The budget for all releases together, above 0.
        delta: Strictly between 0 and 1.
        releases: The number of queries that will be released, at least 1.
        relation: The neighbouring relation under which the sensitivity is measured.
        sampling_rate: As for `calibrate_noise`.

    Formal guarantees:
        `releases` queries, each with Gaussian noise whose standard deviation is the returned multiple of its L2
        sensitivity under `relation`, are together (`epsilon`, `delta`)-differentially private for one client. Without
        sampling, the multiple is within 1e-7 of the least. With sampling, it is within 1e-5 of the least that the
        accountant accepts. If privacy loss distributions are used, that is within about 5e-4, rarely 3e-3, of the least
        for results above about 1.3. Below that, at sampling rates under 0.01, it may be far above the least: by half at
        a rate of 1e-5 in one case. It is never below 0.001.

    Raises:
        InfeasibleTarget: The noise multiplier needed is above 1e12.
        IncompatibleEvent: There is sampling, and the relation is not add-or-remove-one.
        InvalidParameter: An argument is out of range.
    """
    target = ReleaseTarget(
        epsilon=epsilon, delta=delta, releases=releases, relation=relation, sampling_rate=sampling_rate
    )

    def releases_of(multiplier: float) -> dict[PrivacyEvent, int]:
        return {target.event(GaussianEvent(noise_multiplier=multiplier)): target.releases}

    if target.sampling_rate == 1:
        left = largest_mu(target.epsilon, target.delta) ** 2
        return _drawable(target, least_multiplier(left=left, releases=target.releases))

    def spent(multiplier: float) -> float:
        events = releases_of(multiplier)
        return min(
            each.quick_epsilon(events, target.delta, points=_SEARCH_POINTS)
            for each in accountants.ACCOUNTANTS
            if each.unsupported_reason(events, target.delta) is None
        )

    enough = _renyi_noise_multiplier(target)
    noise_multiplier = least_noise(
        spent, epsilon=target.epsilon, lowest=MINIMUM_NOISE_MULTIPLIER, highest=enough, start=enough
    )
    # The grid of the guarantee is finer. In every case seen so far its epsilon was slightly less.
    step = RELATIVE_TOLERANCE
    while not is_within(
        releases_of(noise_multiplier), epsilon=target.epsilon, delta=target.delta, relation=target.relation
    ):
        noise_multiplier, step = noise_multiplier * (1 + step), 2 * step
    return noise_multiplier


@functools.lru_cache(maxsize=64)
def gaussian_multiplier(target: ReleaseTarget) -> float:
    """Return what `calibrate_gaussian` returns for a target."""
    return calibrate_gaussian(
        epsilon=target.epsilon,
        delta=target.delta,
        releases=target.releases,
        relation=target.relation,
        sampling_rate=target.sampling_rate,
    )


def _spent_without_losses(target: ReleaseTarget, event: NoisyEvent) -> float:
    """Return what releases spend by the accountants that do not compare them with Gaussian noise."""
    events = {target.event(event): target.releases}
    return min(
        each.quick_epsilon(events, target.delta)
        for each in accountants_of(target.event(event), target.delta)
        if not isinstance(each, PrivacyLossAccountant)
    )


def _dominated(mechanism: type[DistributedNoise[Any]], deviation: float, contributors: int) -> float:
    """Return the least parameter of noise shares whose sum Gaussian noise of a deviation dominates, rounded up.

    It follows from a formula (`dp.accounting.lattice`). Infinity if that finds none.
    """
    if mechanism is DistributedDiscreteGaussian:
        found = least_local_sigma(deviation, contributors)
    else:
        variance = least_skellam_variance(deviation)
        found = None if variance is None else math.nextafter(variance / contributors, math.inf)
    return math.inf if found is None else found


def _renyi_noise_multiplier(target: ReleaseTarget) -> float:
    """Return the least noise multiplier of the continuous Gaussian by Renyi DP alone.

    Formal guarantees:
        As for `calibrate_gaussian`, whose other accountants often find that less noise is enough.

    Raises:
        InfeasibleTarget: The noise multiplier needed is above 1e12.
        IncompatibleEvent: There is sampling, and the relation is not add-or-remove-one.
    """
    noise_multiplier = least_noise(
        lambda multiplier: target.renyi_spent(GaussianEvent(noise_multiplier=multiplier)),
        epsilon=target.epsilon,
        lowest=MINIMUM_NOISE_MULTIPLIER,
        highest=MAXIMUM_NOISE_MULTIPLIER,
        start=target.noise_multiplier,
    )
    return _drawable(target, noise_multiplier)


def _drawable(target: ReleaseTarget, noise_multiplier: float) -> float:
    """Return a noise multiplier, or the least one of all if that is greater; refuse one above the greatest."""
    if noise_multiplier > MAXIMUM_NOISE_MULTIPLIER:
        raise InfeasibleTarget(
            f"{target} needs a noise multiplier above {MAXIMUM_NOISE_MULTIPLIER:.6g}. Make fewer releases, or use a "
            "larger epsilon, which weakens the guarantee."
        )
    return max(noise_multiplier, MINIMUM_NOISE_MULTIPLIER)


def least_noise(
    spent: Callable[[float], float], *, epsilon: float, lowest: float, highest: float, start: float
) -> float:
    """Return the least noise in `[lowest, highest]` that stays within a target, or infinity if none does.

    Args:
        spent: A function from a noise to its epsilon, at least 0, possibly infinite; it must not grow with the noise.
        epsilon: The target, above 0.
        lowest: The least noise, above 0.
        highest: The greatest noise, at least `lowest`.
        start: The first guess, above 0.

    Returns:
        A noise for which `spent` returned at most `epsilon`, and which is above the least by at most a part of 1e-5.
    """
    import scipy.optimize

    bottom, top = math.log(lowest), math.log(highest)

    def noise(position: float) -> float:
        inside = min(max(math.exp(position), lowest), highest)
        return lowest if position == bottom else highest if position == top else inside

    @functools.cache
    def excess(position: float) -> float:
        found = spent(noise(position))
        return min(max(math.log(found) - math.log(epsilon), -_CAP), _CAP) if found > 0 else -_CAP

    low = high = min(max(math.log(start), bottom), top)
    step = _FIRST_STEP
    while excess(high) > 0:
        if high == top:
            return math.inf
        low, high, step = high, min(high + step, top), 2 * step
    while excess(low) <= 0:
        if low == bottom:
            return lowest
        low, high, step = max(low - step, bottom), low, 2 * step
    position = float(scipy.optimize.brentq(excess, low, high, xtol=RELATIVE_TOLERANCE / 4))
    while excess(position) > 0:
        position = min(position + RELATIVE_TOLERANCE / 2, high)
    return noise(position)


def _check_floor(
    target: ReleaseTarget, is_enough: Callable[[float], bool], thinnest: DistributedNoise[Any], least: str
) -> None:
    """Refuse an integer grid on which the least noise shares are more noise than the target needs.

    Args:
        target: The guarantee, which the least noise shares satisfy.
        is_enough: Whether the least noise shares satisfy it if values and sensitivity are multiplied by a number.
        thinnest: The mechanism with the least noise shares.
        least: The least noise share in words.

    Raises:
        LatticeTooCoarse: The least noise shares are more noise than the target needs.
    """
    if not is_enough(1 + _FLOOR_TOLERANCE):
        return
    low, high = 1, 2
    while is_enough(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if is_enough(middle) else (low, middle)
    raise LatticeTooCoarse(
        f"l2_sensitivity: expected at least {thinnest.l2_sensitivity * high:.6g} steps of the integer grid for "
        f"{target} with {thinnest.minimum_contributors} contributors, found {thinnest.l2_sensitivity:.6g}. The least "
        f"noise that a client can add ({least}) is up to {high} times what is needed. Multiply the values and "
        f"l2_sensitivity by {high} or more before they are summed, and divide the sum by it.",
        scale=high,
    )


def _infeasible(target: ReleaseTarget, needed: str, strongest: DistributedNoise[Any]) -> InfeasibleTarget:
    return InfeasibleTarget(
        f"{target} needs a {needed} at an L2 sensitivity of {strongest.l2_sensitivity} with "
        f"{strongest.minimum_contributors} contributors (which reaches epsilon {target.spent(strongest.event):.4g}). "
        "Use a coarser integer grid (a smaller L2 sensitivity), fewer releases or more contributors, or a larger "
        "epsilon, which weakens the guarantee."
    )
