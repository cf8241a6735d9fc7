"""Who adds which noise to a mean, and what is left of it: checked on what a server, or a reader, would see.

Statistical checks have a false-alarm rate of 1e-6 each, over 4,096 coordinates or more, with one retry.
"""

import dataclasses
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from dp.accounting.guarantee import guarantee
from dp.errors import InvalidParameter, TooManyDropped
from dp.events import SkellamEvent, Trust
from dp.noise.distributed import LatticeNoise
from dp.noise.removal import RemovableSkellam
from protocols import LightSecAgg, PlainSum, SecAgg, SecAggPlus, TooFewSurvivors
from protocols.errors import ParameterError
from secagg.aggregation.mean import SecureMean
from secagg.aggregation.residues import centred
from secagg.engines.base import Release
from secagg.engines.memory import simulate_mean
from secagg.errors import ConfigurationError, EncodingError
from secagg.privacy.noise import Target, in_words, opening_rules, surplus

pytestmark = pytest.mark.slow

CLIENTS, LEAST = 10, 6
SHAPES = [(4096,)]
TARGET = Target(epsilon=8.0, delta=1e-3, releases=10, colluding=0)
REMOVAL = dataclasses.replace(TARGET, mechanism=LatticeNoise.SKELLAM, noise_removal=True)
FALSE_ALARM = 1e-6


def planned(target: Target, **changes: Any) -> SecureMean:
    settings: dict[str, Any] = {
        "protocol": SecAgg(),
        "clients": range(CLIENTS),
        "minimum_contributors": LEAST,
        "shapes": SHAPES,
        "clip_l2": 1.0,
        "modulus_bits": 20,
    }
    return SecureMean.plan(**settings | changes, target=target)


def zeros(mean: SecureMean) -> dict[int, list[NDArray[np.float64]]]:
    return {client: [np.zeros(SHAPES[0])] for client in mean.clients}


def noise_of(mean: SecureMean, release: Release) -> NDArray[np.float64]:
    """The noise in a mean of zeros, in steps and rotated, which leaves its variance as it is."""
    return release.mean[0] * len(release.contributors) / mean.encoding.granularity


def has_variance(samples: NDArray[np.float64], variance: float) -> bool:
    """A chi-square test of the variance of samples that are normal, or nearly so."""
    statistic = float((samples**2).sum() / variance)
    return bool(2 * min(stats.chi2.cdf(statistic, samples.size), stats.chi2.sf(statistic, samples.size)) > FALSE_ALARM)


def checked(draw: Any, variance: float) -> None:
    assert has_variance(draw(), variance) or has_variance(draw(), variance)


@pytest.mark.parametrize("dropped", range(CLIENTS - LEAST + 1))
@pytest.mark.parametrize("stage", ["share_keys", "mask_input"])
def test_removal_leaves_the_noise_of_the_target_however_many_drop(dropped: int, stage: str) -> None:
    mean = planned(REMOVAL)
    assert isinstance(mean.noise, RemovableSkellam)

    def draw() -> NDArray[np.float64]:
        release = simulate_mean(mean, zeros(mean), drops={stage: range(dropped)})
        assert len(release.contributors) == CLIENTS - dropped
        assert release.realised == mean.noise.realised(dropped)  # type: ignore[union-attr] # it is removable
        return noise_of(mean, release)

    checked(draw, mean.noise.target_variance)


def test_removal_costs_what_the_target_allows() -> None:
    mean = planned(REMOVAL)
    assert mean.noise is not None
    assert 0.99 * REMOVAL.epsilon < guarantee({mean.noise.event: 10}, delta=1e-3).epsilon <= REMOVAL.epsilon


def test_removal_is_exact_where_clients_vanish_after_their_vectors_are_in() -> None:
    """Their seeds are rebuilt from the others' shares."""
    mean = planned(REMOVAL)
    assert isinstance(mean.noise, RemovableSkellam)

    def draw() -> NDArray[np.float64]:
        release = simulate_mean(mean, zeros(mean), drops={"mask_input": [0], "reveal_shares": [1, 2, 3]})
        assert release.contributors == tuple(range(1, CLIENTS))
        return noise_of(mean, release)

    checked(draw, mean.noise.target_variance)


