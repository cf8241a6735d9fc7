import subprocess
import sys

import numpy as np
import pytest

from secagg.data.load import load_dataset

SIZES = {"digits": (1797, 64, 10), "breast-cancer": (569, 30, 2)}


@pytest.mark.parametrize("name", SIZES)
def test_embedded_data_is_whole_and_split_by_class(name: str) -> None:
    examples, features, classes = SIZES[name]
    data = load_dataset(name, seed=3)
    assert data.features_shape == (features,)
    assert data.classes == classes
    assert len(data.train_y) + len(data.test_y) == examples
    counts = [np.bincount(labels, minlength=classes) for labels in (data.train_y, data.test_y)]
    np.testing.assert_allclose(counts[1] / (counts[0] + counts[1]), 0.2, atol=0.5 / (counts[0] + counts[1]).min())
    # Rows of the two sides together are the whole data set, whatever the seed.
    other = load_dataset(name, seed=4)
    wholes = [np.concatenate([one.train_x, one.test_x]) for one in (data, other)]
    ordered = [whole[np.lexsort(whole.T)] for whole in wholes]
    np.testing.assert_array_equal(ordered[0], ordered[1])


@pytest.mark.parametrize("name", SIZES)
def test_embedded_data_follows_its_seed(name: str) -> None:
    first, again, other = (load_dataset(name, seed=seed) for seed in (7, 7, 8))
    assert np.array_equal(first.train_x, again.train_x)
    assert np.array_equal(first.test_y, again.test_y)
    assert not np.array_equal(first.train_x, other.train_x)


def test_digits_are_pixels_over_16() -> None:
    data = load_dataset("digits", seed=0)
    pixels = data.train_x * 16
    np.testing.assert_array_equal(pixels, np.round(pixels))
    assert (pixels.min(), pixels.max()) == (0, 16)


def test_breast_cancer_is_scaled_by_its_published_ranges() -> None:
    data = load_dataset("breast-cancer", seed=0)
    whole = np.concatenate([data.train_x, data.test_x])
    assert whole.min() == 0
    assert whole.max() == 1
    # The ranges fit every feature: extremes are reached up to the rounding of the published figures.
    assert whole.min(axis=0).max() < 0.02
    assert whole.max(axis=0).min() > 0.98
    from sklearn.datasets import load_breast_cancer

    source = load_breast_cancer()
    radius = (source.data[:, 0] - 6.981) / (28.11 - 6.981)
    np.testing.assert_allclose(np.sort(whole[:, 0]), np.sort(radius), atol=1e-6)


def test_missing_scikit_learn_names_the_extra() -> None:
    program = """
import sys
from importlib.machinery import PathFinder

class FinderWithoutModule:
    @staticmethod
    def find_spec(name, path=None, target=None):
        return None if name.partition(".")[0] == "sklearn" else PathFinder.find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = FinderWithoutModule
from secagg.data.load import load_dataset
from secagg.errors import MissingExtraError
try:
    load_dataset("digits", seed=0)
except MissingExtraError as error:
    print(error)
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert 'in a clone of secagg, by: pip install ".[data]"' in result.stdout, result.stderr
