import io
import os
import signal
import tracemalloc
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from secagg.errors import DataError
from secagg.files import read_arrays, write_whole
from secagg.interruption import Interrupted, raise_interrupted


def test_whole_file_replaces_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "result.txt"
    for text in ("first", "second"):
        write_whole(path, partial(Path.write_text, data=text))
        assert path.read_text() == text
    assert [file.name for file in tmp_path.iterdir()] == ["result.txt"]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError])
def test_interrupted_writing_leaves_the_file_before(tmp_path: Path, stop: type[BaseException]) -> None:
    path = tmp_path / "result.txt"
    path.write_text("first")

    def half(part: Path) -> None:
        part.write_text("sec")
        raise stop

    with pytest.raises(stop):
        write_whole(path, half)
    assert path.read_text() == "first"
    assert [file.name for file in tmp_path.iterdir()] == ["result.txt"]


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_interruption_while_an_archive_is_written_takes_effect_afterwards(tmp_path: Path, by: signal.Signals) -> None:
    path = tmp_path / "arrays.zip"

    def interrupted(part: Path) -> None:
        with zipfile.ZipFile(part, "w") as archive:
            entry = archive.open("array", "w")
            os.kill(os.getpid(), by)
            entry.write(b"12345")  # An interruption here would make the end of the block a ValueError.
            entry.close()

    before = signal.signal(by, raise_interrupted)
    try:
        with pytest.raises(Interrupted) as raised:
            write_whole(path, interrupted)
    finally:
        signal.signal(by, before)
    assert raised.value.number == by
    assert zipfile.ZipFile(path).read("array") == b"12345"
    assert [file.name for file in tmp_path.iterdir()] == ["arrays.zip"]


def member_of(header: str, body: bytes) -> bytes:
    """An array file with this header, whatever it says of the body."""
    text = f"{header}\n".encode("latin1")
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + body


def archive_of(path: Path, content: bytes, method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("x.npy", content)
    return path


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_array_that_announces_more_than_there_is_takes_no_memory(tmp_path: Path, method: int) -> None:
    """numpy would make room for 16 GB, and then find that the file has 8 bytes."""
    header = "{'descr': '<f8', 'fortran_order': False, 'shape': (2147483648,), }"
    path = archive_of(tmp_path / "x.npz", member_of(header, bytes(8)), method)
    tracemalloc.start()
    with pytest.raises(DataError, match=r"expected 17179869184 bytes in the array 'x' .* found at most"):
        read_arrays(path, ["x"])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def test_array_that_repeats_itself_as_often_as_deflate_allows_is_read(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "x.npz", x=np.zeros(10**6))
    assert (tmp_path / "x.npz").stat().st_size < 10**4
    np.testing.assert_array_equal(read_arrays(tmp_path / "x.npz", ["x"])["x"], np.zeros(10**6))


def test_array_that_is_larger_than_its_reader_expects_takes_no_memory(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "x.npz", x=np.zeros(10**6))
    tracemalloc.start()
    with pytest.raises(DataError, match=r"expected at most 7999999 bytes in the array 'x' .* found 8000000"):
        read_arrays(tmp_path / "x.npz", ["x"], largest=7_999_999)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20
    assert read_arrays(tmp_path / "x.npz", ["x"], largest=8_000_000)["x"].shape == (10**6,)


def test_member_that_is_no_array_is_refused(tmp_path: Path) -> None:
    """numpy hands out the bytes of a member that does not begin like an array."""
    with pytest.raises(DataError, match="damaged or foreign file"):
        read_arrays(archive_of(tmp_path / "x.npz", b"nothing that numpy wrote"), ["x"])


def test_array_of_named_fields_outside_latin_1_is_refused(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"format 3\.0"):
        np.savez(tmp_path / "x.npz", x=np.zeros(2, dtype=[("\u0416", "<f8")]))
    with pytest.raises(DataError, match="damaged or foreign file"):
        read_arrays(tmp_path / "x.npz", ["x"])


def test_text_of_numbers_that_are_no_characters_is_refused(tmp_path: Path) -> None:
    """Python itself fails on such a text as soon as it is printed."""
    content = io.BytesIO()
    np.save(content, np.asarray("0.1.0"))
    whole = content.getvalue()
    path = archive_of(tmp_path / "x.npz", whole[:-4] + b"\xff\xff\xff\x7f")
    with pytest.raises(DataError, match="expected text in the array 'x'"):
        read_arrays(path, ["x"])
    assert str(read_arrays(archive_of(tmp_path / "y.npz", whole), ["x"])["x"]) == "0.1.0"


@pytest.mark.parametrize("text", ["", "a\u0416\U0010ffff"])
@pytest.mark.parametrize("shape", [(), (0,), (2, 3)])
def test_text_is_read_in_any_shape_and_byte_order(tmp_path: Path, text: str, shape: tuple[int, ...]) -> None:
    for order in "<>":
        array = np.full(shape, text).astype(f"{order}U3")
        np.savez(tmp_path / "x.npz", x=array)
        np.testing.assert_array_equal(read_arrays(tmp_path / "x.npz", ["x"])["x"], array)
