"""The benchmark of differential privacy runs; its figures are for an idle machine, and none is looked at here."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_benchmark_of_dp_runs_and_writes_its_figures(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.dp", "--smoke", "--json", str(tmp_path / "dp.json")]
    shown = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert shown.returncode == 0, shown.stderr
    report = json.loads((tmp_path / "dp.json").read_text())
    assert [rate["law"] for rate in report["rates"]] == ["discrete Gaussian"] * 3 + ["Skellam"] * 4
    assert {each["mechanism"] for each in report["contributions"]} == {None, "discrete-gaussian", "skellam"}
    ours = {each["noise"]: each["epsilon"] for each in report["accounts"] if each["accountant"] == "ours"}
    theirs = {each["accountant"]: each["epsilon"] for each in report["accounts"] if each["accountant"] != "ours"}
    assert ours["Gaussian"] <= ours["discrete Gaussian"] <= theirs["dp-accounting, RDP"]
    assert all(each["noise_multiplier"] > 0 for each in report["calibrations"])
    for title in ("million samples a second", "a client's part of a round", "accounting 2 releases", "least noise"):
        assert title in shown.stdout
