"""A ledger that is copied without a lock, while it may be written."""

from pathlib import Path

import pytest

from dp.errors import LedgerLocked, LedgerUnavailable
from dp.ledger.journal import read_journal
from dp.ledger.snapshot import snapshot


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """A file in place of a ledger, with bytes that a copy must have."""
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(bytes(range(256)) * 5000)
    return path


def test_copy_has_the_bytes_of_the_file_and_its_journal_and_is_gone_at_the_end(ledger: Path) -> None:
    journal = ledger.with_name(f"{ledger.name}-journal")
    for content in (None, b"", b"zeroed header" + bytes(100)):
        if content is not None:
            journal.write_bytes(content)
        with snapshot(ledger, ledger) as copy:
            assert copy.parent != ledger.parent
            assert copy.parent.stat().st_mode & 0o077 == 0
            assert copy.read_bytes() == ledger.read_bytes()
            beside = copy.with_name(f"{copy.name}-journal")
            assert (beside.read_bytes() if beside.exists() else None) == content
        assert not copy.parent.exists()


def test_copy_of_a_file_that_changes_meanwhile_is_made_again(ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = list[int]()

    def writing(file: Path) -> bytes | None:
        if len(seen) < 3:
            file.write_bytes(file.read_bytes() + b"one more record")
        seen.append(file.stat().st_size)
        return read_journal(file)

    monkeypatch.setattr("dp.ledger.snapshot.read_journal", writing)
    with snapshot(ledger, ledger) as copy:
        assert copy.stat().st_size == seen[-1]
    assert len(seen) == 4


def test_file_that_never_stops_changing_is_reported_as_locked(ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.write_bytes(b"0")
    monkeypatch.setattr("dp.ledger.snapshot.ATTEMPTS", 3)

    def writing(file: Path) -> None:
        file.write_bytes(file.read_bytes() + b"more")

    monkeypatch.setattr("dp.ledger.snapshot.read_journal", writing)
    with pytest.raises(LedgerLocked, match="without a change in 3 attempts"), snapshot(ledger, ledger):
        raise AssertionError("there is a copy")


def test_file_that_is_too_large_is_not_copied(ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dp.ledger.snapshot.MAXIMUM_COPIED_BYTES", 1000)
    with pytest.raises(LedgerUnavailable, match="at most 1000 bytes to read"), snapshot(ledger, ledger):
        raise AssertionError("there is a copy")


def test_missing_folder_for_temporary_files_is_named(
    ledger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    with pytest.raises(LedgerUnavailable, match="Set TMPDIR"), snapshot(ledger, ledger):
        raise AssertionError("there is a copy")
