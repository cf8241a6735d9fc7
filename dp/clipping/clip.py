"""L2 clipping, global or array by array: it bounds what one client can change, before rounding and noise.

Norms are computed in float64 and scaled by the largest magnitude, so that neither squares nor sums overflow. Anything
that is not a finite number is refused (fail closed): a NaN passes every comparison with a bound, and an update that is
not clipped has unlimited sensitivity.

A number of numpy or Python counts as an array of shape `()`, because numpy turns such arrays into numbers when it
computes with them.
"""

import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dp.checks import positive_real
from dp.errors import InvalidParameter

FLOAT64_EPSILON: Final = 2.0**-52

ArrayOrNumber = NDArray[Any] | np.generic | float


@dataclass(frozen=True, slots=True, kw_only=True)
class Clipped:
    """An update whose global L2 norm is at most `bound`.

    Attributes:
        arrays: Arrays of float64, of the shapes that were given.
        norm: The global L2 norm before clipping.
        bound: The bound that holds for all arrays together after clipping, which is the sensitivity.
        factor: The number that the entries were multiplied by, in `[0, 1]`; if arrays were scaled separately, the least
            of their factors; 1 means unchanged.
    """

    arrays: tuple[NDArray[np.float64], ...]
    norm: float
    bound: float
    factor: float


def l2_norm(arrays: Sequence[ArrayOrNumber]) -> float:
    """Return the global L2 norm of all arrays together, computed in float64 without overflow.

    Args:
        arrays: At least one array; any shapes without a zero, real floating or integer dtypes.

    Raises:
        InvalidParameter: There are no arrays, an array is empty or of another dtype, an entry is NaN or infinite, or
            the norm is above the float64 range.
    """
    return _norm(_as_float64(arrays))


def clip_l2(arrays: Sequence[ArrayOrNumber], *, bound: float) -> Clipped:
    """Scale an update down so that its global L2 norm is at most `bound`.

    Args:
        arrays: At least one array; any shapes without a zero, dtypes float16, float32, float64 or integers.
        bound: The L2 bound, above 0, in the unit of the entries.

    Returns:
        The clipped float64 arrays. An update within the bound keeps its values; the zero update is one of them.

    Formal guarantees:
        `l2_norm(result.arrays) <= bound` for every accepted input. Replacing one client's update by zero (relation:
        zero-out, unit: client) therefore changes a sum of clipped updates by at most `bound` in L2, as computed in
        float64: its sensitivity is `bound` except for a relative rounding error of (entries + 8) * 2**-52. If the proof
        of a mechanism needs an exact bound, the mechanism bounds the integers that it makes of the updates, as
        `secagg.aggregation.encoding` does.

    Raises:
        InvalidParameter: `bound` is not a finite number above 0, or `l2_norm` refuses the arrays.
    """
    limit = positive_real("bound", bound)
    update = _as_float64(arrays)
    norm = _norm(update)
    if norm <= limit:
        return Clipped(arrays=tuple(update), norm=norm, bound=limit, factor=1.0)
    margin = (sum(array.size for array in update) + 8) * FLOAT64_EPSILON
    while True:
        factor = limit / norm * max(0.0, 1.0 - margin)
        # The product of an array of shape () and a number is a scalar.
        scaled = tuple(np.asarray(array * factor) for array in update)
        if _norm(scaled) <= limit:
            return Clipped(arrays=scaled, norm=norm, bound=limit, factor=factor)
        margin *= 2


def clip_factor(pieces: Iterable[ArrayOrNumber], *, bound: float) -> float:
    """Return a factor that scales an update down as `clip_l2` does, for an update that is read piece by piece.

    Args:
        pieces: The entries, at least one piece; each is read once, as `l2_norm` reads an array.
        bound: The L2 bound, above 0, in the unit of the entries.

    Returns:
        A number in [0, 1]; 1 if the norm is within the bound.

    Formal guarantees:
        The entries times the factor have an L2 norm of at most `bound`, except for a relative rounding error of
        (entries + 8) * 2**-52. If the proof of a mechanism needs an exact bound, the mechanism bounds the integers that
        it makes of the updates.

    Raises:
        InvalidParameter: `bound` is not a finite number above 0, `l2_norm` refuses a piece, or there is none.
    """
    limit, norms, entries = positive_real("bound", bound), list[float](), 0
    for piece in pieces:
        norms.append(l2_norm([piece]))
        entries += np.size(piece)
    if not norms:
        raise InvalidParameter("pieces: expected at least one, found none")
    norm = math.hypot(*norms)
    if norm == math.inf:
        raise InvalidParameter(
            "pieces: expected a global L2 norm within the float64 range, found a larger one. Scale the update down."
        )
    if norm <= limit:
        return 1.0
    factor = limit / norm * max(0.0, 1.0 - (entries + 8) * FLOAT64_EPSILON)
    # A subnormal number has few digits: the next one below it is not above the exact factor.
    return factor if factor >= sys.float_info.min else math.nextafter(factor, 0.0)


