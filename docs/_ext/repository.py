"""Files of the repository as pages of the site: texts outside `docs/`, the examples, and the help of the commands."""

import ast
import os
import posixpath
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = ROOT / "docs"

COMMANDS: Final = (
    "",
    "train",
    "protocols",
    "audit",
    "plan",
    "bench",
    "budget plan",
    "budget report",
    "budget verify",
    "keys committee",
    "keys member",
    "keys seed-committee",
    "keys node",
    "keys coordinator",
    "keys roster",
    "node check",
    "engine warm",
)
"""The commands whose help is shown."""

_INCLUDE: Final = re.compile(r"^```\{include\} (\S+)\n```$", re.MULTILINE)
_LINK: Final = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)\s]+)\)")
_PICTURE: Final = re.compile(r"(!\[[^\]]*\])\(([^)\s]+)\)")
_ABSOLUTE: Final = re.compile(r"^(?:[a-z][a-z+.-]*:|#|/)")


def included_files(page: Path) -> list[Path]:
    """Return the files outside `docs/` that a page shows."""
    found = _INCLUDE.findall(page.read_text(encoding="utf-8"))
    return [Path(os.path.normpath(page.parent / name)) for name in found]


def with_included_text(page: Path, text: str) -> str:
    """Return the text of a page with its includes filled in and its links to repository files made links of the site.

    Args:
        page: The page's file.
        text: What it says.
    """
    text = _mended(text, page.parent, page)

    def fill(match: re.Match[str]) -> str:
        source = Path(os.path.normpath(page.parent / match.group(1)))
        return _mended(source.read_text(encoding="utf-8"), source.parent, page)

    return _INCLUDE.sub(fill, text)


def write_examples(folder: Path) -> None:
    """Write a page for each example, with its code, and a page that lists them."""
    _fill(folder, dict(_example_pages()))


def write_commands(folder: Path) -> None:
    """Write the page of the command line: the help of each command, as a terminal of 96 columns shows it."""
    parts = ["# Command line", "Every command and option, as `--help` shows them."]
    for command in COMMANDS:
        name = f"secagg {command}".strip()
        parts.append(f"## `{name}`\n\n```text\n{_help(command)}\n```")
    _fill(folder, {"index.md": "\n\n".join(parts) + "\n"})


def _help(command: str) -> str:
    environment = {**os.environ, "COLUMNS": "96", "NO_COLOR": "1", "TERM": "dumb", "PYTHONPATH": str(ROOT)}
    told = subprocess.run(  # noqa: S603  # a command of ours
        [sys.executable, "-P", "-m", "secagg", *command.split(), "--help"],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    return "\n".join(line.rstrip() for line in told.stdout.strip("\n").splitlines())


def _fill(folder: Path, pages: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for old in set(folder.iterdir()) - {folder / name for name in pages}:
        old.unlink()
    for name, text in pages.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def _example_pages() -> Iterator[tuple[str, str]]:
    listed = []
    for path in sorted((ROOT / "examples").rglob("*")):
        if path.suffix not in {".py", ".toml"} or "egg-info" in path.as_posix():
            continue
        name = _page_of_example(path)
        shown = path.relative_to(ROOT).as_posix()
        said = _introduction(path)
        language = {".py": "python", ".toml": "toml"}[path.suffix]
        code = f"```{{literalinclude}} /../{shown}\n:language: {language}\n```\n"
        yield f"{name}.md", f"# `{shown}`\n\n{said}\n\n{code}"
        listed.append(name)
    lines = "\n".join(listed)
    yield (
        "index.md",
        (
            "# Examples\n\nEach file runs as it stands: `python examples/NAME.py` in a clone.\n\n"
            f"```{{toctree}}\n:maxdepth: 1\n\n{lines}\n```\n"
        ),
    )


def _introduction(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        return ast.get_docstring(ast.parse(text)) or ""
    lines = []
    for line in text.splitlines():
        if not line.startswith("# "):
            break
        lines.append(line.removeprefix("# "))
    return "\n".join(lines)


def _page_of_example(path: Path) -> str:
    return path.relative_to(ROOT / "examples").as_posix().replace("/", "-").replace(".", "-").removesuffix("-py")


def _mended(text: str, folder: Path, page: Path) -> str:
    """Return a text with each link to a file of the repository turned into one that works in the page that shows it.

    A link to a file that the site does not show becomes its name.
    """

    def link(match: re.Match[str]) -> str:
        label, target = match.groups()
        if _ABSOLUTE.match(target):
            return match.group()
        path, _, anchor = target.partition("#")
        file = Path(os.path.normpath(folder / path))
        shown = _shown_as(file)
        if shown is None:
            if not file.exists():
                return match.group()
            named = file.relative_to(ROOT).as_posix()
            return label if named == label.strip("`") else f"{label} (`{named}`)"
        return f"[{label}]({_relative(shown, page)}{f'#{anchor}' if anchor else ''})"

    def picture(match: re.Match[str]) -> str:
        if _ABSOLUTE.match(match.group(2)):
            return match.group()
        return f"{match.group(1)}({_relative(Path(os.path.normpath(folder / match.group(2))), page)})"

    return _PICTURE.sub(picture, _LINK.sub(link, text))


def _shown_as(file: Path) -> Path | None:
    """Return the page that shows a file or a folder of the repository, if the site has one."""
    if file.is_dir():
        index = DOCS / file.relative_to(ROOT).relative_to("docs") / "index.md" if file.is_relative_to(DOCS) else None
        if file == ROOT / "examples":
            index = DOCS / "examples" / "index.md"
        if file.parent == ROOT / "examples":
            found = sorted(file.glob("*.py"))
            index = DOCS / "examples" / f"{_page_of_example(found[0])}.md" if found else None
        return index
    if file.is_relative_to(ROOT / "examples"):
        return DOCS / "examples" / f"{_page_of_example(file)}.md"
    if file.is_relative_to(DOCS):
        return file if file.exists() else None
    return _including(file)


def _including(file: Path) -> Path | None:
    """Return the page that includes a file."""
    for page in sorted(DOCS.rglob("*.md")):
        if "_build" not in page.parts and file in included_files(page):
            return page
    return None


def _relative(file: Path, page: Path) -> str:
    return str(PurePosixPath(posixpath.relpath(file.as_posix(), page.parent.as_posix())))
