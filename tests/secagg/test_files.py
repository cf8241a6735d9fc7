from functools import partial
from pathlib import Path

import pytest

from secagg.files import write_whole


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
