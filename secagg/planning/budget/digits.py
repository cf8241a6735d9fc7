"""Figures of a plan for people, rounded to the side on which no guarantee is overstated."""

from decimal import ROUND_CEILING, Decimal

from dp.figures import rounded_up, rounded_up_within
from secagg.planning.budget.answer import Epsilon


def shown(epsilon: Epsilon, target: float | None = None) -> str:
    """Return an epsilon rounded up, but not above a target that it keeps."""
    if isinstance(epsilon, str):
        return epsilon
    return rounded_up(epsilon) if target is None else rounded_up_within(epsilon, target)


def enough(noise: float) -> str:
    """Return a noise in five digits, rounded up."""
    exact = Decimal(noise)
    step = Decimal(1).scaleb(exact.adjusted() - 4)
    return f"{float(exact.quantize(step, rounding=ROUND_CEILING)):.6g}"
