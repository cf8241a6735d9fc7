"""Paths as people write them, and as a terminal may show them."""

from pathlib import Path

import pytest

from secagg.errors import ConfigurationError
from secagg.paths import escaped, expanded, is_archive, whole


def test_home_folder_stands_for_a_leading_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expanded("~/run") == tmp_path / "run"
    assert expanded("a/~/run") == Path("a/~/run")
    with pytest.raises(ConfigurationError, match="Write the path in full"):
        expanded("~nobody-of-this-name/run")


def test_whole_path_is_the_same_from_every_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert whole("run") == str(tmp_path / "run")
    assert whole(tmp_path / "run") == str(tmp_path / "run")


@pytest.mark.parametrize(
    ("text", "safe"),
    [("r\u00e9sum\u00e9 1", "r\u00e9sum\u00e9 1"), ("a\nb", r"a\nb"), ("\x1b[31m", r"\x1b[31m"), ("\udcff", r"\udcff")],
)
def test_characters_that_control_a_terminal_are_escaped(text: str, safe: str) -> None:
    assert escaped(text) == safe
    assert escaped(Path(text)) == safe


def test_archives_are_known_by_their_suffix() -> None:
    assert is_archive("data.npz")
    assert is_archive(Path("data.NPZ"))
    assert not is_archive("npz")
    assert not is_archive("data.npz.gz")