def clip_l2_per_layer(arrays: Sequence[ArrayOrNumber], *, bounds: Sequence[float]) -> Clipped:
    """Scale each array down so that its own L2 norm is at most its own bound.

    Args:
        arrays: As for `clip_l2`; one for each layer.
        bounds: The L2 bound of each array, in order, above 0, in the unit of the entries.

    Returns:
        The clipped float64 arrays. Their `bound` is that of all arrays together: the square root of the sum of the
        squared `bounds`, rounded to float64.

    Formal guarantees:
        `l2_norm([array]) <= bounds[i]` for the i-th array of the result, and `l2_norm(result.arrays) <= result.bound`,
        for every accepted input. Replacing one client's update by zero (relation: zero-out, unit: client) therefore
        changes a sum of clipped updates by at most `result.bound` in L2. That is the sensitivity, with the rounding
        error that `clip_l2` states.

    Raises:
        InvalidParameter: The number of bounds is not the number of arrays, a bound is not a finite number above 0, the
            total of the bounds is outside the float64 range, or `l2_norm` refuses an array.
    """
    total, update = total_l2(bounds), _as_float64(arrays)
    if len(bounds) != len(update):
        raise InvalidParameter(
            f"bounds: expected one for each of {len(update)} arrays, found {len(bounds)}. Give one for each array."
        )
    norm = _norm(update)
    layers = [clip_l2([array], bound=bound) for array, bound in zip(update, bounds, strict=True)]
    # Each array is within its bound, but all together may exceed the rounded total by a last digit. This only scales
    # down.
    together = clip_l2([layer.arrays[0] for layer in layers], bound=total)
    factor = min(layer.factor for layer in layers) * together.factor
    return Clipped(arrays=together.arrays, norm=norm, bound=total, factor=factor)


def total_l2(bounds: Sequence[float]) -> float:
    """Return the bound on the norm of several arrays together that follows from a bound on each.

    Args:
        bounds: At least one bound, each above 0.

    Raises:
        InvalidParameter: There are no bounds, a bound is not a finite number above 0, or the total is outside the
            float64 range.
    """
    limits = [positive_real(f"bounds[{index}]", bound) for index, bound in enumerate(bounds)]
    total = math.hypot(*limits)
    if not 0 < total < math.inf:
        raise InvalidParameter(f"bounds: expected a total within the float64 range, found that of {len(limits)} bounds")
    return total


def _as_float64(arrays: Sequence[ArrayOrNumber]) -> list[NDArray[np.float64]]:
    if not isinstance(arrays, Sequence):
        raise InvalidParameter(f"arrays: expected a sequence of arrays, found {type(arrays).__name__}")
    if len(arrays) == 0:
        raise InvalidParameter("arrays: expected at least one array, found none")
    return [_one_as_float64(index, array) for index, array in enumerate(arrays)]


def _one_as_float64(index: int, array: object) -> NDArray[np.float64]:
    if isinstance(array, np.generic | float | int):
        array = np.asarray(array)
    if not isinstance(array, np.ndarray) or isinstance(array, np.ma.MaskedArray):
        raise InvalidParameter(f"arrays[{index}]: expected a numpy array, found {type(array).__name__}")
    if array.dtype.kind not in "fiu" or array.dtype.itemsize > 8:
        raise InvalidParameter(f"arrays[{index}]: expected floats of at most 64 bits or integers, found {array.dtype}")
    if array.size == 0:
        raise InvalidParameter(f"arrays[{index}]: expected at least one entry, found shape {array.shape}")
    # A subclass of numpy's array may compute differently, so none is kept.
    as_float = np.array(array, dtype=np.float64, subok=False)
    if not np.isfinite(as_float).all():
        raise InvalidParameter(f"arrays[{index}]: expected finite entries, found NaN or infinity")
    return as_float


def _norm(arrays: Sequence[NDArray[np.float64]]) -> float:
    largest = max(float(np.max(np.abs(array))) for array in arrays)
    if largest == 0.0:
        return 0.0
    # A power of two scales without rounding; squares of the scaled entries lie in [0, 4).
    exponent = math.frexp(largest)[1]
    total = 0.0
    for array in arrays:
        scaled = np.ldexp(array, -exponent).ravel()
        total += float(np.dot(scaled, scaled))
    try:
        return math.ldexp(math.sqrt(total), exponent)
    except OverflowError:
        raise InvalidParameter(
            "arrays: expected a global L2 norm within the float64 range, found a larger one. Scale the update down."
        ) from None
