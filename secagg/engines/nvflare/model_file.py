"""The model of a job in a file: the arrays to begin with travel with the job, and the result is downloaded with it.

The file is an npz archive without pickles. Its arrays are in the order in which it was written.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from secagg.errors import DataError, ModelError
from secagg.files import read_arrays

MODEL_NAME: Final = "secagg-initial.npz"
"""The model to begin with."""

RESULT_NAME: Final = "secagg-model.npz"
"""The model after the last round, in the server's part of the result."""


def write_model(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays, by name, to a file.

    Raises:
        OSError: The file cannot be written.
    """
    with path.open("wb") as file:
        np.savez(file, **{f"{index}:{name}": array for index, (name, array) in enumerate(arrays.items())})


def read_model(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of a file, by name.

    Raises:
        ModelError: It is not a file that `write_model` has written.
    """
    try:
        found = read_arrays(path, None)
    except (DataError, OSError) as error:
        raise ModelError(f"{path}: expected the arrays of a model. {error} Submit the job again.") from None
    return {name.partition(":")[2]: array for name, array in found.items()}
