"""A sum of 2 * 10^7 values from disk to disk, with the memory of each party; `make models` is the same with 10^9."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from benchmarks.models import CLIENT_MB, SERVER_MB, Report


@pytest.mark.slow
def test_sum_of_long_vectors_is_right_and_needs_little_memory(tmp_path: Path) -> None:
    """The suite has no time for 10^8 values, which take 12 s of processor time; a client's memory is the same at both.

    The benchmark compares the sum with the inputs, and ends with an error if it is wrong.
    """
    command = [sys.executable, "-m", "benchmarks.models", "--length", "20000000", "--folder", str(tmp_path)]
    subprocess.run([*command, "--json", str(tmp_path / "models.json")], check=True, capture_output=True, timeout=300)
    report = msgspec.json.decode((tmp_path / "models.json").read_bytes(), type=Report)
    assert report.client.resident_mb < CLIENT_MB
    assert report.member.resident_mb < CLIENT_MB
    assert report.server.own_mb < SERVER_MB
    assert [path.name for path in tmp_path.iterdir()] == ["models.json"]
