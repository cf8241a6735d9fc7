"""The options of `secagg train`, made from the settings of a run (`secagg.runs.fields`)."""

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from secagg.runs.dependent_defaults import EXAMPLE_LEVEL_DEFAULTS, POISSON_DEFAULTS
from secagg.runs.fields import SettingFields
from secagg.runs.settings import Setting, describe


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command that takes an option for each setting, in place of its parameter `**settings`.

    An option that is not given is None, so that a file's setting is known from one of the command line.
    """
    own = [each for each in inspect.signature(command).parameters.values() if each.kind is not each.VAR_KEYWORD]
    options = [
        inspect.Parameter(setting.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_option(setting))
        for setting in describe(SettingFields)
    ]
    argument, *others = own
    command.__signature__ = inspect.Signature([argument, *options, *others])  # type: ignore[attr-defined]  # is read by inspect
    return command


def help_text(setting: Setting) -> str:
    """Return what `--help` says of a setting: its description, range and default."""
    return f"{meaning(setting)} Default: {default_text(setting)}."


def meaning(setting: Setting) -> str:
    """Return a setting's description and range, in sentences."""
    named = setting.choices and all(choice in setting.description for choice in setting.choices)
    if named or setting.kind is bool or setting.values == "text":
        return setting.description
    return f"{setting.description} {setting.values[:1].upper()}{setting.values[1:]}."


def default_text(setting: Setting) -> str:
    """Return a setting's default in words; of four settings it depends on another setting."""
    said = setting.default_in_words
    if setting.name in EXAMPLE_LEVEL_DEFAULTS:
        said += f", or {EXAMPLE_LEVEL_DEFAULTS[setting.name]:g} with --unit example"
    if setting.name in POISSON_DEFAULTS:
        said += f", or {POISSON_DEFAULTS[setting.name]:g} with --draw poisson"
    return said


def _option(setting: Setting) -> Any:
    given: dict[str, Any] = {"help": help_text(setting), "rich_help_panel": setting.group.value, "show_default": False}
    if setting.word is not None:
        given |= {"parser": _number_or_word, "metavar": "TEXT"}
    return Annotated[setting.kind | None, typer.Option(**given)]


def _number_or_word(text: str) -> int | str:
    """Return the integer that a text stands for, or else the text itself, which the settings' own check then judges."""
    return int(text) if text.isascii() and text.removeprefix("-").isdigit() else text
