"""Partition of a data set over simulated clients, evenly or with skewed labels.

The skew is that of Hsu, Qi and Brown, "Measuring the Effects of Non-Identical Data Distribution for Federated Visual
Classification" (arXiv 1909.06335): every client draws its own distribution over classes, `q ~ Dir(alpha * p)`, where
`p` is the distribution over classes of the whole data set. Every client takes the same number of examples, with labels
drawn from `q`. Here the shards must cover the data set exactly, so clients draw in turn. If a client's `q` has no mass
on the remaining classes, the client draws from the remaining examples.

This is a simulation: it uses numpy's generator, and nothing here protects anyone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from secagg.checks import check_integer, check_positive
from secagg.data.labels import label_vector
from secagg.errors import ConfigurationError


@dataclass(frozen=True, slots=True, eq=False)
class Partition(Sequence[NDArray[np.int64]]):
    """The shards of all clients, each made when it is asked for: positions in a data set, ascending, int64.

    Attributes:
        positions: All positions, those of client 0 first, shape `(examples,)`.
        ends: For each client, where its positions end, shape `(clients,)`.
    """

    positions: NDArray[np.int64] = field(repr=False)
    ends: NDArray[np.int64] = field(repr=False)

    @overload
    def __getitem__(self, client: int) -> NDArray[np.int64]: ...

    @overload
    def __getitem__(self, client: slice) -> list[NDArray[np.int64]]: ...

    def __getitem__(self, client: int | slice) -> NDArray[np.int64] | list[NDArray[np.int64]]:
        if isinstance(client, slice):
            return [self[each] for each in range(len(self))[client]]
        index = range(len(self))[client]
        start = int(self.ends[index - 1]) if index else 0
        return np.sort(self.positions[start : int(self.ends[index])])

    def __len__(self) -> int:
        return len(self.ends)

    @property
    def sizes(self) -> NDArray[np.int64]:
        """The number of examples of each client, shape `(clients,)`."""
        return np.diff(self.ends, prepend=0)


def partition(labels: NDArray[Any], *, clients: int, seed: int, alpha: float | None) -> Partition:
    """Return each client's positions in a data set.

    Args:
        labels: Shape `(examples,)` or `(examples, 1)`, integers of at least 0.
        clients: Number of shards, at least 1 and at most the number of examples.
        seed: Seed of the partition, at least 0. Equal seeds give equal shards.
        alpha: Concentration of the clients' distributions over classes. If it is small, a client's examples are mostly
            of one class; if it is large, a client's distribution is like that of the whole. None partitions at random,
            independently of the labels.

    Returns:
        The positions of each client's examples. The shards are disjoint, cover every position, and differ in size by at
        most one.

    Raises:
        DataError: The labels are not such an array.
        ConfigurationError: There are more clients than examples, or an argument is out of range.
    """
    labels = label_vector("labels", labels)
    check_integer("clients", clients, minimum=1)
    check_integer("seed", seed, minimum=0)
    if alpha is not None:
        check_positive("alpha", alpha)
    if clients > len(labels):
        raise ConfigurationError(f"expected at most {len(labels)} clients, one for each example, found {clients}")
    generator = np.random.default_rng(seed)
    if alpha is None:
        # The first shards are the larger ones, as those of np.array_split.
        least, larger = divmod(len(labels), clients)
        sizes = np.full(clients, least, dtype=np.int64)
        sizes[:larger] += 1
        return Partition(generator.permutation(len(labels)), np.cumsum(sizes))
    return _deal_skewed(labels, clients, alpha, generator)


def _deal_skewed(labels: NDArray[Any], clients: int, alpha: float, generator: np.random.Generator) -> Partition:
    _, kind, left = np.unique(labels, return_inverse=True, return_counts=True)
    decks = [generator.permutation(np.flatnonzero(kind == index)).tolist() for index in range(len(left))]
    q = _class_distributions(alpha * left / left.sum(), clients, generator)
    owner = np.empty(len(labels), dtype=np.int64)
    for turn, draw in enumerate(generator.random(len(labels))):
        client = turn % clients
        mass = q[client] * (left > 0)
        if not mass.sum() > 0:
            mass = left.astype(np.float64)
        ladder = np.cumsum(mass / mass.sum())
        # Because draw < 1, this finds a class whose step on the ladder is not empty.
        chosen = int(np.searchsorted(ladder, draw * ladder[-1], side="right"))
        owner[decks[chosen].pop()] = client
        left[chosen] -= 1
    return Partition(np.argsort(owner, kind="stable"), np.cumsum(np.bincount(owner, minlength=clients)))


def _class_distributions(
    concentration: NDArray[np.float64], clients: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Draw from the Dirichlet distribution, one row for each client, even if gamma variables leave float64's range.

    With G ~ Gamma(a + 1) and U uniform, log G + log(U) / a is the logarithm of a Gamma(a) variable (Marsaglia and
    Tsang, "A Simple Method for Generating Gamma Variables", ACM TOMS 2000); normalised, such variables are Dirichlet.
    """
    shape = (clients, len(concentration))
    logarithms = np.log(generator.standard_gamma(concentration + 1, size=shape))
    with np.errstate(over="ignore"):
        logarithms += np.log1p(-generator.random(shape)) / concentration
    top = logarithms.max(axis=1, keepdims=True)
    # Below about alpha = 1e-305 every logarithm may be -inf. Such a row is empty: its client draws from what remains.
    shifted = np.where(np.isfinite(top), logarithms - np.where(np.isfinite(top), top, 0.0), -np.inf)
    weights: NDArray[np.float64] = np.exp(shifted)
    weights /= np.maximum(weights.sum(axis=1, keepdims=True), 1.0)
    return weights
