"""Figures for people, rounded to the side on which no guarantee is overstated.

A figure has at least four decimals and, if it is below 1, at least five significant digits. So an epsilon of 1e-9 is
not shown as 0.0001.
"""

import decimal
import math
from typing import Final

_DECIMALS: Final = 4
_DIGITS: Final = 5
_EVERY_FLOAT: Final = decimal.Context(prec=420)  # The largest float has 309 digits before the point.
_FIXED: Final = 1e-4  # Smaller figures are shown with an exponent, as Python itself shows floats.


def rounded_up(figure: float) -> str:
    """Return a figure of at least 0 as a text that, read again as a float, is not below the figure."""
    return "infinite" if math.isinf(figure) else _rounded(figure, figure, decimal.ROUND_CEILING)


def rounded_down(figure: float, *, of: float) -> str:
    """Return a remainder of `of`, rounded down, with the decimals that `of` is shown with."""
    return _rounded(figure, of, decimal.ROUND_FLOOR)


def in_full(figure: float) -> str:
    """Return a figure that a person chose, such as a budget, in the fewest digits that identify it."""
    return "infinite" if math.isinf(figure) else repr(float(figure)).removesuffix(".0")


def rounded_up_within(figure: float, limit: float) -> str:
    """Return a figure rounded up; if the figure is at most `limit`, return at most `limit` as `in_full` shows it."""
    shown = rounded_up(figure)
    exceeds = not math.isinf(figure) and decimal.Decimal(shown) > decimal.Decimal(repr(float(limit)))
    return in_full(limit) if figure <= limit and exceeds else shown


def _rounded(figure: float, scale: float, rounding: str) -> str:
    places = -_DECIMALS
    if 0 < scale < 1:
        places = min(places, _exact(scale).adjusted() - _DIGITS + 1)
    shown = _exact(figure).quantize(decimal.Decimal(1).scaleb(places), rounding=rounding, context=_EVERY_FLOAT)
    if not shown:
        return f"{0:.{_DECIMALS}f}"
    if shown < _FIXED:
        return f"{float(shown):.{max(0, shown.adjusted() - places)}e}"
    return f"{shown:f}"


def _exact(figure: float) -> decimal.Decimal:
    """Return the decimal that Python shows for a float, which reads back as the same float."""
    return decimal.Decimal(repr(float(figure))) if abs(figure) < 2.0**53 else decimal.Decimal(figure)
