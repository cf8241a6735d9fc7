"""All checks, all subjects that the toolkit ships, and all planted bugs, from the suites of the areas."""

from typing import Any, Final

from secagg.audit.attack import Attack
from secagg.audit.planted.base import Planted
from secagg.audit.subject import Subject

ATTACKS: Final[tuple[Attack[Any], ...]] = ()
"""All checks, in the order of reports."""

PLANTED: Final[tuple[Planted, ...]] = ()
"""All planted bugs, by their numbers."""


def shipped() -> tuple[Subject, ...]:
    """Return everything that the toolkit ships and that makes claims."""
    return ()
