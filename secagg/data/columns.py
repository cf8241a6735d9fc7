"""Columns of examples: one array or several arrays, each with one row for each example.

A model with one input takes one array of examples. A model with several inputs takes a list, a tuple or a dict of
arrays. The same applies to outputs and their targets. All code that counts, takes or converts rows uses this module, so
that no other code needs to know which of these forms it has.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secagg.errors import DataError

Columns = NDArray[Any] | Sequence[NDArray[Any]] | Mapping[str, NDArray[Any]]
"""One array, or a list, tuple or dict of arrays with the same number of rows."""

Shard = tuple[Columns, Columns]
"""Examples and their targets."""


def arrays_of(columns: Columns) -> list[Any]:
    """Return a list of the arrays in their own order."""
    if isinstance(columns, Mapping):
        return list(columns.values())
    return list(columns) if isinstance(columns, list | tuple) else [columns]


def map_columns(function: Callable[[Any], Any], columns: Columns) -> Any:
    """Return the function's result for each array, in the form in which the arrays were given."""
    if isinstance(columns, Mapping):
        return {name: function(array) for name, array in columns.items()}
    return [function(array) for array in columns] if isinstance(columns, list | tuple) else function(columns)


def count_rows(columns: Columns) -> int:
    """Return the number of rows that each of the arrays has.

    Raises:
        DataError: There is no array, a member is not an array with rows, or arrays differ in their number of rows.
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
        raise DataError(f"rows: expected the same number in every array, found {found}. Pass one row for each example.")
    return found[0]


def take_rows(columns: Columns, rows: NDArray[np.int64] | slice) -> Columns:
    """Return the given rows of each array, in the form in which the arrays were given."""
    taken: Columns = map_columns(lambda array: array[rows], columns)
    return taken
