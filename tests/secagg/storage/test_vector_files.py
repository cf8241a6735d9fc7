"""Files of long vectors: read as NumPy writes them, refused if they change, and named only when complete."""

from pathlib import Path

import numpy as np
import pytest

from protocols.session import Session
from secagg.errors import VectorFileError
from secagg.storage.vector_files import SumFile, VectorFile

SESSION = Session(session_id=bytes(16), clients=(1, 2), threshold=2, length=100, modulus=2**20)


def test_vector_is_what_numpy_writes(tmp_path: Path) -> None:
    given = np.arange(1000, dtype="<u4")
    given.tofile(tmp_path / "vector")
    reader = VectorFile(tmp_path / "vector", modulus=2**20)
    assert reader.length == 1000
    assert np.array_equal(reader.read(990, 10), given[990:])


@pytest.mark.parametrize("size", [0, 1, 6])
def test_file_that_does_not_consist_of_words_is_refused_with_how_to_write_it(size: int, tmp_path: Path) -> None:
    (tmp_path / "vector").write_bytes(bytes(size))
    with pytest.raises(VectorFileError, match=rf"expected words of 4 bytes .*found {size} bytes\..*astype\('<u4'\)"):
        VectorFile(tmp_path / "vector", modulus=2**20)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VectorFileError, match=r"expected a file at .*No such file"):
        VectorFile(tmp_path / "vector", modulus=2**20)


def test_file_that_changes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "vector"
    np.arange(10, dtype="<u4").tofile(path)
    reader = VectorFile(path, modulus=2**20)
    np.arange(11, dtype="<u4").tofile(path)
    with pytest.raises(VectorFileError, match="to stay as it was, found a change"):
        reader.read(0, 5)
    path.unlink()
    with pytest.raises(VectorFileError, match=r"expected the file .* found none"):
        reader.read(0, 5)


def test_sum_has_its_name_once_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "sum"
    with SumFile(path, SESSION) as total:
        assert not total.array.any()
        assert total.array.dtype == np.dtype("<u4")
        total.array[:] = 7
        assert not path.exists()
        total.complete()
    assert np.fromfile(path, dtype="<u4").tolist() == [7] * 100
    assert list(tmp_path.iterdir()) == [path]


def test_sum_that_is_not_complete_leaves_no_file(tmp_path: Path) -> None:
    with SumFile(tmp_path / "sum", SESSION):
        assert list(tmp_path.iterdir()) == [tmp_path / "sum.part"]
    assert not list(tmp_path.iterdir())


def test_file_of_a_process_that_has_stopped_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "sum.part").write_bytes(b"\7" * 1000)
    with SumFile(tmp_path / "sum", SESSION) as total:
        assert not total.array.any()
        assert total.array.shape == (100,)


def test_sum_replaces_no_file(tmp_path: Path) -> None:
    path = tmp_path / "sum"
    with SumFile(path, SESSION) as total:
        path.write_bytes(b"precious")
        with pytest.raises(VectorFileError, match=r"expected no file at .*found one. Remove it"):
            total.complete()
    with pytest.raises(VectorFileError, match="expected no file at"):
        SumFile(path, SESSION)
    assert path.read_bytes() == b"precious"


def test_sum_in_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VectorFileError, match=r"expected a file that can be made at .*Use another folder"):
        SumFile(tmp_path / "missing" / "sum", SESSION)
