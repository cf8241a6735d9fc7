"""A model of pairwise masking with a malicious server: what it can do, and the states that it can reach.

Everything that reaches a client comes from the server. It may send any request of the model to any client at any time,
or none. So messages that are lost, doubled, late or in another order are all sequences of such requests.

The state of an honest client is its *path*: what it has kept of each request that it answered. What the server knows
follows from the paths (`tests.exploration.knowledge`). A client may be restarted from any snapshot before any request.
So requests come to every point of a path, and it does not matter whether a client has closed. A refused request leaves
the path as it was. (The real client then answers less, since it has noted the step as answered.)
"""

from collections.abc import Hashable
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
    _moves: dict[tuple[object, ...], tuple[list[tuple[Action, int]], int]] = field(
        default_factory=dict, repr=False, compare=False
    )
    _answers: dict[tuple[int, Path, int], tuple[list[tuple[Request, Path]], int]] = field(
        default_factory=dict, repr=False, compare=False
    )
    _offers: dict[tuple[int, int, int, int], tuple[int, ...]] = field(default_factory=dict, repr=False, compare=False)
    _points: dict[int, list[tuple[Path, bool]]] = field(default_factory=dict, repr=False, compare=False)

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
        again = self._answers_again(state)
        accepted, refused = [], 0
        for client in self.honest:
            answered, others = self._moves_of(state, client, layer, again=again)
            refused += others
            accepted += [(action, (*state[:client], own, *state[client + 1 :])) for action, own in answered]
        return accepted, refused

    def _moves_of(self, state: State, client: int, layer: int, *, again: bool) -> tuple[list[tuple[Action, int]], int]:
        """Return what a client answers, with the number of its paths then; and count what it refuses."""
        offers = self._offers_to(state, client)
        key = (client, state[client], offers, layer, again)
        if key not in self._moves:
            accepted, refused = [], 0
            for (at, latest), offer in zip(self._snapshots(state[client]), offers, strict=True):
                if len(at) > REVEAL or len(at) + 1 < layer:
                    continue
                answered, others = self._answered(client, at, offer)
                refused += others
                if not latest and not again:
                    refused += len(answered)
                    continue
                for request, path in answered:
                    changed = self._extended(state[client], path)
                    if changed != state[client]:
                        accepted.append((Action(client, at, request), changed))
            self._moves[key] = accepted, refused
        return self._moves[key]

    def reason(self, state: State, action: Action) -> Check | str | None:
        """Return why a client refuses in a state; None if it answers."""
        client, at, request = action
        snapshots = dict(self._snapshots(state[client]))
        if at not in snapshots:
            return "there is no such snapshot"
        if not snapshots[at] and not self._answers_again(state):
            return Check.RECORD
        return self.refusal(client, at, request, self._offer_at(state, client, at))

    def after(self, state: State, action: Action) -> State:
        """Return the state after a client has answered."""
        client, at, request = action
        changed = self._extended(state[client], (*at, kept(request)))
        return (*state[:client], changed, *state[client + 1 :])

    def every_request(self, state: State, client: int, at: Path) -> list[Request]:
        """Return every request that the server can send a client at a point of its path."""
        return list(self.requests(client, at, self._offer_at(state, client, at)))

    def _snapshots(self, number: int) -> list[tuple[Path, bool]]:
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
        local = self.locals[number]
        if any(other[: len(path)] == path for other in local):
            return number
        return self._number(tuple(sorted([*(other for other in local if path[: len(other)] != other), path])))

    # What the answers of others are good for.

    def _offer_at(self, state: State, client: int, at: Path) -> int:
        """Return the offer for `requests` at one point of a client's path."""
        points = [point for point, _ in self._snapshots(state[client])]
        return self._offers_to(state, client)[points.index(at)]

    def _offers_to(self, state: State, client: int) -> tuple[int, ...]:
        """Return the offer for `requests` at each point of a client's paths."""
        return tuple(map(sum, zip(*[self._offers_of(state, client, other) for other in self.honest], strict=True)))

    def _offers_of(self, state: State, client: int, other: int) -> tuple[int, ...]:
        """Return one client's part in another's offers."""
        key = (client, state[client], other, state[other])
        if key not in self._offers:
            theirs = self.locals[state[other]]
            points = self._snapshots(state[client])
            self._offers[key] = tuple(self._is_offered(client, at, other, theirs) << other for at, _ in points)
        return self._offers[key]

    def _is_offered(self, client: int, at: Path, other: int, theirs: Local) -> bool:
        match len(at):
            case 1:
                return any(theirs)
            case 2:
                return other != client and _dealt(directory_of(at), client, other, theirs)
            case 4:
                mine = self.statement(at)
                return any(len(path) > CONFIRM and self.statement(path) == mine for path in theirs)
        return False

    # Equal parties.

    def canonical(self, state: State) -> Hashable:
        """See `search.Model.canonical`. Honest clients are equal, and so are the two pairs of keys of a corrupt one."""
        return min([tuple([table[state[client]] for client in order]) for table, order in self._orders])

    @cached_property
    def _orders(self) -> list[tuple["_Renamed", list[int]]]:
        """By symmetry, its table of renamed paths, and the honest clients in the order of their new names."""
        return [
            (_Renamed(self, number), sorted(self.honest, key=names.__getitem__))
            for number, (names, _) in enumerate(self._symmetries)
        ]

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

    def renaming(self, symmetry: int, number: int) -> int:
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

        return self._number(tuple(sorted(tuple(map(renamed, path)) for path in self.locals[number])))


class _Renamed(dict[int, int]):
    """The numbers of a client's paths under one symmetry, each computed once."""

    def __init__(self, model: Pairwise, symmetry: int) -> None:
        self._model = model
        self._symmetry = symmetry

    def __missing__(self, number: int) -> int:
        self[number] = self._model.renaming(self._symmetry, number)
        return self[number]


def _dealt(mine: Directory, holder: int, owner: int, theirs: Local) -> bool:
    """Return whether an owner has dealt shares that a holder can open: both know each other's keys, and one root."""
    dealt = [directory_of(path) for path in theirs if len(path) > SHARE]
    return mine.keys[owner] == TRUE and any(each.leaves == mine.leaves and each.keys[holder] == TRUE for each in dealt)
