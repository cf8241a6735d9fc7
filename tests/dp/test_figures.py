import math
import random
from decimal import Decimal

import pytest

from dp.figures import in_full, left_in_percent, rounded_down, rounded_up, rounded_up_within, used_in_percent


@pytest.mark.parametrize(
    ("figure", "shown"),
    [
        (1e-9, "1.0000e-09"),
        (9.9999991e-10, "1.00000e-09"),
        (1.23456e-7, "1.2346e-07"),
        (0.00012345678, "0.00012346"),
        (0.1, "0.10000"),
        (7.99990001, "8.0000"),
        (123.45678, "123.4568"),
        (0.0, "0.0000"),
        (math.inf, "infinite"),
    ],
)
def test_figure_is_rounded_up_in_its_own_digits(figure: float, shown: str) -> None:
    assert rounded_up(figure) == shown


def test_figure_that_is_read_again_is_never_less() -> None:
    draw = random.Random(1)
    for _ in range(2000):
        figure = draw.uniform(1, 10) * 10.0 ** draw.randint(-30, 15)
        shown = float(rounded_up(figure))
        assert figure <= shown <= figure * (1 + 1e-4)
        assert float(in_full(figure)) == figure


@pytest.mark.parametrize(
    ("figure", "limit", "shown"),
    [
        (1e-9, 1e-9, "1.0000e-09"),
        (1.2345678, 1.23456789, "1.23456789"),
        (8.0, 8.0, "8.0000"),
        (0.1, 0.1, "0.10000"),
        (1.5, 1.23456789, "1.5000"),
        (1.234567891, 1.23456789, "1.2346"),
        (math.inf, 8.0, "infinite"),
    ],
)
def test_figure_within_a_limit_is_not_shown_above_it(figure: float, limit: float, shown: str) -> None:
    assert rounded_up_within(figure, limit) == shown
    assert (float(shown.replace("infinite", "inf")) <= float(in_full(limit))) == (figure <= limit)


def test_rest_of_a_small_budget_is_not_lost() -> None:
    assert rounded_down(3e-10, of=1e-9) == "3.000e-10"
    assert rounded_down(7.99999, of=8.0) == "7.9999"
    assert rounded_down(3e-13, of=8.0) == rounded_down(0.0, of=1e-9) == "0.0000"


@pytest.mark.parametrize(
    ("part", "used", "left"),
    [
        (0.0, "0.0000%", "100.0000%"),
        (1e-9, "0.00000010000%", "99.9999%"),
        (0.0036414961, "0.36415%", "99.6358%"),
        (0.4433112, "44.3312%", "55.6688%"),
        (0.99912, "99.9120%", "0.0880%"),
        (1 - 3e-7, "99.999970%", "0.000030%"),
        (1 - 1.9e-9, "99.99999981%", "0.00000019%"),
        (1 - 9e-10, "100%", "0.0000%"),
        (math.nextafter(1, 0), "100%", "0.0000%"),
        (1.0, "100%", "0.0000%"),
        (math.nextafter(1, 2), "100.0001%", "0.0000%"),
        (12.5, "1250.0000%", "0.0000%"),
        (math.inf, "more than 100%", "0.0000%"),
    ],
)
def test_used_part_is_rounded_up_and_its_rest_down(part: float, used: str, left: str) -> None:
    assert used_in_percent(part) == used
    assert left_in_percent(part) == left


def test_used_part_is_all_only_if_no_further_release_fits() -> None:
    """A plan has at most 100,000 rounds, and each of them costs more than the rest that is not shown."""
    draw = random.Random(2)
    for _ in range(2000):
        part = 1 - draw.uniform(1, 10) * 10.0 ** draw.randint(-9, -1)
        used, left = (Decimal(text.removesuffix("%")) for text in (used_in_percent(part), left_in_percent(part)))
        assert 100 * Decimal(repr(part)) <= used < 100
        assert 0 < left <= 100 - used
    for rounds in (10, 1000, 100_000):
        assert used_in_percent((rounds - 1) / rounds) != "100%"
