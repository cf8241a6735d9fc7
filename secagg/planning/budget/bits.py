"""The bits of the modulus of a plan that names none: those that `secagg train` chooses for the same budget."""

from dataclasses import dataclass
from functools import partial

from dp.events import Trust
from dp.noise.distributed import LatticeNoise
from secagg.aggregation.encoding import Encoding
from secagg.aggregation.lattice import fit_with_noise
from secagg.aggregation.modulus_bits import AUTO
from secagg.aggregation.rounding_factor import rounding_factor
from secagg.planning.budget.noise import continuous, epsilon_of
from secagg.planning.budget.request import BudgetRequest
from secagg.privacy.noise import Sample, Target


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenBits:
    """Bits that were chosen.

    Attributes:
        bits: Bits of the modulus.
        rounding_factor: How many times larger rounding makes the noise of `secagg train` with these bits.
    """

    bits: int
    rounding_factor: float


def chosen_bits(request: BudgetRequest) -> ChosenBits | None:
    """Return the bits of `modulus_bits = "auto"` for a request; None if it names bits, or has continuous noise.

    As in `secagg train`, clients that are sampled in secret get the noise from the server, and the modulus has room
    for all of them.

    Raises:
        secagg.errors.EncodingError: No modulus is large enough.
        dp.errors.InfeasibleTarget: No noise reaches the epsilon.
    """
    if request.bits is not None or request.dimension is None or not isinstance(request.mechanism, LatticeNoise):
        return None
    sampled = request.rate != 1
    target = Target(
        epsilon=_epsilon(request),
        delta=request.chosen_delta,
        releases=request.releases,
        colluding=request.colluding,
        mechanism=request.mechanism,
        trust=Trust.CENTRAL if sampled else Trust.DISTRIBUTED,
        sample=Sample(population=request.clients, expected=request.asked) if sampled else None,
    )
    fit = partial(
        Encoding.fit,
        shapes=[(request.dimension,)],
        clip_l2=1.0,
        clients=request.clients if sampled else request.asked,
    )
    encoding, noise = fit_with_noise(fit, target, modulus_bits=AUTO, minimum_contributors=request.required_contributors)
    if noise is None:
        raise TypeError("noise: expected one for a target")
    factor = rounding_factor(encoding, noise, target, clients=request.asked)
    return ChosenBits(bits=encoding.modulus_bits, rounding_factor=factor)


def _epsilon(request: BudgetRequest) -> float:
    """Return the epsilon that is given, or that of continuous noise of the given multiplier."""
    if request.noise_multiplier is None:
        return request.target
    event = continuous(request, request.noise_multiplier)
    return epsilon_of(event, request.releases, delta=request.chosen_delta)
