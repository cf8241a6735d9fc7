"""Places for ledger files that are still to be made."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "budget of run #1?.ledger"


@pytest.fixture(scope="session")
def memory() -> Iterator[Path]:
    """A folder in memory, where the system has such, for tests that wait for many syncs and cut no power."""
    shared = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=shared) as folder:
        yield Path(folder)
