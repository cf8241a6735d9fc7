"""What to do if one server is not enough: workers that share one sum, or cohorts with a sum over their sums.

A sum that a committee opens can be shared by workers without giving up anything: each adds up the masked vectors and
multiplies the ciphertexts of a part of the clients, nobody can open such a part, and the committee opens the total
alone. Pairwise masks and coded masks cancel only within one session. So each cohort then has a session of its own, and
its sum is released to its server.

A vector that is too long for one server is cut into slices, each with servers of its own: sums of slices are slices of
the sum. All numbers are found by formulas; no list of clients is made.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from protocols import SecureSum
from protocols.cohort import MAX_CLIENTS
from protocols.errors import ParameterError
from secagg.planning.cost.capacity import Resource, limits_of
from secagg.planning.cost.constants import Constants
from secagg.planning.cost.one_sum import OneSum, one_sum
from secagg.planning.cost.request import CostRequest

LEAST_COHORT: Final = 1000
"""The least number of clients of a cohort whose sum is released to its server."""

MOST_SLICES: Final = 2**20
_COHORTS: Final = (1_000_000, 500_000, 200_000, 100_000, 50_000, 20_000, 10_000, 5_000, 2_000)
_SHARED: Final = (Resource.LINK, Resource.CPU, Resource.MEMORY)
_NODES: Final = Resource.NODES  # More servers do not help: it is the engine's own limit, and is said beside the layout.


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """A level of a hierarchy.

    Attributes:
        sums: The number of sums of this level.
        clients: The number of clients of each; above the first level, these are the servers of the level below.
        one: The cost of one of them, of one slice.
    """

    sums: int
    clients: int
    one: OneSum


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How a round is laid out if one server is not enough.

    Attributes:
        levels: The levels, that of the clients first.
        slices: The number of slices of the vector, each with servers of its own.
        workers: The number of workers that share each sum of the first level.
    """

    levels: tuple[Level, ...]
    slices: int
    workers: int


def layout_of(kind: type[SecureSum], request: CostRequest, constants: Constants) -> Layout | None:
    """Return a layout whose sums are all within the limits of one server, or None if there is none.

    The fewest slices are taken for which cohorts of a thousand, or all clients if they are fewer, are within them;
    then the largest cohorts.
    """
    least, slices = min(request.clients, LEAST_COHORT), 1
    while _workers(kind, request, constants, least, slices) is None:
        slices *= 2
        if slices > MOST_SLICES:
            return None
    sizes = [size for size in _COHORTS if least < size < request.clients]
    if least < request.clients <= MAX_CLIENTS:
        sizes.insert(0, request.clients)
    for size in (*sizes, least):
        if (workers := _workers(kind, request, constants, size, slices)) is not None:
            levels = tuple(_levels(kind, request, constants, size, slices))
            return Layout(levels=levels, slices=slices, workers=workers)
    return None


def _levels(
    kind: type[SecureSum], request: CostRequest, constants: Constants, cohort: int, slices: int
) -> Iterator[Level]:
    """Yield the levels of a hierarchy of cohorts of at most this size, until one sum is left."""
    below = request.clients
    while True:
        clients = min(cohort, below)
        sums = -(-below // clients)
        if clients >= 2:
            yield Level(
                sums=sums, clients=clients, one=one_sum(kind, request, constants, clients=clients, slices=slices)
            )
        if sums == 1:
            return
        below = sums


def _workers(
    kind: type[SecureSum], request: CostRequest, constants: Constants, clients: int, slices: int
) -> int | None:
    """Return how many workers a sum needs; None if it is beyond a limit that workers do not lift."""
    try:
        one = one_sum(kind, request, constants, clients=clients, slices=slices)
    except ParameterError:
        return None
    limits = [limit for limit in limits_of(one, constants.engines[request.engine]) if limit.resource is not _NODES]
    if not limits:
        return 1
    if not kind.needs_committee or any(limit.resource not in _SHARED for limit in limits):
        return None
    return math.ceil(max(limit.ratio for limit in limits))
