import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from secagg.data.base import Dataset
from secagg.data.load import load_dataset
from secagg.errors import ConfigurationError, DataError, DataWarning

pytestmark = pytest.mark.slow

ARRAYS: dict[str, Any] = {
    "x_train": np.arange(24, dtype=np.float64).reshape(4, 2, 3),
    "y_train": np.array([0, 3, 1, 0], dtype=np.uint8),
    "x_test": np.ones((2, 2, 3), dtype=np.uint8),
    "y_test": np.array([1, 2], dtype=np.int32),
}


def write(path: Path, **changes: Any) -> Path:
    np.savez(path, **{name: value for name, value in {**ARRAYS, **changes}.items() if value is not None})
    return path


def test_archive_is_loaded_as_it_is(tmp_path: Path) -> None:
    data = load_dataset(write(tmp_path / "mine.npz"), seed=0)
    assert (data.name, data.classes, data.features_shape) == ("mine", 4, (2, 3))
    np.testing.assert_array_equal(data.train_x, ARRAYS["x_train"])
    np.testing.assert_array_equal(data.test_y, ARRAYS["y_test"])
    assert str(data.train_x.dtype) == "float32"
    assert str(data.train_y.dtype) == "int64"
    assert load_dataset(str(tmp_path / "mine.npz"), seed=0).classes == 4


def test_archive_may_be_compressed_and_hold_more(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "mine.npz", **ARRAYS, notes=np.array("anything"))
    assert load_dataset(tmp_path / "mine.npz", seed=0).classes == 4


@pytest.mark.parametrize(
    "changes",
    [
        {"y_test": None},
        {"x_train": np.array([["a"] * 6] * 4)},
        {"x_train": ARRAYS["x_train"].astype(complex)},
        {"x_train": np.full((4, 2, 3), 1e39)},
        {"x_train": np.full((4, 2, 3), np.nan)},
        {"x_train": ARRAYS["x_train"][:3]},
        {"x_test": np.ones((2, 6))},
        {"y_train": np.array([0.0, 1, 2, 3])},
        {"y_train": np.array([0, -1, 2, 3])},
        {"y_train": np.array([0, 2**64 - 1, 2, 3], dtype=np.uint64)},
        {"y_train": np.array([0, 10**12, 2, 3])},
        {"y_test": np.array([0, 2**63 - 1])},
        {"y_test": np.array([0, 6])},
        {"y_train": np.eye(4, dtype=int)},
        {"y_train": np.zeros(0, dtype=int)},
        {"y_train": np.array([True, False, True, True])},
        {"y_train": np.array([0, None, 1, 2], dtype=object)},
    ],
)
def test_archive_with_bad_arrays_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(DataError):
        load_dataset(write(tmp_path / "mine.npz", **changes), seed=0)


RECORDS = np.zeros((4, 2), dtype=[("a", "f4"), ("b", "i4")])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x_train": np.array([[1, 2], [None, 4]], dtype=object)}, "numbers in the array 'x_train' .* Python objects"),
        ({"y_test": np.array([1, None], dtype=object)}, "numbers in the array 'y_test' .* Give all rows one length"),
        ({"x_test": RECORDS}, "x_test: expected an array of real numbers, found an array of records"),
        ({"x_train": ARRAYS["x_train"].astype(complex)}, "real numbers, found an array of complex128"),
        ({"x_train": np.zeros((4, 2), dtype="datetime64[s]")}, r"real numbers, found an array of datetime64\[s\]"),
        ({"x_train": np.zeros((0, 2, 3))}, r"examples in x_train, found an empty array of shape \(0, 2, 3\)"),
        ({"x_test": np.zeros((2, 0))}, r"examples in x_test, found an empty array of shape \(2, 0\)"),
        ({"y_test": np.zeros(0, dtype=int)}, r"examples in y_test, found an empty array of shape \(0,\)"),
        ({"x_train": np.array(3.0)}, r"x_train of shape \(examples, features...\), found \(\)"),
        ({"x_train": np.arange(4.0)}, r"found \(4,\)\. Give a single feature the shape \(examples, 1\)\."),
        ({"x_train": np.full((4, 2, 3), 1e300)}, r"numbers of at most 3.4e\+38 in x_train, found 1e\+300. Scale them"),
        ({"x_test": np.full((2, 2, 3), np.inf)}, "finite numbers in x_test, found nan or infinity"),
        ({"x_train": np.full((4, 2, 3), np.nan)}, "finite numbers in x_train, found nan or infinity"),
        ({"x_train": ARRAYS["x_train"][:3]}, "expected 3 labels in y_train, one for each example, found 4"),
        ({"y_test": np.array([1, 2, 0])}, "expected 2 labels in y_test, one for each example, found 3"),
        ({"y_test": None, "notes": np.ones(1)}, r"found no y_test\. It holds 'x_train', 'y_train', 'x_test', 'notes'"),
        ({"train_x": np.ones(1)}, "one array x_train in .*, found x_train and train_x, which mean the same"),
    ],
    ids=range(17),
)
def test_archive_says_what_is_wrong_with_an_array(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message) as refused:
        load_dataset(write(tmp_path / "mine.npz", **changes), seed=0)
    assert "damaged" not in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("style", ["{which}_{axis}", "{AXIS}_{which}", "{AXIS}_{WHICH}", "{WHICH}_{axis}"])
