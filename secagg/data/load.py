"""Loading of data sets by name or by path."""

from pathlib import Path
from typing import Final

from secagg.checks import check_integer
from secagg.data.archive import load_archive
from secagg.data.base import Dataset
from secagg.data.embedded import load_breast_cancer, load_digits
from secagg.data.idx import load_fashion_mnist
from secagg.errors import ConfigurationError
from secagg.paths import expanded, is_archive
from secagg.suggestions import did_you_mean

NAMES: Final = ("digits", "breast-cancer", "fashion-mnist")


def load_dataset(name_or_path: str | Path, *, seed: int) -> Dataset:
    """Return a data set.

    Args:
        name_or_path: One of `NAMES`, or the path of a `.npz` archive with `x_train`, `y_train`, `x_test`, `y_test`.
            A leading `~` is the home folder.
        seed: Seed of the split of digits and breast-cancer, at least 0. The other data sets are already split.

    Raises:
        ConfigurationError: The name is unknown, or the seed is not an integer of at least 0.
        DataError: The file of that name or path is missing, damaged or foreign.
        MissingExtraError: The data set is part of scikit-learn, which is not installed.
    """
    check_integer("seed", seed, minimum=0)
    if is_archive(name_or_path):
        return load_archive(expanded(name_or_path))
    match str(name_or_path):
        case "digits":
            return load_digits(seed)
        case "breast-cancer":
            return load_breast_cancer(seed)
        case "fashion-mnist":
            return load_fashion_mnist()
        case unknown:
            raise ConfigurationError(
                f"dataset: expected one of {', '.join(NAMES)}, or a .npz file, found {unknown!r}"
                f"{did_you_mean(unknown, NAMES)}"
            )
