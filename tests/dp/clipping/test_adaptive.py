import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from dp.clipping.adaptive import AdaptiveClip, count_weight
from dp.clipping.clip import l2_norm
from dp.errors import InfeasibleTarget, InvalidParameter

finite = st.floats(min_value=-1e300, max_value=1e300, allow_nan=False, width=64)
updates = st.lists(
    hnp.arrays(np.float64, hnp.array_shapes(max_dims=2, max_side=6), elements=finite), min_size=1, max_size=3
)
magnitudes = st.floats(min_value=1e-30, max_value=1e30)


def released(clip: AdaptiveClip, updates: list[list[NDArray[np.float64]]]) -> list[NDArray[np.float64]]:
    """The exact mean of what these clients prepare."""
    prepared = [clip.prepare(update) for update in updates]
    return [np.asarray(sum(arrays) / len(updates)) for arrays in zip(*prepared, strict=True)]


@given(updates, magnitudes, st.floats(min_value=1e-6, max_value=1e6))
def test_adaptive_clip_bounds_update_and_count_together(
    update: list[NDArray[np.float64]], bound: float, weight: float
) -> None:
    clip = AdaptiveClip(bound=bound, weight=weight)
    prepared = clip.prepare(update)
    assert l2_norm(prepared[:-1]) <= 1
    assert prepared[-1].tolist() == [weight if l2_norm(update) <= bound else -weight]
    assert l2_norm(prepared) <= clip.l2_sensitivity * (1 + 2**-50)
    assert [array.shape for array in prepared] == [*(array.shape for array in update), (1,)]


def test_adaptive_clip_sensitivity_is_reached() -> None:
    clip = AdaptiveClip(bound=2.0, weight=0.75)
    assert clip.l2_sensitivity == 1.25
    assert l2_norm(clip.prepare([np.full(9, 40.0)])) == pytest.approx(1.25, rel=1e-13)


def test_adaptive_clip_counts_a_norm_at_the_bound_and_the_zero_update_as_within() -> None:
    clip = AdaptiveClip(bound=5.0, weight=0.5)
    assert clip.prepare([np.array([3.0, 4.0])])[-1].tolist() == [0.5]
    assert clip.prepare([np.array([3.0, np.nextafter(4.0, 5.0)])])[-1].tolist() == [-0.5]
    assert [array.tolist() for array in clip.prepare([np.zeros(2)])] == [[0.0, 0.0], [0.5]]


def test_adaptive_clip_restores_the_mean_of_the_clipped_updates() -> None:
    clip = AdaptiveClip(bound=0.5, weight=0.1)
    mean, _ = clip.after(released(clip, [[np.array([0.3, 0.0]), np.array(0.0)], [np.array([3.0, 0.0]), np.array(4.0)]]))
    np.testing.assert_allclose(mean[0], [0.3, 0.0], rtol=1e-13)
    np.testing.assert_allclose(mean[1], 0.2, rtol=1e-13)
    assert isinstance(mean[1], np.ndarray)


@pytest.mark.parametrize(
    ("norms", "fraction"), [([1.0, 1.0, 1.0, 1.0], 1.0), ([1.0, 9.0, 9.0, 9.0], 0.25), ([9.0, 9.0], 0.0)]
)
def test_adaptive_clip_moves_geometrically_by_the_fraction_within(norms: list[float], fraction: float) -> None:
    """The update of arXiv 1905.03871, C exp(-eta (b - gamma)), from the count of norms within 2."""
    clip = AdaptiveClip(bound=2.0, weight=0.3, quantile=0.7, learning_rate=0.4)
    _, following = clip.after(released(clip, [[np.array([norm])] for norm in norms]))
    assert following.bound == pytest.approx(2.0 * math.exp(-0.4 * (fraction - 0.7)), rel=1e-12)
    assert (following.weight, following.quantile, following.learning_rate) == (0.3, 0.7, 0.4)


@pytest.mark.parametrize("first", [0.01, 100.0])
@pytest.mark.parametrize("quantile", [0.2, 0.8])
def test_adaptive_clip_finds_the_quantile_from_far_away(first: float, quantile: float) -> None:
    """21 norms, 1.0 to 2.0: the bound settles at the quantile, with no noise on the count."""
    clip = AdaptiveClip(bound=first, weight=0.25, quantile=quantile)
    clients = [[np.array([norm])] for norm in np.linspace(1, 2, 21)]
    for _ in range(200):
        _, clip = clip.after(released(clip, clients))
    assert clip.bound == pytest.approx(1 + quantile, abs=0.06)


