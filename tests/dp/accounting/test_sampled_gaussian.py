"""The divergence of a sampled Gaussian at real orders, against another quadrature in both directions."""

import math

import numpy as np
import pytest
from scipy.special import roots_legendre

from dp.accounting.amplification import KnownDivergences, subsampled_divergences
from dp.accounting.sampled_gaussian import sampled_gaussian_divergence


def log_moment(q: float, z: float, power: float) -> float:
    """Return log E[w^power] by Gauss-Legendre quadrature on 400 panels, with E[w^power - 1] where that is small."""
    nodes, weights = roots_legendre(24)
    edges = np.linspace(-30, max(power, 0.0) / z + 30, 401)
    half = (edges[1:] - edges[:-1])[:, None] / 2
    u = edges[:-1, None] + half * (1 + nodes)
    change = power * np.log1p(q * np.expm1(u / z - 1 / (2 * z**2)))
    shift = float((change - u**2 / 2).max())
    small = shift < 5
    values = np.exp(-(u**2) / 2) * np.expm1(change) if small else np.exp(change - u**2 / 2 - shift)
    total = math.fsum((half * weights * values).ravel().tolist()) / math.sqrt(2 * math.pi)
    return math.log1p(total) if small else math.log(total) + shift


@pytest.mark.parametrize("sampling_rate", [1e-4, 0.01, 0.9])
@pytest.mark.parametrize("noise_multiplier", [0.4, 0.8, 15.0])
@pytest.mark.parametrize("order", [1.02, 3.586, 12.25, 60.5])
def test_divergence_is_above_both_directions_and_close(
    sampling_rate: float, noise_multiplier: float, order: float
) -> None:
    found = sampled_gaussian_divergence(sampling_rate, noise_multiplier, order) * (order - 1)
    with_unit, without_unit = (log_moment(sampling_rate, noise_multiplier, power) for power in (order, 1 - order))
    assert without_unit <= with_unit * (1 + 1e-9)
    # Quadrature is exact to 1e-11 or so; the allowance of the code for rounding is 2**-48 of the terms that cancel.
    assert with_unit <= found * (1 + 1e-10) + 1e-15
    assert found <= with_unit * (1 + 1e-9) + 1e-12


@pytest.mark.parametrize("order", [2, 3, 17, 64])
@pytest.mark.parametrize(("sampling_rate", "noise_multiplier"), [(0.03, 1.0), (0.001, 0.7), (0.5, 3.0)])
def test_divergence_at_integers_is_that_of_the_expansion(
    sampling_rate: float, noise_multiplier: float, order: int
) -> None:
    found = sampled_gaussian_divergence(sampling_rate, noise_multiplier, float(order))
    known = np.arange(2.0, order + 1) / (2 * noise_multiplier**2)
    expansion = subsampled_divergences(
        known, sampling_rate=sampling_rate, known=KnownDivergences.BOTH_DIRECTIONS
    ).divergences[-1]
    assert found == pytest.approx(expansion, rel=1e-8, abs=1e-12)


def test_divergence_that_takes_too_many_points_is_infinite() -> None:
    assert sampled_gaussian_divergence(0.01, 1e-3, 2.0) == math.inf
    assert sampled_gaussian_divergence(0.01, 1.0, 1e6) == math.inf
    assert sampled_gaussian_divergence(0.01, 1.0, 1e4) <= 1e4 / 2


@pytest.mark.parametrize(
    ("sampling_rate", "noise_multiplier", "order"), [(1e-6, 1.8, 100.0), (0.001, 3.0, 150.0), (0.01, 10.0, 1100.5)]
)
def test_divergence_is_finite_where_only_the_moment_without_sampling_overflows(
    sampling_rate: float, noise_multiplier: float, order: float
) -> None:
    assert (order**2 - order) / (2 * noise_multiplier**2) > math.log(np.finfo(np.float64).max) / 1.2
    found = sampled_gaussian_divergence(sampling_rate, noise_multiplier, order) * (order - 1)
    expected = log_moment(sampling_rate, noise_multiplier, order)
    assert expected * (1 - 1e-10) <= found <= expected * (1 + 1e-9)
