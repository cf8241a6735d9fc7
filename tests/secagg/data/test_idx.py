import gzip
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from secagg.data.idx import FASHION_MNIST_DIRECTORY, load_fashion_mnist, read_idx
from secagg.data.load import load_dataset
from secagg.errors import DataError, DataWarning

IMAGES = np.random.default_rng(0).integers(256, size=(7, 3, 2), dtype=np.uint8)
LABELS = np.arange(7, dtype=np.uint8)


def packed(array: NDArray[np.uint8]) -> bytes:
    return struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_all(directory: Path) -> None:
    for part in ("train", "t10k"):
        (directory / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(packed(IMAGES)))
        (directory / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(packed(LABELS)))


def test_idx_files_are_read_as_written(tmp_path: Path) -> None:
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(packed(IMAGES)))
    np.testing.assert_array_equal(read_idx(path, 3), IMAGES)


def test_idx_directory_becomes_a_data_set(tmp_path: Path) -> None:
    write_all(tmp_path)
    with pytest.warns(DataWarning, match="found none of class 7, 8, 9"):
        data = load_fashion_mnist(tmp_path)
    assert (data.classes, data.features_shape) == (10, (3, 2, 1))
    np.testing.assert_array_equal(np.round(data.train_x[..., 0] * 255), IMAGES)
    assert data.train_x.max() <= 1
    np.testing.assert_array_equal(data.test_y, LABELS)


def test_missing_fashion_mnist_names_the_package(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="apt-get install dataset-fashion-mnist"):
        load_fashion_mnist(tmp_path)


def test_idx_files_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    for name, array in (
        ("images-idx3", IMAGES[:6]),
        ("labels-idx1", LABELS + np.uint8(4)),
        ("images-idx3", IMAGES[:, :2]),
    ):
        write_all(tmp_path)
        (tmp_path / f"train-{name}-ubyte.gz").write_bytes(gzip.compress(packed(array)))
        with pytest.raises(DataError):
            load_fashion_mnist(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        packed(IMAGES)[:3],
        packed(IMAGES)[:10],
        packed(IMAGES)[:-1],
        packed(IMAGES) + b"x",
        packed(LABELS),
        b"\x01" + packed(IMAGES)[1:],
        b"\x00\x00\x0d\x03" + packed(IMAGES)[4:],
        packed(IMAGES[:0]),
        struct.pack(">4B3I", 0, 0, 8, 3, 2**32 - 1, 2**32 - 1, 2**32 - 1) + b"x",
        struct.pack(">4B3I", 0, 0, 8, 3, 2**20, 28, 28) + b"x",
    ],
)
def test_idx_content_of_another_kind_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(content))
    with pytest.raises(DataError):
        read_idx(path, 3)


def test_idx_file_cut_or_damaged_anywhere_is_refused(tmp_path: Path) -> None:
    whole = gzip.compress(packed(IMAGES), mtime=0)
    path = tmp_path / "images.gz"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError):
            read_idx(path, 3)
    refused = 0
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x10]) + whole[position + 1 :])
        try:
            found = read_idx(path, 3)
        except DataError:
            refused += 1
        else:  # The flip hit a part that means nothing: a date, padding.
            np.testing.assert_array_equal(found, IMAGES)
    assert refused > len(whole) - 20
    path.write_bytes(packed(IMAGES))
    with pytest.raises(DataError, match="gzip"):
        read_idx(path, 3)


@pytest.mark.skipif(not FASHION_MNIST_DIRECTORY.is_dir(), reason="Debian's dataset-fashion-mnist is not installed")
def test_fashion_mnist_is_the_published_one() -> None:
    data = load_dataset("fashion-mnist", seed=0)
    assert data.train_x.shape == (60_000, 28, 28, 1)
    assert data.test_x.shape == (10_000, 28, 28, 1)
    assert np.bincount(data.train_y).tolist() == [6000] * 10
    assert np.bincount(data.test_y).tolist() == [1000] * 10
    assert (data.train_x.min(), data.train_x.max()) == (0, 1)


def test_idx_header_that_announces_more_than_there_is_takes_no_memory(tmp_path: Path) -> None:
    """A buffered read of 2^30 bytes would make room for all of them at once."""
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(struct.pack(">4B3I", 0, 0, 8, 3, 2**20, 2**5, 2**5) + b"x"))
    tracemalloc.start()
    with pytest.raises(DataError, match="expected 1073741824 entries"):
        read_idx(path, 3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20