@pytest.mark.parametrize("count", [-1e300, -0.31, 0.31, 1e300])
def test_adaptive_clip_takes_a_noised_fraction_for_none_or_all(count: float) -> None:
    clip = AdaptiveClip(bound=1.0, weight=0.3)
    _, following = clip.after([np.zeros(2), np.array([count])])
    assert following.bound == pytest.approx(math.exp(-math.copysign(0.1, count)), rel=1e-12)


def test_adaptive_clip_never_leaves_its_limits() -> None:
    for bound, count in ((1e-30, 0.3), (1e30, -0.3)):
        _, following = AdaptiveClip(bound=bound, weight=0.3).after([np.ones(1), np.array([count])])
        assert following.bound == bound


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("place", [0, 1])
def test_adaptive_clip_refuses_what_is_not_finite(bad: float, place: int) -> None:
    clip = AdaptiveClip(bound=1.0, weight=0.3)
    arrays = [np.zeros(1), np.zeros(1)]
    arrays[place][0] = bad
    with pytest.raises(InvalidParameter, match="finite"):
        clip.after(arrays)
    with pytest.raises(InvalidParameter, match="finite"):
        clip.prepare(arrays)


@pytest.mark.parametrize("mean", [[], [np.zeros(1)], [np.zeros(3), np.zeros(2)], [np.zeros(1), np.array(0.1)]])
def test_adaptive_clip_refuses_a_mean_without_a_count(mean: list[Any]) -> None:
    with pytest.raises(InvalidParameter, match=r"one of shape \(1,\)"):
        AdaptiveClip(bound=1.0, weight=0.3).after(mean)


@pytest.mark.parametrize("name", ["bound", "weight", "quantile", "learning_rate"])
@pytest.mark.parametrize("value", [0.0, -0.5, math.nan, math.inf, True, "0.5", 1e31, None])
def test_adaptive_clip_refuses_parameters(name: str, value: Any) -> None:
    settings: dict[str, Any] = {"bound": 1.0, "weight": 0.3} | {name: value}
    with pytest.raises(InvalidParameter, match=name):
        AdaptiveClip(**settings)


@pytest.mark.parametrize(("name", "value"), [("quantile", 1.0), ("learning_rate", 1.01)])
def test_adaptive_clip_refuses_parameters_above_their_ranges(name: str, value: float) -> None:
    settings: dict[str, Any] = {"bound": 1.0, "weight": 0.3} | {name: value}
    with pytest.raises(InvalidParameter, match=name):
        AdaptiveClip(**settings)


@given(st.floats(min_value=0.01, max_value=100), st.floats(min_value=1.001, max_value=1000))
def test_count_weight_is_the_split_of_the_paper(noise_multiplier: float, times: float) -> None:
    """The noise on count and update is that of two mechanisms which together cost the noise multiplier."""
    count_sigma = times * noise_multiplier / 2
    weight = count_weight(noise_multiplier=noise_multiplier, count_sigma=count_sigma)
    noise = noise_multiplier * AdaptiveClip(bound=1.0, weight=weight).l2_sensitivity
    assert noise / (2 * weight) == pytest.approx(count_sigma, rel=1e-9)
    assert noise == pytest.approx((noise_multiplier**-2 - (2 * count_sigma) ** -2) ** -0.5, rel=1e-9)


def test_count_weight_refuses_less_noise_than_the_count_alone_needs() -> None:
    for count_sigma in (1.0, 0.5):
        with pytest.raises(InfeasibleTarget, match=r"expected more than 1, the least.*larger count_sigma"):
            count_weight(noise_multiplier=2.0, count_sigma=count_sigma)
    assert count_weight(noise_multiplier=2.0, count_sigma=math.nextafter(1.0, 2.0)) > 1e6


@pytest.mark.parametrize("name", ["noise_multiplier", "count_sigma"])
@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf, True])
def test_count_weight_refuses_parameters(name: str, value: Any) -> None:
    with pytest.raises(InvalidParameter, match=name):
        count_weight(**{"noise_multiplier": 1.0, "count_sigma": 9.0} | {name: value})


def test_adaptive_clip_takes_numbers_as_arrays_of_no_dimension() -> None:
    clip = AdaptiveClip(bound=2.0, weight=0.5)
    numbers: list[Any] = [np.float64(3), np.float32(3), 3.0]
    for number in numbers:
        prepared = clip.prepare([number, np.array([4.0])])
        assert [array.shape for array in prepared] == [(), (1,), (1,)]
        np.testing.assert_allclose(prepared[0], 0.6, rtol=1e-12)
    mean: list[Any] = [np.float64(0.6), np.array([0.8]), np.array([0.5])]
    update, _ = clip.after(mean)
    assert [array.shape for array in update] == [(), (1,)]
