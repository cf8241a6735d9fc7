"""Gives every test that takes `path` the place of a ledger file that is still to be made."""

from pathlib import Path

import pytest


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "budget of run #1?.ledger"
