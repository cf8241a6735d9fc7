"""The number of integer steps into which the reach of a sum can be divided without wrapping around the modulus."""

import math
from collections.abc import Callable
from typing import Final

from secagg.aggregation.residues import half
from secagg.errors import ModulusTooSmall

MAXIMUM_MODULUS_BITS: Final = 62


def steps_of_reach(
    *, reach: float, coarsest: float, clients: int, modulus_bits: int, modulus: Callable[[int], int]
) -> int:
    """Return the largest number of steps that the modulus has for the reach of a cohort's sum, at least 1.

    Args:
        reach: The largest magnitude of a coordinate of the sum, noise included, in the update's units.
        coarsest: The longest useful step, in the update's units.
        clients: The number of clients in the cohort. Each may round by one step, and one more step for each is
            reserved for errors of float64.
        modulus_bits: In [2, 62].
        modulus: Returns the largest modulus of at most the given number of bits that the protocol supports.

    Raises:
        ModulusTooSmall: The steps would be longer than `coarsest`; the error names the least bits that are enough.
    """

    def steps(bits: int) -> int:
        return half(modulus(bits)) - 1 - 2 * clients

    def is_enough(bits: int) -> bool:
        return steps(bits) > 0 and reach / steps(bits) <= coarsest

    if is_enough(modulus_bits):
        return steps(modulus_bits)
    # The bits that a power of two needs; other moduli of the same bits are smaller.
    needed = reach / coarsest + 2 * clients + 1
    enough = math.ceil(math.log2(min(needed, 2.0**1000))) + 1
    while enough <= MAXIMUM_MODULUS_BITS and not is_enough(enough):
        enough += 1
    raise ModulusTooSmall(clients=clients, modulus_bits=modulus_bits, enough_bits=enough)
