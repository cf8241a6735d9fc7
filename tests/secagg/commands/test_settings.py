"""Settings are said once: the page, the example file, the options and the README agree with the code."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from secagg.cli import app
from secagg.commands.settings_page import EXAMPLE, PAGE, as_example, as_page
from secagg.privacy.delta import default_delta
from secagg.runs.config import TrainingConfig
from secagg.runs.fields import SettingFields
from secagg.runs.parsing import parse
from secagg.runs.settings import Group, Setting, describe

ROOT = Path(__file__).parents[3]
COMMANDS = (
    (),
    ("train",),
    ("protocols",),
    ("budget",),
    ("budget", "plan"),
    ("budget", "report"),
    ("budget", "verify"),
    ("keys",),
    ("keys", "committee"),
)


def shown(*arguments: str, columns: int) -> str:
    """What a command prints on a terminal of this width."""
    environment = {"COLUMNS": str(columns), "NO_COLOR": "1", "TERM": "dumb"}
    found = CliRunner(env=environment).invoke(app, arguments, prog_name="secagg")
    assert found.exit_code == 0, found.output
    return found.output


def options(*names: str) -> dict[str, list[str]]:
    """The options of a command, by parameter."""
    found = typer.main.get_command(app)
    for name in names:
        found = found.commands[name]  # type: ignore[attr-defined]  # a group
    return {each.name or "": [*each.opts, *each.secondary_opts] for each in found.params}


def test_settings_page_and_example_are_what_the_code_writes() -> None:
    """`python -m secagg.commands.settings_page .` writes both."""
    assert (ROOT / PAGE).read_text(encoding="utf-8") == as_page()
    assert (ROOT / EXAMPLE).read_text(encoding="utf-8") == as_example()


def test_settings_example_has_the_defaults_and_names_every_setting() -> None:
    text = as_example()
    assert parse(tomllib.loads(text)) == TrainingConfig()
    every = tomllib.loads(re.sub(r"(?m)^# (?=\w+ = )", "", text))
    assert every.keys() == set(TrainingConfig.__struct_fields__)
    assert every["minimum_contributors"] == TrainingConfig().required_contributors
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize("setting", describe(SettingFields), ids=lambda setting: setting.name)
def test_setting_takes_its_example(setting: Setting) -> None:
    name, example = setting.name, setting.example
    needed: dict[str, dict[str, Any]] = {
        "max_examples": {"weighting": "weighted"},
        "committee_fingerprint": {"committee": "keys"},
        "draw": {"cohort": 100},
        "cap": {"cohort": 100},
        "separation": {"cohort": 100},
    }
    assert getattr(parse({name: example} | needed.get(name, {})), name) == example


def test_settings_are_the_options_of_train() -> None:
    found = options("train")
    names = list(TrainingConfig.__struct_fields__)
    assert found.keys() == {*names, "config", "out", "resume", "overwrite", "record", "as_json"}
    assert {setting.name: setting.option for setting in describe(SettingFields)} == {
        name: found[name][0] for name in names
    }


def test_settings_are_all_described_in_a_group() -> None:
    described = describe(SettingFields)
    assert {setting.name for setting in described} == set(TrainingConfig.__struct_fields__)
    assert list(dict.fromkeys(setting.group for setting in described)) == list(Group)
    for setting in described:
        assert re.match(r"[A-Z]", setting.description), setting.name
        assert setting.description.endswith("."), setting.name
        assert setting.privacy.endswith("."), setting.name
        assert setting.default is not None or setting.unset, setting.name


def test_settings_in_the_readme_are_options_of_the_commands() -> None:
    text = re.sub(r"`python examples/[^`]*`", "", (ROOT / "README.md").read_text(encoding="utf-8"))
    mentioned = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))
    known = {option for names in (*COMMANDS, ("plan",)) for each in options(*names).values() for option in each}
    assert mentioned
    assert mentioned <= known


@pytest.mark.parametrize("columns", [80, 100])
@pytest.mark.parametrize("names", COMMANDS, ids=" ".join)
def test_help_names_every_option_and_cuts_nothing_off(names: tuple[str, ...], columns: int) -> None:
    text = shown(*names, "--help", columns=columns)
    assert "\N{HORIZONTAL ELLIPSIS}" not in text
    assert max(map(len, text.splitlines())) <= columns
    for option in (option for found in options(*names).values() for option in found if option.startswith("--")):
        assert re.search(rf"(?<![\w-]){option}(?![\w-])", text)


@pytest.mark.parametrize("columns", [80, 100])
def test_train_help_shows_groups_and_defaults(columns: int) -> None:
    words = " ".join(shown("train", "--help", columns=columns).replace("\N{BOX DRAWINGS LIGHT VERTICAL}", " ").split())
    for group in Group:
        assert f" {group.value} " in words
    for setting in describe(SettingFields):
        assert f"Default: {setting.default_in_words}" in words


@pytest.mark.parametrize(
    ("names", "warning"),
    [
        (("train",), "inf: no noise and no differential privacy"),
        (("train",), "These runs are not private"),
        (("budget", "plan"), "WARNING: the resulting epsilon holds only against observers who do not learn"),
        (("keys", "committee"), "WARNING: this process sees the complete key and could decrypt everything"),
        (("keys", "committee"), "As many colluding members can decrypt everything"),
    ],
)
def test_help_warns_where_privacy_is_at_stake(names: tuple[str, ...], warning: str) -> None:
    text = shown(*names, "--help", columns=80).replace("\N{BOX DRAWINGS LIGHT VERTICAL}", " ")
    assert warning in " ".join(text.split())


def test_protocols_fit_80_columns_without_cutting_words() -> None:
    text = shown("protocols", columns=80)
    assert "\N{HORIZONTAL ELLIPSIS}" not in text
    assert max(map(len, text.splitlines())) <= 80
    for word in ("confirm_survivors", "advertise_keys", "aggregate_shares", "malicious", "lightsecagg"):
        assert word in text


@pytest.mark.parametrize("clients", [2, 300, 999, 1000, 50_000])
def test_default_delta_is_one_that_train_takes(clients: int) -> None:
    config = parse({"clients": clients, "dropout": 0.0, "adversarial": 0.0})
    assert config.delta == default_delta(clients) < 1 / clients
    assert config.delta == 1e-3 or clients >= 1000
