"""Means of cohorts, which differ in their clients only, and of clients that are drawn in secret."""

from typing import Any

import numpy as np
import pytest

from dp.events import DistributedDiscreteGaussianEvent, NeighbouringRelation, PoissonSampledEvent, Trust
from protocols import Adversary, PlainSum, SecAgg
from protocols.errors import ParameterError
from secagg.aggregation.mean import SecureMean, Target
from secagg.errors import ConfigurationError
from secagg.privacy.noise import Sample
from secagg.simulation.identities import SimulatedClients

pytestmark = pytest.mark.slow

SAMPLE = Sample(population=40, expected=10)


def target(**changes: Any) -> Target:
    settings: dict[str, Any] = {"epsilon": 8.0, "delta": 1e-3, "releases": 4, "colluding": 1}
    return Target(**settings | changes)


def planned(**changes: Any) -> SecureMean:
    settings: dict[str, Any] = {
        "protocol": PlainSum(),
        "clients": range(10),
        "minimum_contributors": 6,
        "shapes": [(3, 2), (2,)],
        "clip_l2": 1.0,
    }
    return SecureMean.plan(**settings | changes)


def of_sample(**changes: Any) -> SecureMean:
    central = target(trust=Trust.CENTRAL, sample=SAMPLE, **changes)
    return planned(target=central, sample=SAMPLE)


def test_mean_of_another_cohort_differs_in_its_clients_alone() -> None:
    mean = planned(target=target())
    other = mean.for_clients(range(20, 30))
    assert other.clients == tuple(range(20, 30))
    assert (other.event, other.encoding, other.drawn) == (mean.event, mean.encoding, other.clients)
    assert other.is_like(mean)
    assert not planned().is_like(mean)
    assert mean.protocol.digest(other.session(bytes(16))) != mean.protocol.digest(mean.session(bytes(16)))
    with pytest.raises(ParameterError, match="clients: expected 10, the number that the noise is planned for, found 9"):
        mean.for_clients(range(9))
    with pytest.raises(ParameterError, match="roster: expected one of the cohort if and only if"):
        mean.for_clients(range(10), roster=SimulatedClients(adversarial=0.0, minimum_contributors=6).roster_of([1, 2]))


def test_mean_of_a_cohort_against_a_malicious_server_needs_its_roster() -> None:
    clients = SimulatedClients(adversarial=0.1, minimum_contributors=7, cap=1)
    protocol, least = SecAgg.suggest(clients=10, adversarial=0.1, dropout=0.2, adversary=Adversary.MALICIOUS)
    mean = planned(protocol=protocol, minimum_contributors=least, roster=clients.roster_of(range(10)))
    other = mean.for_clients(range(5, 15), roster=clients.roster_of(range(5, 15)))
    assert other.is_like(mean)
    assert other.roster is not None
    assert mean.roster is not None
    assert other.roster[7] == mean.roster[7]
    for roster in (None, mean.roster):
        with pytest.raises(ParameterError, match="roster"):
            mean.for_clients(range(5, 15), roster=roster)
    terms = clients.terms(other.clients)
    assert {each.cap for each in terms.values()} == {1}
    assert terms == clients.terms_of(other.session(bytes(16)))


def test_mean_of_a_secret_sample_costs_a_sampled_event_towards_readers() -> None:
    event = of_sample().event
    assert isinstance(event, PoissonSampledEvent)
    assert isinstance(event.event, DistributedDiscreteGaussianEvent)
    assert (event.sampling_rate, event.event.contributors) == (0.25, 1)
    assert event.relation is NeighbouringRelation.ADD_OR_REMOVE_ONE
    everybody = planned(target=target(trust=Trust.CENTRAL), clients=range(40)).event
    assert everybody is not None
    assert event.noise_multiplier < everybody.noise_multiplier
    assert planned(target=target()).event == planned(target=target()).noise.event  # type: ignore[union-attr]


def test_mean_of_a_secret_sample_is_the_same_for_every_number_of_clients() -> None:
    mean = of_sample()
    assert mean.encoding.clients == 40
    for drawn, padding in ((range(40), ()), (range(11), ()), ((3,), range(10, 19)), ((), range(10))):
        found = mean.for_sample(drawn, padding=padding, protocol=PlainSum(), minimum_contributors=10)
        assert (found.encoding, found.event, found.drawn) == (mean.encoding, mean.event, tuple(drawn))
        assert found.clients == tuple(sorted((*drawn, *padding)))
        assert found.realised(len(found.clients)) == mean.event
    with pytest.raises(ParameterError, match="expected a mean that is planned for one, found one for a cohort"):
        planned().for_sample(range(12), padding=(), protocol=PlainSum(), minimum_contributors=10)


@pytest.mark.parametrize("drawn", [0, 1, 10, 40])
def test_mean_of_a_secret_sample_divides_by_the_expected_number(drawn: int) -> None:
    """Noise aside: all clients that are drawn have the same update, whose mean is drawn / 10 times as large."""
    padding = range(drawn, 10)
    noiseless = planned(sample=SAMPLE)
    mean = noiseless.for_sample(range(drawn), padding=padding, protocol=PlainSum(), minimum_contributors=10)
    session = mean.session(bytes(16))
    rotation = mean.rotation(session)
    update = [np.full((3, 2), 0.2), np.full(2, -0.1)]
    parts = [mean.contribution(update, rotation=rotation) for _ in range(drawn)]
    parts += [mean.zero_contribution() for _ in padding]
    total = sum((part.vector for part in parts), np.zeros(mean.encoding.length, dtype=np.uint64))
    decoded = mean.decode(total % np.uint64(mean.encoding.modulus), contributors=len(parts), rotation=rotation)
    assert decoded.rounding_bound is None
    for found, array in zip(decoded.mean, update, strict=True):
        np.testing.assert_allclose(found, array * drawn / 10, atol=1e-4)


def test_samples_need_noise_of_the_server() -> None:
    for trust in (Trust.DISTRIBUTED, Trust.LOCAL):
        with pytest.raises(ConfigurationError, match="trust: expected central for clients that are drawn in secret"):
            target(trust=trust, sample=SAMPLE)
    with pytest.raises(ParameterError, match="sample: expected that of the target"):
        planned(target=target(trust=Trust.CENTRAL), sample=SAMPLE)
    shares = planned(target=target()).event
    assert shares is not None
    with pytest.raises(ConfigurationError, match="sample: expected noise of one party that is always there"):
        SAMPLE.event_of(shares)


@pytest.mark.parametrize(("population", "expected"), [(40, 0), (40, 41), (0, 0), (40, 1.5)])
def test_samples_of_impossible_sizes_are_refused(population: Any, expected: Any) -> None:
    with pytest.raises(ConfigurationError, match="sample: expected from 1 to all clients"):
        Sample(population=population, expected=expected)
