"""The checks of the account, and what the toolkit ships of it."""

from typing import Any, Final

from secagg.audit.account import averaging, ledger, ledger_file, plan
from secagg.audit.account.accountant import AccountantSubject, FromAbove, FromBelow
from secagg.audit.account.averaging import AveragingSubject
from secagg.audit.account.ledger import LedgerSubject
from secagg.audit.attack import Attack
from secagg.audit.subject import Subject

ATTACKS: Final[tuple[Attack[Any], ...]] = (
    FromBelow(),
    FromAbove(),
    *ledger.CHECKS,
    *averaging.CHECKS,
    *ledger_file.CHECKS,
    *plan.CHECKS,
)
"""All checks of the account."""


def shipped() -> tuple[Subject, ...]:
    """Return the toolkit's accountant, ledger and training."""
    return (AccountantSubject(), LedgerSubject(), AveragingSubject())
