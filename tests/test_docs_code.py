"""The Python and the commands in the pages of the documentation run as they stand."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.support.commands import secagg

DOCS: Final = Path(__file__).parent.parent / "docs"
MADE: Final = ("_build", "examples", "reference/api", "reference/commands")
PAGES: Final = [
    page for page in sorted(DOCS.rglob("*.md")) if not page.relative_to(DOCS).as_posix().startswith(MADE)
]  # what the site makes from the code is not written by hand


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def name(page: Path) -> str:
    return page.relative_to(DOCS).with_suffix("").as_posix()


BLOCKS: Final = [
    pytest.param(code, id=f"{name(page)}-{number}", marks=[pytest.mark.tensorflow] if "import keras" in code else [])
    for page in PAGES
    for number, code in enumerate(blocks(page, "python"))
]
COMMANDS: Final = [pytest.param("".join(found), id=name(page)) for page in PAGES if (found := blocks(page, "sh"))]


@pytest.mark.parametrize("code", BLOCKS)
def test_code_of_a_page_runs(code: str, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert "import keras" in code or done.stderr == ""  # TensorFlow says on standard error what it runs on


@pytest.mark.parametrize("commands", COMMANDS)
def test_commands_of_a_page_run(commands: str, tmp_path: Path) -> None:
    """The commands of a page run one after the other, in one folder."""
    for line in commands.splitlines():
        command, *arguments = shlex.split(line)
        assert command == "secagg"
        done = secagg(*arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert done.stdout


def test_pages_have_code_and_commands() -> None:
    assert BLOCKS
    assert COMMANDS


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_page_names_the_language_of_each_block(page: Path) -> None:
    """A block that no test runs says so: it is text, output, or something that the site's extension draws."""
    fences = re.findall(r"^```(.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(fences) % 2 == 0
    known = {"python", "sh", "text", "toml", "json", "yaml"}
    assert all(language in known or language.startswith("{") for language in fences[::2])
