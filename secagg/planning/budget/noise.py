"""The least noise for a request, and the event of a round with it: continuous noise, or noise shares on a lattice.

The accountant is the ledger's (`dp.accounting`), so what is planned here is what a ledger will admit.
"""

import math
from dataclasses import dataclass
from typing import Final, assert_never

from msgspec.structs import replace

from dp.accounting.guarantee import guarantee
from dp.calibration.least_noise import calibrate_gaussian
from dp.calibration.modular import ModularPlan, plan_modulus
from dp.errors import InfeasibleTarget
from dp.events import (
    DistributedDiscreteGaussianEvent,
    GaussianEvent,
    PoissonSampledEvent,
    PrivacyEvent,
    SkellamEvent,
    decompose,
    with_noise,
)
from dp.noise.distributed import LatticeNoise
from secagg.errors import ConfigurationError
from secagg.planning.budget.request import BudgetRequest

_TOLERANCE: Final = 1e-3
_FURTHER: Final = 1e3


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """The noise of a request.

    Attributes:
        event: The event of one round.
        fewer: The same if only four fifths of the noise shares that are relied on were in the sum; None if a round has
            more clients than a secure sum takes.
        lattice: The integer grid; None for continuous noise.
    """

    event: PrivacyEvent
    fewer: PrivacyEvent | None
    lattice: ModularPlan | None


def solve(request: BudgetRequest) -> Solution:
    """Return the noise of a request: the given one, or the least for the given epsilon.

    Args:
        request: The request; for noise on the integer grid, with bits.

    Raises:
        ConfigurationError: The lattice cannot carry noise that is so small.
        dp.errors.InfeasibleTarget: No noise, or no integer grid of the given bits, reaches the epsilon.
        dp.errors.InvalidParameter: A number is out of range.
    """
    if isinstance(request.mechanism, LatticeNoise) and request.dimension is not None:
        sent = math.ceil(request.compression * request.dimension)
        found = _lattice(request, request.mechanism, sent)
        left = found.target.event(found.mechanism.realised(fewer_shares(request)))
        return Solution(event=found.event, fewer=left, lattice=found)
    noise = request.noise_multiplier
    if noise is None:
        noise = calibrate_gaussian(
            epsilon=request.target,
            delta=request.chosen_delta,
            releases=request.releases,
            relation=request.relation,
            sampling_rate=request.rate,
        )
    fewer: PrivacyEvent | None = None
    if request.fits_a_sum:
        fewer = continuous(request, noise * math.sqrt(fewer_shares(request) / request.relied_on))
    return Solution(event=continuous(request, noise), fewer=fewer, lattice=None)


def fewer_shares(request: BudgetRequest) -> int:
    """Return the number of noise shares that remain if a fifth of those relied on are missing, at least 1."""
    return max(1, 4 * request.relied_on // 5)


def epsilon_of(event: PrivacyEvent, releases: int, *, delta: float) -> float:
    """Return the epsilon of releases, possibly infinite."""
    return guarantee({event: releases}, delta=delta, relation=event.relation, unit=event.unit).epsilon


def with_multiplier(event: PrivacyEvent, noise_multiplier: float) -> PrivacyEvent:
    """Return an event with another noise multiplier, to within rounding, and everything else as it is.

    Raises:
        dp.errors.InvalidParameter: The noise is out of the range that events allow.
    """
    _, _, noisy = decompose(event)
    factor = noise_multiplier / noisy.noise_multiplier
    match noisy:
        case GaussianEvent():
            return with_noise(event, replace(noisy, noise_multiplier=noise_multiplier))
        case DistributedDiscreteGaussianEvent():
            return with_noise(event, replace(noisy, local_sigma=noisy.local_sigma * factor))
        case SkellamEvent():
            return with_noise(event, replace(noisy, variance=noisy.variance * factor**2))
        case _:
            assert_never(noisy)


def continuous(request: BudgetRequest, noise_multiplier: float) -> PrivacyEvent:
    """Return the event of a round with continuous noise."""
    event = GaussianEvent(noise_multiplier=noise_multiplier, relation=request.relation)
    return event if request.rate == 1 else PoissonSampledEvent(sampling_rate=request.rate, event=event)


def _lattice(request: BudgetRequest, mechanism: LatticeNoise, dimension: int) -> ModularPlan:
    """Return the integer grid for a budget; for given noise, that for the least budget whose noise is at most that."""
    if (bits := request.bits) is None:
        raise TypeError("bits: expected a number for noise on the integer grid, found none")

    def for_epsilon(epsilon: float) -> ModularPlan:
        return plan_modulus(
            bits=bits,
            clip_l2=1.0,
            clients=request.asked,
            relied_on=request.relied_on,
            dimension=dimension,
            releases=request.releases,
            sampling_rate=request.rate,
            epsilon=epsilon,
            delta=request.chosen_delta,
            noise=mechanism,
            relation=request.relation,
        )

    noise = request.noise_multiplier
    if noise is None:
        return for_epsilon(request.target)
    low = high = epsilon_of(continuous(request, noise), request.releases, delta=request.chosen_delta)
    try:
        while (found := for_epsilon(high)).noise_std > noise:
            if high > _FURTHER * low:
                raise _too_little(request, noise)
            high *= 1.25
    except InfeasibleTarget:
        raise _too_little(request, noise) from None
    while high > low * (1 + _TOLERANCE):
        middle = math.sqrt(low * high)
        tried = for_epsilon(middle)
        if tried.noise_std <= noise:
            high, found = middle, tried
        else:
            low = middle
    return found


def _too_little(request: BudgetRequest, noise: float) -> ConfigurationError:
    return ConfigurationError(
        f"--noise-multiplier: expected at least the noise that {request.mechanism} shares can have on this lattice, "
        f"found {noise:g} times the clipping bound. Use more bits or more noise."
    )
