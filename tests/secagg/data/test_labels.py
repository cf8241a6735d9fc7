from typing import Any

import numpy as np
import pytest

from secagg.data.labels import integer_labels, label_vector
from secagg.errors import DataError

Y = np.array([0, 2, 1, 2])


@pytest.mark.parametrize("labels", [Y, Y[:, np.newaxis], Y.astype(np.uint8)[:, np.newaxis]])
def test_labels_in_a_column_are_a_vector(labels: Any) -> None:
    np.testing.assert_array_equal(label_vector("labels", labels), Y)


@pytest.mark.parametrize(
    ("labels", "advice"),
    [
        (Y.astype(np.float32), 'astype("int64")'),
        (Y == 1, 'astype("int64")'),
        (Y + 0.5, "not whole numbers"),
        (np.array([0.0, np.nan]), "not whole numbers"),
        (np.eye(3)[Y], "argmax"),
        (np.eye(3, dtype=int)[Y], "argmax"),
        (np.array(["a", "b"]), "numpy.unique"),
        (np.array(["a", None], dtype=object), "numpy.unique"),
        (np.where(Y > 0, 1, -1), "numpy.unique"),
        ([0, 1], "numpy.asarray"),
        (np.zeros((3, 2, 1), dtype=int), "one label for each example"),
        (np.zeros((0, 1), dtype=int), "at least one"),
        (np.int64(3), "numpy.asarray"),
    ],
)
def test_labels_in_another_form_are_refused_with_what_converts_them(labels: Any, advice: str) -> None:
    with pytest.raises(DataError) as raised:
        label_vector("y_train", labels)
    assert advice in str(raised.value)
    assert "y_train" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_labels_of_several_axes_stay_as_they_are() -> None:
    assert integer_labels("labels", np.zeros((2, 3), dtype=int)).shape == (2, 3)
