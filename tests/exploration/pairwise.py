"""A model of pairwise masking on the complete graph, against a malicious server and corrupt clients.

The model is symbolic: keys, signatures and secret shares are perfect, and a message is what it says. Everything that
reaches a client comes from the server, which may send any message of the model to any client at any time, or none. So
messages that are lost, doubled, late or in another order are all sequences of such messages.

The state of an honest client is its *path*: what it has kept of each request that it answered. What the server knows
follows from the paths (`tests.exploration.knowledge`). A client may be restarted from any snapshot before any message.
So a message reaches a path's beginning as well as its end, and it does not matter whether a client has closed. A refused
message leaves the path as it was. (The real client then answers less: it has noted the step as answered.)
"""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import permutations, product
from typing import Final, NamedTuple

from tests.exploration.checks import Check

CLIENTS: Final = (0, 1, 2, 3)
ADVERTISE, SHARE, MASK, CONFIRM, REVEAL = range(5)
EVERYONE: Final = 0b1111

ABSENT, TRUE, OTHER, OLD = range(4)
"""Entries of a key directory: no keys; a client's own; other ones; an honest client's from an earlier session.

`OTHER` stands for keys that the server made, or for a second pair that a corrupt client signed. In the earlier session
the client dropped out, so the server rebuilt its private masking key there.
"""


class Invitation(NamedTuple):
    """The request of step 0."""


class Directory(NamedTuple):
    """The request of step 1: by client, the entry that is hashed, and the keys that are shown; `ABSENT` for none."""

    leaves: tuple[int, ...]
    keys: tuple[int, ...]


class Delivery(NamedTuple):
    """The request of step 2: who has shared, and whose secret shares arrive so that they can be opened, as bitmaps."""

    sharers: int
    opened: int


class Survivors(NamedTuple):
    """The request of step 3: who survives, as a bitmap."""

    bitmap: int


class Confirmations(NamedTuple):
    """The request of step 4: whose signatures are shown, as a bitmap; kept as 0."""

    signers: int


Request = Invitation | Directory | Delivery | Survivors | Confirmations
Path = tuple[Request, ...]
Local = tuple[Path, ...]
State = tuple[Local, ...]


class Action(NamedTuple):
    """A request to an honest client that is restored from the snapshot at the end of a path; the client answers."""

    client: int
    at: Path
    request: Request

    def __str__(self) -> str:
        return f"client {self.client}, step {len(self.at)}: {self.request}"


def bits(clients: Sequence[int]) -> int:
    """Return a bitmap of clients."""
    return sum(1 << client for client in clients)


def members(bitmap: int) -> frozenset[int]:
    """Return the clients of a bitmap."""
    return frozenset(client for client in CLIENTS if bitmap >> client & 1)


