"""The noise that a modulus of b bits allows: how fine the integer grid of a secure sum can be, and the cost of that.

Every client's vector of L2 norm at most c is rotated, divided by the granularity g and rounded at random to integers.
Then noise is added, and the sum of n such vectors is known modulo 2^b. Source: Kairouz, Liu, Steinke, arXiv
2102.06387v4. Theorem 1 gives the norm after rounding, which is D(g) instead of c. Sections 4.2 and 4.4 with equation 61
give the choice of g, by which k standard deviations of a coordinate of the sum fit on either side of zero. For a
rotation by one transform over all coordinates,

    2^b g >= 2 k sqrt(c^2 n^2 / d + n g^2 / 4 + s^2),

with d coordinates and s the deviation of all the noise, in the update's units. The noise that is relied on must follow
the norm: its deviation is z D(g) for a noise multiplier z that the accountant finds for the grid of this g. The plan
uses the least g that fits. If even its noise shares are smaller than the mechanism allows, the modulus is too small.

`dp.calibration.wrapping` gives the probability that belongs to k deviations.
"""

import math
from dataclasses import dataclass, replace
from typing import Final

from dp.calibration.least_noise import RELATIVE_TOLERANCE, calibrate_noise, gaussian_multiplier
from dp.calibration.release_target import ReleaseTarget
from dp.calibration.wrapping import MAXIMUM_MODULUS_BITS, wrap_probability
from dp.checks import integer_at_least, magnitude, member, positive_real
from dp.errors import InfeasibleTarget, InvalidParameter, LatticeTooCoarse
from dp.events import NeighbouringRelation, PrivacyEvent
from dp.noise.distributed import MECHANISMS, LatticeMechanism, LatticeNoise

MINIMUM_DEVIATIONS: Final = 1.0
MAXIMUM_DEVIATIONS: Final = 1000.0

# The granularity times sqrt(dimension) over the clip at which rounding adds as much norm as the clip.
_COARSEST: Final = 2.0
_COARSER: Final = (
    1e-3  # The part of noise that is added before a coarser grid is sought, if noise shares were too large.
)
_SLACK: Final = 1e-9  # A margin on the deviations, far above rounding errors.
_HALVINGS: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class ModularPlan:
    """An integer grid and its noise that fit a modulus and a budget; made by `plan_modulus`.

    Attributes without another unit are in the unit of the updates.

    Attributes:
        bits: The bits of the modulus.
        clip_l2: The largest L2 norm of a client's update.
        target: The budget, the number of releases, the sampling rate and the neighbouring relation.
        deviations: The least number of standard deviations of a coordinate of the sum on either side of zero.
        granularity: The size of one step of the integer grid.
        mechanism: The noise, in steps: every client's noise share, the contributors, the L2 sensitivity after rounding
            and the dimension.
        noise_std: Standard deviation of the noise in each coordinate of the sum, from the noise shares that are relied
            on.
        spent: The epsilon of all releases.
        wrap_probability: A bound on the probability that a given coordinate of one sum wraps around, if updates are
            rotated by one transform over all coordinates; 0 below 1e-300.
    """

    bits: int
    clip_l2: float
    target: ReleaseTarget
    deviations: float
    granularity: float
    mechanism: LatticeMechanism
    noise_std: float
    spent: float
    wrap_probability: float

    @property
    def event(self) -> PrivacyEvent:
        """The accounting event of one release."""
        return self.target.event(self.mechanism.event)

    @property
    def local_sigma(self) -> float:
        """Standard deviation of one client's noise share, in steps, to within rounding."""
        return self.mechanism.central_sigma / math.sqrt(self.mechanism.minimum_contributors)

    @property
    def gaussian_std(self) -> float:
        """The least standard deviation of continuous Gaussian noise for the same target, by its own accountant.

        Without sampling, this is exact. Continuous noise has no modulus, and nothing is rounded.
        """
        return gaussian_multiplier(self.target) * self.clip_l2

    @property
    def noise_ratio(self) -> float:
        """`noise_std` over `gaussian_std`: the cost of modulus, rounding and distribution."""
        return self.noise_std / self.gaussian_std

    @property
    def any_wrap_probability(self) -> float:
        """A union bound on the probability that any coordinate of one sum wraps around; a bound of 1 says nothing."""
        return min(1.0, self.mechanism.dimension * self.wrap_probability)


