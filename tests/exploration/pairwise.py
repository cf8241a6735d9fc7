"""A model of pairwise masking with a malicious server: what it can do, and the states that it can reach.

Everything that reaches a client comes from the server. It may send any request of the model to any client at any time,
or none. So messages that are lost, doubled, late or in another order are all sequences of such requests.

The state of an honest client is its *path*: what it has kept of each request that it answered. What the server knows
follows from the paths (`tests.exploration.knowledge`). A client may be restarted from any snapshot before any request.
So requests come to every point of a path, and it does not matter whether a client has closed. A refused request leaves
the path as it was. (The real client then answers less, since it has noted the step as answered.)
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import permutations, product
from typing import NamedTuple

from tests.exploration.checks import Check
from tests.exploration.pairwise_client import (
    ABSENT,
    CLIENTS,
    CONFIRM,
    OTHER,
    REVEAL,
    SHARE,
    TRUE,
    ClientModel,
    Confirmations,
    Delivery,
    Directory,
    Path,
    Request,
    Survivors,
    bits,
    directory_of,
    kept,
    members,
)

Local = tuple[Path, ...]
"""A client's longest paths, sorted. It has more than one only if it has answered a step again."""

State = tuple[int, ...]
"""By client, the number of its paths in `Pairwise.locals`."""


class Action(NamedTuple):
    """A request to an honest client that is restored from the snapshot at the end of a path; the client answers."""

    client: int
    at: Path
    request: Request

    def __str__(self) -> str:
        return f"client {self.client}, step {len(self.at)}: {self.request}"


