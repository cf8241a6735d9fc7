"""Differential privacy under secure aggregation: clipping, exact distributed noise, accounting, an enforced budget.

The usual way through it: `calibrate_distributed` sizes the noise for a budget, `clip_l2` bounds each update, every
client adds a `DistributedDiscreteGaussian.share`, and a `Ledger` reserves each release before it is made and reports
what was spent. Knows nothing of the protocol that does the summing.
"""

from dp.accounting import Guarantee, check_delta, guarantee
from dp.calibration import calibrate_distributed, calibrate_gaussian
from dp.clip import Clipped, clip_l2, l2_norm
from dp.distributed import DistributedDiscreteGaussian
from dp.errors import (
    BudgetExceeded,
    DpError,
    EntropyFailure,
    IncompatibleEvent,
    InfeasibleTarget,
    InvalidParameter,
    InvalidReservation,
    LedgerCorrupt,
    LedgerError,
    LedgerLocked,
    LedgerUnavailable,
    MissingExtra,
)
from dp.events import (
    DistributedDiscreteGaussianEvent,
    GaussianEvent,
    NeighbouringRelation,
    PrivacyEvent,
    PrivacyUnit,
)
from dp.ledger import Ledger
from dp.records import LedgerEntry
from dp.report import BudgetReport
from dp.sampling import Entropy, discrete_gaussian

__all__ = [
    "BudgetExceeded",
    "BudgetReport",
    "Clipped",
    "DistributedDiscreteGaussian",
    "DistributedDiscreteGaussianEvent",
    "DpError",
    "Entropy",
    "EntropyFailure",
    "GaussianEvent",
    "Guarantee",
    "IncompatibleEvent",
    "InfeasibleTarget",
    "InvalidParameter",
    "InvalidReservation",
    "Ledger",
    "LedgerCorrupt",
    "LedgerEntry",
    "LedgerError",
    "LedgerLocked",
    "LedgerUnavailable",
    "MissingExtra",
    "NeighbouringRelation",
    "PrivacyEvent",
    "PrivacyUnit",
    "calibrate_distributed",
    "calibrate_gaussian",
    "check_delta",
    "clip_l2",
    "discrete_gaussian",
    "guarantee",
    "l2_norm",
]
