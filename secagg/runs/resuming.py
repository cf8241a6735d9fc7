"""The settings that are given again when a run is resumed: those that it began with, except its rounds."""

from collections.abc import Mapping
from typing import Any

from secagg.aggregation.modulus_bits import AUTO
from secagg.errors import ConfigurationError
from secagg.paths import expanded
from secagg.runs.config import TrainingConfig
from secagg.runs.parsing import check_known, convert_setting, is_path


def check_given_again(given: Mapping[str, Any], began: TrainingConfig) -> int | None:
    """Refuse settings other than those that a run began with; its rounds may be other ones.

    Args:
        given: As TOML or the command line has them.
        began: The run's.

    Returns:
        The rounds that are given, or None.

    Raises:
        ConfigurationError: A setting is unknown, out of range, or differs. The message names all that differ.
    """
    check_known(given)
    found = {name: convert_setting(name, value) for name, value in given.items()}
    rounds: int | None = found.pop("rounds", None)
    other = [
        f"{name} = {_shown(value)} instead of {_shown(getattr(began, name))}"
        for name, value in found.items()
        if not _same(name, value, getattr(began, name))
    ]
    if other:
        raise ConfigurationError(
            f"--resume: expected the settings that the run began with, found {', '.join(other)}. Leave them out, or "
            "begin another run. Its cost adds to this run's if the data are the same; add both with secagg budget "
            "report A B."
        )
    return rounds


def _same(name: str, value: Any, kept: Any) -> bool:
    if name == "modulus_bits" and value == AUTO:  # It stands for the number that was chosen when the run began.
        return True
    if is_path(name, value) and is_path(name, kept):
        return expanded(value).resolve() == expanded(kept).resolve()
    return bool(value == kept)


def _shown(value: Any) -> str:
    match value:
        case None:
            return "not set"
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
        case _:
            return str(value)
