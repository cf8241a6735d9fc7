"""The quick examples run as they stand."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.mark.parametrize(
    "name", ["sum_with_dropouts.py", "malicious_server.py", "committee_opens.py", "own_transport.py"]
)
def test_example_runs_and_sums_over_who_is_left(name: str) -> None:
    found = subprocess.run([sys.executable, str(EXAMPLES / name)], capture_output=True, text=True, check=True)
    assert "vectors are in the sum" in found.stdout
    assert found.stderr == ""
