import io
import subprocess
import sys

import pytest
from rich.console import Console

from secagg.commands.progress import shows_bars


def test_progress_shows_bars_on_terminals_alone() -> None:
    assert not shows_bars(Console(file=io.StringIO()))
    assert not shows_bars(Console(file=io.StringIO(), force_terminal=True))


@pytest.mark.parametrize(
    "name", ["cli", "commands.node_check", "commands.node_serve", "commands.node_keys", "commands.keys"]
)
def test_commands_of_a_node_import_no_training(name: str) -> None:
    """A node's commands start at once, and a process that answers protocol messages is small."""
    code = (
        f"import sys, secagg.{name}; print([each for each in sys.modules if "
        "each.partition('.')[0] in ('scipy', 'tensorflow', 'keras') or "
        "each in ('secagg.runs.comparison', 'secagg.runs.prepare', 'secagg.training.averaging')])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
