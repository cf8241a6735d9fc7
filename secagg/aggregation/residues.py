"""Signed integers as residues modulo m, and back: m is any modulus of at least 2, even or odd.

A residue r below `half(m)` stands for r, any other for r - m. An even m has one more residue on the negative side;
nothing relies on it. A sum of magnitude below `half(m)` is recovered exactly.
"""

import numpy as np
from numpy.typing import NDArray


def power_of_two(bits: int) -> int:
    """Return the largest modulus of this number of bits for a protocol that supports every modulus."""
    return 1 << bits


def half(modulus: int) -> int:
    """Return the bound such that an integer of smaller magnitude, of either sign, is recovered from its residue."""
    return (modulus + 1) // 2


def reduced(integers: NDArray[np.int64], modulus: int, *, out: NDArray[np.uint64] | None = None) -> NDArray[np.uint64]:
    """Return the residues of signed integers.

    Args:
        integers: Any shape, int64, any values.
        modulus: In [2, 2^62].
        out: Where the residues are put, which may be the memory of `integers`; None for new memory.

    Returns:
        The same shape, uint64, entries in [0, modulus).
    """
    if modulus & (modulus - 1) == 0:
        return np.bitwise_and(integers.view(np.uint64), np.uint64(modulus - 1), out=out)
    signed = None if out is None else out.view(np.int64)
    return np.mod(integers, np.int64(modulus), out=signed).view(np.uint64)


def centred(residues: NDArray[np.uint64], modulus: int) -> NDArray[np.int64]:
    """Return the integers nearest to 0 that have these residues.

    Args:
        residues: Any shape, uint64, entries in [0, modulus).
        modulus: In [2, 2^62].

    Returns:
        The same shape, int64, entries in [-modulus / 2, modulus / 2).
    """
    integers = residues.astype(np.int64)
    integers[integers >= half(modulus)] -= modulus
    return integers
