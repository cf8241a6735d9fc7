"""What a ledger would refuse of a run's releases, found out before anything is asked of a client.

A ledger compares a release with what was reserved when the release is committed.  It has been made by then.
"""

from typing import Final

from dp.errors import IncompatibleEvent, InvalidParameter, InvalidReservation
from dp.events import PrivacyEvent
from dp.ledger.ledger import Ledger
from secagg.aggregation.mean import SecureMean
from secagg.errors import ConfigurationError
from secagg.training.records import MOST_ROUNDS

_REFUSED: Final = (IncompatibleEvent, InvalidParameter, InvalidReservation)


def label_of(number: int, run: str | None) -> str:
    """What a ledger calls the release of a round."""
    return f"round {number}" if run is None else f"round {number} of run {run}"


def check_ledger(ledger: Ledger, event: PrivacyEvent, *, mean: SecureMean, local: bool, run: str | None) -> None:
    """Make sure that a ledger takes every release that a round may come to, whatever is left of the budget.

    Args:
        ledger: The ledger.
        event: What a round costs.
        mean: Of the clients' updates.
        local: Whether the clients add the noise themselves.
        run: The run's name, for labels.

    Raises:
        ConfigurationError: It refuses some, or its population is below the clients that there are.
        dp.errors.LedgerUnavailable: Nothing can be written to it.
    """
    label = label_of(MOST_ROUNDS, run)
    try:
        for contributors in range(len(mean.clients), mean.minimum_contributors - 1, -1):
            realised = event if local else mean.realised(contributors)
            ledger.check(event, label=label, contributors=contributors, realised=realised)
    except _REFUSED as error:
        raise ConfigurationError(f"the ledger does not fit this training: {error}") from error
