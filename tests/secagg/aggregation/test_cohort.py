"""The ids of a cohort as they are given, and as protocols take them."""

import numpy as np
import pytest

from protocols import ParameterError
from secagg.aggregation.cohort import cohort_of


def test_ids_of_any_iterable_become_python_integers_in_order() -> None:
    for given in ([7, 0, 3], (each for each in (7, 0, 3)), np.array([7, 0, 3], dtype=np.uint32)):
        found = cohort_of(given)
        assert found == (7, 0, 3)
        assert all(type(client) is int for client in found)


@pytest.mark.parametrize(("clients", "match"), [(7, "found int"), ([1, "2"], "found '2'"), ([1, True], "found True")])
def test_ids_that_are_no_integers_are_refused(clients: object, match: str) -> None:
    with pytest.raises(ParameterError, match=f"^clients: expected .*{match}"):
        cohort_of(clients)  # type: ignore[arg-type]  # that is the test
