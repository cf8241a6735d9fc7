"""Into how many steps the reach of a sum may be divided, so that it does not wrap around the modulus."""

import math
from collections.abc import Callable
from typing import Final

from secagg.aggregation.residues import half
from secagg.errors import ModulusTooSmall

MAXIMUM_MODULUS_BITS: Final = 62


def steps_of_reach(
    *, reach: float, coarsest: float, clients: int, modulus_bits: int, modulus: Callable[[int], int]
) -> int:
    """The most steps that the modulus has for the reach of a cohort's sum, at least 1.

    Args:
        reach: The most, in the update's units, that a coordinate of the sum has, noise included.
        coarsest: The longest step that is of use, in the update's units.
        clients: Of the cohort; each may round by one step, and as much again is left for errors of float64.
        modulus_bits: In [2, 62].
        modulus: Gives the largest modulus of at most so many bits that the protocol sums over.

    Raises:
        ModulusTooSmall: The steps would be longer; the error names the least bits that would do.
    """

    def steps(bits: int) -> int:
        return half(modulus(bits)) - 1 - 2 * clients

    def is_enough(bits: int) -> bool:
        return steps(bits) > 0 and reach / steps(bits) <= coarsest

    if is_enough(modulus_bits):
        return steps(modulus_bits)
    # What a power of two would need; other moduli of so many bits are smaller.
    needed = reach / coarsest + 2 * clients + 1
    enough = math.ceil(math.log2(min(needed, 2.0**1000))) + 1
    while enough <= MAXIMUM_MODULUS_BITS and not is_enough(enough):
        enough += 1
    raise ModulusTooSmall(clients=clients, modulus_bits=modulus_bits, enough_bits=enough)
