"""All checks, all subjects that the toolkit ships, and all planted bugs, from the suites of the areas."""

from typing import Any, Final

from secagg.audit.account import suite as account
from secagg.audit.attack import Attack
from secagg.audit.planted import account as planted_account
from secagg.audit.planted.base import Planted
from secagg.audit.subject import Subject

ATTACKS: Final[tuple[Attack[Any], ...]] = (*account.ATTACKS,)
"""All checks, in the order of reports."""

PLANTED: Final[tuple[Planted, ...]] = tuple(sorted(planted_account.PLANTED, key=lambda planted: planted.number))
"""All planted bugs, by their numbers."""


def shipped() -> tuple[Subject, ...]:
    """Return everything that the toolkit ships and that makes claims."""
    return (*account.shipped(),)
