"""The least noise for a target (epsilon, delta), by a search over the accountant itself.

What is returned was accounted, not extrapolated: `dp.accounting`, which the ledger asks too, found it within the
target. The search starts from a formula, brackets, and goes on by Brent's method on logarithms, where epsilon against
noise is nearly a straight line.
"""

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from dp.accounting import accountants
from dp.accounting.guarantee import is_within
from dp.calibration.release_target import MAXIMUM_NOISE_MULTIPLIER, ReleaseTarget
from dp.checks import magnitude
from dp.errors import InfeasibleTarget, InvalidParameter, LatticeTooCoarse
from dp.events import GaussianEvent, NeighbouringRelation, PrivacyEvent
from dp.noise.distributed import (
    MAXIMUM_LOCAL_SIGMA,
    MINIMUM_LOCAL_SIGMA,
    DistributedDiscreteGaussian,
    DistributedNoise,
    DistributedSkellam,
)
from dp.noise.skellam import MAXIMUM_VARIANCE, MINIMUM_VARIANCE

Mechanism = TypeVar("Mechanism", bound=DistributedNoise[Any])

RELATIVE_TOLERANCE: Final = 1e-5
MINIMUM_NOISE_MULTIPLIER: Final = 1e-3

# Of a release's privacy loss distribution while searching; epsilon comes out some 1e-4 of it too large, rarely 1e-2.
_SEARCH_POINTS: Final = 40_000
_FIRST_STEP: Final = 0.1  # of the logarithm of the noise; each further one is twice as long
_FLOOR_TOLERANCE: Final = 1e-3  # by how much more than is needed a share may be where it is the least there is
_CAP: Final = 50.0  # on the logarithm of spent over target, infinite where what is spent is 0 or infinite


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parameter:
    """The parameter of a mechanism that is searched.

    Attributes:
        name: In words.
        unit: In words.
        lowest: The least that a client can draw.
        least: That in words.
        highest: The most.
        reference: Where the noise multiplier is asked for, to guess from.
        power: Of the standard deviation that it is.
    """

    name: str
    unit: str
    lowest: float
    least: str
    highest: float
    reference: float
    power: int

    def guess(self, noise_multiplier: float, *, at_reference: float) -> float:
        """Return about the parameter of this noise multiplier, given that of the reference."""
        if self.power == 1:
            return noise_multiplier * (self.reference / at_reference)
        return (noise_multiplier / at_reference) ** self.power * self.reference


_PARAMETERS: Final[Mapping[type[DistributedNoise[Any]], _Parameter]] = {
    DistributedDiscreteGaussian: _Parameter(
        name="local sigma",
        unit="lattice units",
        lowest=MINIMUM_LOCAL_SIGMA,
        least="2",
        highest=MAXIMUM_LOCAL_SIGMA,
        reference=MINIMUM_LOCAL_SIGMA,
        power=1,
    ),
    DistributedSkellam: _Parameter(
        name="local variance",
        unit="squared lattice units",
        lowest=float(MINIMUM_VARIANCE),
        least="2**-30",
        highest=float(MAXIMUM_VARIANCE),
        reference=1.0,
        power=2,
    ),
}


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
        mechanism: Its class, `DistributedDiscreteGaussian` or `DistributedSkellam`.
        epsilon: The budget for all releases together, above 0.
        delta: Strictly between 0 and 1.
        releases: How many sums will be released, at least 1.
        l2_sensitivity: The most, in L2 and lattice units, that one client's vector can be away from zero.
        dimension: Number of coordinates.
        minimum_contributors: The least number of honest and secret shares in every released sum: the protocol's
            threshold minus the clients that may collude.
        relation: The neighbouring relation; under add-or-remove-one, at least `minimum_contributors` shares must be in
            the sum whether the client is there or not.
        sampling_rate: Probability of each client to take part in a release, drawn afresh, independently and in secret,
            in (0, 1]; below 1 the relation must be add-or-remove-one.

    Formal guarantees:
        `releases` sums, each with `minimum_contributors` shares or more, are (`epsilon`, `delta`)-differentially
        private together, under `relation`, for one client. The parameter of a share (`local_sigma` or
        `local_variance`) is within 1e-5 of the least that the accountant accepts, on the safe side.

    Raises:
        InfeasibleTarget: A client's share would need a sigma above 2**40 lattice units, or a Skellam variance above
            2**32 squared lattice units.
        LatticeTooCoarse: Less noise is needed than `minimum_contributors` of the least shares are: those of sigma 2, or
            of Skellam variance 2**-30. Multiply the values and `l2_sensitivity` by the error's `scale`, and divide the
            sum by it.
        IncompatibleEvent: There is sampling under another relation than add-or-remove-one.
        InvalidParameter: An argument is out of range.
    """
    if mechanism not in _PARAMETERS:
        raise InvalidParameter(
            f"mechanism: expected the class DistributedDiscreteGaussian or DistributedSkellam, found {mechanism!r:.100}"
        )
    parameter = _PARAMETERS[mechanism]

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
    found = least_noise(
        lambda value: target.spent(of(value).event),
        epsilon=target.epsilon,
        lowest=parameter.lowest,
        highest=parameter.highest,
        start=parameter.guess(target.noise_multiplier, at_reference=of(parameter.reference).noise_multiplier),
    )
    if math.isinf(found):
        most = f"{parameter.name} above {parameter.highest:.6g} {parameter.unit}"
        raise _infeasible(target, most, of(parameter.highest))
    if found == parameter.lowest:
        least = f"{parameter.name} {parameter.least} {parameter.unit}"
        _check_floor(target, lambda scale: of(parameter.lowest, scale), least)
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
        releases: How many queries will be released, at least 1.
        relation: The neighbouring relation that the sensitivity is measured under.
        sampling_rate: As for `calibrate_noise`.

    Formal guarantees:
        `releases` queries, each with Gaussian noise of this many times its L2 sensitivity under `relation`, are
        (`epsilon`, `delta`)-differentially private together for one client. Within 1e-5 of the least that the
        accountant accepts, on the safe side, or about 5e-4, rarely 3e-3, where there is sampling and privacy loss
        distributions are used, and never below 0.001.

    Raises:
        InfeasibleTarget: The noise multiplier needed is above 1e12.
        IncompatibleEvent: There is sampling under another relation than add-or-remove-one.
        InvalidParameter: An argument is out of range.
    """
    target = ReleaseTarget(
        epsilon=epsilon, delta=delta, releases=releases, relation=relation, sampling_rate=sampling_rate
    )

    def releases_of(multiplier: float) -> dict[PrivacyEvent, int]:
        return {target.event(GaussianEvent(noise_multiplier=multiplier)): target.releases}

    def spent(multiplier: float) -> float:
        events = releases_of(multiplier)
        return min(
            each.quick_epsilon(events, target.delta, points=_SEARCH_POINTS)
            for each in accountants.ACCOUNTANTS
            if each.unsupported_reason(events, target.delta) is None
        )

    enough = renyi_noise_multiplier(target)
    noise_multiplier = least_noise(
        spent, epsilon=target.epsilon, lowest=MINIMUM_NOISE_MULTIPLIER, highest=enough, start=enough
    )
    # The ledger's grid is finer, which has always meant a little less.
    step = RELATIVE_TOLERANCE
    while not is_within(
        releases_of(noise_multiplier), epsilon=target.epsilon, delta=target.delta, relation=target.relation
    ):
        noise_multiplier, step = noise_multiplier * (1 + step), 2 * step
    return noise_multiplier


