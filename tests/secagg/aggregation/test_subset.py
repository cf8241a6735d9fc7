"""The public random rows that a compressed encoding keeps, and what keeping only them does to a mean."""

import hashlib
import itertools
import math
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from secagg.aggregation.rotation import Rotation
from secagg.aggregation.subset import MOST_BIAS, SubsampledRotation, clip_bias, kept_rows, least_kept
from secagg.errors import EncodingError

FALSE_ALARMS = 1e-6
RECORDED = "1a8f90823cada5b107a0f60880e46d0bccc795ef14cec4c1a8199b5b4f098d5a"


def subsets(block: int, kept: int) -> Iterator[NDArray[np.bool_]]:
    """Yield each subset of this size once, as rows that are kept."""
    for chosen in itertools.combinations(range(block), kept):
        rows = np.zeros(block, dtype=np.bool_)
        rows[list(chosen)] = True
        yield rows


def test_kept_rows_are_as_many_of_each_block() -> None:
    rows = kept_rows(b"seed", blocks=7, block=64, kept=13)
    assert rows.shape == (7 * 64,)
    assert rows.dtype == np.bool_
    assert rows.reshape(7, 64).sum(axis=1).tolist() == [13] * 7


@pytest.mark.parametrize("kept", [1, 2**14 - 1])
def test_kept_rows_may_be_one_or_all_but_one_of_the_largest_block(kept: int) -> None:
    assert kept_rows(b"seed", blocks=2, block=2**14, kept=kept).reshape(2, -1).sum(axis=1).tolist() == [kept] * 2


def test_kept_rows_are_those_of_their_seed_and_differ_between_blocks() -> None:
    first, again, other = (kept_rows(seed, blocks=2, block=256, kept=64) for seed in (b"one", b"one", b"two"))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert (first[:256] != first[256:]).any()


def test_kept_rows_are_the_recorded_ones_on_every_machine() -> None:
    """All parties must keep the same rows. The digest is that of the AES-CTR of `cryptography` and a sort in Python."""
    rows = kept_rows(b"recorded", blocks=3, block=1024, kept=200)
    assert hashlib.sha256(np.packbits(rows).tobytes()).hexdigest() == RECORDED


def test_kept_rows_are_each_subset_alike() -> None:
    """Of 6,000 seeds, the counts of all 20 subsets of 3 of 6 rows; false alarms at 1e-6, and the seeds are fixed."""
    counts = dict.fromkeys((rows.tobytes() for rows in subsets(6, 3)), 0)
    for number in range(6000):
        counts[kept_rows(b"%d" % number, blocks=1, block=6, kept=3).tobytes()] += 1
    assert stats.chisquare(list(counts.values())).pvalue > FALSE_ALARMS


def test_kept_rows_of_two_blocks_are_independent() -> None:
    """Of 6,000 seeds, the counts of the 36 pairs of subsets of 2 of 4 rows; false alarms at 1e-6, fixed seeds."""
    pairs = itertools.product((rows.tobytes() for rows in subsets(4, 2)), repeat=2)
    counts = dict.fromkeys((first + second for first, second in pairs), 0)
    for number in range(6000):
        counts[kept_rows(b"%d" % number, blocks=2, block=4, kept=2).tobytes()] += 1
    assert stats.chisquare(list(counts.values())).pvalue > FALSE_ALARMS


@pytest.mark.parametrize(("dimension", "kept"), [(8, 1), (8, 3), (8, 7), (17, 1), (16, 2)])
def test_subsampled_rotation_has_the_vector_as_its_exact_expectation(dimension: int, kept: int) -> None:
    """The mean over all subsets is the vector, and the mean squared error is B / k - 1 times its squared norm."""
    block = Rotation(dimension, b"seed").block
    vector = np.random.default_rng(dimension).normal(size=dimension)
    blocks = Rotation(dimension, b"seed").padded // block
    found = []
    for each in itertools.product(list(subsets(block, kept)), repeat=blocks):
        rotation = SubsampledRotation(dimension, b"seed", np.concatenate(each))
        found.append(rotation.restore(rotation.rotate(vector)))
    np.testing.assert_allclose(np.mean(found, axis=0), vector, atol=1e-12)
    if dimension == blocks * block:  # Otherwise a part of the error lies in the padding.
        error = np.mean([float((each - vector) @ (each - vector)) for each in found])
        assert error == pytest.approx((block / kept - 1) * float(vector @ vector), rel=1e-12)


