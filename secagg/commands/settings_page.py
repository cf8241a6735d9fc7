"""The page and the example file of all settings, written from the settings themselves.

`python -m secagg.commands.settings_page FOLDER` writes both below FOLDER, the root of a clone.
"""

import json
import sys
import textwrap
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Final

from secagg.commands.options import default_text, meaning
from secagg.runs.fields import SettingFields
from secagg.runs.settings import Group, Setting, describe

PAGE: Final = Path("docs", "reference", "settings.md")
EXAMPLE: Final = Path("examples", "digits.toml")

_WIDTH: Final = 120
_PAGE_HEAD: Final = """\
# Settings of a training run

<!-- Written by `python -m secagg.commands.settings_page .`; change secagg/runs/fields.py instead. -->

`secagg train` takes each setting from an option, or from a TOML file (`secagg train settings.toml`). An option comes
before the file, and the file before the default. An unknown name, or a setting that cannot work, is refused before
anything runs. The file `examples/digits.toml` lists all settings with their defaults.
"""
_EXAMPLE_HEAD: Final = """\
# All settings of `secagg train` with their defaults:  secagg train examples/digits.toml
# Options of the command line come before these. An unknown name, or a setting that cannot work, is refused before
# anything runs. A setting that is commented out has no value by default; the value shown is an example.
# Written by `python -m secagg.commands.settings_page .`; change secagg/runs/fields.py instead.
"""


def as_page() -> str:
    """Return the page of all settings, in Markdown: a table for each group."""
    tables = ["\n".join([f"\n## {group.value}\n", *_table(settings)]) for group, settings in _groups()]
    return "\n".join([_PAGE_HEAD.rstrip(), *tables]) + "\n"


def as_example() -> str:
    """Return the file of all settings with their defaults, each with its description as a comment."""
    blocks = ["\n".join([f"# ---- {group.value} ----\n", *map(_lines, settings)]) for group, settings in _groups()]
    return "\n".join([_EXAMPLE_HEAD, *blocks])


def _groups() -> Iterator[tuple[Group, list[Setting]]]:
    for group, settings in groupby(describe(SettingFields), key=lambda setting: setting.group):
        yield group, list(settings)


def _table(settings: list[Setting]) -> Iterator[str]:
    yield "| setting | type and range | default | meaning | effect on privacy |"
    yield "|---|---|---|---|---|"
    for each in settings:
        name = f"`{each.name}`<br>`{each.option}`"
        cells = (name, each.values, default_text(each), each.description, each.privacy)
        yield f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def _lines(setting: Setting) -> str:
    said = meaning(setting)
    if setting.default is None:
        said += f" Without it: {default_text(setting)}."
    comment = textwrap.fill(said, _WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)
    value = setting.example
    written = json.dumps(str(value) if isinstance(value, str) else value)
    return f"{comment}\n{'# ' if setting.default is None else ''}{setting.name} = {written}\n"


def main(root: Path) -> None:
    """Write both files."""
    (root / PAGE).parent.mkdir(parents=True, exist_ok=True)
    (root / PAGE).write_text(as_page(), encoding="utf-8")
    (root / EXAMPLE).write_text(as_example(), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
