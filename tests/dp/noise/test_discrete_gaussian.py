"""Statistical tests raise a false alarm with probability 1e-6 a check and get one retry on a fresh seed."""

import hashlib
import math
import os
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from dp.errors import EntropyFailure, InvalidParameter
from dp.noise import discrete_gaussian as sampler
from dp.noise.discrete_gaussian import KeyStream, discrete_gaussian, sample
from dp.noise.envelope import SLOTS, Envelope, exponential_bounds
from tests.support.chi_square import chi_square

pytestmark = pytest.mark.slow

FALSE_ALARM = 1e-6


def seeded(label: str) -> Callable[[int], bytes]:
    return lambda length: hashlib.shake_256(label.encode()).digest(length)


def passes(p_value: Callable[[Callable[[int], bytes]], float]) -> bool:
    return any(p_value(os.urandom) > FALSE_ALARM for _ in range(2))


def pmf(sigma: float, reach: int) -> NDArray[np.float64]:
    """Return the probabilities of -reach..reach, beyond which there is nothing worth counting."""
    x = np.arange(-reach, reach + 1)
    weights = np.exp(-(x**2) / (2 * sigma**2))
    return np.asarray(weights / math.fsum(weights))


# 2e6 samples each.
@pytest.mark.parametrize("sigma", [0.25, 0.3, 0.5, 1.0, 2.0, 3.7, 10.0, 100 / 3])
def test_discrete_gaussian_follows_the_exact_pmf(sigma: float) -> None:
    reach = math.ceil(12 * sigma) + 2
    expected = pmf(sigma, reach) * 2_000_000

    def p_value(entropy: Callable[[int], bytes]) -> float:
        samples = discrete_gaussian(sigma, 2_000_000, entropy)
        return chi_square(np.bincount(samples + reach, minlength=2 * reach + 1), expected)

    assert passes(p_value)


# 1e6 samples each; at these sigma the discrete Gaussian and the normal law differ by less than 1e-6 in each cell.
@pytest.mark.parametrize("sigma", [1e3, 123456.789, 1e6, 1e9, 2.0**40])
def test_discrete_gaussian_follows_the_normal_law_at_large_sigma(sigma: float) -> None:
    edges = np.ceil(sigma * stats.norm.ppf(np.arange(1, 200) / 200))
    cumulative = stats.norm.cdf(np.concatenate([[-np.inf], (edges - 0.5) / sigma, [np.inf]]))
    expected = np.asarray(np.diff(cumulative) * 1_000_000, dtype=np.float64)

    def p_value(entropy: Callable[[int], bytes]) -> float:
        samples = discrete_gaussian(sigma, 1_000_000, entropy)
        cells = np.bincount(np.searchsorted(edges, samples, side="right"), minlength=200)
        return chi_square(cells, expected)

    assert passes(p_value)


# 1e6 samples each; from sigma 2 on, the moments differ from the normal law's by less than 1e-30.
@pytest.mark.parametrize("sigma", [2.0, 50.0, 1e6, 1e12])
def test_discrete_gaussian_has_its_moments_and_no_serial_correlation(sigma: float) -> None:
    def p_value(entropy: Callable[[int], bytes]) -> float:
        scaled = discrete_gaussian(sigma, 1_000_000, entropy) / sigma
        deviations = [
            scaled.mean() * 1000,
            ((scaled**2).mean() - 1) * 1000 / math.sqrt(2),
            (scaled[1:] * scaled[:-1]).mean() * 1000,
            (scaled[16384:] * scaled[:-16384]).mean() * 1000,
        ]
        return len(deviations) * 2 * float(stats.norm.sf(np.abs(deviations).max()))

    assert passes(p_value)


# 1e6 samples; the four low bits of a discrete Gaussian this wide are uniform to within 1e-300.
def test_discrete_gaussian_has_uniform_low_bits() -> None:
    def p_value(entropy: Callable[[int], bytes]) -> float:
        samples = discrete_gaussian(1e6, 1_000_000, entropy)
        return chi_square(np.bincount(samples & 15, minlength=16), np.full(16, 1_000_000 / 16))

    assert passes(p_value)


