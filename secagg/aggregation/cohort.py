"""The ids of a cohort."""

from collections.abc import Iterable

from protocols.errors import ParameterError
from secagg.checks import plain_integer, shown


def cohort_of(clients: Iterable[int]) -> tuple[int, ...]:
    """The ids of a cohort as Python's integers; whether a session takes them, it says itself.

    Raises:
        ParameterError: They are no integers.
    """
    if not isinstance(clients, Iterable):
        raise ParameterError(f"clients: expected the ids of a cohort, found {type(clients).__name__}")
    cohort = tuple(map(plain_integer, clients))
    for client in cohort:
        if type(client) is not int:
            raise ParameterError(f"clients: expected integers, found {shown(client)}")
    return cohort
