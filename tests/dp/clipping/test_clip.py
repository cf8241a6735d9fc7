import math
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from dp.clipping.clip import clip_factor, clip_l2, clip_l2_per_layer, l2_norm, total_l2
from dp.errors import InvalidParameter

finite = st.floats(min_value=-1e300, max_value=1e300, allow_nan=False, width=64)
updates = st.lists(
    hnp.arrays(np.float64, hnp.array_shapes(max_dims=3, max_side=6), elements=finite), min_size=1, max_size=4
)


def exact_squares(arrays: tuple[NDArray[np.float64], ...]) -> int:
    """Return the exact squared norm times 2**2254, at which the square of every float64 is an integer."""
    return sum((int(m * 2**53) << e + 1074) ** 2 for a in arrays for m, e in map(math.frexp, a.ravel()))


@given(updates, st.floats(min_value=1e-200, max_value=1e200))
def test_clip_l2_bounds_every_update(update: list[NDArray[np.float64]], bound: float) -> None:
    clipped = clip_l2(update, bound=bound)
    assert l2_norm(clipped.arrays) <= bound
    assert 0 <= clipped.factor <= 1
    assert [array.shape for array in clipped.arrays] == [array.shape for array in update]
    assert all(array.dtype == np.float64 for array in clipped.arrays)
    if clipped.factor < 1:
        assert exact_squares(clipped.arrays) <= exact_squares((np.array([bound]),))
        assert float(np.linalg.norm(np.concatenate([a.ravel() / bound for a in clipped.arrays]))) <= 1


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i1", "i4", "i8", "u2", "u8"])
def test_clip_l2_takes_numeric_dtypes(dtype: str) -> None:
    clipped = clip_l2([np.array([3, 0], dtype=dtype), np.array([[4]], dtype=dtype)], bound=1.0)
    assert clipped.norm == 5.0
    np.testing.assert_allclose(np.concatenate([a.ravel() for a in clipped.arrays]), [0.6, 0.0, 0.8], rtol=1e-14)


def test_clip_l2_takes_the_norm_over_all_arrays_together() -> None:
    assert clip_l2([np.array([3.0]), np.array([4.0])], bound=4.0).factor == pytest.approx(0.8, rel=1e-13)


def test_clip_l2_leaves_what_is_within_the_bound() -> None:
    update = [np.array([3.0, 4.0]), np.zeros((2, 2))]
    clipped = clip_l2(update, bound=5.0)
    assert clipped.factor == 1.0
    np.testing.assert_array_equal(clipped.arrays[0], update[0])
    clipped.arrays[0][0] = 7.0
    assert update[0][0] == 3.0


def test_clip_l2_returns_arrays_of_every_shape() -> None:
    for bound in (1.0, 10.0):
        clipped = clip_l2([np.array(3.0), np.array([4.0])], bound=bound)
        assert all(isinstance(array, np.ndarray) for array in clipped.arrays)
        assert [array.shape for array in clipped.arrays] == [(), (1,)]


@pytest.mark.parametrize("number", [np.float64(3), np.float32(3), np.int16(3), 0.5 * np.array(6.0), 3.0, 3])
def test_clip_takes_numbers_as_arrays_of_no_dimension(number: Any) -> None:
    """Numpy makes a number of an array of shape () wherever it computes with it."""
    update = [number, np.array([4.0])]
    assert l2_norm(update) == 5.0
    for clipped in (clip_l2(update, bound=1.0), clip_l2_per_layer(update, bounds=[0.6, 0.8])):
        assert all(type(array) is np.ndarray and array.dtype == np.float64 for array in clipped.arrays)
        assert [array.shape for array in clipped.arrays] == [(), (1,)]
        np.testing.assert_allclose(clipped.arrays[0], 0.6, rtol=1e-14)


@pytest.mark.parametrize("number", [True, np.bool_(1), 1j, np.complex64(1), np.float64("nan"), np.str_("1"), 10**30])
def test_clip_refuses_numbers_that_are_not_real_and_finite(number: Any) -> None:
    with pytest.raises(InvalidParameter, match=r"arrays\[0\]"):
        clip_l2([number], bound=1.0)


