"""The product over LightSecAgg, whose modulus is a prime."""

from pathlib import Path

import numpy as np
import pytest

from protocols import available, load
from secagg.aggregation.mean import SecureMean, Target
from secagg.engines.memory import simulate_mean
from secagg.training.plain import plain_mean
from tests.support.commands import SMALL, secagg

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("lightsecagg" not in available(), reason="the protocol is not registered"),
]

PRIMES = {16: 65_521, 24: 2**24 - 3, 31: 2**31 - 1, 61: 2**61 - 1, 62: 2**61 - 1}


def planned(bits: int, target: Target | None = None) -> SecureMean:
    protocol, threshold = load("lightsecagg").suggest(clients=8, adversarial=0.25, dropout=0.25)
    return SecureMean.plan(
        protocol=protocol,
        clients=range(8),
        minimum_contributors=threshold,
        shapes=[(7, 3), ()],
        clip_l2=1.0,
        modulus_bits=bits,
        target=target,
    )


@pytest.mark.parametrize("bits", PRIMES)
def test_prime_field_mean_is_the_plain_one_at_every_dropout(bits: int) -> None:
    mean = planned(bits)
    assert mean.encoding.modulus == PRIMES[bits]
    generator = np.random.default_rng(bits)
    updates = {c: [generator.normal(size=(7, 3)), np.asarray(generator.normal())] for c in mean.clients}
    for row in mean.protocol.steps:
        release = simulate_mean(mean, updates, drops={row.name: [1, 6]})
        right = plain_mean({c: updates[c] for c in release.contributors}, clip_l2=1.0)
        assert release.rounding_bound is not None
        for found, each in zip(release.mean, right, strict=True):
            assert np.abs(found - each).max() <= release.rounding_bound


def test_prime_field_mean_carries_noise() -> None:
    """Updates of zero: noise within its tail bound is left, and nothing wraps; false alarm rate below 1e-6."""
    mean = planned(31, Target(epsilon=8.0, delta=1e-3, releases=1, colluding=2))
    assert mean.noise is not None
    release = simulate_mean(mean, {client: [np.zeros((7, 3)), np.zeros(())] for client in mean.clients})
    reach = mean.noise.tail_bound(8, 1e-6) * mean.encoding.granularity / 8
    rotated = reach * np.sqrt(mean.encoding.length)
    assert 0 < max(float(np.abs(array).max()) for array in release.mean) <= rotated


@pytest.mark.parametrize("epsilon", ["60", "inf"])
def test_prime_field_trains_from_the_command(tmp_path: Path, epsilon: str) -> None:
    options = ("--rounds", "2", "--epsilon", epsilon, "--no-compare", "--protocol", "lightsecagg", "--out", "run")
    found = secagg("train", *SMALL, *options, cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert "2 of 2 released a mean" in found.stdout
