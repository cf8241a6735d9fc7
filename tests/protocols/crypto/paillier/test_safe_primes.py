"""Safe primes: what the sieve strikes out, what is found, and how evenly."""

import math
from collections import Counter
from typing import Any

import pytest

from protocols.crypto.integers import PYTHON, Arithmetic, fastest, is_probable_prime
from protocols.crypto.paillier import safe_primes
from protocols.crypto.paillier.safe_primes import expected_candidates, is_safe_prime, safe_prime
from protocols.errors import ParameterError
from tests.support.committee_keys import SAFE_P, SAFE_Q
from tests.support.paillier_keys import ARITHMETICS, stream

both = pytest.mark.parametrize("arithmetic", [pytest.param(value, id=name) for name, value in ARITHMETICS])


@both
@pytest.mark.parametrize("bits", [128, 129, 256])
def test_safe_prime_is_one_of_that_size(bits: int, arithmetic: Arithmetic) -> None:
    found = safe_prime(bits, entropy=stream(f"safe {bits}"), arithmetic=arithmetic)
    assert type(found) is int
    assert found >> (bits - 2) == 3
    assert found % 12 == 11
    for number in (found, (found - 1) // 2):
        assert is_probable_prime(number, entropy=stream("check"), arithmetic=PYTHON)


def test_safe_primes_of_a_key_multiply_to_twice_their_bits() -> None:
    one, other = (safe_prime(1024, entropy=stream(f"key {index}")) for index in range(2))
    assert one != other
    assert (one * other).bit_length() == 2048
    assert all(is_safe_prime(prime, entropy=stream("check"), arithmetic=fastest()) for prime in (one, other))


def test_arithmetics_find_the_same_prime() -> None:
    assert len({safe_prime(192, entropy=stream("same"), arithmetic=value) for _, value in ARITHMETICS}) == 1


def test_prime_with_a_composite_half_is_no_safe_prime() -> None:
    """2^127 - 1 is prime and its half is not; the half of 2 * SAFE_P + 1 is prime and that is not."""
    for number, safe in ((2**127 - 1, False), (SAFE_P, True), (SAFE_Q, True), (SAFE_P * 2 + 1, False)):
        assert is_safe_prime(number, entropy=stream("check"), arithmetic=fastest()) is safe


def test_sieve_strikes_out_exactly_what_a_small_prime_divides() -> None:
    first = 3 * 2**126 + 12 * 987654321 + (11 - 3 * 2**126) % 12
    struck = safe_primes._struck(fastest().integer(first))
    primorial = math.prod(
        number for number in range(5, 2**18) if all(number % base for base in range(2, math.isqrt(number) + 1))
    )
    checked = [*range(300), *range(len(struck) - 300, len(struck))]
    for index in checked:
        candidate = first + 12 * index
        assert struck[index] == (math.gcd(candidate * (candidate - 1) // 2, primorial) != 1)
    assert 0 < sum(not struck[index] for index in checked) < len(checked)


def test_candidates_are_reported_and_as_many_as_expected() -> None:
    """The mean over 100 primes, against the one that is expected.

    The counts are geometric, so their sum is nearly a gamma variable of shape 100: it is below 0.5 or above 1.65 times
    its mean with a chance of less than 1e-6 (Chernoff: exp(-100 (x - 1 - log x))); one retry on a fresh seed.
    """
    bits = 128

    def mean(seed: str) -> float:
        entropy, counts = stream(seed), Counter[str]()
        for _ in range(100):
            safe_prime(bits, entropy=entropy, tried=lambda number: counts.update(tried=number))
        return counts["tried"] / 100

    assert any(0.5 < mean(f"count {attempt}") / expected_candidates(bits) < 1.65 for attempt in range(2))


def test_primes_differ_between_runs() -> None:
    assert len({safe_prime(128) for _ in range(20)}) == 20


@pytest.mark.parametrize("bits", [0, 127, -1024, 4097, 2**40, True, 1024.0, None])
def test_bad_size_is_refused(bits: Any) -> None:
    for refused in (safe_prime, expected_candidates):
        with pytest.raises(ParameterError, match="bits: expected 128 to 4096 for a safe prime"):
            refused(bits)


def test_short_entropy_is_refused() -> None:
    with pytest.raises(ValueError, match="bytes of entropy"):
        safe_prime(128, entropy=lambda size: bytes(size - 1))
