"""What a client of pairwise masking answers, in a symbolic model: its requests, and the checks that it makes of them.

Keys, signatures and secret shares are perfect, and a message is what it says. There are four clients and one threshold
of three, for survivors and for secret shares. The graph is complete.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Final, NamedTuple

from tests.exploration.checks import Check

CLIENTS: Final = (0, 1, 2, 3)
THRESHOLD: Final = 3
ADVERTISE, SHARE, MASK, CONFIRM, REVEAL = range(5)

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
    """The request of step 4: whose signatures are shown, as a bitmap. A client keeps none of it, which is 0."""

    signers: int


Request = Invitation | Directory | Delivery | Survivors | Confirmations
Path = tuple[Request, ...]


class Stage(NamedTuple):
    """What a client knows that has masked its vector: the parts of a path by name."""

    directory: Directory
    delivery: Delivery


def stage(path: Path) -> Stage:
    """Return the directory and the delivery on a path that has both."""
    directory, delivery = path[1:3]
    if not isinstance(directory, Directory) or not isinstance(delivery, Delivery):
        raise LookupError("path: expected one of at least three answers")
    return Stage(directory, delivery)


def survivors_of(path: Path) -> int:
    """Return the survivors on a path that has confirmed some."""
    survivors = path[CONFIRM]
    if not isinstance(survivors, Survivors):
        raise LookupError("path: expected one of at least four answers")
    return survivors.bitmap


def directory_of(path: Path) -> Directory:
    """Return the directory on a path that has one."""
    directory = path[SHARE]
    if not isinstance(directory, Directory):
        raise LookupError("path: expected one of at least two answers")
    return directory


def bits(clients: Collection[int]) -> int:
    """Return a bitmap of clients."""
    return sum(1 << client for client in clients)


def members(bitmap: int) -> frozenset[int]:
    """Return the clients of a bitmap."""
    return frozenset(client for client in CLIENTS if bitmap >> client & 1)


@dataclass(frozen=True, kw_only=True)
class ClientModel:
    """What honest clients answer.

    Attributes:
        honest: The honest clients; all others are corrupt.
        assumed: The number of corrupt clients that honest clients assume for their roster. If there are more corrupt
            ones, the server has invented them.
        removed: The checks that are left out.
        lossy: Whether any of the secret shares delivered to a client may be spoilt. If not, all that exist arrive. A
            client that holds more shares behaves in the same way and reveals more.
        second_keys: Whether corrupt clients sign a second pair of keys.
    """

    honest: tuple[int, ...] = (0, 1, 2)
    assumed: int = 1
    removed: frozenset[Check] = frozenset()
    lossy: bool = False
    second_keys: bool = False

    def requests(self, client: int, at: Path, offer: int) -> Iterator[Request]:
        """Yield every request of the step that comes at the end of a client's path.

        Args:
            client: The client.
            at: What it has kept of the requests so far.
            offer: A bitmap of the clients whose earlier answers can be used: whose keys there are (step 1), whose
                secret shares the client could open (step 2), who has signed what the client has (step 4).
        """
        match len(at):
            case 0:
                yield Invitation()
            case 1:
                entries = [self._entries(client, other, offer) for other in CLIENTS]
                for directory in product(*entries):
                    yield Directory(tuple(leaf for leaf, _ in directory), tuple(key for _, key in directory))
            case 2:
                for sharers in range(1 << len(CLIENTS)):
                    arriving = offer & sharers
                    for opened in range(arriving + 1) if self.lossy else (arriving,):
                        if opened & ~arriving == 0:
                            yield Delivery(sharers, opened)
            case 3:
                yield from map(Survivors, range(1 << len(CLIENTS)))
            case _:
                yield from map(Confirmations, range(1 << len(CLIENTS)))

    def _entries(self, client: int, other: int, advertised: int) -> list[tuple[int, int]]:
        """Return what a directory for a client can say of another: a leaf, and the keys that are shown for it."""
        if other == client:
            return [(leaf, ABSENT) for leaf in (ABSENT, TRUE, OTHER)]
        if other in self.honest:
            known = [TRUE, OTHER, OLD] if advertised >> other & 1 else [OTHER, OLD]
        else:
            known = [TRUE, OTHER] if self.second_keys else [TRUE]
        # An old hash beside other keys is a hash of no keys that are shown, and `OTHER` is that already.
        return [(ABSENT, ABSENT), *((leaf, keys) for leaf, keys in product(known, known) if leaf != OLD or keys == OLD)]

    def refusal(self, client: int, at: Path, request: Request, offer: int) -> Check | str | None:
        """Return the check by which a client refuses a request at the end of its path; None if it answers."""
        return next((each for each in self._failing(client, at, request, offer) if each not in self.removed), None)

    def _failing(self, client: int, at: Path, request: Request, offer: int) -> Iterator[Check | str]:
        """Yield the checks that a request fails, in the order in which the client makes them."""
        match request:
            case Invitation():
                if len(CLIENTS) - len(self.honest) > self.assumed:
                    yield Check.PINNED_ROSTER
                if len(CLIENTS) + self.assumed >= 2 * THRESHOLD:
                    yield Check.SAFE_THRESHOLD
            case Directory():
                yield from self._failing_directory(client, request)
            case Delivery(sharers=sharers):
                present = _present(directory_of(at))
                if not sharers >> client & 1:
                    yield Check.SHARER_ITSELF
                if sharers & ~present:
                    yield Check.SHARERS_PRESENT
                if _too_few(client, sharers, present):
                    yield Check.ENOUGH_SHARERS
            case Survivors(bitmap=survivors):
                if not survivors >> client & 1:
                    yield Check.SURVIVOR_ITSELF
                if survivors & ~stage(at).delivery.sharers:
                    yield Check.SURVIVORS_SHARED
                if _too_few(client, survivors, _present(directory_of(at))):
                    yield Check.ENOUGH_SURVIVORS
            case Confirmations(signers=signers):
                if signers & ~survivors_of(at):
                    yield Check.SIGNERS_SURVIVE
                if signers.bit_count() < THRESHOLD:
                    yield Check.ENOUGH_SIGNERS
                if signers & bits(self.honest) & ~offer:
                    yield Check.CONFIRMED

    def _failing_directory(self, client: int, directory: Directory) -> Iterator[Check | str]:
        if directory.leaves[client] != TRUE:
            yield Check.OWN_KEYS
        present = _present(directory)
        if _too_few(client, present, present):
            yield Check.ENOUGH_PRESENT
        for other in members(present & ~(1 << client)):
            if directory.keys[other] != directory.leaves[other]:
                yield Check.MATCHING_KEYS
            if other in self.honest and directory.keys[other] == OTHER:
                yield Check.SIGNED_KEYS
            if directory.keys[other] == OLD and Check.SIGNED_KEYS not in self.removed:
                yield Check.KEYS_OF_SESSION
        if (present | 1 << client).bit_count() < THRESHOLD:
            yield "there are fewer holders than a secret has to be shared among"

    def statement(self, path: Path) -> tuple[object, ...]:
        """Return what a client with this path signs in step 3, as far as signatures bind it."""
        directory, delivery = stage(path)
        return (
            None if Check.SAME_DIRECTORY in self.removed else directory.leaves,
            None if Check.SAME_SHARERS in self.removed else delivery.sharers,
            None if Check.SAME_SURVIVORS in self.removed else survivors_of(path),
        )


def kept(request: Request) -> Request:
    """Return what a client keeps of a request: everything but whose signatures it has seen."""
    return Confirmations(0) if isinstance(request, Confirmations) else request


def _present(directory: Directory) -> int:
    return bits([client for client in CLIENTS if directory.leaves[client] != ABSENT])


def _too_few(client: int, cohort: int, present: int) -> bool:
    near = (cohort & present & ~(1 << client)).bit_count() + 1
    return cohort.bit_count() < THRESHOLD or near < THRESHOLD
