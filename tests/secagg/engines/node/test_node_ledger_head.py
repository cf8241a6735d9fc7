from pathlib import Path

import pytest

from secagg.engines.node.ledger_head import LedgerHead
from secagg.storage.labelled_file import DamagedKeyFile

HEADS = ("12" * 32, "ab" * 32)


def test_head_is_kept_in_the_place_of_the_earlier_one(tmp_path: Path) -> None:
    path = tmp_path / "ledger.head"
    assert LedgerHead(path).read() is None
    for head in HEADS:
        LedgerHead(path).keep(head)
        assert LedgerHead(path).read() == head
    assert [each.name for each in tmp_path.iterdir()] == ["ledger.head"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_head_that_is_known_is_not_written_again(tmp_path: Path) -> None:
    path = tmp_path / "ledger.head"
    LedgerHead(path).keep(HEADS[0])
    before = path.stat().st_ino
    LedgerHead(path).keep(HEADS[0])
    assert path.stat().st_ino == before


def test_damaged_head_is_refused_and_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "ledger.head"
    LedgerHead(path).keep(HEADS[0])
    damaged = path.read_bytes()[:-1]
    path.write_bytes(damaged)
    for use in (LedgerHead(path).read, lambda: LedgerHead(path).keep(HEADS[1])):
        with pytest.raises(DamagedKeyFile, match=r"ledger\.head"):
            use()
    assert path.read_bytes() == damaged
