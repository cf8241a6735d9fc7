"""What making the file of a ledger leaves behind, and which files and file systems it refuses."""

import errno
import os
from pathlib import Path

import pytest

from dp.errors import LedgerUnavailable
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
