"""How a bug is planted in one step of a protocol's table, with the rest of the real code unchanged."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from protocols import Step

Steps = tuple[Step[Any, Any, Any, Any], ...]
Around = Callable[[], AbstractContextManager[object]]
"""Makes a context that one call of a party's method runs in."""


def with_clients(steps: Steps, around: Around, *names: str) -> Steps:
    """Return the steps, where the clients' answers to those of these names run in a context; all, if none is named."""
    return tuple(
        replace(row, answer=_inside(row.answer, around)) if not names or row.name in names else row for row in steps
    )


def with_server(steps: Steps, around: Around, *names: str) -> Steps:
    """Return the steps, where the server takes in replies and closes those of these names in a context."""
    return tuple(
        replace(row, absorb=_inside(row.absorb, around), close=_inside(row.close, around)) if row.name in names else row
        for row in steps
    )


def _inside(method: Callable[..., Any], around: Around) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        with around():
            return method(*arguments)

    return call
