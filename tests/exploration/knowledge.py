"""What a malicious server knows in a state of the model of pairwise masking, and the invariants.

The server rebuilds a secret from `threshold` secret shares of one dealing. It gets them from corrupt clients, from
honest clients that reveal them, and from dealings to keys of its own. It can remove a self-mask if it has the seed, and
a mask between two clients if it has the private masking key of one of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, NamedTuple

from tests.exploration.checks import Check
from tests.exploration.learned import Sum, learned_sums
from tests.exploration.pairwise import (
    ABSENT,
    CLIENTS,
    OLD,
    OTHER,
    REVEAL,
    TRUE,
    Delivery,
    Directory,
    Pairwise,
    Path,
    State,
    Survivors,
    members,
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


class PairwiseSearch(Pairwise):
    """The model with its invariants."""

    def violations(self, state: State) -> tuple[str, ...]:
        """See `search.Model.violations`."""
        known = knowledge(self, state)
        return broken(self.honest, self.threshold - self.assumed, known)


def broken(honest: tuple[int, ...], least: int, known: Knowledge) -> tuple[str, ...]:
    """Return the invariants that do not hold.

    Args:
        honest: The honest clients.
        least: The smallest number of honest clients in a sum.
        known: What the server knows.
    """
    found = []
    if any((client, SEED) in known.secrets and (client, MASKING) in known.secrets for client in honest):
        found.append(BOTH_SECRETS)
    if known.sums and [each.inputs for each in known.sums] != _allowed(honest, least, known):
        found.append(OTHER_SUM)
    if len(known.declared) > 1:
        found.append(TWO_SETS)
    return tuple(found)


def _allowed(honest: tuple[int, ...], least: int, known: Knowledge) -> list[tuple[tuple[object, Fraction], ...]]:
    """Return the one sum that the server may compute: over the honest clients of the one declared set."""
    sets = {members(each.survivors) for each in known.declared}
    if len(sets) != 1:
        return []
    contributors = sorted(sets.pop().intersection(honest))
    return [tuple((client, Fraction(1)) for client in contributors)] if len(contributors) >= least else []


def knowledge(model: Pairwise, state: State) -> Knowledge:
    """Return what the server knows in a state."""
    paths = {client: [each for path in state[client] for each in _beginnings(path)] for client in model.honest}
    shares: dict[tuple[int, int, tuple[int, ...]], set[int]] = {}
    for owner, holder, secret, leaves in _shares(model, paths):
        shares.setdefault((owner, secret, leaves), set()).add(holder)
    secrets = frozenset((owner, secret) for (owner, secret, _), held in shares.items() if len(held) >= model.threshold)
    masked = tuple(sorted({_masked(client, path) for client in paths for path in paths[client] if len(path) == 3}))
    rows = [_row(model, each, secrets) for each in masked]
    return Knowledge(
        secrets=secrets,
        masked=masked,
        sums=learned_sums(rows, model.honest) if secrets else (),
        declared=frozenset(_declared(path) for client in paths for path in paths[client] if len(path) > REVEAL),
    )


def _beginnings(path: Path) -> Iterator[Path]:
    return (path[:length] for length in range(1, len(path) + 1))


def _shares(
    model: Pairwise, paths: dict[int, list[Path]]
) -> Iterator[tuple[int, int, int, tuple[int, ...]]]:
    """Yield owner, holder, secret and directory of each share that the server has."""
    for client, its in paths.items():
        for path in its:
            match path:
                case (_, Directory(leaves=leaves, keys=keys)):
                    for holder in CLIENTS:
                        read = keys[holder] == OTHER if holder in model.honest else keys[holder] != ABSENT
                        if holder != client and read:
                            yield client, holder, SEED, leaves
                            yield client, holder, MASKING, leaves
                case (_, Directory(leaves=leaves), Delivery(opened=opened), Survivors(bitmap=survivors), _):
                    for owner in members(opened | 1 << client):
                        alive = bool(survivors >> owner & 1)
                        for secret in (SEED, MASKING):
                            if Check.ONE_SECRET in model.removed or alive == (secret == SEED):
                                yield owner, client, secret, leaves


def _masked(client: int, path: Path) -> Masked:
    directory, delivery = path[1:3]
    assert isinstance(directory, Directory)
    assert isinstance(delivery, Delivery)
    return Masked(client, directory, delivery.sharers)


def _declared(path: Path) -> Declared:
    directory, delivery, survivors = path[1:4]
    assert isinstance(directory, Directory)
    assert isinstance(delivery, Delivery)
    assert isinstance(survivors, Survivors)
    return Declared(directory.leaves, delivery.sharers, survivors.bitmap)


def _row(model: Pairwise, masked: Masked, secrets: frozenset[tuple[int, int]]) -> dict[object, int]:
    """Return a masked vector's input and the masks on it that the server cannot remove."""
    client, directory, sharers = masked
    row: dict[object, int] = {client: 1}
    if (client, SEED) not in secrets:
        row["self", client, directory.leaves] = 1
    for other in members(sharers):
        keys = directory.keys[other]
        if other == client or directory.leaves[other] == ABSENT or other not in model.honest or keys in (OTHER, OLD):
            continue
        if keys == TRUE and not {(client, MASKING), (other, MASKING)} & secrets:
            row["pair", min(client, other), max(client, other), directory.leaves] = 1 if client < other else -1
    return row
