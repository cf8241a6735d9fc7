"""Events of the laws of `lattice_laws`, and the deviations of the Gaussian noise that dominates them."""

from typing import assert_never

from dp.accounting.lattice import dominating_deviation
from dp.events import DistributedDiscreteGaussianEvent, LatticeEvent, NeighbouringRelation, SkellamEvent
from tests.support.lattice_laws import Noise, Shares, Skellam

ADD_OR_REMOVE = NeighbouringRelation.ADD_OR_REMOVE_ONE


def event_of(noise: Noise, *, l2_sensitivity: float = 1.0, dimension: int = 1) -> LatticeEvent:
    """Return the event of one release with a noise."""
    match noise:
        case Shares(sigma, number):
            return DistributedDiscreteGaussianEvent(
                local_sigma=sigma,
                contributors=number,
                l2_sensitivity=l2_sensitivity,
                dimension=dimension,
                relation=ADD_OR_REMOVE,
            )
        case Skellam(variance):
            return SkellamEvent(
                variance=variance,
                contributors=1,
                l2_sensitivity=l2_sensitivity,
                dimension=dimension,
                relation=ADD_OR_REMOVE,
            )
        case _:
            assert_never(noise)


def deviation_of(noise: Noise) -> float:
    """Return the deviation of the Gaussian noise that dominates a noise."""
    found = dominating_deviation(event_of(noise))
    assert found is not None
    return found
