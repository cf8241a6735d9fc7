"""The file in which the owner of a node finds which trainings have failed."""

from pathlib import Path

import pytest

from secagg.engines.node.check import check_node
from secagg.engines.node.failure_log import FailureLog
from secagg.engines.node.home import Home
from tests.support.homes import homes


class LongName(Exception):
    """An error whose class has a name that no terminal should get whole."""


LongName.__name__ = "x" * 5000 + "\x1b[2J"


def test_failures_are_noted_one_a_line_without_their_text(tmp_path: Path) -> None:
    log = FailureLog(tmp_path / "failed.txt")
    assert log.lines() == ()
    log.note(3, ValueError("Alice, HIV positive"))
    log.note(4, LongName("row 17"))
    first, second = FailureLog(log.path).lines()
    assert first == "serial 3: ValueError"
    assert second == "serial 4: " + "x" * 100
    assert log.path.stat().st_mode & 0o777 == 0o600


def test_note_that_cannot_be_written_or_read_raises_nothing(tmp_path: Path) -> None:
    for path in (tmp_path / "no" / "folder", tmp_path):
        log = FailureLog(path)
        log.note(1, ValueError())
        assert log.lines() == ()


def test_file_that_somebody_has_changed_is_shown_in_printable_lines(tmp_path: Path) -> None:
    log = FailureLog(tmp_path / "failed.txt")
    log.path.write_bytes(b"\xff\x1b[2J\nserial 2: ValueError\n")
    assert all(line.isprintable() for line in log.lines())
    assert log.lines()[-1] == "serial 2: ValueError"


@pytest.mark.parametrize("count", [0, 2])
def test_check_of_a_node_tells_its_owner(tmp_path: Path, count: int) -> None:
    home = Home.open(homes(tmp_path)[0])
    for serial in range(count):
        home.failures.note(serial, FloatingPointError())
    found = [each for each in check_node(home).warnings if each.startswith("training: ")]
    assert len(found) == (1 if count else 0)
    assert all("found 2, the last one serial 1: FloatingPointError." in each for each in found)