def test_removal_inflates_for_those_who_collude() -> None:
    mean = planned(dataclasses.replace(REMOVAL, colluding=2))
    assert isinstance(mean.noise, RemovableSkellam)

    def draw() -> NDArray[np.float64]:
        return noise_of(mean, simulate_mean(mean, zeros(mean), drops={"mask_input": range(4)}))

    checked(draw, mean.noise.target_variance * LEAST / (LEAST - 2))


def test_removal_is_blocked_beyond_its_tolerance() -> None:
    mean = planned(REMOVAL)
    with pytest.raises(TooFewSurvivors):
        simulate_mean(mean, zeros(mean), drops={"mask_input": range(CLIENTS - LEAST + 1)})
    session = mean.session(bytes(16))
    total = np.zeros(mean.encoding.length, dtype=np.uint64)
    with pytest.raises(EncodingError, match=f"contributors: expected at least {LEAST}, the least number of a release"):
        mean.decode(total, contributors=LEAST - 1, rotation=mean.rotation(session), attached={})
    with pytest.raises(TooManyDropped):
        surplus(mean.noise, {}, dropped=CLIENTS - LEAST + 1)
    with pytest.raises(InvalidParameter, match="seeds"):
        mean.decode(total, contributors=LEAST, rotation=mean.rotation(session))


def test_removal_opens_each_seed_for_as_many_dropouts_as_do_not_need_it() -> None:
    noise = planned(REMOVAL).noise
    assert isinstance(noise, RemovableSkellam)
    for dropped in range(CLIENTS - LEAST + 1):
        opened = [part for part, rule in enumerate(opening_rules(noise), start=1) if rule.opens(dropped)]
        assert opened == list(noise.removed(dropped))


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"protocol": PlainSum()}, ParameterError),
        ({"protocol": LightSecAgg(privacy=2, responders=5), "modulus_bits": 24}, ParameterError),
        ({"clients": range(100), "minimum_contributors": 30}, InvalidParameter),
    ],
)
def test_removal_is_refused_where_seeds_cannot_be_carried(changes: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match=r"attached secrets|at most 64"):
        planned(REMOVAL, **changes)


@pytest.mark.parametrize(("dimension", "modulus_bits"), [(2, 18), (16, 24), (650, 32)])
def test_removal_takes_a_coarser_grid_where_parts_of_the_noise_would_be_too_large(
    dimension: int, modulus_bits: int
) -> None:
    """With 3 of 10 colluding, the first part of a client's noise is larger than the noise share that was calibrated."""
    target = dataclasses.replace(REMOVAL, epsilon=1.0, releases=30, colluding=3)
    mean = planned(target, minimum_contributors=CLIENTS, shapes=[(dimension,)], modulus_bits=modulus_bits)
    assert isinstance(mean.noise, RemovableSkellam)
    assert max(mean.noise.variances) <= 2**32
    assert guarantee({mean.noise.event: 30}, delta=1e-3).epsilon <= 1.0


@pytest.mark.parametrize(
    "changes", [{"mechanism": LatticeNoise.DISCRETE_GAUSSIAN}, {"trust": Trust.LOCAL}, {"trust": Trust.CENTRAL}]
)
def test_removal_takes_distributed_skellam_noise(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="noise_removal: expected distributed Skellam"):
        dataclasses.replace(REMOVAL, **changes)


@pytest.mark.parametrize("mechanism", LatticeNoise)
def test_distributed_noise_has_its_variance_in_the_sum(mechanism: LatticeNoise) -> None:
    mean = planned(dataclasses.replace(TARGET, mechanism=mechanism, colluding=2))
    assert mean.noise is not None

    def draw() -> NDArray[np.float64]:
        release = simulate_mean(mean, zeros(mean), drops={"mask_input": [0]})
        realised = release.realised
        assert realised is not None
        assert not hasattr(realised, "contributors") or realised.contributors == CLIENTS - 1 - 2
        return noise_of(mean, release)

    share = (mean.noise.noise_multiplier * mean.encoding.l2_sensitivity) ** 2 / (LEAST - 2)
    checked(draw, share * (CLIENTS - 1))