def test_subsampled_rotation_keeps_rows_of_the_whole_rotation_as_they_are() -> None:
    vector = np.random.default_rng(1).normal(size=650)
    whole = Rotation(650, b"seed")
    rows = kept_rows(b"seed", blocks=whole.padded // whole.block, block=whole.block, kept=5)
    kept = SubsampledRotation(650, b"seed", rows).rotate(vector)
    np.testing.assert_array_equal(kept, whole.rotate(vector)[rows])
    assert kept.shape == (whole.padded // whole.block * 5,)


def hadamard(size: int) -> NDArray[np.float64]:
    matrix = np.ones((1, 1))
    while len(matrix) < size:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return matrix / math.sqrt(size)


@pytest.mark.parametrize(("block", "kept"), [(2, 1), (4, 1), (4, 2), (4, 3), (8, 2), (8, 4), (8, 7)])
def test_clip_bias_bounds_the_exact_bias_over_all_signs_and_all_subsets(block: int, kept: int) -> None:
    """Updates of norm 1: one entry, all entries alike, two, and random ones, in an independent computation."""
    draws = np.random.default_rng(block).normal(size=(4, block))
    updates = [np.eye(block)[0], np.ones(block), np.eye(block)[0] + np.eye(block)[-1], *draws]
    bound, matrix = math.sqrt(kept / block), hadamard(block)
    for update in updates:
        unit = update / np.linalg.norm(update)
        total, count = np.zeros(block), 0
        for signs in itertools.product((-1.0, 1.0), repeat=block):
            rotated = matrix @ (signs * unit)
            for rows in subsets(block, kept):
                norm = float(np.linalg.norm(rotated[rows]))
                part = np.where(rows, rotated, 0.0) * min(1.0, bound / norm if norm else 1.0)
                total += np.array(signs) * (matrix.T @ part) * block / kept
                count += 1
        assert np.linalg.norm(total / count - unit) <= clip_bias(block=block, kept=kept)


@pytest.mark.parametrize("exponent", range(1, 15))
def test_least_kept_is_the_least_with_so_little_bias(exponent: int) -> None:
    block = 2**exponent
    least = least_kept(block)
    assert clip_bias(block=block, kept=least) <= MOST_BIAS < clip_bias(block=block, kept=least - 1)
    assert clip_bias(block=block, kept=block) == 0


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.ones(7, dtype=np.bool_), r"rows: expected shape \(8,\) and dtype bool, found \(7,\) and bool"),
        (np.ones(8), r"rows: expected shape \(8,\) and dtype bool, found \(8,\) and float64"),
        (np.zeros(8, dtype=np.bool_), r"rows: expected the same number in each block, at least 1, found \[0\]"),
    ],
)
def test_subsampled_rotation_refuses_rows_that_do_not_fit(rows: NDArray[np.bool_], message: str) -> None:
    with pytest.raises(EncodingError, match=message):
        SubsampledRotation(8, b"seed", rows)


def test_subsampled_rotation_refuses_blocks_with_different_numbers_of_rows() -> None:
    padded, block = Rotation(33, b"seed").padded, Rotation(33, b"seed").block
    rows = np.zeros(padded, dtype=np.bool_)
    rows[: block // 2] = True
    rows[block:] = True
    with pytest.raises(EncodingError, match=r"rows: expected the same number in each block"):
        SubsampledRotation(33, b"seed", rows)


def test_subsampled_rotation_refuses_vectors_of_another_shape() -> None:
    rotation = SubsampledRotation(8, b"seed", next(subsets(8, 4)))
    with pytest.raises(EncodingError, match=r"vector: expected shape \(8,\) for the rotation, found \(4,\)"):
        rotation.rotate(np.zeros(4))
    with pytest.raises(EncodingError, match=r"vector: expected shape \(4,\) for the kept rows, found \(8,\)"):
        rotation.restore(np.zeros(8))
