"""Differential privacy under secure aggregation: clipping, exact distributed noise, accounting, an enforced budget.

The usual order of use:

1. `calibrate_noise` computes the noise for a budget.
2. `clip_l2` bounds each update.
3. Every client adds a `DistributedDiscreteGaussian.share`.
4. A `Ledger` reserves each release before it is made, and reports what was spent.

The package does not depend on the protocol that computes the sum.

Values such as counts are often too coarse for the least noise that a client can draw. `calibrate_noise` then raises
`LatticeTooCoarse`. In that case multiply the values **and** `l2_sensitivity` by `error.scale`, calibrate again, and
divide the total by `error.scale`.
"""

from dp.accounting.accountant import Accountant, Bound
from dp.accounting.guarantee import Claim, Guarantee, guarantee, is_within, subsampled_gaussian_epsilon
from dp.accounting.renyi_order import best_order
from dp.calibration.least_noise import calibrate_gaussian, calibrate_noise
from dp.calibration.modular import ModularPlan, plan_modulus
from dp.checks import check_delta
from dp.clipping.adaptive import AdaptiveClip, count_weight
from dp.clipping.clip import Clipped, clip_l2, clip_l2_per_layer, l2_norm
from dp.errors import (
    BudgetExceeded,
    DpError,
    EntropyFailure,
    IncompatibleEvent,
    IncompatibleLedger,
    InfeasibleTarget,
    InvalidParameter,
    InvalidReservation,
    LatticeTooCoarse,
    LedgerClock,
    LedgerCorrupt,
    LedgerError,
    LedgerLocked,
    LedgerStale,
    LedgerUnavailable,
    MissingExtra,
    ParticipationExceeded,
    TooManyDropped,
)
from dp.events import (
    DistributedDiscreteGaussianEvent,
    GaussianEvent,
    NeighbouringRelation,
    Observer,
    PoissonSampledEvent,
    PrivacyEvent,
    PrivacyUnit,
    RepeatedEvent,
    SkellamEvent,
    Trust,
)
from dp.ledger.description import Description
from dp.ledger.ledger import Ledger
from dp.ledger.log import RecordLog
from dp.ledger.participation import Accounting, Participation, clients_digest
from dp.ledger.records import LedgerEntry, first_record
from dp.noise.discrete_gaussian import Entropy, discrete_gaussian
from dp.noise.distributed import DistributedDiscreteGaussian, DistributedNoise, DistributedSkellam, LatticeNoise
from dp.noise.removal import RemovableSkellam
from dp.reporting.checklist import facts
from dp.reporting.collect import budget_report
from dp.reporting.document import as_json
from dp.reporting.page import as_html
from dp.reporting.report import BudgetReport
from dp.reporting.text import as_text
from dp.version import VERSION

__version__ = VERSION

__all__ = [
    "Accountant",
    "Accounting",
    "AdaptiveClip",
    "Bound",
    "BudgetExceeded",
    "BudgetReport",
    "Claim",
    "Clipped",
    "Description",
    "DistributedDiscreteGaussian",
    "DistributedDiscreteGaussianEvent",
    "DistributedNoise",
    "DistributedSkellam",
    "DpError",
    "Entropy",
    "EntropyFailure",
    "GaussianEvent",
    "Guarantee",
    "IncompatibleEvent",
    "IncompatibleLedger",
    "InfeasibleTarget",
    "InvalidParameter",
    "InvalidReservation",
    "LatticeNoise",
    "LatticeTooCoarse",
    "Ledger",
    "LedgerClock",
    "LedgerCorrupt",
    "LedgerEntry",
    "LedgerError",
    "LedgerLocked",
    "LedgerStale",
    "LedgerUnavailable",
    "MissingExtra",
    "ModularPlan",
    "NeighbouringRelation",
    "Observer",
    "Participation",
    "ParticipationExceeded",
    "PoissonSampledEvent",
    "PrivacyEvent",
    "PrivacyUnit",
    "RecordLog",
    "RemovableSkellam",
    "RepeatedEvent",
    "SkellamEvent",
    "TooManyDropped",
    "Trust",
    "as_html",
    "as_json",
    "as_text",
    "best_order",
    "budget_report",
    "calibrate_gaussian",
    "calibrate_noise",
    "check_delta",
    "clients_digest",
    "clip_l2",
    "clip_l2_per_layer",
    "count_weight",
    "discrete_gaussian",
    "facts",
    "first_record",
    "guarantee",
    "is_within",
    "l2_norm",
    "plan_modulus",
    "subsampled_gaussian_epsilon",
]
