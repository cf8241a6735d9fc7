"""Everything that `dp` raises, one hierarchy: catching `DpError` catches all of it.

Messages name what was expected, what was found and what would work, and never quote the data being protected.
"""

import functools


class DpError(Exception):
    """Base of every error of this package."""


class InvalidParameter(DpError, ValueError):
    """An argument is outside what the function is defined for; nothing was computed."""


class LatticeTooCoarse(InvalidParameter):
    """The least share of noise that a client can draw is more than the guarantee needs, by more than a thousandth.

    Args:
        message: What is wrong, and what to do.
        scale: See the attribute.

    Attributes:
        scale: The least whole number by which to multiply the values and their L2 sensitivity, so that the least share
            is no more than the guarantee needs.
    """

    def __init__(self, message: str, *, scale: int) -> None:
        super().__init__(message)
        self.scale = scale

    def __reduce__(self) -> tuple[object, ...]:
        """Return what makes the same error again, scale included."""
        return functools.partial(type(self), scale=self.scale), self.args


class IncompatibleEvent(DpError, ValueError):
    """An event has another neighbouring relation or privacy unit than the account it was to join."""


class EntropyFailure(DpError, RuntimeError):
    """The source of randomness returned something other than the bytes that were asked for."""


class InfeasibleTarget(DpError):
    """No noise within the mechanism's range reaches the requested guarantee."""


class TooManyDropped(DpError):
    """More clients are missing from a sum than its noise was made for; it must not be released."""


class BudgetExceeded(DpError):
    """The release would overspend the budget; it was not reserved and must not be made."""


class LedgerError(DpError):
    """Base of the ledger's errors: whoever gets one must not release."""


class LedgerLocked(LedgerError):
    """Another process or connection holds the ledger."""


class LedgerCorrupt(LedgerError):
    """The file is not a ledger, is cut short, or its chain of entries does not verify."""


class LedgerStale(LedgerCorrupt):
    """The file is whole, but lacks the record whose digest was kept: it was cut or rebuilt, or is an older copy."""


class LedgerClock(LedgerError):
    """The clock is behind the ledger's last record; nothing was recorded."""


class LedgerUnavailable(LedgerError):
    """The file cannot be read or written: missing, read-only, closed, the disk full or failing."""


class InvalidReservation(LedgerError, ValueError):
    """A commit names a reservation that does not exist, is committed already, or was not honoured."""


class MissingExtra(DpError, ImportError):
    """An optional dependency is not installed; the message names the extra that brings it."""
