"""The ids of a cohort."""

from collections.abc import Iterable

from protocols.errors import ParameterError
from secagg.checks import plain_integer, shown


def cohort_of(clients: Iterable[int]) -> tuple[int, ...]:
    """Return the ids of a cohort as Python integers; a session checks the ids further.

    Raises:
        ParameterError: `clients` is not iterable, or an id is not an integer.
    """
    if not isinstance(clients, Iterable):
        raise ParameterError(f"clients: expected the ids of a cohort, found {type(clients).__name__}")
    cohort = tuple(map(plain_integer, clients))
    for client in cohort:
        if type(client) is not int:
            raise ParameterError(f"clients: expected integers, found {shown(client)}")
    return cohort
