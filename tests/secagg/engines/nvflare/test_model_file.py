"""The model in a file: what was written comes back, in its order, and nothing else is read."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from secagg.engines.nvflare.model_file import read_model, write_model
from secagg.errors import ModelError


def test_model_comes_back_in_its_order(tmp_path: Path) -> None:
    arrays: dict[str, NDArray[Any]] = {
        "b": np.arange(6, dtype=np.float32).reshape(2, 3),
        "a": np.array(3, dtype=np.int8),
        "file": np.zeros(0),
    }
    write_model(tmp_path / "model.npz", arrays)
    found = read_model(tmp_path / "model.npz")
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x93NUMPY\x01\x00", pickle.dumps([1, 2]), b"PK\x03\x04"])
def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.npz").write_bytes(content)
    with pytest.raises(ModelError, match="model"):
        read_model(tmp_path / "model.npz")
    with pytest.raises(ModelError, match="model"):
        read_model(tmp_path / "none.npz")


def test_a_single_array_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "model.npy", np.zeros(2))
    with pytest.raises(ModelError, match="model"):
        read_model(tmp_path / "model.npy")


def test_an_array_of_objects_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "model.npz", **{"0:a": np.array([{}], dtype=object)})
    with pytest.raises(ModelError, match="model"):
        read_model(tmp_path / "model.npz")
