from typing import Any

import numpy as np
import pytest

from secagg.data.columns import arrays_of, count_rows, map_columns, take_rows
from secagg.errors import DataError

A, B = np.arange(8).reshape(4, 2), np.arange(4)


@pytest.mark.parametrize("columns", [A, [A, B], (A, B), {"a": A, "b": B}])
def test_columns_keep_their_form_when_rows_are_taken(columns: Any) -> None:
    assert count_rows(columns) == 4
    for rows in (np.array([3, 0]), slice(1, 3)):
        taken = take_rows(columns, rows)
        assert isinstance(taken, dict) == isinstance(columns, dict)
        for found, whole in zip(arrays_of(taken), arrays_of(columns), strict=True):
            np.testing.assert_array_equal(found, whole[rows])
    assert next(array.shape for array in arrays_of(map_columns(np.transpose, columns))) == (2, 4)


@pytest.mark.parametrize("columns", [[], {}, [A, B[:3]], {"a": A, "b": A[:0]}, [A, [1, 2, 3, 4]], np.array(3), None, 7])
def test_columns_that_have_no_rows_in_common_are_refused(columns: Any) -> None:
    with pytest.raises(DataError, match=r"^rows: "):
        count_rows(columns)
