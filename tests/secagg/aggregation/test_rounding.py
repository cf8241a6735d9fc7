import math
from collections.abc import Callable

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.rounding import measure
from protocols.testing import repeatable_entropy
from secagg.aggregation.rounding import TRIES, round_at_random, squared_norm
from secagg.errors import EncodingError

pytestmark = pytest.mark.slow


def stepping(key: bytes) -> tuple[Callable[[int], bytes], Callable[[], int]]:
    """Entropy that always gives the same key, and a count of how often it was asked."""
    asked = []

    def draw(size: int) -> bytes:
        asked.append(size)
        return key

    return draw, lambda: len(asked)


def test_rounding_leaves_integers_alone() -> None:
    whole = np.array([0.0, -0.0, 3.0, -7.0, 2.0**60, -(2.0**60)])
    assert round_at_random(whole, l2_bound=2.0**61, entropy=repeatable_entropy(b"whole")).tolist() == whole.tolist()


@given(st.lists(st.floats(-1e15, 1e15), min_size=1, max_size=40))
def test_rounding_gives_one_of_the_two_neighbours(entries: list[float]) -> None:
    rounded = round_at_random(np.array(entries), l2_bound=1e30, entropy=repeatable_entropy(b"neighbours")).tolist()
    assert all(
        integer in (math.floor(entry), math.ceil(entry)) for entry, integer in zip(entries, rounded, strict=True)
    )


@pytest.mark.parametrize("fraction", [0.5, 0.25, 0.9, 2.0**-10])
def test_rounding_is_unbiased(fraction: float) -> None:
    """2^20 coordinates of equal fraction, a third of them negative; z-test, false alarm rate 1e-6 (|z| > 4.9) each.

    One retry on a fresh seed.
    """
    size = 2**20
    whole = np.arange(size) % 9 - 3

    def score(seed: bytes) -> float:
        rounded = round_at_random(whole + fraction, l2_bound=1e9, entropy=repeatable_entropy(seed))
        return float(abs((rounded - whole).mean() - fraction) / math.sqrt(fraction * (1 - fraction) / size))

    assert score(b"first") < 4.9 or score(b"retry") < 4.9


def test_rounding_coins_are_independent_between_coordinates_and_calls() -> None:
    """Correlation of neighbours and of two calls over 2^20 coins; false alarm rate 1e-6 each, one retry."""
    size = 2**20

    def scores(seed: bytes) -> float:
        entropy = repeatable_entropy(seed)
        coins = [2 * round_at_random(np.full(size, 0.5), l2_bound=1e9, entropy=entropy) - 1 for _ in range(2)]
        pairs = ((coins[0][:-1], coins[0][1:]), (coins[0], coins[1]))
        return max(abs(float((one * other).mean())) * math.sqrt(size) for one, other in pairs)

    assert scores(b"first") < 5 or scores(b"retry") < 5


def test_rounding_draws_again_until_the_norm_is_within_the_bound() -> None:
    """Two coins, both to fall down: a chance of a quarter each time."""
    drawn: list[int] = []
    entropy = repeatable_entropy(b"again")

    def counted(size: int) -> bytes:
        drawn.append(size)
        return entropy(size)

    for _ in range(200):
        assert round_at_random(np.array([0.5, 0.5]), l2_bound=0.9, entropy=counted).tolist() == [0, 0]
    assert set(drawn) == {32}
    assert 400 < len(drawn) < 1600


def test_rounding_falls_back_towards_zero_where_no_try_succeeds() -> None:
    """A key whose first coins are all below the chances: every try rounds up, away from the bound."""
    scaled = np.array([0.9, 1.9, -0.1, -1.1])
    key = next(key for key in (number.to_bytes(32, "big") for number in range(1000)) if rounds_up(key, scaled))
    entropy, asked = stepping(key)
    assert round_at_random(scaled, l2_bound=10.0, entropy=entropy).tolist() == [1, 2, 0, -1]
    assert asked() == 1
    bound = math.sqrt(float(scaled @ scaled))
    entropy, asked = stepping(key)
    assert round_at_random(scaled, l2_bound=bound, entropy=entropy).tolist() == [0, 1, 0, -1]
    assert asked() == TRIES


def rounds_up(key: bytes, scaled: np.ndarray[tuple[int], np.dtype[np.float64]]) -> bool:
    repeatable_entropy = Cipher(algorithms.AES256(key), modes.CTR(bytes(16))).encryptor().update(bytes(4 * scaled.size))
    coins = np.frombuffer(repeatable_entropy, dtype="<u4") / 2**32
    return bool((coins < scaled - np.floor(scaled)).all())


@given(st.lists(st.integers(-(2**61), 2**61), min_size=1, max_size=50))
def test_squared_norm_is_exact(entries: list[int]) -> None:
    assert squared_norm(np.array(entries, dtype=np.int64)) == sum(entry**2 for entry in entries)


def test_squared_norm_is_exact_where_partial_sums_are_long() -> None:
    for entry in (2**20 - 1, 2**20, 2**31 - 1, 2**41 + 1, 2**61):
        assert squared_norm(np.full(5000, -entry)) == 5000 * entry**2


def test_rounding_refuses_a_vector_beyond_its_bound() -> None:
    with pytest.raises(EncodingError, match="expected an l2 norm of at most 5, found one above it"):
        round_at_random(np.array([4.0, 4.0]), l2_bound=5.0, entropy=repeatable_entropy(b"beyond"))


def test_rounding_keeps_every_norm_within_the_sensitivity() -> None:
    """20,000 random and adversarial updates through the whole encoding; `benchmarks.rounding` takes a million."""
    report = measure(20_000, seed=7, entropy=repeatable_entropy(b"norms"))
    assert (report.vectors, report.violations) == (20_000, 0)
    assert min(report.by_kind.values()) == max(report.by_kind.values()) == 4_000
    # Vectors came to the bound, and beyond it before the check, or this test would say nothing.
    assert 0.9999 < report.largest <= 1
    assert report.rounded_again > 300
    assert report.rounded_towards_zero > 50