def plan_modulus(
    *,
    bits: int,
    clip_l2: float,
    clients: int,
    dimension: int,
    releases: int,
    sampling_rate: float,
    epsilon: float,
    delta: float,
    deviations: float = 4.0,
    noise: LatticeNoise = LatticeNoise.DISCRETE_GAUSSIAN,
    relation: NeighbouringRelation = NeighbouringRelation.ADD_OR_REMOVE_ONE,
    relied_on: int | None = None,
) -> ModularPlan:
    """Return the finest integer grid that a modulus has room for, with the least noise that stays within a budget.

    Args:
        bits: The bits of the modulus, 2 to 62.
        clip_l2: The largest L2 norm of a client's update, in the update's units; 1e-30 to 1e30.
        clients: The most clients in a sum, each with its noise share; 1 to 2**53.
        dimension: The number of coordinates that are summed, padding included.
        releases: The number of sums that will be released, at least 1.
        sampling_rate: The probability that a client takes part in a release, drawn afresh, independently and in secret,
            in (0, 1].
        epsilon: The budget for all releases together, above 0.
        delta: Strictly between 0 and 1.
        deviations: The number of standard deviations of a coordinate of the sum that must fit on either side of zero; 1
            to 1000.
        noise: The distribution of the integer noise.
        relation: The neighbouring relation; zero-out is possible only without sampling.
        relied_on: The least number of noise shares that count in a sum; `clients` by default.

    Formal guarantees:
        `releases` sums of integer vectors of L2 norm at most `mechanism.l2_sensitivity`, with at least `relied_on`
        noise shares in each, are together (`epsilon`, `delta`)-differentially private, under `relation`, for one
        client, whatever wraps around. Under add-or-remove-one, at least `relied_on` noise shares must be in every sum
        whether a given client is present or not. With sampling, this must hold whichever other clients are present.
        Sampled clients that bring their own noise shares do not satisfy this (`docs/subsampling.md`).

    Raises:
        InfeasibleTarget: The modulus has no room, and the error names the bits that are enough. Or no noise in the
            mechanism's range reaches the target.
        IncompatibleEvent: There is sampling, and the relation is not add-or-remove-one.
        InvalidParameter: An argument is out of range.
    """
    planner = _Planner(
        target=ReleaseTarget(
            epsilon=epsilon, delta=delta, releases=releases, relation=relation, sampling_rate=sampling_rate
        ),
        deviations=_checked_deviations(deviations),
        clip_l2=magnitude("clip_l2", clip_l2),
        clients=integer_at_least("clients", clients, 1),
        relied_on=integer_at_least("relied_on", clients if relied_on is None else relied_on, 1),
        dimension=integer_at_least("dimension", dimension, 1),
        noise=member("noise", noise, LatticeNoise),
    )
    asked = integer_at_least("bits", bits, 2, maximum=MAXIMUM_MODULUS_BITS)
    multiplier = gaussian_multiplier(planner.target)
    planner.check_shares(multiplier)
    plan = planner.plan(asked, multiplier)
    if plan is None:
        raise planner.no_room(asked, multiplier)
    return plan


def _checked_deviations(deviations: float) -> float:
    checked = positive_real("deviations", deviations)
    if not MINIMUM_DEVIATIONS <= checked <= MAXIMUM_DEVIATIONS:
        raise InvalidParameter(
            f"deviations: expected a number from {MINIMUM_DEVIATIONS:g} to {MAXIMUM_DEVIATIONS:g}, found {deviations}"
        )
    return checked


