import dataclasses
from fractions import Fraction
from typing import Any

import pytest

from dp.errors import InvalidParameter
from dp.events import DistributedDiscreteGaussianEvent, SkellamEvent, Trust
from dp.noise.distributed import DistributedDiscreteGaussian, DistributedSkellam
from dp.noise.removal import RemovableSkellam
from secagg.aggregation.encoding import Encoding
from secagg.engines.node_event import node_event

ENCODING = Encoding.fit(shapes=[(10,)], clip_l2=1.0, clients=20, modulus_bits=24)
OTHERS: dict[str, Any] = {"l2_sensitivity": 1e-3, "dimension": 1}


def test_event_counts_on_the_noise_of_contributors_that_are_not_corrupt() -> None:
    noise = DistributedDiscreteGaussian(local_sigma=50.0, minimum_contributors=10**6, **OTHERS)
    event = node_event(noise, ENCODING, trust=Trust.DISTRIBUTED, contributors=12, corrupt=3)
    assert event == DistributedDiscreteGaussianEvent(
        local_sigma=50.0, contributors=9, l2_sensitivity=ENCODING.l2_sensitivity, dimension=ENCODING.length
    )


@pytest.mark.parametrize("trust", [Trust.LOCAL, Trust.CENTRAL])
def test_event_counts_on_one_party_alone_where_that_is_enough(trust: Trust) -> None:
    noise = DistributedSkellam(local_variance=100.0, minimum_contributors=10**6, **OTHERS)
    event = node_event(noise, ENCODING, trust=trust, contributors=12, corrupt=3)
    assert event == SkellamEvent(
        variance=100.0, contributors=1, l2_sensitivity=ENCODING.l2_sensitivity, dimension=ENCODING.length
    )


def test_event_of_skellam_noise_has_the_variances_of_those_contributors() -> None:
    noise = DistributedSkellam(local_variance=0.1, minimum_contributors=5, **OTHERS)
    event = node_event(noise, ENCODING, trust=Trust.DISTRIBUTED, contributors=12, corrupt=3)
    assert isinstance(event, SkellamEvent)
    assert event.contributors == 9
    assert 0 <= 9 * Fraction(0.1) - Fraction(event.variance) < Fraction(1, 2**50)


@pytest.mark.parametrize("corrupt", [0, 1, 2, 5])
def test_event_of_removable_noise_is_that_of_its_own_mechanism_with_as_many_corrupt(corrupt: int) -> None:
    """The same noise of each client, described by a mechanism that counts the node's own number as colluding."""
    offered = RemovableSkellam(
        target_variance=400.0, clients=20, tolerance=6, colluding=2, l2_sensitivity=3.0, dimension=ENCODING.length
    )
    event = node_event(offered, ENCODING, trust=Trust.DISTRIBUTED, contributors=14, corrupt=corrupt)
    # Each client's whole noise has the variance s / 14 with s = 400 * 14 / 12.
    same = dataclasses.replace(
        offered,
        colluding=corrupt,
        target_variance=float(Fraction(400 * 14, 12) * (14 - corrupt) / 14),
        l2_sensitivity=ENCODING.l2_sensitivity,
    )
    assert isinstance(event, SkellamEvent)
    assert event.variance == pytest.approx(same.event.variance, rel=1e-12)
    assert (event.contributors, event.l2_sensitivity) == (same.event.contributors, same.event.l2_sensitivity)


def test_nobodys_noise_is_no_event() -> None:
    for noise in (
        DistributedDiscreteGaussian(local_sigma=50.0, minimum_contributors=10, **OTHERS),
        DistributedSkellam(local_variance=100.0, minimum_contributors=10, **OTHERS),
    ):
        for corrupt in (12, 13):
            with pytest.raises(InvalidParameter):
                node_event(noise, ENCODING, trust=Trust.DISTRIBUTED, contributors=12, corrupt=corrupt)
