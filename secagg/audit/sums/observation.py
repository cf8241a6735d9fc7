"""What a server sees of one session, and what a colluding client holds, as numbers for a classifier."""

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Final

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from protocols import snapshot
from protocols.session import Vector
from secagg.audit.sums.cohort import Cohort
from secagg.audit.sums.stepwise import SNAPSHOT_KEY, Stepwise, client_steps
from secagg.audit.sums.view import Carrier, modular_difference, modular_sum, read_vectors

Numbers = NDArray[np.float64]

_EDGE_BYTES: Final = 16
_LEAF_BYTES: Final = 8
_WORDS: Final = 2


def observe(
    cohort: Cohort,
    inputs: Mapping[int, ArrayLike],
    seed: bytes,
    *,
    label: str,
    carrier: Carrier | None,
    colluder: int | None,
) -> Numbers:
    """Return the view of one session up to the last reply of a client: features, in the same order for each session.

    They are, for each message, its length, the mean of its bytes, and its first and last 16 bytes. For each masked
    vector they are its first two words and their first harmonics, and the harmonics of sums and differences of two.
    For a colluding client they are the numbers and the first bytes of the byte strings in its state before each step:
    its keys, the shares that it holds, and whatever else it has decrypted.
    """
    run, found = Stepwise(cohort, inputs, seed, label=label), list[Numbers]()
    last = client_steps(cohort)[-1]
    while True:
        if colluder is not None and not run.clients[colluder].closed:
            found += map(_leaf, _leaves(_state(run, colluder)))
        number, requests, replies = run.number, run.requests, run.replies()
        for party in cohort.session.clients:
            found += [_edges(requests[party], _EDGE_BYTES), _edges(replies[party], _EDGE_BYTES)]
        if carrier is not None and carrier.number == number:
            found += _words(read_vectors(run, carrier, replies), cohort.session.modulus)
        if number == last:
            return np.concatenate(found)
        run.deliver(replies)


def _edges(data: bytes, size: int) -> Numbers:
    """Return the length of a byte string, the mean of its bytes, and its first and last bytes."""
    octets = np.frombuffer(data, dtype=np.uint8).astype(np.float64)
    edges = np.zeros(2 * size)
    edges[: min(size, octets.size)] = octets[:size]
    edges[size : size + min(size, octets.size)] = octets[-size:][::-1]
    return np.concatenate(([octets.size, octets.mean() if octets.size else 0.0], edges))


def _words(vectors: Mapping[int, Vector], modulus: int) -> Iterator[Numbers]:
    words = [vectors[client][:_WORDS] for client in sorted(vectors)]
    for each in words:
        yield each.astype(np.float64) / float(modulus)
        yield _harmonics(each, modulus)
    for one, other in combinations(words, 2):
        yield _harmonics(modular_sum(one, other, modulus), modulus)
        yield _harmonics(modular_difference(one, other, modulus), modulus)


def _harmonics(words: Vector, modulus: int) -> Numbers:
    angles = 2 * np.pi * (words.astype(np.float64) / float(modulus))
    return np.concatenate((np.cos(angles), np.sin(angles)))


def _state(run: Stepwise, client: int) -> object:
    """Return everything that a client's machine keeps between two steps."""
    cohort = run.cohort
    data = run.clients[client].snapshot(SNAPSHOT_KEY)
    kept = snapshot.unseal(data, digest=cohort.protocol.digest(cohort.session), key=SNAPSHOT_KEY)
    return msgspec.msgpack.decode(kept.state)


def _leaves(value: object) -> Iterator[int | bytes]:
    """Yield all numbers and byte strings in nested lists and mappings, those of a mapping in the order of its keys."""
    if isinstance(value, int | bytes):
        yield value
    elif isinstance(value, Mapping):
        for key in sorted(value):
            yield from _leaves(value[key])
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _leaves(each)


def _leaf(value: int | bytes) -> Numbers:
    return np.array([float(value)]) if isinstance(value, int) else _edges(value[:_LEAF_BYTES], _LEAF_BYTES)
