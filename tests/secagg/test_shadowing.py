import subprocess
import sys
from pathlib import Path

import pytest


def imported(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *options, "-c", "import secagg; print(secagg.__name__)"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("name", ["dp", "protocols"])
@pytest.mark.parametrize("kind", ["package", "module"])
def test_shadowing_package_is_named(name: str, kind: str, tmp_path: Path) -> None:
    """A folder on the path holds a foreign package by the name of one of ours.

    `refuse_foreign_packages` must stop it (ImportError) before any of its code runs.
    """
    foreign = tmp_path / name / "__init__.py" if kind == "package" else tmp_path / f"{name}.py"
    foreign.parent.mkdir(exist_ok=True)
    foreign.write_text("raise SystemExit('the foreign code must not run')\n")
    found = imported(tmp_path)
    assert found.returncode == 1
    last = found.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: ")
    assert f"its own package {name!r}" in last
    assert str(foreign) in last
    assert "python -P" in last
    assert imported(tmp_path, "-P").stdout == "secagg\n"


def test_shadowing_check_lets_our_own_pass(tmp_path: Path) -> None:
    assert imported(tmp_path).stdout == "secagg\n"
