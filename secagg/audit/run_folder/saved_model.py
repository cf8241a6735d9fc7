"""The weights in the file of a saved model, read without running anything that the file describes."""

import tempfile
import zipfile
from pathlib import Path
from typing import Any, Final

from numpy.typing import NDArray

from secagg.errors import DataError
from secagg.models.base import Model
from secagg.models.keras import KerasModel
from secagg.models.softmax import SoftmaxRegression

_WEIGHTS: Final = "model.weights.h5"
"""The name, within a .keras archive, of the file of weights."""
_MOST_RATIO: Final = 8
_MOST_OVERHEAD: Final = 2**26


def saved_weights(path: Path, model: Model) -> list[NDArray[Any]]:
    """Return the weights in a file that `model.save` wrote. The model has these weights afterwards.

    A .keras archive describes layers, which could run code. So only its arrays are read, into the model of the run's
    own settings.

    Args:
        path: The file.
        model: A model of the run's settings.

    Raises:
        SecaggError: The file is damaged, or is not that of such a model.
    """
    if isinstance(model, SoftmaxRegression):
        largest = max(array.nbytes for array in model.get_weights())
        return list(SoftmaxRegression.load(path, largest=largest).get_weights())
    if not isinstance(model, KerasModel):
        raise DataError(f"{path}: expected a model that secagg train saves, found {type(model).__name__}.")
    with tempfile.TemporaryDirectory() as folder:
        try:
            with zipfile.ZipFile(path) as archive:
                _check_size(archive, sum(array.nbytes for array in model.get_weights()))
                archive.extract(_WEIGHTS, folder)
            model.model.load_weights(str(Path(folder) / _WEIGHTS))
        except Exception as error:  # noqa: BLE001 - Keras and h5py raise many kinds for damaged files.
            raise DataError(
                f"{path.name}: expected a saved Keras model, found another file ({type(error).__name__})."
            ) from None
    return model.get_weights()


def _check_size(archive: zipfile.ZipFile, expected: int) -> None:
    """Refuse weights that would fill the disk; besides them, an optimizer may have saved as much several times over."""
    found = archive.getinfo(_WEIGHTS).file_size
    if found > _MOST_RATIO * expected + _MOST_OVERHEAD:
        raise ValueError(f"expected about {expected} bytes of weights, found {found}")
