"""The accountants that compute every guarantee. To add one, put it in the tuple."""

from dp.accounting.accountant import Accountant
from dp.accounting.privacy_loss_accountant import PrivacyLossAccountant
from dp.accounting.renyi_accountant import RenyiAccountant
from dp.events import PrivacyEvent, single_release_counts

ACCOUNTANTS: tuple[Accountant, ...] = (RenyiAccountant(), PrivacyLossAccountant())
"""From the quickest to the tightest. The first supports every release."""


def is_renyi_only(event: PrivacyEvent, delta: float) -> bool:
    """Return whether no accountant but that by Renyi DP supports an event."""
    releases = single_release_counts({event: 1})
    return all(
        isinstance(each, RenyiAccountant) or each.unsupported_reason(releases, delta) is not None
        for each in ACCOUNTANTS
    )
