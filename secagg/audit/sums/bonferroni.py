"""Several tests as one check: the smallest p value, times the number of tests."""

import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass

from secagg.audit.attack import LEVEL_OF_ATTEMPT, Result


@dataclass(frozen=True, slots=True, kw_only=True)
class SingleTest:
    """One test of a check.

    Attributes:
        what: What was tested, for the report.
        p_value: Its p value, in [0, 1].
    """

    what: str
    p_value: float


def corrected(tests: Iterable[SingleTest]) -> Result:
    """Return the result of a check that rejects if any of its tests does, after Bonferroni's correction."""
    all_tests = list(tests)
    least = min(all_tests, key=lambda test: (not math.isnan(test.p_value), test.p_value))  # NaN, an error, goes first.
    p_value = min(least.p_value * len(all_tests), 1.0)
    return Result(
        statistic=f"the smallest p value of {len(all_tests)} tests, times their number",
        value=p_value,
        threshold=LEVEL_OF_ATTEMPT,
        p_value=p_value,
        evidence=f"{least.what}: p {_in_words(least.p_value)}.",
    )


def _in_words(p_value: float) -> str:
    return f"= {p_value:.1e}" if p_value >= sys.float_info.min else f"< {sys.float_info.min:.0e}"