# 30,000 tail proposals each, about a third to a half of them accepted.
@pytest.mark.parametrize("sigma", [1.0, 20.0])
def test_tail_follows_the_exact_pmf(sigma: float) -> None:
    envelope = Envelope.of(Fraction(sigma))
    reach = math.ceil(4 * sigma)
    x = envelope.tail_start + np.arange(reach)
    weights = np.exp((envelope.tail_start**2 - x**2) / (2 * sigma**2))
    # The docstring's product, M f(x) / (2^16 w), over the probability c / 2^16 of proposing in the tail.
    acceptance = envelope.scale / (1 << envelope.shift) / envelope.tail_count
    acceptance *= float(weights.sum()) * math.exp(-(envelope.tail_start**2) / (2 * sigma**2))

    def p_value(entropy: Callable[[int], bytes]) -> float:
        bits = KeyStream(entropy)
        proposals = [sampler._propose_in_tail(envelope, bits) for _ in range(30_000)]
        accepted = np.array([magnitude for magnitude, accept in proposals if accept])
        assert accepted.size > 2_000
        counts = np.bincount(accepted - envelope.tail_start, minlength=reach)[:reach]
        rate = float(stats.binomtest(accepted.size, len(proposals), acceptance).pvalue)
        return 2 * min(rate, chi_square(counts, weights / weights.sum() * accepted.size))

    assert passes(p_value)


def exact_proposals(envelope: Envelope, count: int, bits: KeyStream) -> list[int]:
    """Do what the envelope's docstring says, one proposal at a time, with rationals only."""
    words = [int(word) for word in bits.words(count)]
    offsets = [int(word) >> (64 - envelope.shift) for word in bits.words(count)] if envelope.shift else [0] * count
    accepted = []
    for word, offset in zip(words, offsets, strict=True):
        slot, negative, uniform = word >> 48, word >> 47 & 1, word & (1 << 47) - 1
        starts = [sum(envelope.counts[:i]) for i in range(len(envelope.counts) + 1)]
        if slot >= starts[-1] + envelope.tail_count:
            continue
        if slot >= starts[-1]:
            magnitude, accept = sampler._propose_in_tail(envelope, bits)
        else:
            block = max(i for i, start in enumerate(starts) if start <= slot)
            magnitude = (block << envelope.shift) + offset
            low, high = exponential_bounds(magnitude**2 * envelope.exponent_unit, digits=60)
            threshold = Fraction(envelope.scale, envelope.counts[block])
            accept = Fraction(uniform + 1, 1 << 47) <= threshold * low
            assert accept or Fraction(uniform, 1 << 47) >= threshold * high
        if accept and not (negative and magnitude == 0):
            accepted.append(-magnitude if negative else magnitude)
    return accepted


@pytest.mark.parametrize("sigma", [Fraction(1, 3), Fraction(2), Fraction(55, 2), Fraction(10**6), Fraction(2) ** 40])
def test_proposals_equal_an_exact_computation(sigma: Fraction) -> None:
    envelope = Envelope.of(sigma)
    for round_number in range(2):
        entropy = seeded(f"{sigma} {round_number}")
        fast = sampler._propose(envelope, 1500, KeyStream(entropy))
        assert fast.tolist() == exact_proposals(envelope, 1500, KeyStream(entropy))


class RiggedBits:
    """A stream whose bits are chosen by the test."""

    def __init__(self, word: int, further: list[int]) -> None:
        self.word = word
        self.further = further
        self.refinements = 0

    def words(self, count: int) -> NDArray[np.uint64]:
        return np.full(count, self.word, dtype=np.uint64)

    def integer(self, bits: int) -> int:
        assert bits == 64
        self.refinements += 1
        return self.further.pop(0)


def rigged_tie(x: int) -> tuple[Envelope, int, int]:
    """Return an envelope of width-1 blocks, a word whose uniform ties with x's threshold, and its next 128 bits."""
    envelope = Envelope.of(Fraction(1))
    assert envelope.shift == 0
    low, high = exponential_bounds(x * x * envelope.exponent_unit, digits=100)
    ratio = Fraction(envelope.scale, envelope.counts[x])
    bits = math.floor(ratio * low * 2 ** (47 + 128))
    assert bits == math.floor(ratio * high * 2 ** (47 + 128))
    slot = sum(envelope.counts[:x])
    return envelope, slot << 48 | bits >> 128, bits & (1 << 128) - 1


@pytest.mark.parametrize(("further", "accept"), [(0, True), (2**64 - 1, False)])
def test_ties_are_decided_by_further_bits(further: int, accept: bool) -> None:
    envelope, word, _ = rigged_tie(4)
    bits = RiggedBits(word, [further])
    assert sampler._propose(envelope, 1, bits).tolist() == ([4] if accept else [])
    assert bits.refinements == 1


@pytest.mark.parametrize(("step", "accept"), [(-1, True), (1, False)])
def test_ties_are_refined_as_often_as_it_takes(step: int, accept: bool) -> None:
    envelope, word, next_bits = rigged_tie(3)
    # The first 64 further bits tie again; the second 64 differ from the threshold's by one.
    bits = RiggedBits(word, [next_bits >> 64, (next_bits & 2**64 - 1) + step])
    assert sampler._propose(envelope, 1, bits).tolist() == ([3] if accept else [])
    assert bits.refinements == 2


