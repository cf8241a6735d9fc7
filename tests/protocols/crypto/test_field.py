"""Prime field arithmetic: exact where float64 and machine words would not be, and uniform where it is drawn."""

import hashlib
import itertools
from collections.abc import Callable

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from scipy import stats

from protocols.crypto.field import MAX_COLUMNS, MAX_PRIME, Field, is_prime, largest_prime
from protocols.crypto.keystream import Words
from protocols.crypto.secret import Secret

PRIMES = (3, 5, 7, 251, 257, 2**15 - 19, 65_521, 65_537, 2**31 - 1, 2**31 + 11, 2**32 - 5, 2**47 - 115, 2**61 - 1)
SEED = Secret(bytes(range(32)))


def entries(prime: int, shape: tuple[int, ...], seed: int = 0) -> Words:
    """Random elements, every fifth of them an extreme one."""
    generator = np.random.default_rng(seed)
    drawn = generator.integers(0, prime, shape, dtype=np.uint64)
    extremes = np.array([0, 1, prime // 2, prime - 2, prime - 1], dtype=np.uint64)
    chosen = generator.integers(0, 25, shape)
    return np.where(chosen < 5, extremes[chosen % 5], drawn).astype(Field(prime).dtype)


def exact_product(matrix: list[list[int]], vectors: Words, prime: int) -> list[list[int]]:
    columns = list(zip(*vectors.tolist(), strict=True))
    return [[sum(a * b for a, b in zip(row, column, strict=True)) % prime for column in columns] for row in matrix]


def test_primality_agrees_with_a_sieve() -> None:
    limit = 50_000
    sieve = bytearray([1]) * limit
    sieve[:2] = b"\0\0"
    for number in range(2, 224):
        if sieve[number]:
            sieve[number * number :: number] = bytes(len(range(number * number, limit, number)))
    assert [is_prime(number) for number in range(limit)] == [bool(flag) for flag in sieve]


# Least strong pseudoprimes to the first 4, 5, 6, 7 and 8, and 9 to 11 prime bases (arXiv 1509.00864), and others.
@pytest.mark.parametrize(
    "composite",
    [561, 41_041, 3_215_031_751, 2_152_302_898_747, 3_474_749_660_383, 341_550_071_728_321, 3_825_123_056_546_413_051,
     (2**31 - 1) ** 2, (2**31 - 1) * (2**32 - 5), 2**61 + 1, 2**64 - 1],
)  # fmt: skip
def test_pseudoprimes_are_no_primes(composite: int) -> None:
    assert not is_prime(composite)


@pytest.mark.parametrize("prime", [2, 37, 41, *PRIMES, 2**64 - 59])
def test_known_primes_are_primes(prime: int) -> None:
    assert is_prime(prime)


def test_primality_above_64_bits_is_not_decided() -> None:
    with pytest.raises(ValueError, match="2\\^64"):
        is_prime(2**64)


def test_largest_primes_of_a_width() -> None:
    known = {
        2: 3,
        3: 7,
        8: 251,
        16: 65_521,
        31: 2**31 - 1,
        32: 2**32 - 5,
        47: 2**47 - 115,
        60: 2**60 - 93,
        61: MAX_PRIME,
    }
    assert {bits: largest_prime(bits) for bits in known} == known
    for bits in (-1, 0, 1, 62, 64):
        with pytest.raises(ValueError, match="bits"):
            largest_prime(bits)


@pytest.mark.parametrize("modulus", [-7, 0, 1, 2, 4, 9, 2**16, 2**31, (2**15 - 19) ** 2, 2**61 + 15, 2**89 - 1])
def test_what_is_no_supported_prime_is_refused(modulus: int) -> None:
    with pytest.raises(ValueError, match="prime"):
        Field(modulus)


@pytest.mark.parametrize("prime", PRIMES)
@pytest.mark.parametrize("count", [1, 2, 3, 16, 17, 65, 300])
def test_product_is_exact(prime: int, count: int) -> None:
    field = Field(prime)
    matrix, vectors = entries(prime, (4, count), 1).tolist(), entries(prime, (count, 9), 2)
    result = field.product(matrix, vectors)
    assert result.dtype == field.dtype
    assert result.tolist() == exact_product(matrix, vectors, prime)


@pytest.mark.parametrize("prime", PRIMES)
@pytest.mark.parametrize("count", [1, 2, 63, 64, 1000, MAX_COLUMNS])
def test_product_of_largest_entries_is_exact(prime: int, count: int) -> None:
    field = Field(prime)
    vectors = np.full((count, 3), prime - 1, dtype=field.dtype)
    assert field.product([[prime - 1] * count], vectors).tolist() == [[count % prime] * 3]


@pytest.mark.parametrize("prime", [2**15 - 19, 2**31 - 1, 2**61 - 1])
def test_product_is_seamless_across_pieces(prime: int) -> None:
    field = Field(prime)
    matrix, vectors = entries(prime, (3, 16)).tolist(), entries(prime, (16, 20_001))
    whole = field.product(matrix, vectors)
    halves = [field.product(matrix, np.ascontiguousarray(part)) for part in (vectors[:, :777], vectors[:, 777:])]
    assert (whole == np.concatenate(halves, axis=1)).all()
    assert whole[:, -5:].tolist() == exact_product(matrix, vectors[:, -5:], prime)


def test_product_refuses_shapes_that_do_not_fit() -> None:
    field = Field(7)
    for matrix, count in (([[1, 2]], 3), ([[1], [1, 2]], 2), ([[]], 0), ([[1] * (MAX_COLUMNS + 1)], MAX_COLUMNS + 1)):
        with pytest.raises(ValueError, match="matrix"):
            field.product(matrix, np.zeros((count, 2), dtype=field.dtype))
    assert field.product([], np.zeros((2, 5), dtype=field.dtype)).shape == (0, 5)
    assert field.product([[1, 2]], np.zeros((2, 0), dtype=field.dtype)).shape == (1, 0)


@pytest.mark.parametrize("prime", PRIMES)
@pytest.mark.parametrize("length", [1, 25, 200_003])
def test_sums_and_differences_are_exact(prime: int, length: int) -> None:
    field = Field(prime)
    one, other = entries(prime, (length,), 3), entries(prime, (length,), 4)
    total = one.copy()
    field.add(total, other)
    assert total.dtype == field.dtype
    assert total.tolist() == [(a + b) % prime for a, b in zip(one.tolist(), other.tolist(), strict=True)]
    field.subtract(total, other)
    assert (total == one).all()
    field.subtract(total, other)
    assert total.tolist() == [(a - b) % prime for a, b in zip(one.tolist(), other.tolist(), strict=True)]


def test_sums_of_every_pair_in_a_word_that_is_almost_full() -> None:
    field = Field(251)
    pairs = np.array(list(itertools.product(range(251), repeat=2)), dtype=field.dtype)
    total = pairs[:, 0].copy()
    field.add(total, pairs[:, 1].copy())
    assert (total == (pairs[:, 0].astype(int) + pairs[:, 1]) % 251).all()


@pytest.mark.parametrize("prime", PRIMES)
def test_uniform_vector_is_the_keystream_less_what_is_too_large(prime: int) -> None:
    field, length = Field(prime), 70_000
    size, bits = field.dtype.itemsize, prime.bit_length()
    stream = Cipher(algorithms.AES256(SEED.reveal()), modes.CTR(bytes(16))).encryptor().update(bytes(4 * size * length))
    words = (int.from_bytes(stream[i : i + size], "little") % 2**bits for i in range(0, len(stream), size))
    drawn = field.uniform(SEED, length)
    assert drawn.dtype == field.dtype
    assert drawn.tolist() == list(itertools.islice((word for word in words if word < prime), length))
    assert (field.uniform(SEED, 100) == drawn[:100]).all()
    assert field.uniform(SEED, 0).shape == (0,)


@pytest.mark.parametrize("prime", [3, 5, 11, 257, 2**15 - 19])
def test_drawn_elements_are_uniform(prime: int) -> None:
    """Chi-square over all residues, 40 draws each at least 200,000; false alarms 1e-6, one retry on a fresh seed."""

    def passes(seed: bytes) -> bool:
        drawn = Field(prime).uniform(Secret(hashlib.sha256(seed).digest()), max(200_000, 40 * prime))
        return float(stats.chisquare(np.bincount(drawn, minlength=prime)).pvalue) >= 1e-6

    assert passes(b"first") or passes(b"second")


def polynomial(coefficients: list[int], prime: int) -> Callable[[int], int]:
    return lambda x: sum(c * pow(x, power, prime) for power, c in enumerate(coefficients)) % prime


@pytest.mark.parametrize("prime", PRIMES[3:])
@pytest.mark.parametrize("count", [1, 2, 9])
def test_interpolation_carries_a_polynomial_from_its_knots_to_its_targets(prime: int, count: int) -> None:
    field = Field(prime)
    value = polynomial(entries(prime, (count,)).tolist(), prime)
    knots, targets = [prime - 1, *range(3, 2 + count)], [0, 1, prime - 2, *range(20, 30)]
    knots = knots[:count]
    for row, target in zip(field.interpolation(knots, targets), targets, strict=True):
        assert sum(weight * value(knot) for weight, knot in zip(row, knots, strict=True)) % prime == value(target)


def test_interpolation_at_its_knots_is_the_identity() -> None:
    assert Field(11).interpolation([4, 0, 9], [4, 0, 9]) == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]


def test_interpolation_refuses_equal_knots() -> None:
    with pytest.raises(ValueError, match="differ modulo the prime"):
        Field(7).interpolation([1, 3, 8], [0])
