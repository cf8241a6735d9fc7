"""The arguments of `plan_on_terminal` if no option of `secagg budget plan` is given."""

from typing import Any, Final

from secagg.privacy.contributors import ADVERSARIAL, DROPOUT

UNASKED: Final[dict[str, Any]] = {
    "clients": None,
    "noise_multiplier": None,
    "epsilon": None,
    "delta": None,
    "cohort": None,
    "cap": None,
    "per_round": None,
    "sampling": None,
    "more_rounds": None,
    "mechanism": "gaussian",
    "bits": None,
    "dimension": None,
    "compression": 1.0,
    "dropout": DROPOUT,
    "adversarial": ADVERSARIAL,
    "minimum_contributors": None,
    "adversary": "curious",
    "table": False,
    "as_json": False,
    "html": None,
    "ledger": None,
}