def test_clip_l2_takes_the_zero_update() -> None:
    clipped = clip_l2([np.zeros(3)], bound=1e-300)
    assert (clipped.norm, clipped.factor) == (0.0, 1.0)


def test_clip_l2_neither_overflows_nor_underflows() -> None:
    large = clip_l2([np.full(1000, 1e300)], bound=1.0)
    assert large.norm == pytest.approx(1e300 * math.sqrt(1000), rel=1e-12)
    assert l2_norm(large.arrays) == pytest.approx(1.0, rel=1e-12)
    assert clip_l2([np.full(4, 5e-324)], bound=1.0).norm == 1e-323


def test_clip_l2_loses_no_more_than_rounding() -> None:
    update = np.linspace(-1, 1, 100_001)
    assert l2_norm(clip_l2([update], bound=0.5).arrays) == pytest.approx(0.5, rel=1e-10)


@pytest.mark.parametrize(
    "arrays",
    [
        [],
        [np.array([1.0, np.nan])],
        [np.array([np.inf])],
        [np.array([1.0]), np.array([-np.inf], dtype=np.float16)],
        [np.array([True])],
        [np.array([1j])],
        [np.array(["a"])],
        [np.array([1.0], dtype=np.longdouble)],
        [np.zeros((2, 0))],
        [[1.0, 2.0]],
        [np.full(10, 1.7e308)],
    ],
)
def test_clip_l2_refuses_what_has_no_norm(arrays: list[Any]) -> None:
    with pytest.raises(InvalidParameter, match="arrays"):
        clip_l2(arrays, bound=1.0)


@pytest.mark.parametrize("bound", [0, -1.0, math.nan, math.inf, True, "1"])
def test_clip_l2_refuses_bounds(bound: Any) -> None:
    with pytest.raises(InvalidParameter, match="bound"):
        clip_l2([np.ones(2)], bound=bound)


@given(updates, st.lists(st.floats(min_value=1e-200, max_value=1e150), min_size=4, max_size=4))
def test_clip_per_layer_bounds_each_array_and_all_together(
    update: list[NDArray[np.float64]], four: list[float]
) -> None:
    bounds = four[: len(update)]
    clipped = clip_l2_per_layer(update, bounds=bounds)
    assert all(l2_norm([array]) <= bound for array, bound in zip(clipped.arrays, bounds, strict=True))
    assert l2_norm(clipped.arrays) <= clipped.bound
    assert clipped.bound == pytest.approx(
        float(np.linalg.norm(np.array(bounds) / max(bounds))) * max(bounds), rel=1e-14
    )
    assert clipped.norm == l2_norm(update)
    assert [array.shape for array in clipped.arrays] == [array.shape for array in update]


def test_clip_per_layer_scales_only_what_exceeds_its_own_bound() -> None:
    update = [np.array([3.0, 4.0]), np.array([[0.5]]), np.array(8.0)]
    clipped = clip_l2_per_layer(update, bounds=[1.0, 2.0, 2.0])
    np.testing.assert_allclose(clipped.arrays[0], [0.6, 0.8], rtol=1e-14)
    np.testing.assert_array_equal(clipped.arrays[1], [[0.5]])
    np.testing.assert_allclose(clipped.arrays[2], 2.0, rtol=1e-14)
    assert (clipped.bound, clipped.norm) == (3.0, l2_norm(update))
    assert clipped.factor == pytest.approx(0.2, rel=1e-13)
    assert isinstance(clipped.arrays[2], np.ndarray)


def test_clip_per_layer_reaches_its_sensitivity() -> None:
    """One client's arrays all at their bounds: the stated total is the norm, no less and no more."""
    clipped = clip_l2_per_layer([np.full(7, 9.0), np.full((2, 3), -5.0)], bounds=[0.3, 0.7])
    assert l2_norm(clipped.arrays) == pytest.approx(clipped.bound, rel=1e-13)


