import os
import signal
import zipfile
from functools import partial
from pathlib import Path

import pytest

from secagg.files import write_whole
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
