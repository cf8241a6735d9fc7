"""The chart of lower bounds: drawn for both schemes, with words as text."""

import base64
from dataclasses import replace

from secagg.audit.epsilon.plot import lower_bounds
from tests.secagg.audit.epsilon.test_rows_epsilon import ROW


def drawing(uri: str) -> str:
    return base64.b64decode(uri.removeprefix("data:image/svg+xml;base64,")).decode()


def test_chart_shows_every_row_and_all_three_epsilons() -> None:
    rows = [ROW, replace(ROW, unit="example", exact=None, ledger=None, confidence=1 - 1e-6)]
    found = lower_bounds(rows)
    light, dark = drawing(found.light), drawing(found.dark)
    assert light != dark
    for words in ("client: one canary, 95%", "example: one canary, 1 - 1e-6", "lower bound", "exact", "ledger"):
        assert words in light
    assert "weak attack" in found.caption


def test_chart_of_a_bound_of_zero_without_comparison_is_drawn() -> None:
    assert drawing(lower_bounds([replace(ROW, lower_bound=0.0, exact=None, ledger=None)]).light)
