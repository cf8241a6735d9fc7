"""Signed integers as residues modulo m, and back: m is any modulus of at least 2, even or odd.

A residue below `half(m)` stands for itself, any other for itself less m.  An even m has one residue more on the
negative side, which nothing relies on: a sum of magnitude below `half(m)` comes back as itself.
"""

import numpy as np
from numpy.typing import NDArray


def power_of_two(bits: int) -> int:
    """The largest modulus of so many bits where the protocol takes any."""
    return 1 << bits


def half(modulus: int) -> int:
    """The bound that a magnitude must stay below for the integer to come back from its residue, whatever its sign."""
    return (modulus + 1) // 2


def reduced(integers: NDArray[np.int64], modulus: int) -> NDArray[np.uint64]:
    """The residues of signed integers.

    Args:
        integers: Any shape, int64, any values.
        modulus: In [2, 2^62].

    Returns:
        The same shape, uint64, entries in [0, modulus).
    """
    if modulus & (modulus - 1) == 0:
        return integers.view(np.uint64) & np.uint64(modulus - 1)
    return np.mod(integers, np.int64(modulus)).view(np.uint64)


def centred(residues: NDArray[np.uint64], modulus: int) -> NDArray[np.int64]:
    """The integers nearest to 0 that have these residues.

    Args:
        residues: Any shape, uint64, entries in [0, modulus).
        modulus: In [2, 2^62].

    Returns:
        The same shape, int64, entries in [-modulus / 2, modulus / 2).
    """
    integers = residues.astype(np.int64)
    integers[integers >= half(modulus)] -= modulus
    return integers