def test_clip_per_layer_takes_the_zero_update() -> None:
    clipped = clip_l2_per_layer([np.zeros(3), np.zeros((2, 2))], bounds=[1e-300, 1.0])
    assert (clipped.norm, clipped.factor) == (0.0, 1.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 1])
def test_clip_per_layer_fails_closed_wherever_the_bad_entry_is(bad: float, place: int) -> None:
    update = [np.ones(2), np.ones(2)]
    update[place][1] = bad
    with pytest.raises(InvalidParameter, match=rf"arrays\[{place}\]: expected finite entries"):
        clip_l2_per_layer(update, bounds=[1.0, 1.0])


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ([], "bounds"),
        ([1.0], "expected one for each of 2 arrays, found 1"),
        ([1.0, 1.0, 1.0], "expected one for each of 2 arrays, found 3"),
        ([1.0, 0.0], r"bounds\[1\]: expected a finite number above 0"),
        ([math.nan, 1.0], r"bounds\[0\]: expected a finite number above 0"),
        ([1.0, math.inf], r"bounds\[1\]: expected a finite number above 0"),
        ([1.0, -1.0], r"bounds\[1\]: expected a finite number above 0"),
        ([True, 1.0], r"bounds\[0\]: expected a number above 0, found bool"),
        ([1.7e308, 1.7e308], "expected a total within the float64 range"),
    ],
)
def test_clip_per_layer_refuses_bounds(bounds: list[Any], message: str) -> None:
    with pytest.raises(InvalidParameter, match=message):
        clip_l2_per_layer([np.ones(2), np.ones(2)], bounds=bounds)


def test_total_l2_is_the_norm_of_the_bounds() -> None:
    assert total_l2([3.0, 4.0]) == 5.0
    assert total_l2([0.25]) == 0.25


MASKED: Any = np.ma


@pytest.mark.parametrize(
    "arrays",
    [[MASKED.array([0.6, 1e9], mask=[0, 1])], [MASKED.array([0.6, np.nan], mask=[0, 1])], None, np.float64(1.0), 3],
)
def test_clip_refuses_what_hides_entries_or_is_no_sequence(arrays: Any) -> None:
    with pytest.raises(InvalidParameter, match="arrays"):
        clip_l2(arrays, bound=1.0)


def test_clip_takes_a_subclass_for_the_plain_array_that_it_is() -> None:
    clipped = clip_l2([np.arange(4.0).reshape(2, 2).view(np.matrix)], bound=1.0)
    assert type(clipped.arrays[0]) is np.ndarray
    assert l2_norm(clipped.arrays) <= 1.0


@given(updates, st.floats(min_value=1e-200, max_value=1e200))
@example([np.array([7.12935024e119])], 1e-200)  # The factor is a subnormal number.
@example([np.array([1.7e120, 2.3e119])], 3e-203)
def test_clip_factor_of_pieces_scales_as_the_clip_of_the_whole_update(
    update: list[NDArray[np.float64]], bound: float
) -> None:
    found, clipped = clip_factor(iter(update), bound=bound), clip_l2(update, bound=bound)
    assert 0 <= found <= 1
    assert found == pytest.approx(clipped.factor, rel=1e-12, abs=1e-300)
    assert l2_norm([array * found for array in update]) <= bound * (1 + 1e-13)


def test_clip_factor_refuses_what_the_clip_refuses() -> None:
    with pytest.raises(InvalidParameter, match="expected finite entries"):
        clip_factor([np.zeros(3), np.array([np.nan])], bound=1.0)
    with pytest.raises(InvalidParameter, match="pieces: expected at least one, found none"):
        clip_factor([], bound=1.0)
    with pytest.raises(InvalidParameter, match="expected a global L2 norm within the float64 range"):
        clip_factor([np.array([1.7e308])] * 2, bound=1.0)
    with pytest.raises(InvalidParameter, match="bound"):
        clip_factor([np.zeros(3)], bound=0.0)
