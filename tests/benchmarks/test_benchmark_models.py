"""Sums of 2 * 10^7 and 10^8 values from disk to disk, with each party's memory; `make models` is the same with 10^9."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from benchmarks.models import CLIENT_MB, SERVER_MB, Report


@pytest.mark.slow
@pytest.mark.parametrize("length", [20_000_000, pytest.param(100_000_000, marks=pytest.mark.long)])
def test_sum_of_long_vectors_is_right_and_needs_little_memory(length: int, tmp_path: Path) -> None:
    """A client's memory is the same at both lengths.

    The benchmark compares the sum with the inputs, and ends with an error if it is wrong.
    """
    command = [sys.executable, "-m", "benchmarks.models", "--length", str(length), "--folder", str(tmp_path)]
    subprocess.run([*command, "--json", str(tmp_path / "models.json")], check=True, capture_output=True, timeout=300)
    report = msgspec.json.decode((tmp_path / "models.json").read_bytes(), type=Report)
    assert report.client.resident_mb < CLIENT_MB
    assert report.member.resident_mb < CLIENT_MB
    assert report.server.own_mb < SERVER_MB
    assert [path.name for path in tmp_path.iterdir()] == ["models.json"]
