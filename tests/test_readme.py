"""The README's Python runs as it stands, and the README keeps to its length."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.mark.tensorflow
@pytest.mark.parametrize("code", BLOCKS[:1])
def test_readme_code_runs(code: str, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.tensorflow
def test_readme_training_runs_twice_on_one_budget(tmp_path: Path) -> None:
    """The second run releases nothing: the ledger of the data is the first one's, and is spent."""
    said = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", BLOCKS[1]], cwd=tmp_path, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        said.append(done.stdout.splitlines())
    assert len(said[0]) == 6
    assert said[1] == said[0][-1:] == ["epsilon 8.00 of 8 is spent"]


def test_readme_has_two_examples_and_fits_on_two_pages() -> None:
    assert len(BLOCKS) == 2
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 120
