"""The accountants that compute every guarantee. To add one, put it in the tuple."""

from dp.accounting.accountant import Accountant
from dp.accounting.privacy_loss_accountant import PrivacyLossAccountant
from dp.accounting.renyi_accountant import RenyiAccountant

ACCOUNTANTS: tuple[Accountant, ...] = (RenyiAccountant(), PrivacyLossAccountant())
"""From the quickest to the tightest. The first supports every release."""
