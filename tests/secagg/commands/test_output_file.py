from pathlib import Path

import pytest

from secagg.commands.output_file import check_output_file, write_output_file
from secagg.errors import ConfigurationError


def test_output_file_is_written_whole(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    check_output_file("--html", None)
    for content in ("<p>\N{GREEK SMALL LETTER EPSILON}", b"data"):
        check_output_file("--html", path)
        write_output_file("--html", path, content)
        assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert list(tmp_path.iterdir()) == [path]


def test_output_file_that_cannot_be_written_is_refused_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path, reason in (
        (tmp_path, "it is a folder"),
        (tmp_path / "none" / "page.html", f"there is no folder {tmp_path / 'none'}"),
        (tmp_path / "file" / "page.html", f"there is no folder {tmp_path / 'file'}"),
    ):
        with pytest.raises(ConfigurationError) as refused:
            check_output_file("--html", path)
        assert str(refused.value) == (
            f"--html: expected a file that can be written, found {path}: {reason}. Name another file."
        )
        with pytest.raises(ConfigurationError, match=r"^--json: expected a file that can be written, found .* file\.$"):
            write_output_file("--json", path, "x")
