"""What a malicious server knows in a state of the model of pairwise masking, and the invariants.

The server rebuilds a secret from `threshold` secret shares of one dealing. It gets them from corrupt clients, from
honest clients that reveal them, and from dealings to keys of its own. It can remove a self-mask if it has the seed, and
a mask between two clients if it has the private masking key of one of them.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final, NamedTuple

from tests.exploration.checks import Check
from tests.exploration.learned import Sum, learned_sums
from tests.exploration.pairwise import Pairwise, State
from tests.exploration.pairwise_client import (
    ABSENT,
    CLIENTS,
    CONFIRM,
    MASK,
    OLD,
    OTHER,
    REVEAL,
    THRESHOLD,
    ClientModel,
    Directory,
    Path,
    directory_of,
    members,
    stage,
    survivors_of,
)

BOTH_SECRETS: Final = "both secrets of an honest client"
OTHER_SUM: Final = "a sum that is not the declared one"
TWO_SETS: Final = "two declared sets"
SEED, MASKING = 0, 1


class Masked(NamedTuple):
    """A masked vector: its client, the directory, and the bitmap of the sharers."""

    client: int
    directory: Directory
    sharers: int


class Declared(NamedTuple):
    """What honest clients reveal shares for: the directory's entries, the sharers and the survivors."""

    leaves: tuple[int, ...]
    sharers: int
    survivors: int


@dataclass(frozen=True, kw_only=True)
class Knowledge:
    """What the server knows.

    Attributes:
        secrets: The honest clients' secrets that it can rebuild: client, and `SEED` or `MASKING`.
        masked: The masked vectors that it has.
        sums: The sums of inputs that it can compute from them.
        declared: What honest clients have revealed shares for.
    """

    secrets: frozenset[tuple[int, int]]
    masked: tuple[Masked, ...]
    sums: tuple[Sum, ...]
    declared: frozenset[Declared]


Paths = Mapping[int, Collection[Path]]
"""By honest client, its paths, with all of their beginnings."""


@dataclass(frozen=True, kw_only=True)
class PairwiseSearch(Pairwise):
    """The model with its invariants."""

    _broken: dict[tuple[int, ...], tuple[str, ...]] = field(default_factory=dict, repr=False, compare=False)
    _shown: dict[int, int] = field(default_factory=dict, repr=False, compare=False)

    def violations(self, state: State) -> tuple[str, ...]:
        """See `search.Model.violations`."""
        key = tuple(map(self._showing, state))
        if key not in self._broken:
            self._broken[key] = broken(self.honest, self.known(state))
        return self._broken[key]

    def _showing(self, number: int) -> int:
        """Return one number for all paths from which the server learns the same. It learns nothing in step 3."""
        if number not in self._shown:
            ends = {path[:CONFIRM] if len(path) == REVEAL else path for path in self.locals[number]}
            self._shown[number] = self._number(tuple(sorted(ends)))
        return self._shown[number]

    def known(self, state: State) -> Knowledge:
        """Return what the server knows in a state."""
        return knowledge(self, {client: beginnings(self.locals[state[client]]) for client in self.honest})


def beginnings(paths: Iterable[Path]) -> frozenset[Path]:
    """Return paths and all of their beginnings, but the empty one."""
    return frozenset(path[:length] for path in paths for length in range(1, len(path) + 1))


def broken(honest: tuple[int, ...], known: Knowledge) -> tuple[str, ...]:
    """Return the invariants that do not hold if the server knows this of these honest clients."""
    found = []
    if any((client, SEED) in known.secrets and (client, MASKING) in known.secrets for client in honest):
        found.append(BOTH_SECRETS)
    if len(known.sums) > 1 or any(each.inputs not in _allowed(honest, known) for each in known.sums):
        found.append(OTHER_SUM)
    if len(known.declared) > 1:
        found.append(TWO_SETS)
    return tuple(found)


def _allowed(honest: tuple[int, ...], known: Knowledge) -> list[tuple[tuple[object, Fraction], ...]]:
    """Return the sums of which the server may compute one: over the honest clients of a declared set, at least two."""
    cohorts = [sorted(members(each.survivors).intersection(honest)) for each in known.declared]
    return [tuple((client, Fraction(1)) for client in cohort) for cohort in cohorts if len(cohort) >= 2]


def knowledge(model: ClientModel, paths: Paths) -> Knowledge:
    """Return what the server knows if honest clients have answered along these paths."""
    shares: dict[tuple[int, int, tuple[int, ...]], set[int]] = {}
    for owner, holder, secret, leaves in _shares(model, paths):
        shares.setdefault((owner, secret, leaves), set()).add(holder)
    return computed(
        model,
        paths,
        frozenset((owner, secret) for (owner, secret, _), held in shares.items() if len(held) >= THRESHOLD),
    )


def computed(model: ClientModel, paths: Paths, secrets: frozenset[tuple[int, int]]) -> Knowledge:
    """Return what the server knows if it has rebuilt these secrets."""
    masked = tuple(
        sorted({_masked(client, path) for client in paths for path in paths[client] if len(path) == CONFIRM})
    )
    rows = [remaining(model, each, secrets) for each in masked]
    return Knowledge(
        secrets=secrets,
        masked=masked,
        sums=learned_sums(rows, model.honest) if secrets else (),
        declared=frozenset(_declared(path) for client in paths for path in paths[client] if len(path) > REVEAL),
    )


def _shares(model: ClientModel, paths: Paths) -> Iterator[tuple[int, int, int, tuple[int, ...]]]:
    """Yield owner, holder, secret and directory of each share that the server has."""
    for client, its in paths.items():
        for path in its:
            if len(path) == MASK:
                leaves, keys = directory_of(path)
                for holder in CLIENTS:
                    readable = keys[holder] == OTHER if holder in model.honest else keys[holder] != ABSENT
                    if holder != client and readable:
                        yield client, holder, SEED, leaves
                        yield client, holder, MASKING, leaves
            elif len(path) > REVEAL:
                leaves, survivors = directory_of(path).leaves, survivors_of(path)
                for owner in members(stage(path).delivery.opened | 1 << client):
                    alive = bool(survivors >> owner & 1)
                    for secret in (SEED, MASKING):
                        if Check.ONE_SECRET in model.removed or alive == (secret == SEED):
                            yield owner, client, secret, leaves


def _masked(client: int, path: Path) -> Masked:
    directory, delivery = stage(path)
    return Masked(client, directory, delivery.sharers)


def _declared(path: Path) -> Declared:
    directory, delivery = stage(path)
    return Declared(directory.leaves, delivery.sharers, survivors_of(path))


def remaining(model: ClientModel, masked: Masked, secrets: frozenset[tuple[int, int]]) -> dict[object, int]:
    """Return a masked vector's input and the masks on it that the server cannot remove."""
    client, directory, _ = masked
    row: dict[object, int] = {client: 1}
    if (client, SEED) not in secrets:
        row["self", client, directory.leaves] = 1
    for other in masked_with(masked):
        known = other not in model.honest or directory.keys[other] in (OTHER, OLD)
        if not known and not {(client, MASKING), (other, MASKING)} & secrets:
            row["pair", min(client, other), max(client, other), directory.leaves] = 1 if client < other else -1
    return row


def masked_with(masked: Masked) -> list[int]:
    """Return the clients with whom a client has masked its vector."""
    client, directory, sharers = masked
    return sorted(other for other in members(sharers) if other != client and directory.leaves[other] != ABSENT)