def renyi_noise_multiplier(target: ReleaseTarget) -> float:
    """Return the least noise multiplier of the continuous Gaussian by Renyi DP alone, as lattice noise is accounted.

    Formal guarantees:
        As for `calibrate_gaussian`, whose other accountants often find less enough.

    Raises:
        InfeasibleTarget: It is above 1e12.
        IncompatibleEvent: There is sampling under another relation than add-or-remove-one.
    """
    noise_multiplier = least_noise(
        target.renyi_spent,
        epsilon=target.epsilon,
        lowest=MINIMUM_NOISE_MULTIPLIER,
        highest=MAXIMUM_NOISE_MULTIPLIER,
        start=target.noise_multiplier,
    )
    if math.isinf(noise_multiplier):
        raise InfeasibleTarget(
            f"{target} needs a noise multiplier above {MAXIMUM_NOISE_MULTIPLIER:.6g}; fewer releases or a larger "
            "epsilon would do"
        )
    return noise_multiplier


def least_noise(
    spent: Callable[[float], float], *, epsilon: float, lowest: float, highest: float, start: float
) -> float:
    """Return the least noise in `[lowest, highest]` that stays within a target, or infinity where none does.

    Args:
        spent: Epsilon at a noise, at least 0, possibly infinite; must not grow with it.
        epsilon: The target, above 0.
        lowest: Above 0.
        highest: At least `lowest`.
        start: Where to look first, above 0.

    Returns:
        A noise that `spent` was asked about and found within `epsilon`, at most 1e-5 of it above the least.
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


def _check_floor(target: ReleaseTarget, thinnest: Callable[[float], DistributedNoise[Any]], least: str) -> None:
    """Refuse a lattice on which the thinnest shares are more noise than the target needs.

    Args:
        target: The guarantee, which the thinnest shares keep.
        thinnest: The mechanism with the thinnest shares, where values and sensitivity are multiplied by a scale.
        least: How thin these are, in words.

    Raises:
        LatticeTooCoarse: They are.
    """

    def keeps(scale: float) -> bool:
        return target.spent(thinnest(scale).event) <= target.epsilon

    if not keeps(1 + _FLOOR_TOLERANCE):
        return
    low, high = 1, 2
    while keeps(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if keeps(middle) else (low, middle)
    found = thinnest(1)
    raise LatticeTooCoarse(
        f"l2_sensitivity: expected at least {found.l2_sensitivity * high:.6g} lattice units for {target} with "
        f"{found.minimum_contributors} contributors, found {found.l2_sensitivity:.6g}, where the least noise that a "
        f"client can add ({least}) is up to {high} times what is needed. Multiply the values and l2_sensitivity by "
        f"{high} or more before they are summed, and divide the sum by it.",
        scale=high,
    )


def _infeasible(target: ReleaseTarget, needed: str, strongest: DistributedNoise[Any]) -> InfeasibleTarget:
    return InfeasibleTarget(
        f"{target} needs a {needed} at an L2 sensitivity of {strongest.l2_sensitivity} with "
        f"{strongest.minimum_contributors} contributors (which reaches epsilon {target.spent(strongest.event):.4g}); a "
        "coarser lattice (smaller L2 sensitivity), fewer releases, more contributors or a larger epsilon would do"
    )
