"""Benchmarks keep themselves to one core, and no program that imports them."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
CORES: Final = "import os; print(len(os.sched_getaffinity(0)), os.environ.get('OMP_NUM_THREADS'))"

pytestmark = pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system pins no process")


def printed(*arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    found = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    return found.stdout.strip()


def test_importing_a_benchmark_pins_no_process() -> None:
    """A worker that runs tests would share one core with all others."""
    cores = len(os.sched_getaffinity(0))
    assert printed("-c", f"import benchmarks.masking.core; {CORES}") == f"{cores} None"


def test_benchmark_runs_on_one_core() -> None:
    run = f"import runpy; runpy._run_module_as_main('benchmarks.masking.core'); {CORES}"
    assert printed("-c", run) == "1 1"
