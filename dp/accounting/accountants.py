"""The accountants that compute every guarantee. To add one, put it in the tuple."""

from dp.accounting.accountant import Accountant
from dp.accounting.privacy_loss_accountant import PrivacyLossAccountant
from dp.accounting.renyi_accountant import RenyiAccountant
from dp.events import PrivacyEvent, single_release_counts

ACCOUNTANTS: tuple[Accountant, ...] = (RenyiAccountant(), PrivacyLossAccountant())
"""From the quickest to the tightest. The first supports every release."""


def accountants_of(event: PrivacyEvent, delta: float) -> tuple[Accountant, ...]:
    """Return the accountants that support an event, from the quickest to the tightest."""
    releases = single_release_counts({event: 1})
    return tuple(each for each in ACCOUNTANTS if each.unsupported_reason(releases, delta) is None)
