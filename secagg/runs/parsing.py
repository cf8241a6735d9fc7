"""Settings as people write them: TOML files, texts of the command line, and paths."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from secagg.checks import shown
from secagg.errors import ConfigurationError
from secagg.paths import expanded, is_archive, whole
from secagg.privacy.delta import default_delta
from secagg.runs.config import TrainingConfig
from secagg.runs.dependent_defaults import EXAMPLE_LEVEL_DEFAULTS, POISSON_DEFAULTS
from secagg.runs.fields import SettingFields
from secagg.runs.settings import describe
from secagg.suggestions import did_you_mean
from secagg.training.cohorts import Draw

PATHS: Final = ("dataset", "committee")
"""Names of the settings that may be paths."""


def read_settings(path: Path) -> dict[str, Any]:
    """Return the table of a TOML file, not yet checked.

    Raises:
        ConfigurationError: The file cannot be read, or is not TOML.
    """
    try:
        return tomllib.loads(expanded(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(
            f"{path}: expected a file that can be read, found: {error.strerror}. Check the path."
        ) from None
    except RecursionError:
        raise ConfigurationError(f"{path}: expected a table of settings, found one nested too deeply.") from None
    except ValueError as error:  # Not only what tomllib raises itself: numbers of thousands of digits, for one.
        raise ConfigurationError(f"{path}: expected valid TOML, found: {error}.") from None


def parse(settings: dict[str, Any]) -> TrainingConfig:
    """Return checked settings from a table.

    Raises:
        ConfigurationError: A setting is unknown, has a wrong type, or cannot work.
    """
    check_known(settings)
    if settings.get("unit") == "example":
        settings = EXAMPLE_LEVEL_DEFAULTS | settings
    elif type(clients := settings.get("clients")) is int and clients > 1:
        settings = {"delta": default_delta(clients)} | settings
    if settings.get("draw") == Draw.POISSON:
        settings = POISSON_DEFAULTS | settings
    try:
        return msgspec.convert(settings, type=TrainingConfig)
    except msgspec.ValidationError as error:
        if isinstance(error.__cause__, ConfigurationError):
            raise error.__cause__ from None
        name = str(error).rpartition(" - at `$.")[2].rstrip("`")
        raise _refusal(name, settings[name]) from None


def check_known(settings: Mapping[str, Any]) -> None:
    """Refuse names that are not settings.

    Raises:
        ConfigurationError: There is one. The message suggests a setting with a similar name.
    """
    known = TrainingConfig.__struct_fields__
    unknown = sorted(settings.keys() - set(known))
    if unknown:
        meant = did_you_mean(unknown[0], known)
        raise ConfigurationError(f"settings: expected {', '.join(known)}, found {', '.join(unknown)}{meant or '.'}")


def convert_setting(name: str, value: object) -> Any:
    """Return one setting by itself, in the type that it has in `TrainingConfig`.

    Args:
        name: The name of a known setting.
        value: Its value as TOML or the command line has it.

    Raises:
        ConfigurationError: It has a wrong type or is out of range.
    """
    kind = next(field.type for field in msgspec.structs.fields(TrainingConfig) if field.name == name)
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        raise _refusal(name, value) from None


def with_whole_paths(config: TrainingConfig) -> TrainingConfig:
    """Return the same settings with paths that mean the same from every folder.

    Raises:
        ConfigurationError: There is no home folder for a path's `~`.
    """
    return msgspec.structs.replace(config, **{name: whole_path(name, getattr(config, name)) for name in PATHS})


def whole_path(name: str, value: Any) -> Any:
    """Return a setting's value; if it is a path, the one that means the same from every folder.

    Raises:
        ConfigurationError: There is no home folder for its `~`.
    """
    return whole(value) if is_path(name, value) else value


def is_path(name: str, value: Any) -> bool:
    """Return whether a setting's value is a path; a data set may have a name instead."""
    return isinstance(value, str) and name in PATHS and (name != "dataset" or is_archive(value))


def _refusal(name: str, value: object) -> ConfigurationError:
    setting = next(each for each in describe(SettingFields) if each.name == name)
    meant = did_you_mean(str(value), setting.choices)
    advice = meant or f". Give {setting.option}, or {name} in the file of settings, such a value."
    return ConfigurationError(f"{name}: expected {setting.values}, found {shown(value)}{advice}")