def rounded_norm(norm: float, dimension: int) -> float:
    """Return the bound on an integer vector's L2 norm after rounding a vector of at most `norm`, in steps.

    The vector is rounded at random until the norm is within the bound. Each attempt succeeds with probability at least
    1 - beta for beta = exp(-1/2). Source: arXiv 2102.06387v4, Theorem 1, where sqrt(2 log(1/beta)) = 1.
    """
    root = math.sqrt(dimension)
    return min(norm + root, math.sqrt(norm**2 + dimension / 4 + norm + root / 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Planner:
    """The given values; the module's docstring defines the letters."""

    target: ReleaseTarget
    deviations: float
    clip_l2: float
    clients: int
    relied_on: int
    dimension: int
    noise: LatticeNoise

    def __post_init__(self) -> None:
        if self.relied_on > self.clients:
            raise InvalidParameter(
                f"relied_on: expected at most {self.clients}, the number of clients, found {self.relied_on}. Lower "
                "relied_on."
            )

    @property
    def coarsest(self) -> float:
        return _COARSEST * self.clip_l2 / math.sqrt(self.dimension)

    @property
    def local_sigmas(self) -> tuple[float, float]:
        return MECHANISMS[self.noise].parameter.sigmas

    def sensitivity(self, granularity: float) -> float:
        return rounded_norm(self.clip_l2 / granularity, self.dimension)

    def noise_std(self, granularity: float, multiplier: float) -> float:
        """Return the deviation of the noise that is relied on, in the update's units; s is that of all noise shares."""
        return multiplier * self.sensitivity(granularity) * granularity

    def has_room(self, bits: int, granularity: float, noise_std: float) -> bool:
        signal = self.clip_l2 * self.clients / math.sqrt(self.dimension)
        all_noise = noise_std * math.sqrt(self.clients / self.relied_on)
        spread = math.hypot(signal, granularity * math.sqrt(self.clients) / 2, all_noise)
        return math.ldexp(granularity, bits) >= 2 * self.deviations * spread

    def is_fine(self, granularity: float, multiplier: float) -> bool:
        """Return whether the noise shares of this grid are not smaller than the mechanism allows."""
        least = self.local_sigmas[0] * math.sqrt(self.relied_on)
        return multiplier * self.sensitivity(granularity) >= least

    def has_shares(self, granularity: float, multiplier: float) -> bool:
        most = self.local_sigmas[1] * math.sqrt(self.relied_on)
        return multiplier * (1 + 4 * RELATIVE_TOLERANCE) * self.sensitivity(granularity) <= most

    def check_shares(self, multiplier: float) -> None:
        """Refuse a target whose noise shares are larger than the mechanism allows, on every grid.

        Raises:
            InfeasibleTarget: Noise shares are too large on the coarsest useful grid.
        """
        if not self.has_shares(self.coarsest, multiplier):
            raise InfeasibleTarget(
                f"{self.target} needs noise shares above {self.local_sigmas[1]:.6g} steps with {self.clients} clients, "
                "even on the coarsest useful integer grid. Use more clients or fewer releases, or a larger epsilon, "
                "which weakens the guarantee."
            )

    def no_room(self, asked: int, multiplier: float) -> InfeasibleTarget:
        """Return the error for a modulus that has no room; it names the bits that are enough, if any are."""
        for enough in range(asked + 1, MAXIMUM_MODULUS_BITS + 1):
            if self.plan(enough, multiplier) is not None:
                return InfeasibleTarget(
                    f"bits: expected at least {enough}, found {asked}. A modulus of {asked} bits has no room for "
                    f"{self.deviations:g} deviations of the sum of {self.clients} clients and its noise in "
                    f"{self.dimension} coordinates for {self.target}, on an integer grid whose rounding adds no more "
                    f"norm than the clip and which is fine enough for such small noise shares. Use {enough} bits."
                )
        return InfeasibleTarget(
            f"no modulus of at most {MAXIMUM_MODULUS_BITS} bits has room for {self.deviations:g} deviations of the sum "
            f"of {self.clients} clients and its noise in {self.dimension} coordinates for {self.target}. Use fewer "
            "clients or deviations, or a larger epsilon, which weakens the guarantee."
        )

    def plan(self, bits: int, continuous_multiplier: float) -> ModularPlan | None:
        """Return the plan for one modulus, or None if the modulus has no room.

        The noise for a grid may be slightly above continuous noise, and more noise needs a coarser grid. So the
        multiplier grows until the noise found is no more than that for which the grid was chosen.
        """
        multiplier = continuous_multiplier * (1 + 2 * RELATIVE_TOLERANCE)
        while (granularity := self._finest(bits, multiplier)) is not None:
            if not self.is_fine(granularity, multiplier):
                return None
            try:
                mechanism = self._calibrate(granularity)
            except LatticeTooCoarse:
                return None
            except InfeasibleTarget:
                # The noise shares for this grid are larger than was assumed, and cannot be drawn.
                multiplier *= 1 + _COARSER
                continue
            noise_std = mechanism.central_sigma * granularity
            if self.has_room(bits, granularity, noise_std):
                return ModularPlan(
                    bits=bits,
                    clip_l2=self.clip_l2,
                    target=self.target,
                    deviations=self.deviations,
                    granularity=granularity,
                    mechanism=mechanism,
                    noise_std=noise_std,
                    spent=self.target.spent(mechanism.event),
                    wrap_probability=wrap_probability(
                        replace(mechanism, minimum_contributors=self.clients),
                        bits=bits,
                        signal_l2=self.clip_l2 / granularity * self.clients,
                    ),
                )
            multiplier = max(multiplier, mechanism.noise_multiplier) * (1 + 2 * RELATIVE_TOLERANCE)
        return None

    def _finest(self, bits: int, multiplier: float) -> float | None:
        """Return the least granularity with room for k deviations and a margin, and noise shares that can be drawn."""

        def fits(granularity: float) -> bool:
            noise_std = (1 + _SLACK) * self.noise_std(granularity, multiplier)
            return self.has_shares(granularity, multiplier) and self.has_room(bits, granularity, noise_std)

        high = self.coarsest
        if not fits(high):
            return None
        low = min(high, math.ldexp(self.deviations * multiplier * self.clip_l2, 1 - bits))
        for _ in range(_HALVINGS):
            middle = math.sqrt(low) * math.sqrt(high)
            if fits(middle):
                high = middle
            else:
                low = middle
        return high

    def _calibrate(self, granularity: float) -> LatticeMechanism:
        return calibrate_noise(
            MECHANISMS[self.noise],
            epsilon=self.target.epsilon,
            delta=self.target.delta,
            releases=self.target.releases,
            l2_sensitivity=self.sensitivity(granularity),
            dimension=self.dimension,
            minimum_contributors=self.relied_on,
            relation=self.target.relation,
            sampling_rate=self.target.sampling_rate,
        )
