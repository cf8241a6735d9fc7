"""The errors of `dp`, in one hierarchy: catching `DpError` catches all of them.

Messages name what was expected, what was found and what to do. They never quote the protected data.
"""

import functools


class DpError(Exception):
    """Base of every error of this package."""


class InvalidParameter(DpError, ValueError):
    """An argument is outside the range of the function; nothing was computed."""


class LatticeTooCoarse(InvalidParameter):
    """The least noise share that a client can draw is more than the guarantee needs, by more than a thousandth.

    Args:
        message: What is wrong, and what to do.
        scale: See the attribute.

    Attributes:
        scale: The least whole number by which to multiply the values and their L2 sensitivity, so that the least noise
            share is no more than the guarantee needs.
    """

    def __init__(self, message: str, *, scale: int) -> None:
        super().__init__(message)
        self.scale = scale

    def __reduce__(self) -> tuple[object, ...]:
        """Return what pickle needs to make the same error again, including its scale."""
        return functools.partial(type(self), scale=self.scale), self.args


class IncompatibleEvent(DpError, ValueError):
    """An event does not fit the account: its neighbouring relation, its privacy unit, or the way of accounting."""


class EntropyFailure(DpError, RuntimeError):
    """The source of randomness did not return the bytes that were asked for."""


class InfeasibleTarget(DpError):
    """No noise within the mechanism's range reaches the requested guarantee."""


class TooManyDropped(DpError):
    """More clients are missing from a sum than its noise was planned for; the sum must not be released."""


class BudgetExceeded(DpError):
    """The release would exceed the budget; it was not reserved and must not be made."""


class ParticipationExceeded(DpError):
    """A release would ask clients more often than their cap allows; it was not reserved and must not be made."""


class LedgerError(DpError):
    """Base of the ledger's errors; after any of them, do not release."""


class LedgerLocked(LedgerError):
    """Another process or connection holds the ledger."""


class LedgerCorrupt(LedgerError):
    """The file is not a ledger, is cut short, or its chain of records does not verify."""


class LedgerStale(LedgerCorrupt):
    """The file is consistent but lacks the record of the kept head: it was cut or rebuilt, or is an older copy."""


class LedgerClock(LedgerError):
    """The clock is behind the ledger's last record; nothing was recorded."""


class LedgerUnavailable(LedgerError):
    """The file cannot be read or written: missing, read-only, closed, the disk full or failing."""


class InvalidReservation(LedgerError, ValueError):
    """A commitment does not fit its reservation, which is missing, committed, or for more noise or other clients."""


class IncompatibleLedger(LedgerError, ValueError):
    """The ledger is of another kind: with or without participation, or of another population."""


class MissingExtra(DpError, ImportError):
    """An optional dependency is not installed; the message names the extra that brings it."""
