"""Tables of steps in which one row calls another method."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from protocols.secure_sum import Step

Steps = tuple[Step[Any, Any, Any, Any], ...]


def with_answers(steps: Steps, answers: Mapping[str, Any]) -> Steps:
    """Return a table of steps in which clients answer some steps, given by name, with other methods."""
    return tuple(replace(row, answer=answers.get(row.name, row.answer)) for row in steps)


def with_closes(steps: Steps, closes: Mapping[str, Any]) -> Steps:
    """Return a table of steps in which the server ends some steps, given by name, with other methods."""
    return tuple(replace(row, close=closes.get(row.name, row.close)) for row in steps)
