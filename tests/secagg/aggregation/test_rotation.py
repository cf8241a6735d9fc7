import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secagg.aggregation.rotation import (
    FAILURE,
    PIECE,
    PiecewiseRotation,
    Rotation,
    block_size,
    flat_bound,
    float_error,
    padded_length,
)
from secagg.errors import EncodingError

SMALL = st.integers(1, 3000)
ANY = st.integers(1, 2**27)


def drawn(size: int, seed: int = 0) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.random.default_rng(seed).normal(size=size)


@given(ANY)
def test_rotation_pads_by_a_sixteenth_at_most(dimension: int) -> None:
    block, padded = block_size(dimension), padded_length(dimension)
    assert 0 <= padded - dimension <= dimension / 16
    assert padded % block == 0
    assert block & (block - 1) == 0
    assert block <= 2**14


@given(ANY)
def test_rotation_block_is_the_largest_that_pads_so_little(dimension: int) -> None:
    block = block_size(dimension)
    for larger in (2**exponent for exponent in range(15) if 2**exponent > block):
        assert -dimension % larger > dimension // 16


@given(SMALL)
def test_rotation_restores_what_it_rotated(dimension: int) -> None:
    rotation, vector = Rotation(dimension, b"seed"), drawn(dimension)
    rotated = rotation.rotate(vector)
    assert rotated.shape == (rotation.padded,)
    assert np.linalg.norm(rotated) == pytest.approx(np.linalg.norm(vector), rel=1e-12)
    bound = 2 * math.sqrt(rotation.block) * float_error(float(np.linalg.norm(vector)), dimension)
    assert np.abs(rotation.restore(rotated) - vector).max() <= bound


@pytest.mark.parametrize("dimension", [1, 2, 3, 15, 33, 64, 650])
def test_rotation_is_orthonormal(dimension: int) -> None:
    rotation = Rotation(dimension, b"another seed")
    columns = np.array([rotation.rotate(unit) for unit in np.eye(dimension)])
    np.testing.assert_allclose(columns @ columns.T, np.eye(dimension), atol=1e-12)


def test_rotation_spreads_one_coordinate_over_its_whole_block() -> None:
    vector = np.zeros(2**14)
    vector[5] = 1.0
    np.testing.assert_allclose(np.abs(Rotation(2**14, b"seed").rotate(vector)), 2.0**-7, rtol=1e-12)


def test_rotation_is_that_of_its_seed() -> None:
    vector = drawn(100)
    first, again, other = (Rotation(100, seed).rotate(vector) for seed in (b"one", b"one", b"two"))
    assert np.array_equal(first, again)
    assert not np.allclose(first, other)


def test_rotation_float_error_covers_what_float64_loses() -> None:
    """Against the same rotation in longdouble, by the definition of the Hadamard matrix."""
    dimension = 1024
    rotation, vector = Rotation(dimension, b"seed"), drawn(dimension)
    signed = vector * np.sign(rotation.restore(np.eye(dimension)[0]) * 32)
    # H[i, j] is the parity of the bits that i and j share.
    shared = np.bitwise_and.outer(np.arange(dimension), np.arange(dimension))
    parity = np.sum([(shared >> bit) & 1 for bit in range(10)], axis=0) % 2
    exact = (1 - 2 * parity).astype(np.longdouble) @ signed.astype(np.longdouble) / 32
    error = np.abs(rotation.rotate(vector) - exact).max()
    assert 0 < error <= float_error(float(np.linalg.norm(vector)), dimension)


def test_rotation_flat_bound_holds_where_it_is_meant_to_and_is_not_idle() -> None:
    """The formula with a failure of 1e-6 for all 200 * 4096 coordinates of spread-out and of lumped vectors.

    False alarm rate at most 1e-6 for each kind, by Hoeffding's inequality; one retry on fresh seeds.
    """
    dimension, runs = 4096, 200
    bound = math.sqrt(2 * math.log(2 * dimension * runs / 1e-6) / dimension)
    lumped = np.zeros(dimension)
    lumped[:64] = 1 / 8
    spread = drawn(dimension)
    spread /= np.linalg.norm(spread)

    def largest(vector: np.ndarray[tuple[int], np.dtype[np.float64]], trial: int) -> float:
        seeds = (b"%d %d" % (trial, run) for run in range(runs))
        return max(float(np.abs(Rotation(dimension, seed).rotate(vector)).max()) for seed in seeds)

    for vector in (lumped, spread):
        assert largest(vector, 0) <= bound or largest(vector, 1) <= bound
        assert largest(vector, 2) > bound / 3
    assert flat_bound(1.0, dimension) == pytest.approx(math.sqrt(2 * math.log(2 * dimension / FAILURE) / dimension))
    assert flat_bound(3.0, dimension) == pytest.approx(3 * flat_bound(1.0, dimension))


@given(SMALL)
def test_rotation_flat_bound_is_never_above_the_norm(dimension: int) -> None:
    assert 0 < flat_bound(2.5, dimension) <= 2.5


@pytest.mark.parametrize("dimension", [0, -1, True, 2.0, None])
def test_rotation_refuses_what_is_no_dimension(dimension: object) -> None:
    with pytest.raises(EncodingError, match="dimension: expected an int"):
        Rotation(dimension, b"seed")  # type: ignore[arg-type]


def test_rotation_refuses_other_shapes() -> None:
    rotation = Rotation(33, b"seed")
    for vector in (np.zeros(1), np.zeros(32), np.zeros((33, 1))):
        with pytest.raises(EncodingError, match=r"expected shape \(33,\) for the rotation"):
            rotation.rotate(vector)
    with pytest.raises(EncodingError, match=rf"expected shape \({rotation.padded},\) for the rotation"):
        rotation.restore(np.zeros(rotation.padded + 1))


@pytest.mark.parametrize("dimension", [1, 5, 17, 2**14, 2**16, 2**16 + 1, 200_000])
def test_rotation_of_pieces_is_the_rotation(dimension: int) -> None:
    vector = drawn(dimension)
    padded = np.zeros(padded_length(dimension))
    padded[:dimension] = vector
    rotation = PiecewiseRotation(dimension, b"seed")
    for start in range(0, padded.size, PIECE):
        rotation.rotate(padded[start : start + PIECE])
    assert np.array_equal(padded, Rotation(dimension, b"seed").rotate(vector))
    with pytest.raises(EncodingError, match=r"vector: expected shape \(0,\)"):
        rotation.rotate(padded[:1])
