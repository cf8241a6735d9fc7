"""The graph of neighbours, who share masks and secret shares: a Harary graph over a random circle of the clients.

Source: Bell, Bonawitz, Gascon, Lepoint, Raykova, Secure Single-Server Aggregation with (Poly)Logarithmic Overhead,
CCS 2020 (ia.cr/2020/704). `find_parameters`, in `protocols.pairwise.parameters`, finds how dense it must be. The
argument for both is in docs/graph.md.

Adversary: a server that colludes with a fixed fraction of the clients. The colluding clients and the dropouts are
chosen without knowledge of the order. So nobody may fix the order's seed alone, and the seed must be fixed only after
the clients' keys: hash the session and the whole key directory. For the class `Adversary.MALICIOUS`, only the corrupt
clients are chosen without knowledge of the order. Such a server may declare any client dropped when it knows the order,
and may try many orders.

Every party derives the order from the seed, so a client relies on nobody to learn who its neighbours are.
"""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Final

from protocols.cohort import Adversary
from protocols.crypto.integers import shown
from protocols.errors import ParameterError
from protocols.pairwise.parameters import InfeasibleParameters, Parameters, find_parameters

__all__ = [
    "MIN_SEED_BYTES",
    "Adversary",
    "InfeasibleParameters",
    "Parameters",
    "find_parameters",
    "neighbourhood",
    "neighbourhoods",
    "order",
]

MIN_SEED_BYTES: Final = 16

_ORDER_DOMAIN = b"protocols.crypto.graph order v1"
_BLOCK_BYTES = 4096


def order(seed: bytes, clients: Sequence[int]) -> tuple[int, ...]:
    """Return a uniformly random order of the clients around a circle, the same for every holder of the seed.

    Byte for byte: block i of the stream is the first 4096 bytes of SHAKE-256(domain || seed || i), where domain is
    the ASCII string `protocols.crypto.graph order v1` and i, from 0, has 8 bytes, big-endian. The blocks in turn
    are read as big-endian words of 4 bytes. The clients, ascending, are shuffled after Fisher and Yates: for
    `last` from n - 1 down to 1, words are read and cut to as many low bits as `last` has, until one is at most
    `last`; it is the position to swap with `last`.

    Args:
        seed: At least 16 bytes, unpredictable until the clients' keys are fixed.
        clients: Distinct ids, at least one; how they are ordered makes no difference.

    Returns:
        The ids, once each.

    Raises:
        ParameterError: The seed is too short, or ids are missing, repeated or not ints.
    """
    if type(seed) is not bytes or len(seed) < MIN_SEED_BYTES:
        raise ParameterError(f"seed of the order: expected at least {MIN_SEED_BYTES} bytes, found another value")
    if not clients or any(type(client) is not int for client in clients):
        raise ParameterError("clients of the order: expected at least one id, all of them ints, found others")
    circle = sorted(clients)
    if len(set(circle)) != len(circle):
        raise ParameterError(
            f"clients of the order: expected distinct ids, found {len(circle) - len(set(circle))} repeated"
        )
    words = _words(seed)
    for last in range(len(circle) - 1, 0, -1):
        mask = (1 << last.bit_length()) - 1
        while (position := next(words) & mask) > last:
            pass
        circle[last], circle[position] = circle[position], circle[last]
    return tuple(circle)


def _words(seed: bytes) -> Iterator[int]:
    block = 0
    while True:
        stream = hashlib.shake_256(_ORDER_DOMAIN + seed + block.to_bytes(8, "big")).digest(_BLOCK_BYTES)
        for start in range(0, _BLOCK_BYTES, 4):
            yield int.from_bytes(stream[start : start + 4], "big")
        block += 1


def neighbourhood(order: Sequence[int], client: int, degree: int) -> tuple[int, ...]:
    """Return a client's neighbours: the `degree / 2` nearest clients on each side of the circle.

    Args:
        order: Distinct ids around the circle, at least two.
        client: One of them.
        degree: Even and at least 2; or `len(order) - 1` or more, for all other clients.

    Returns:
        Ids in the order of the circle, from the farthest before the client to the farthest after it; on the
        complete graph, from the next after the client round to the one before it.

    Raises:
        ParameterError: The client is not on the circle exactly once, or no such graph has this degree.
    """
    _check_degree(len(order), degree)
    if order.count(client) != 1:
        raise ParameterError(f"circle: expected client {client} once, found it {order.count(client)} times")
    return _around(order, order.index(client), degree)


def neighbourhoods(order: Sequence[int], degree: int) -> dict[int, tuple[int, ...]]:
    """Return every client's neighbours, as `neighbourhood` returns them.

    Raises:
        ParameterError: A client is repeated, or no such graph has this degree.
    """
    _check_degree(len(order), degree)
    if len(set(order)) != len(order):
        raise ParameterError(f"circle: expected distinct clients, found {len(order) - len(set(order))} repeated")
    return {client: _around(order, position, degree) for position, client in enumerate(order)}


def _check_degree(clients: int, degree: int) -> None:
    if clients < 2:
        raise ParameterError(f"clients of a graph: expected at least 2, found {clients}")
    if type(degree) is not int or degree < 1 or (degree % 2 and degree < clients - 1):
        raise ParameterError(
            f"degree: expected an even number of at least 2, or at least {clients - 1} for the complete graph of "
            f"{clients} clients, found {shown(degree)}"
        )


def _around(order: Sequence[int], position: int, degree: int) -> tuple[int, ...]:
    clients = len(order)
    if degree >= clients - 1:
        return (*order[position + 1 :], *order[:position])
    side = degree // 2
    steps = (*range(-side, 0), *range(1, side + 1))
    return tuple(order[(position + step) % clients] for step in steps)
