"""Columns of examples: one array, or several side by side, with a row for each example in each of them.

A model with one input takes one array of examples. A model with several takes a list, a tuple or a dict of arrays, and
so it is with targets and outputs. Everything that counts, takes or converts rows goes through this module, so that no
other code asks which of these forms it holds.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secagg.errors import DataError

Columns = NDArray[Any] | Sequence[NDArray[Any]] | Mapping[str, NDArray[Any]]
"""One array, or a list, tuple or dict of arrays with equally many rows."""

Shard = tuple[Columns, Columns]
"""Examples and their targets."""


def arrays_of(columns: Columns) -> list[Any]:
    """Return the arrays in their own order, one for a single array."""
    if isinstance(columns, Mapping):
        return list(columns.values())
    return list(columns) if isinstance(columns, list | tuple) else [columns]


def map_columns(function: Callable[[Any], Any], columns: Columns) -> Any:
    """Return what the function makes of each array, in the form in which the arrays came."""
    if isinstance(columns, Mapping):
        return {name: function(array) for name, array in columns.items()}
    return [function(array) for array in columns] if isinstance(columns, list | tuple) else function(columns)


def count_rows(columns: Columns) -> int:
    """Return how many rows each of the arrays has.

    Raises:
        DataError: There is no array, one that has no rows, or two arrays differ in their number of rows.
    """
    found = []
    for array in arrays_of(columns):
        if not isinstance(array, np.ndarray) or array.ndim == 0:
            what = "a single number" if isinstance(array, np.ndarray) else type(array).__name__
            raise DataError(f"rows: expected arrays with a row for each example, found {what}. Pass NumPy arrays.")
        found.append(len(array))
    if not found:
        raise DataError("rows: expected at least one array, found none. Pass one array for each input or output.")
    if len(set(found)) > 1:
        raise DataError(f"rows: expected equally many in every array, found {found}. Pass one row for each example.")
    return found[0]


def take_rows(columns: Columns, rows: NDArray[np.int64] | slice) -> Columns:
    """Return these rows of each array, in the form in which the arrays came."""
    taken: Columns = map_columns(lambda array: array[rows], columns)
    return taken
