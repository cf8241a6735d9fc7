"""Records the text of `--help` of every command: python -m tests.vectors.record_help.

The texts are those of a terminal of 80 columns without colours.
"""

import json
import os
import subprocess
import sys
from typing import Final

from tests.vectors.recorded import VECTORS, rewrite

FOLDER: Final = VECTORS / "help"
_ROOT: Final = VECTORS.parents[1]
_TERMINAL: Final = {"COLUMNS": "80", "LINES": "40", "NO_COLOR": "1", "PYTHONUTF8": "1", "TERM": "dumb"}
_CHANGING: Final = ("FORCE_COLOR", "GITHUB_ACTIONS", "PY_COLORS", "TERMINAL_WIDTH", "TYPER_USE_RICH")
"""Variables by which the texts of typer and rich would change."""

_PROGRAM: Final = """
import json, sys
import typer
from typer.testing import CliRunner
from secagg.cli import app

def commands(command, names):
    yield names
    for name, child in getattr(command, "commands", {}).items():
        yield from commands(child, (*names, name))

texts = {}
for names in commands(typer.main.get_command(app), ("secagg",)):
    result = CliRunner().invoke(app, [*names[1:], "--help"], prog_name="secagg")
    assert result.exit_code == 0, result.output
    texts[" ".join(names)] = result.stdout
json.dump(texts, sys.stdout)
"""


def help_texts() -> dict[str, str]:
    """Return the text of every command, by the command; they are made in a process that has this terminal."""
    environment = {name: value for name, value in os.environ.items() if name not in _CHANGING} | _TERMINAL
    made = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, check=True, cwd=_ROOT, env=environment)
    found: dict[str, str] = json.loads(made.stdout)
    return found


def recorded_texts() -> dict[str, str]:
    """Return the texts of the folder, by the command."""
    paths = sorted(FOLDER.glob("*.txt"))
    return {path.stem.replace("_", " "): path.read_bytes().decode("utf-8") for path in paths}


if __name__ == "__main__":
    rewrite(FOLDER, {f"{command.replace(' ', '_')}.txt": text.encode() for command, text in help_texts().items()})
