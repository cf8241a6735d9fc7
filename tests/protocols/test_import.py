"""Importing `protocols` is quick and pulls in nothing heavy."""

import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
BUDGET_S: Final = 0.4
HEAVY: Final = {
    "dp",
    "dp_accounting",
    "flwr",
    "gmpy2",
    "hypothesis",
    "jinja2",
    "keras",
    "matplotlib",
    "phe",
    "pytest",
    "rich",
    "scipy",
    "secagg",
    "sklearn",
    "sqlite3",
    "tensorflow",
    "tensorflow_privacy",
    "tf_keras",
    "typer",
}
SCRIPT: Final = """
import sys, time
sys.path.insert(0, sys.argv[1])
begun = time.process_time()
import protocols
print(time.process_time() - begun)
print(*sorted(sys.modules))
"""


def imported() -> tuple[float, set[str]]:
    """CPU seconds that `import protocols` takes in a fresh interpreter, and every module loaded after it."""
    command = [sys.executable, "-I", "-c", SCRIPT, str(ROOT)]
    seconds, modules = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return float(seconds), set(modules.split())


def test_import_stays_within_its_budget() -> None:
    """The best of up to five: a busy machine can only slow an import down."""
    assert any(imported()[0] < BUDGET_S for _ in range(5))


def test_import_loads_nothing_heavy() -> None:
    _, modules = imported()
    assert "protocols.pairwise" in modules
    assert "protocols.testing" not in modules
    assert {name.partition(".")[0] for name in modules}.isdisjoint(HEAVY)
