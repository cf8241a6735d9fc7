import pytest

from protocols.errors import ParameterError
from secagg.planning.cost.seeds import cost, members_of_size
from secagg.planning.cost.sum_size import SumSize


@pytest.mark.parametrize(("members", "colluding", "opening"), [(3, 1, 3), (5, 1, 4), (5, 2, 5), (3, 2, 3), (7, 3, 7)])
def test_members_that_a_sum_needs(members: int, colluding: int, opening: int) -> None:
    assert members_of_size(members, colluding).threshold == opening


def test_sum_without_a_committee_is_refused() -> None:
    with pytest.raises(ParameterError, match="committee: expected one, found none"):
        cost(SumSize(clients=3, length=4, modulus=16, threshold=3, dropped=0))