@pytest.mark.parametrize("offset", [-300, -200, -1, 1, 200, 300])
def test_comparisons_are_right_on_both_sides_of_the_margin(offset: int) -> None:
    envelope, word, _ = rigged_tie(4)
    bits = RiggedBits(word + offset, [])
    assert sampler._propose(envelope, 1, bits).tolist() == ([4] if offset < 0 else [])


def test_minus_zero_is_rejected() -> None:
    envelope = Envelope.of(Fraction(1))
    assert sampler._propose(envelope, 3, RiggedBits(0, [])).tolist() == [0, 0, 0]
    assert sampler._propose(envelope, 3, RiggedBits(1 << 47, [])).tolist() == []


@settings(max_examples=60, deadline=None)
@given(st.fractions(min_value=Fraction(1, 4), max_value=2**40, max_denominator=10**6))
def test_envelope_keeps_every_acceptance_a_probability(sigma: Fraction) -> None:
    envelope = Envelope.of(sigma)
    height = [
        exponential_bounds((i << envelope.shift) ** 2 * envelope.exponent_unit, digits=80)[0]
        for i in range(len(envelope.counts) + 1)
    ]
    assert all(count >= envelope.scale * h for count, h in zip(envelope.counts, height, strict=False))
    step = envelope.tail_shift - envelope.shift
    assert envelope.tail_start == len(envelope.counts) << envelope.shift
    assert envelope.tail_count >= envelope.scale * height[-1] * (2 << step)
    assert (envelope.tail_start << envelope.tail_shift) >= sigma**2
    spare = SLOTS - sum(envelope.counts) - envelope.tail_count
    assert np.bincount(envelope.slots, minlength=len(height) + 1).tolist() == [
        *envelope.counts,
        envelope.tail_count,
        spare,
    ]
    assert spare < SLOTS // 100


@given(st.fractions(min_value=0, max_value=800, max_denominator=10**12), st.integers(20, 60))
def test_exponential_bounds_enclose_tightly(exponent: Fraction, digits: int) -> None:
    low, high = exponential_bounds(exponent, digits=digits)
    assert 0 < low <= high
    reference = exponential_bounds(exponent, digits=digits + 30)
    assert low <= reference[0]
    assert reference[1] <= high
    assert (high - low) / high <= Fraction(1000 + 10 * math.ceil(exponent), 10**digits)


def test_key_stream_is_aes_256_in_counter_mode() -> None:
    key = bytes(range(32))
    plain = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor().update(bytes(800))
    stream = KeyStream(lambda length: key[:length])
    assert stream.words(3).tobytes() + stream.words(97).tobytes() == plain


def test_key_stream_counts_bits() -> None:
    stream = KeyStream(seeded("bits"))
    assert stream.integer(0) == 0
    assert {stream.integer(1) for _ in range(100)} == {0, 1}
    assert max(stream.integer(12) for _ in range(3000)) in range(4000, 4096)


@pytest.mark.parametrize("entropy", [lambda n: b"short", lambda n: bytes(n + 1), lambda n: "x" * n, lambda n: None])
def test_key_stream_refuses_other_entropy(entropy: Any) -> None:
    with pytest.raises(EntropyFailure, match="32 bytes"):
        discrete_gaussian(2.0, 1, entropy)


def test_discrete_gaussian_is_a_function_of_its_seed() -> None:
    first = discrete_gaussian(100.0, 50_000, seeded("a"))
    np.testing.assert_array_equal(first, discrete_gaussian(Fraction(100), 50_000, seeded("a")))
    assert (first != discrete_gaussian(100.0, 50_000, seeded("b"))).mean() > 0.9
    assert first.dtype == np.int64


@pytest.mark.parametrize("size", [1, 2, 17, 16_383, 16_385, 100_003])
def test_sample_returns_as_many_as_asked_for(size: int) -> None:
    assert sample(Envelope.of(Fraction(5)), size, KeyStream(seeded("size"))).shape == (size,)


@pytest.mark.parametrize(
    "sigma", [0, -1.0, 0.2, 2.0**40 * 1.001, math.nan, math.inf, True, "2", Fraction(0), Fraction(10**400)]
)
def test_discrete_gaussian_refuses_sigma(sigma: Any) -> None:
    with pytest.raises(InvalidParameter, match="sigma"):
        discrete_gaussian(sigma, 1)


@pytest.mark.parametrize("size", [0, -3, 1.0, True, None, 2**60])
def test_discrete_gaussian_refuses_size(size: Any) -> None:
    with pytest.raises(InvalidParameter, match="size"):
        discrete_gaussian(2.0, size)