def test_archive_takes_either_order_of_a_name_in_either_case(style: str, tmp_path: Path) -> None:
    named = {
        style.format(axis=axis, which=which, AXIS=axis.upper(), WHICH=which.upper()): array
        for name, array in ARRAYS.items()
        for axis, which in [name.split("_")]
    }
    np.savez(tmp_path / "mine.npz", **named)
    data = load_dataset(tmp_path / "mine.npz", seed=0)
    np.testing.assert_array_equal(data.train_x, ARRAYS["x_train"])
    np.testing.assert_array_equal(data.test_y, ARRAYS["y_test"])


def test_archive_by_a_suffix_in_capitals_and_in_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "mine.npz").rename(tmp_path / "MINE.NPZ")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_dataset("~/MINE.NPZ", seed=0).classes == 4
    with pytest.raises(ConfigurationError, match="a home folder for its ~, found none"):
        load_dataset("~nobody-of-this-name/mine.npz", seed=0)


def test_archive_that_is_empty_or_a_pickle_is_named_as_such(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    for content, message in ((b"", "found an empty file"), (b"\x80\x04K\x01.", "found a pickle, which could run code")):
        path.write_bytes(content)
        with pytest.raises(DataError, match=message):
            load_dataset(path, seed=0)


def test_data_set_that_is_misspelt_is_guessed() -> None:
    with pytest.raises(ConfigurationError, match=r"found 'digit'; did you mean digits\?"):
        load_dataset("digit", seed=0)
    with pytest.raises(ConfigurationError, match=r"found 'qqq'$"):
        load_dataset("qqq", seed=0)


def test_archive_takes_labels_in_a_column(tmp_path: Path) -> None:
    columns = {name: ARRAYS[name][:, np.newaxis] for name in ("y_train", "y_test")}
    data = load_dataset(write(tmp_path / "mine.npz", **columns), seed=0)
    np.testing.assert_array_equal(data.train_y, ARRAYS["y_train"])
    np.testing.assert_array_equal(data.test_y, ARRAYS["y_test"])


def test_archive_with_a_class_that_never_occurs_is_warned_of_and_loaded(tmp_path: Path) -> None:
    from_1 = {name: ARRAYS[name] + 1 for name in ("y_train", "y_test")}
    with pytest.warns(DataWarning, match=r"5 classes, found none of class 0\..*subtract 1"):
        assert load_dataset(write(tmp_path / "mine.npz", **from_1), seed=0).classes == 5
    with pytest.warns(DataWarning, match=r"4 classes, found none of class 2\. Labels number the classes from 0\."):
        load_dataset(write(tmp_path / "mine.npz", y_test=np.array([1, 3])), seed=0)


def test_archive_never_unpickles(tmp_path: Path) -> None:
    """Somebody hides code in a pickled array of an archive.

    Loading must refuse the archive (DataError) without running it.
    """

    class PickleBomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "exploded",)

    path = write(tmp_path / "mine.npz", x_train=np.array([PickleBomb()], dtype=object))
    with pytest.raises(DataError):
        load_dataset(path, seed=0)
    assert not (tmp_path / "exploded").exists()


def test_missing_and_foreign_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    with pytest.raises(DataError, match="found nothing"):
        load_dataset(path, seed=0)
    path.mkdir()
    with pytest.raises(DataError, match="found a folder"):
        load_dataset(path, seed=0)
    path.rmdir()
    for content in (b"", b"PK", b"hello, world", b"\x80\x04K\x01.", b"PK\x05\x06" + bytes(18)):
        path.write_bytes(content)
        with pytest.raises(DataError):
            load_dataset(path, seed=0)
    with path.open("wb") as file:
        np.save(file, np.ones(3))
    with pytest.raises(DataError, match="single array"):
        load_dataset(path, seed=0)


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compressed_archives_that_are_damaged_are_refused(compression: int, tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    write(path)
    with zipfile.ZipFile(path) as plain:
        members = {name: plain.read(name) for name in plain.namelist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    assert load_dataset(path, seed=0).classes == 4
    whole = path.read_bytes()
    start = whole.index(b"x_train.npy") + len(b"x_train.npy")
    for place in range(start, start + 60, 5):
        path.write_bytes(whole[:place] + b"\xff" * 5 + whole[place + 5 :])
        with pytest.raises(DataError):
            load_dataset(path, seed=0)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_cut_or_damaged_archives_load_whole_or_are_refused(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.npz").read_bytes()
    path = tmp_path / "mine.npz"
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError):
            load_dataset(path, seed=0)
    generator = np.random.default_rng(0)
    refused = 0
    for _ in range(600):
        damaged = bytearray(whole)
        damaged[generator.integers(len(whole))] ^= 1 << int(generator.integers(8))
        path.write_bytes(damaged)
        try:
            data = load_dataset(path, seed=0)
        except DataError:
            refused += 1
        else:  # The flip hit a part that means nothing: a date, an attribute, padding.
            assert isinstance(data, Dataset)
            np.testing.assert_array_equal(data.train_x, ARRAYS["x_train"])
            np.testing.assert_array_equal(data.test_y, ARRAYS["y_test"])
    assert refused > 300
