from typing import Final

import pytest

from protocols import LightSecAgg, OneShot, PaillierSum, SecAggPlus, SecureSum
from secagg.planning.cost.capacity import Resource, limits_of
from secagg.planning.cost.constants import default_constants
from secagg.planning.cost.layout import LEAST_COHORT, Layout, layout_of
from secagg.planning.cost.request import CostRequest

CONSTANTS: Final = default_constants()


def laid_out(kind: type[SecureSum], clients: int, parameters: int) -> Layout:
    request = CostRequest(clients=clients, parameters=parameters, dropout=0.1, adversarial=0.05, committee=5)
    found = layout_of(kind, request, CONSTANTS)
    assert found is not None
    return found


@pytest.mark.parametrize("kind", [SecAggPlus, LightSecAgg, OneShot, PaillierSum])
@pytest.mark.parametrize(("clients", "parameters"), [(10**6, 10**6), (10**9, 10**3), (10**9, 10**9), (2_000, 10**9)])
def test_layout_covers_all_clients_within_the_limits(kind: type[SecureSum], clients: int, parameters: int) -> None:
    layout = laid_out(kind, clients, parameters)
    below = clients
    for level in layout.levels:
        assert level.sums * level.clients >= below
        below = level.sums
        over = limits_of(level.one, CONSTANTS.engines["nvflare"])
        assert all(limit.ratio <= layout.workers for limit in over)
    assert below == 1
    assert layout.levels[0].clients >= min(clients, LEAST_COHORT)
    assert layout.slices * layout.levels[0].one.size.length >= parameters


def test_sums_of_a_committee_are_shared_by_workers() -> None:
    layout = laid_out(OneShot, 100_000, 10**6)
    assert (len(layout.levels), layout.levels[0].sums, layout.slices) == (1, 1, 1)
    assert layout.workers > 1


def test_pairwise_sums_are_not_shared_by_workers() -> None:
    layout = laid_out(SecAggPlus, 10**6, 10**6)
    assert layout.workers == 1
    assert layout.levels[0].sums > 1


def test_limit_of_nodes_does_not_end_the_search() -> None:
    request = CostRequest(
        clients=10**6,
        parameters=1000,
        dropout=0.1,
        adversarial=0.05,
        engine="flower",  # type: ignore[arg-type]
    )
    found = layout_of(SecAggPlus, request, CONSTANTS)
    assert found is not None
    assert {limit.resource for limit in limits_of(found.levels[0].one, CONSTANTS.engines["flower"])} == {Resource.NODES}
