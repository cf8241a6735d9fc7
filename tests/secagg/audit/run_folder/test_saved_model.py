"""The weights of a saved model are read without running what its file describes."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from secagg.audit.run_folder.saved_model import saved_weights
from secagg.errors import DataError
from secagg.models import zoo


def rewritten(path: Path, target: Path, name: str, content: bytes) -> Path:
    """Copy an archive with other content of one of its files."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
        for entry in old.namelist():
            new.writestr(entry, content if entry == name else old.read(entry))
    return target


@pytest.mark.tensorflow
def test_saved_model_of_keras_is_read_without_its_description(tmp_path: Path) -> None:
    """Whatever the archive says of layers, only its arrays are read, into the model of the settings."""
    saved, other = (zoo.build("softmax", (5,), 3, optimizer="sgd", seed=seed) for seed in (1, 2))
    path, expected = tmp_path / "model.keras", saved.get_weights()
    saved.save(path)
    foreign = rewritten(path, tmp_path / "foreign.keras", "config.json", b'{"class_name": "Lambda"}')
    for file in (path, foreign):
        other.set_weights([np.zeros_like(array) for array in expected])
        found = saved_weights(file, other)
        assert all(np.array_equal(one, array) for one, array in zip(found, expected, strict=True))
    for name in ("short.keras", "arrays.keras"):
        rewritten(path, tmp_path / name, "model.weights.h5", b"nothing")
    (tmp_path / "short.keras").write_bytes(path.read_bytes()[:-30])
    for name in ("short.keras", "arrays.keras", "gone.keras"):
        with pytest.raises(DataError, match=f"{name}: expected a saved Keras model, found another file"):
            saved_weights(tmp_path / name, other)


@pytest.mark.tensorflow
def test_saved_model_of_another_shape_is_refused(tmp_path: Path) -> None:
    zoo.build("softmax", (4,), 3, optimizer="sgd", seed=1).save(tmp_path / "model.keras")
    with pytest.raises(DataError, match="expected a saved Keras model"):
        saved_weights(tmp_path / "model.keras", zoo.build("softmax", (5,), 3, optimizer="sgd", seed=1))


def test_saved_model_of_numpy_is_read(tmp_path: Path) -> None:
    model = zoo.build("numpy-softmax", (5,), 3, seed=1)
    model.save(tmp_path / "model.npz")
    found = saved_weights(tmp_path / "model.npz", zoo.build("numpy-softmax", (5,), 3, seed=2))
    assert all(np.array_equal(one, other) for one, other in zip(found, model.get_weights(), strict=True))
    (tmp_path / "model.npz").write_bytes(b"nothing")
    with pytest.raises(DataError, match="damaged"):
        saved_weights(tmp_path / "model.npz", model)
