"""The arrays of a model: which of them clients send updates of, and by which examples that is found out."""

from typing import Any

import numpy as np
import pytest

from secagg.errors import DataError, ModelError
from secagg.models.arrays import ModelArrays
from secagg.models.base import ArrayRole
from secagg.models.softmax import SoftmaxRegression
from tests.support.federation import CLASSES, FEATURES, examples
from tests.support.standardised import StandardisedSoftmax

MODEL = StandardisedSoftmax(FEATURES, CLASSES, seed=1)


class FixedSoftmax(StandardisedSoftmax):
    """A model of which training changes nothing."""

    def roles(self, x: Any, y: Any) -> tuple[ArrayRole, ...]:
        return (ArrayRole.FIXED,) * 5


def test_arrays_that_travel_are_the_trained_ones_and_the_statistics() -> None:
    arrays = ModelArrays.of(MODEL, [examples(5, 0)])
    assert arrays.roles == (
        ArrayRole.FIXED,
        ArrayRole.TRAINED,
        ArrayRole.TRAINED,
        ArrayRole.STATISTIC,
        ArrayRole.VARIANCE,
    )
    assert arrays.shapes == ((FEATURES,), (FEATURES, CLASSES), (CLASSES,), (FEATURES,), (FEATURES,))
    assert arrays.travelling == list(arrays.shapes[1:])
    assert arrays.statistics == [3, 4]
    assert arrays.statistics_entries == 2 * FEATURES


def test_arrays_of_a_model_that_says_nothing_are_all_trained() -> None:
    arrays = ModelArrays.of(SoftmaxRegression(FEATURES, CLASSES, seed=1), [])
    assert set(arrays.roles) == {ArrayRole.TRAINED}
    assert arrays.travelling == list(arrays.shapes)
    assert arrays.statistics_entries == 0


def test_roles_are_read_off_the_first_examples_that_fit() -> None:
    good = examples(5, 0)
    bad = (good[0], good[1] + CLASSES)
    assert ModelArrays.of(MODEL, [bad, good]) == ModelArrays.of(MODEL, [good])
    with pytest.raises(DataError, match="class labels"):
        ModelArrays.of(MODEL, [bad, (np.ones((2, 1)), good[1][:2])])
    with pytest.raises(DataError, match="expected examples, found none"):
        ModelArrays.of(MODEL, [])


def test_model_that_training_never_changes_is_refused() -> None:
    with pytest.raises(ModelError, match="at least one that training changes, found 5 fixed"):
        ModelArrays.of(FixedSoftmax(FEATURES, CLASSES, seed=1), [examples(5, 0)])
