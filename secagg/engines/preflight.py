"""A check, before any client is asked, that a ledger will accept the releases of a run.

A ledger compares a release with its reservation when the release is committed. By then the release has been made.
"""

from typing import Final

from dp.errors import IncompatibleEvent, InvalidParameter, InvalidReservation
from dp.events import PrivacyEvent
from dp.ledger.ledger import Ledger
from secagg.aggregation.mean import SecureMean
from secagg.checks import MOST_ROUNDS
from secagg.errors import ConfigurationError

_REFUSED: Final = (IncompatibleEvent, InvalidParameter, InvalidReservation)


def label_of(number: int, run: str | None) -> str:
    """Return the label of a round's release in the ledger."""
    return f"round {number}" if run is None else f"round {number} of run {run}"


def check_ledger(ledger: Ledger, event: PrivacyEvent, *, mean: SecureMean, local: bool, run: str | None) -> None:
    """Check that a ledger accepts every release that a round may lead to; the remaining budget is not checked.

    Args:
        ledger: The ledger.
        event: The privacy cost of a round.
        mean: The mean of the clients' updates.
        local: Whether the clients add the noise while they train.
        run: The run's name, for labels.

    Raises:
        ConfigurationError: The ledger refuses a release, or its population is smaller than the number of clients.
        dp.errors.LedgerUnavailable: The ledger cannot be written to.
    """
    label = label_of(MOST_ROUNDS, run)
    try:
        for contributors in range(len(mean.clients), mean.minimum_contributors - 1, -1):
            realised = event if local else mean.realised(contributors)
            ledger.check(event, label=label, contributors=contributors, realised=realised)
    except _REFUSED as error:
        raise ConfigurationError(f"the ledger does not fit this training: {error}") from error
