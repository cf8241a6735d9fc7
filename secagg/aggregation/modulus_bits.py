"""The bits of the modulus that `modulus_bits = "auto"` stands for: as few as rounding allows."""

import math
from collections.abc import Callable
from typing import Final, Literal

from dp.errors import InfeasibleTarget
from secagg.aggregation.encoding import Encoding
from secagg.aggregation.headroom import MAXIMUM_MODULUS_BITS
from secagg.aggregation.rounding_factor import rounding_factor
from secagg.errors import EncodingError, ModulusTooSmall
from secagg.privacy.noise import Noise, Target

ModulusBits = int | Literal["auto"]
"""Bits of the modulus, from 2 to 62, or "auto" for those that `least_bits` chooses."""

AUTO: Final = "auto"
MOST_ROUNDING: Final = 1.005
"""The largest `rounding_factor` with which bits are chosen."""

WITHOUT_NOISE: Final = 24
"""The bits of a sum without noise, if they are enough: rounding is then the only error, and nothing to compare it with.

At 24 bits, rounding moves an entry of the mean of 1,000 updates of 10^6 entries by at most 0.0011 times the clip
(`Encoding.rounding_bound`).
"""


def least_bits(plan: Callable[[int], tuple[Encoding, Noise | None]], target: Target | None) -> int:
    """Return the least bits with which rounding makes the noise at most 1.005 times larger.

    With fewer bits the steps of the grid are longer, so rounding adds more in two ways. It raises the L2 sensitivity of
    a client's integers (`Encoding.l2_sensitivity`), for which the noise is sized, above the norm of its vector
    (`Encoding.norm_bound`). And the error of rounding is in the sum besides the noise. `rounding_factor` is the
    deviation of both together over that of the noise without rounding, for the same guarantee. The rule is: the
    factor is at most 1.005, and with one bit fewer it is above that, or the cohort does not fit the modulus.

    The guarantee does not depend on the bits: for each grid, the noise is sized for the sensitivity of that grid.
    Without noise in the sum (`target` is None) the bits are 24, or the least above 24 that the cohort fits.

    Args:
        plan: Returns the finest encoding for a number of bits, whose sum cannot wrap around, and its noise.
        target: The guarantee of the noise; None without noise in the sum.

    Raises:
        ModulusTooSmall: The cohort does not fit the largest modulus.
        EncodingError: Rounding makes the noise more than 1.005 times larger with all bits.
        dp.errors.InfeasibleTarget: No noise reaches the target.
    """
    bits = WITHOUT_NOISE
    if target is None:
        try:
            plan(bits)
        except ModulusTooSmall as error:
            if error.enough_bits > MAXIMUM_MODULUS_BITS:
                raise
            bits = error.enough_bits
        return bits

    def factor(bits: int) -> float:
        encoding, noise = plan(bits)
        if noise is None:
            raise TypeError("noise: expected one for a target")
        clients = encoding.clients if target.sample is None else target.sample.expected
        return rounding_factor(encoding, noise, target, clients=clients)

    def is_enough(bits: int) -> bool:
        try:
            return factor(bits) <= MOST_ROUNDING
        except (ModulusTooSmall, InfeasibleTarget):
            return False

    bits = _near(factor)
    while not is_enough(bits):
        if bits == MAXIMUM_MODULUS_BITS:
            raise _never_enough(factor(bits))
        bits += 1
    while bits > 2 and is_enough(bits - 1):
        bits -= 1
    return bits


def _near(factor: Callable[[int], float]) -> int:
    """Return bits that are near the least ones, after few plans: noise for a plan may take seconds to find.

    The square of the factor, less 1, grows with each bit fewer: about twofold if it is tiny, else about fourfold.
    """
    bits, growth, tried = WITHOUT_NOISE, 3, set[int]()
    while bits not in tried:
        tried.add(bits)
        try:
            excess = (factor(bits) - 1) * (factor(bits) + 1)
        except ModulusTooSmall as error:
            return min(error.enough_bits, MAXIMUM_MODULUS_BITS)
        spare = math.floor(math.log((MOST_ROUNDING - 1) * (MOST_ROUNDING + 1) / excess, growth))
        bits, growth = min(max(bits - spare, 2), MAXIMUM_MODULUS_BITS), 4
    return bits


def _never_enough(found: float) -> EncodingError:
    return EncodingError(
        f"modulus_bits: expected bits with which rounding makes the noise at most {MOST_ROUNDING} times larger, found "
        f"{found:.6g} times with {MAXIMUM_MODULUS_BITS} bits: the grid is as fine as the protocol's moduli, and the "
        "largest noise shares that can be drawn, allow. Use mechanism discrete-gaussian, whose noise shares can be "
        f"larger, or give a number of bits, such as {WITHOUT_NOISE}: the guarantee is the same, with more noise."
    )