@dataclass(frozen=True, kw_only=True)
class Pairwise(ClientModel):
    """The model.

    Attributes:
        restarts: How often clients may answer a step again, after a restart from an old snapshot. Without the record of
            answered steps they do; with it, they refuse.
        ordered: Whether a step begins only after the last answer of the step before. An answer rests on others' answers
            to earlier steps only, so every sequence can be brought into this order.
        locals: The paths of a client that were met, by number.
    """

    restarts: int = 1
    ordered: bool = True
    locals: list[Local] = field(default_factory=list, repr=False, compare=False)
    _numbers: dict[Local, int] = field(default_factory=dict, repr=False, compare=False)
    _answers: dict[tuple[int, Path, int], tuple[list[tuple[Request, Path]], int]] = field(
        default_factory=dict, repr=False, compare=False
    )
    _after: dict[tuple[int, Path], int] = field(default_factory=dict, repr=False, compare=False)
    _renamed: dict[tuple[int, int], int] = field(default_factory=dict, repr=False, compare=False)
    _points: dict[int, Sequence[tuple[Path, bool]]] = field(default_factory=dict, repr=False, compare=False)

    def start(self) -> State:
        """Return the state before any message."""
        return tuple(self._number(((),) if client in self.honest else ()) for client in CLIENTS)

    def _number(self, local: Local) -> int:
        number = self._numbers.setdefault(local, len(self.locals))
        if number == len(self.locals):
            self.locals.append(local)
        return number

    # What can happen.

    def moves(self, state: State) -> tuple[list[tuple[Action, State]], int]:
        """See `search.Model.moves`."""
        layer = max(len(path) for number in state for path in self.locals[number]) if self.ordered else 0
        accepted, refused = [], 0
        for client in self.honest:
            for at, latest in self._snapshots(state[client]):
                if len(at) > REVEAL or len(at) + 1 < layer:
                    continue
                answered, others = self._answered(client, at, self._offer(state, client, at))
                refused += others
                if not latest and not self._answers_again(state):
                    refused += len(answered)
                    continue
                for request, path in answered:
                    changed = self._extended(state[client], path)
                    if changed != state[client]:
                        accepted.append((Action(client, at, request), (*state[:client], changed, *state[client + 1 :])))
        return accepted, refused

    def reason(self, state: State, action: Action) -> Check | str | None:
        """Return why a client refuses in a state; None if it answers."""
        client, at, request = action
        snapshots = dict(self._snapshots(state[client]))
        if at not in snapshots:
            return "there is no such snapshot"
        if not snapshots[at] and not self._answers_again(state):
            return Check.RECORD
        return self.refusal(client, at, request, self._offer(state, client, at))

    def after(self, state: State, action: Action) -> State:
        """Return the state after a client has answered."""
        client, at, request = action
        changed = self._extended(state[client], (*at, kept(request)))
        return (*state[:client], changed, *state[client + 1 :])

    def every_request(self, state: State, client: int, at: Path) -> list[Request]:
        """Return every request that the server can send a client at a point of its path."""
        return list(self.requests(client, at, self._offer(state, client, at)))

    def _snapshots(self, number: int) -> Sequence[tuple[Path, bool]]:
        """Return the points at which a client can be restored, and whether each is the end of a longest path."""
        if number not in self._points:
            local = self.locals[number]
            found = sorted({path[:length] for path in local for length in range(len(path) + 1)})
            self._points[number] = [(point, point in local) for point in found]
        return self._points[number]

    def _answers_again(self, state: State) -> bool:
        again = sum(len(self.locals[state[client]]) - 1 for client in self.honest)
        return Check.RECORD in self.removed and again < self.restarts

    def _answered(self, client: int, at: Path, offer: int) -> tuple[list[tuple[Request, Path]], int]:
        """Return each request that a client answers at the end of a path, with its path then; and count the others."""
        key = (client, at, offer)
        if key not in self._answers:
            accepted: dict[Path, Request] = {}
            refused = 0
            for request in self.requests(client, at, offer):
                if self.refusal(client, at, request, offer) is None:
                    accepted.setdefault((*at, kept(request)), request)
                else:
                    refused += 1
            self._answers[key] = [(request, path) for path, request in accepted.items()], refused
        return self._answers[key]

    def _extended(self, number: int, path: Path) -> int:
        """Return a client's longest paths after one more; the beginning of another path is left out."""
        key = (number, path)
        if key not in self._after:
            local = self.locals[number]
            if all(other[: len(path)] != path for other in local):
                local = tuple(sorted([*(other for other in local if path[: len(other)] != other), path]))
            self._after[key] = self._number(local)
        return self._after[key]

    # What the answers of others are good for.

    def _offer(self, state: State, client: int, at: Path) -> int:
        """Return the offer for `requests` in a state."""
        match len(at):
            case 1:
                return bits([other for other in self.honest if any(self.locals[state[other]])])
            case 2:
                return bits([each for each in self.honest if each != client and self._dealt(state, each, client, at)])
            case 4:
                return bits([other for other in self.honest if self._signed(state, other, at)])
        return 0

    def _dealt(self, state: State, owner: int, holder: int, at: Path) -> bool:
        """Return whether an owner has dealt shares that a holder can open: both know each other's keys, and one root."""
        mine = directory_of(at)
        theirs = [directory_of(path) for path in self.locals[state[owner]] if len(path) > SHARE]
        return mine.keys[owner] == TRUE and any(
            each.leaves == mine.leaves and each.keys[holder] == TRUE for each in theirs
        )

    def _signed(self, state: State, signer: int, at: Path) -> bool:
        """Return whether a signer has signed what a client with this path expects."""
        mine = self.statement(at)
        return any(len(path) > CONFIRM and self.statement(path) == mine for path in self.locals[state[signer]])

    # Equal parties.

    def canonical(self, state: State) -> Hashable:
        """See `search.Model.canonical`. Honest clients are equal, and so are the two pairs of keys of a corrupt one."""
        return min(
            [
                tuple([self._renamed.get((number, state[client])) or self._renaming(number, state[client]) for client in order])
                for number, order in enumerate(self._orders)
            ]
        )

    @cached_property
    def _orders(self) -> list[list[int]]:
        """By symmetry, the honest clients in the order of their new names."""
        return [sorted(self.honest, key=lambda client: names[client]) for names, _ in self._symmetries]

    @cached_property
    def _symmetries(self) -> list[tuple[tuple[int, ...], bool]]:
        """The renamings of clients, each with and without an exchange of the corrupt clients' two pairs of keys."""
        corrupt = [client for client in CLIENTS if client not in self.honest]
        found = []
        for honest, others in product(permutations(self.honest), permutations(corrupt)):
            names = dict(zip((*self.honest, *corrupt), (*honest, *others), strict=True))
            for swapped in (False, True) if self.second_keys else (False,):
                found.append((tuple(names[client] for client in CLIENTS), swapped))
        return found

    def _renaming(self, symmetry: int, number: int) -> int:
        """Return the number of a client's paths under a symmetry."""
        names, swapped = self._symmetries[symmetry]

        def bitmap(value: int) -> int:
            return bits([names[client] for client in members(value)])

        def entries(values: tuple[int, ...]) -> tuple[int, ...]:
            found = [ABSENT] * len(CLIENTS)
            for client, value in enumerate(values):
                exchanged = swapped and client not in self.honest and value != ABSENT
                found[names[client]] = TRUE + OTHER - value if exchanged else value
            return tuple(found)

        def renamed(request: Request) -> Request:
            match request:
                case Directory(leaves=leaves, keys=keys):
                    return Directory(entries(leaves), entries(keys))
                case Delivery(sharers=sharers, opened=opened):
                    return Delivery(bitmap(sharers), bitmap(opened))
                case Survivors(bitmap=survivors):
                    return Survivors(bitmap(survivors))
            return request

        found = self._number(tuple(sorted(tuple(map(renamed, path)) for path in self.locals[number])))
        self._renamed[symmetry, number] = found
        return found
