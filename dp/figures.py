"""Figures for people, rounded to the side on which no guarantee is overstated.

A figure has at least four decimals and, if it is below 1, at least five significant digits. So an epsilon of 1e-9 is
not shown as 0.0001.

The used part of a budget is shown in percent, by one rule for all texts (`used_in_percent`).
"""

import decimal
import math
from typing import Final

_DECIMALS: Final = 4
_DIGITS: Final = 5
_EVERY_FLOAT: Final = decimal.Context(prec=420)  # The largest float has 309 digits before the point.
_WHOLE: Final = decimal.Decimal(100)
_NO_REST: Final = decimal.Decimal("1e-7")  # In percent. Each of up to 1e9 equal releases costs at least as much.
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


def used_in_percent(part: float) -> str:
    """Return the used part of a budget in percent, rounded up, so that no less is shown than was used.

    A part of at most 1 is never shown above 100%. It is shown as 100% only if less than a billionth of the budget is
    left. Where four decimals would hide a larger rest, as many more are shown as the rest needs.

    Args:
        part: At least 0, possibly infinite.
    """
    return "more than 100%" if math.isinf(part) else f"{_percentage(part):f}%"


def left_in_percent(part: float) -> str:
    """Return the rest of a budget in percent, rounded down: 100% less what `used_in_percent` shows.

    Args:
        part: The used part, as in `used_in_percent`.
    """
    rest = decimal.Decimal(0) if part >= 1 else _WHOLE - _percentage(part)
    finest = decimal.Decimal(1).scaleb(-_DECIMALS)
    return f"{rest if 0 < rest < finest else rest.quantize(finest, rounding=decimal.ROUND_FLOOR):f}%"


def _percentage(part: float) -> decimal.Decimal:
    """Return the percentage that `used_in_percent` shows."""
    exact = _EVERY_FLOAT.multiply(_WHOLE, _exact(part))
    rest = _EVERY_FLOAT.subtract(_WHOLE, exact)
    if 0 <= rest < _NO_REST:
        return _WHOLE
    places = _places(exact)
    if 0 < rest < decimal.Decimal(1).scaleb(places):
        places = rest.adjusted() - 1
    return _quantized(exact, places, decimal.ROUND_CEILING)


def _rounded(figure: float, scale: float, rounding: str) -> str:
    places = _places(_exact(scale))
    shown = _quantized(_exact(figure), places, rounding)
    if not shown:
        return f"{0:.{_DECIMALS}f}"
    if shown < _FIXED:
        return f"{float(shown):.{max(0, shown.adjusted() - places)}e}"
    return f"{shown:f}"


def _places(scale: decimal.Decimal) -> int:
    """Return the exponent of the last digit of figures on a scale."""
    return min(-_DECIMALS, scale.adjusted() - _DIGITS + 1) if 0 < scale < 1 else -_DECIMALS


def _quantized(figure: decimal.Decimal, places: int, rounding: str) -> decimal.Decimal:
    return figure.quantize(decimal.Decimal(1).scaleb(places), rounding=rounding, context=_EVERY_FLOAT)


def _exact(figure: float) -> decimal.Decimal:
    """Return the decimal that Python shows for a float, which reads back as the same float."""
    return decimal.Decimal(repr(float(figure))) if abs(figure) < 2.0**53 else decimal.Decimal(figure)
