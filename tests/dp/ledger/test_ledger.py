"""What making the file of a ledger leaves behind, and which files and file systems it refuses."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dp.errors import EntropyFailure, LedgerUnavailable
from dp.ledger.ledger import Ledger
from tests.support.ledgers import EVENT, create


def test_create_refuses_existing_and_impossible_files(path: Path, tmp_path: Path) -> None:
    path.write_bytes(b"precious")
    with pytest.raises(LedgerUnavailable, match="existing"):
        create(path)
    assert path.read_bytes() == b"precious"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(LedgerUnavailable, match="cannot be created"):
        create(tmp_path / "no" / "such" / "folder")
    with pytest.raises(LedgerUnavailable, match="no file"):
        Ledger.open(tmp_path / "nothing")


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS, None])
def test_create_says_that_hard_links_are_missing(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int | None
) -> None:
    def link(*_: object) -> None:
        raise OSError(number, "as a FAT file system answers")

    if number is None:
        monkeypatch.delattr(os, "link")
    else:
        monkeypatch.setattr(os, "link", link)
    with pytest.raises(
        LedgerUnavailable, match=r"expected a file system with hard links.*found one without\. Put the ledger"
    ):
        create(path)
    assert not list(tmp_path.iterdir())
    monkeypatch.undo()
    create(path).close()


def test_create_leaves_one_file(path: Path, tmp_path: Path) -> None:
    with create(path) as ledger:
        ledger.reserve(EVENT, "x")
    assert list(tmp_path.iterdir()) == [path]
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.stat().st_nlink == 1


@pytest.mark.parametrize(
    "entropy", [lambda size: b"", lambda size: bytes(size - 1), lambda size: bytes(size + 1), lambda size: "0" * size]
)
def test_create_refuses_a_source_of_randomness_that_returns_something_else(
    path: Path, entropy: Callable[[int], Any]
) -> None:
    """With a short salt, a published head could be used to check guesses of the data."""
    with pytest.raises(EntropyFailure, match=r"entropy: expected 16 bytes, found something else\. Use os\.urandom\."):
        Ledger.create(path, epsilon=8, delta=1e-3, population=300, entropy=entropy)
    assert not path.exists()
    with Ledger.create(path, epsilon=8, delta=1e-3, population=300, entropy=lambda size: bytes(range(size))) as made:
        assert made.budget.salt == bytes(range(16)).hex()