@dataclass(frozen=True, kw_only=True)
class Pairwise:
    """The model: four clients and a threshold of three, of which the honest ones are modelled.

    Attributes:
        honest: The honest clients; all others are corrupt.
        threshold: The session's threshold, which is the share threshold as well.
        assumed: The number of corrupt clients that honest clients assume.
        removed: The checks that are left out.
        restarts: Whether clients may be restarted from snapshots that are not their latest.
        ordered: Whether a step begins only after the last answer of the step before. An answer rests on others' answers
            to earlier steps only, so every sequence can be brought into this order.
        lossy: Whether any of the secret shares delivered to a client may be spoilt. If not, all that exist arrive. A
            client that holds more shares behaves in the same way and reveals more.
        second_keys: Whether corrupt clients sign a second pair of keys.
    """

    honest: tuple[int, ...] = (0, 1, 2)
    threshold: int = 3
    assumed: int = 1
    removed: frozenset[Check] = frozenset()
    restarts: bool = True
    ordered: bool = True
    lossy: bool = False
    second_keys: bool = False
    _answers: dict[tuple[int, Path, int], tuple[list[tuple[Request, Request]], int]] = field(
        default_factory=dict, repr=False, compare=False
    )
    _renamed: dict[tuple[int, Local], Local] = field(default_factory=dict, repr=False, compare=False)

    def start(self) -> State:
        """Return the state before any message."""
        return tuple(((),) if client in self.honest else () for client in CLIENTS)

    # What clients answer.

    def moves(self, state: State) -> tuple[list[tuple[Action, State]], int]:
        """See `search.Model.moves`."""
        layer = max(len(path) for local in state for path in local) if self.ordered else 0
        accepted, refused = [], 0
        for client in self.honest:
            local = state[client]
            for at in self._restorable(local):
                if len(at) > REVEAL or len(at) + 1 < layer:
                    continue
                answered, others = self._answered(client, at, self._offer(state, client, at))
                refused += others
                for request, kept in answered:
                    after = _extended(local, (*at, kept))
                    if after != local:
                        accepted.append((Action(client, at, request), (*state[:client], after, *state[client + 1 :])))
        return accepted, refused

    def _restorable(self, local: Local) -> Sequence[Path]:
        """Return the paths from which a client can answer."""
        if Check.RECORD not in self.removed or not self.restarts:
            return local
        return sorted({path[:length] for path in local for length in range(1, len(path) + 1)} | {()})

    def _answered(self, client: int, at: Path, offer: int) -> tuple[list[tuple[Request, Request]], int]:
        """Return each request that a client answers at the end of a path, with what it keeps; and count the others."""
        if (client, at, offer) not in self._answers:
            accepted: dict[Request, Request] = {}
            refused = 0
            for request in self._requests(client, at, offer):
                if self.refusal(client, at, request, offer) is None:
                    accepted.setdefault(_kept(request), request)
                else:
                    refused += 1
            self._answers[client, at, offer] = [(request, kept) for kept, request in accepted.items()], refused
        return self._answers[client, at, offer]

    def _offer(self, state: State, client: int, at: Path) -> int:
        """Return, as a bitmap, whose answers to earlier steps the server can use in a request to a client."""
        match len(at):
            case 1:
                return bits([other for other in self.honest if any(state[other])])
            case 2:
                return bits([other for other in self.honest if other != client and self._dealt(state, other, client, at)])
            case 4:
                return bits([other for other in self.honest if self._signed(state, other, at)])
        return 0

    def _dealt(self, state: State, owner: int, holder: int, at: Path) -> bool:
        """Return whether an owner has dealt shares that a holder can open: both know each other's keys, and one root."""
        mine = at[1]
        assert isinstance(mine, Directory)
        return mine.keys[owner] == TRUE and any(
            len(path) > 1 and path[1].leaves == mine.leaves and path[1].keys[holder] == TRUE  # type: ignore[union-attr]
            for path in state[owner]
        )

    def _signed(self, state: State, signer: int, at: Path) -> bool:
        """Return whether a signer has signed what a client with this path expects, as far as signatures bind it."""
        mine = self._statement(at)
        return any(len(path) > CONFIRM and self._statement(path) == mine for path in state[signer])

    def _statement(self, path: Path) -> tuple[object, ...]:
        directory, delivery, survivors = path[1:4]
        assert isinstance(directory, Directory)
        assert isinstance(delivery, Delivery)
        return (
            None if Check.SAME_DIRECTORY in self.removed else directory.leaves,
            None if Check.SAME_SHARERS in self.removed else delivery.sharers,
            None if Check.SAME_SURVIVORS in self.removed else survivors,
        )

    def _requests(self, client: int, at: Path, offer: int) -> Iterator[Request]:
        """Yield every request of the step that comes at the end of a path."""
        match len(at):
            case 0:
                yield Invitation()
            case 1:
                entries = [self._entries(client, other, bool(offer >> other & 1)) for other in CLIENTS]
                for directory in product(*entries):
                    yield Directory(tuple(leaf for leaf, _ in directory), tuple(key for _, key in directory))
            case 2:
                for sharers in range(EVERYONE + 1):
                    arriving = offer & sharers
                    for opened in range(arriving + 1) if self.lossy else (arriving,):
                        if opened & ~arriving == 0:
                            yield Delivery(sharers, opened)
            case 3:
                yield from map(Survivors, range(EVERYONE + 1))
            case _:
                yield from map(Confirmations, range(EVERYONE + 1))

    def _entries(self, client: int, other: int, advertised: bool) -> list[tuple[int, int]]:
        """Return what a directory for a client can say of another: a leaf, and the keys that are shown for it."""
        if other == client:
            return [(leaf, ABSENT) for leaf in (ABSENT, TRUE, OTHER)]
        if other in self.honest:
            known = [TRUE, OTHER, OLD] if advertised else [OTHER, OLD]
        else:
            known = [TRUE, OTHER] if self.second_keys else [TRUE]
        return [(ABSENT, ABSENT), *product(known, known)]

    def refusal(self, client: int, at: Path, request: Request, offer: int) -> Check | str | None:
        """Return the check by which a client refuses a request at the end of a path; None if it answers.

        Args:
            client: The client.
            at: What it has kept of the requests so far.
            request: A request of the step that comes next.
            offer: As from `_offer`.
        """
        failing = self._failing(client, at, request, offer)
        return next((check for check in failing if check not in self.removed), None)

    def _failing(self, client: int, at: Path, request: Request, offer: int) -> Iterator[Check | str]:
        """Yield the checks that a request fails, in the order in which the client makes them."""
        match request:
            case Directory():
                yield from self._failing_directory(client, request)
            case Delivery():
                present = self._present(at)
                if not request.sharers >> client & 1:
                    yield Check.SHARER_ITSELF
                if request.sharers & ~present:
                    yield Check.SHARERS_PRESENT
                if self._too_few(client, request.sharers, present):
                    yield Check.ENOUGH_SHARERS
            case Survivors():
                if not request.bitmap >> client & 1:
                    yield Check.SURVIVOR_ITSELF
                if request.bitmap & ~at[2].sharers:  # type: ignore[union-attr]
                    yield Check.SURVIVORS_SHARED
                if self._too_few(client, request.bitmap, self._present(at)):
                    yield Check.ENOUGH_SURVIVORS
            case Confirmations():
                if request.signers & ~at[3].bitmap:  # type: ignore[union-attr]
                    yield Check.SIGNERS_SURVIVE
                if request.signers.bit_count() < self.threshold:
                    yield Check.ENOUGH_SIGNERS
                if request.signers & ~(offer | bits([each for each in CLIENTS if each not in self.honest])):
                    yield Check.CONFIRMED

    def _failing_directory(self, client: int, directory: Directory) -> Iterator[Check | str]:
        if directory.leaves[client] != TRUE:
            yield Check.OWN_KEYS
        present = bits([each for each in CLIENTS if directory.leaves[each] != ABSENT])
        if self._too_few(client, present, present):
            yield Check.ENOUGH_PRESENT
        for other in CLIENTS:
            if other != client and directory.leaves[other] != ABSENT:
                if directory.keys[other] != directory.leaves[other]:
                    yield Check.MATCHING_KEYS
                if other in self.honest and directory.keys[other] == OTHER:
                    yield Check.SIGNED_KEYS
                if directory.keys[other] == OLD and Check.SIGNED_KEYS not in self.removed:
                    yield Check.KEYS_OF_SESSION
        if (present | 1 << client).bit_count() < self.threshold:
            yield "there are fewer holders than a secret has to be shared among"

    def _too_few(self, client: int, cohort: int, present: int) -> bool:
        near = (cohort & present & ~(1 << client)).bit_count() + 1
        return cohort.bit_count() < self.threshold or near < self.threshold

    def _present(self, at: Path) -> int:
        directory = at[1]
        assert isinstance(directory, Directory)
        return bits([each for each in CLIENTS if directory.leaves[each] != ABSENT])

    # Equal parties.

    def canonical(self, state: State) -> Hashable:
        """See `search.Model.canonical`. Honest clients are equal, and so are the two pairs of keys of a corrupt one."""
        return min(self._renaming(number, state) for number in range(len(self._symmetries)))

    def _renaming(self, number: int, state: State) -> tuple[Local, ...]:
        names, _ = self._symmetries[number]
        found = [()] * len(CLIENTS)
        for client in self.honest:
            local = state[client]
            key = (number, local)
            if key not in self._renamed:
                self._renamed[key] = tuple(sorted(self._renamed_path(number, path) for path in local))
            found[names[client]] = self._renamed[key]
        return tuple(found)

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

    def _renamed_path(self, number: int, path: Path) -> Path:
        names, swapped = self._symmetries[number]

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
                case Directory():
                    return Directory(entries(request.leaves), entries(request.keys))
                case Delivery():
                    return Delivery(bitmap(request.sharers), bitmap(request.opened))
                case Survivors():
                    return Survivors(bitmap(request.bitmap))
            return request

        return tuple(map(renamed, path))


def _kept(request: Request) -> Request:
    return Confirmations(0) if isinstance(request, Confirmations) else request


def _extended(local: Local, path: Path) -> Local:
    """Return a client's longest paths after one more; a beginning of another path is left out."""
    if any(other[: len(path)] == path for other in local):
        return local
    return tuple(sorted([*(other for other in local if path[: len(other)] != other), path]))