@pytest.mark.parametrize("mechanism", LatticeNoise)
def test_local_noise_is_enough_in_every_single_vector(mechanism: LatticeNoise) -> None:
    mean = planned(dataclasses.replace(TARGET, mechanism=mechanism, trust=Trust.LOCAL, colluding=5))
    assert mean.noise is not None
    alone = guarantee({mean.noise.event: 10}, delta=1e-3)
    assert alone.epsilon <= TARGET.epsilon
    assert mean.noise.event.contributors == 1
    rotation = mean.rotation(mean.session(bytes(16)))

    def draw() -> NDArray[np.float64]:
        given = mean.contribution([np.zeros(SHAPES[0])], rotation=rotation)
        return centred(given.vector, mean.encoding.modulus).astype(np.float64)

    checked(draw, (mean.noise.noise_multiplier * mean.encoding.l2_sensitivity) ** 2)
    assert simulate_mean(mean, zeros(mean)).realised == mean.noise.event


@pytest.mark.parametrize("mechanism", LatticeNoise)
def test_central_noise_is_added_once_after_the_sum(mechanism: LatticeNoise) -> None:
    mean = planned(dataclasses.replace(TARGET, mechanism=mechanism, trust=Trust.CENTRAL))
    assert mean.noise is not None
    rotation = mean.rotation(mean.session(bytes(16)))
    given = mean.contribution([np.zeros(SHAPES[0])], rotation=rotation)
    assert not given.vector.any()
    checked(
        lambda: noise_of(mean, simulate_mean(mean, zeros(mean))),
        (mean.noise.noise_multiplier * mean.encoding.l2_sensitivity) ** 2,
    )
    assert simulate_mean(mean, zeros(mean)).realised == mean.noise.event


def test_parties_that_differ_on_who_adds_the_noise_have_different_sessions() -> None:
    mean = planned(TARGET)
    other = dataclasses.replace(mean, target=dataclasses.replace(TARGET, trust=Trust.CENTRAL))
    assert mean.session(bytes(16)).parameters != other.session(bytes(16)).parameters


def test_lattice_too_fine_for_noise_that_can_be_drawn_is_made_coarser() -> None:
    """Central Skellam noise over 40 bits would have a variance far above 2^32."""
    mean = planned(dataclasses.replace(TARGET, mechanism=LatticeNoise.SKELLAM, trust=Trust.CENTRAL), modulus_bits=40)
    assert mean.noise is not None
    assert isinstance(mean.noise.event, SkellamEvent)
    assert 2.0**26 < mean.noise.event.variance <= 2.0**32


def test_large_cohort_removes_noise_over_a_sparse_graph() -> None:
    mean = planned(REMOVAL, protocol=SecAggPlus(neighbours=6, share_threshold=4), shapes=[(5000,)])
    assert isinstance(mean.noise, RemovableSkellam)

    def draw() -> NDArray[np.float64]:
        updates = {client: [np.zeros(5000)] for client in mean.clients}
        return noise_of(mean, simulate_mean(mean, updates, drops={"share_keys": [3], "mask_input": [7]}))

    checked(draw, mean.noise.target_variance)


@pytest.mark.parametrize("trust", Trust)
def test_words_say_who_adds_the_noise(trust: Trust) -> None:
    target = dataclasses.replace(TARGET, trust=trust)
    noise = planned(target).noise
    assert noise is not None
    words = in_words(noise, target)
    assert ("from the server" in words) == (trust is Trust.CENTRAL)
    assert ("each enough alone" in words) == (trust is Trust.LOCAL)
    assert f"{noise.noise_multiplier:.4g} times the sensitivity" in words


@pytest.mark.parametrize("protocol", [PlainSum(), SecAgg(), LightSecAgg(privacy=2, responders=9)])
def test_removal_with_no_dropouts_to_tolerate_removes_nothing(protocol: Any) -> None:
    mean = planned(REMOVAL, protocol=protocol, minimum_contributors=CLIENTS, modulus_bits=24)
    assert simulate_mean(mean, zeros(mean)).contributors == tuple(range(CLIENTS))
