"""Servers and clients killed at random instants, with a ledger and a store of sessions in files."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


# 1,000 kills: `make kills`.
@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills children of its own")
def test_killed_servers_and_clients_never_undercount(memory: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "tests.support.cohort_kills", "40", memory / "cohorts"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    assert run.returncode == 0, run.stderr
    assert "none of them uncounted" in run.stdout
