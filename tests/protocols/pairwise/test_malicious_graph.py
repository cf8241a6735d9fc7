"""The argument of docs/graph.md against a malicious server, against every small circle there is.

A learned sum is one over honest survivors whose self-masks are all opened and who share no mask with any other: each
mask that one of them added was added by another of them too. The claim: with threshold degree / 2 + 2 + c there is
only one, of all honest survivors. This holds no matter which clients are declared dropped, receive another directory,
or are told of other sharers. With one share less there may be other sums. The same is true if clients do not require a
minimum of sharers around them.
"""

from collections.abc import Callable, Mapping
from enum import Enum, auto
from functools import cache
from itertools import product

import pytest

from protocols.pairwise import graph

pytestmark = pytest.mark.slow


class Role(Enum):
    """What a client is to the adversary."""

    AGREES = auto()
    """Honest, a survivor, saw what all clients saw who reveal shares, and reveals its own."""
    ASTRAY = auto()
    """Honest, a survivor, but was shown another directory or told of other sharers, and so reveals nothing."""
    DROPPED = auto()
    """Honest, and declared dropped."""
    CORRUPT = auto()


SURVIVORS = (Role.AGREES, Role.ASTRAY)
Roles = tuple[Role, ...]
Neighbours = Mapping[int, frozenset[int]]


def circle(clients: int, degree: int) -> Neighbours:
    return {each: frozenset(near) for each, near in graph.neighbourhoods(range(clients), degree).items()}


def count(neighbours: frozenset[int], roles: Roles, role: Role) -> int:
    return sum(roles[each] is role for each in neighbours)


def most_corrupt(near: Neighbours, roles: Roles) -> int:
    return max(count(near[each], roles, Role.CORRUPT) for each in near if roles[each] is not Role.CORRUPT)


def shares(near: Neighbours, roles: Roles, owner: int) -> int:
    """How many shares of an owner's self-mask the adversary can have at most."""
    own = 1 if roles[owner] is Role.AGREES else 0
    return own + count(near[owner], roles, Role.AGREES) + count(near[owner], roles, Role.CORRUPT)


def learned(near: Neighbours, roles: Roles, *, left_out: int, threshold: int, sharers: int) -> set[int]:
    """The largest set of honest survivors, one of them left out, whose sum the server learns; empty if none.

    A client that agrees masks with all survivors near it. A client that was led astray masks with those that the
    adversary names as sharers, at least `sharers` with itself; to name no survivor outside of the set is best. A client
    that saw another directory shares masks and holders with no client that agrees, which is never better.
    """
    survivors = {each for each in near if roles[each] in SURVIVORS}
    part = {each for each in survivors - {left_out} if shares(near, roles, each) >= threshold}
    while True:
        outside = survivors - part
        masked = {
            each
            for each in part
            if (near[each] & outside if roles[each] is Role.AGREES else len(near[each] - outside) + 1 < sharers)
        }
        if not masked:
            return part
        part -= masked


@cache
def leaks(clients: int, degree: int, sharers: Callable[[int, int], int]) -> dict[int, int]:
    """For each bound on corrupt neighbours, the largest threshold that leaks in any circle there is; 0 if none does.

    Client 0 may be the one left out: the circle can be turned.

    Args:
        clients: Size of the circle.
        degree: Neighbours of each.
        sharers: From the share threshold and the number of corrupt clients, how many sharers a client asks for, in
            its neighbourhood, before it masks.
    """
    near = circle(clients, degree)
    kinds = tuple(Role) if clients < 9 else (Role.AGREES, Role.DROPPED, Role.CORRUPT)
    found: dict[int, int] = {}
    for roles in product(kinds, repeat=clients):
        if roles[0] not in SURVIVORS or sum(role in SURVIVORS for role in roles) < 2 or not enough_agree(roles, degree):
            continue
        corrupt = most_corrupt(near, roles)
        higher = found.setdefault(corrupt, 0) + 1
        while learned(near, roles, left_out=0, threshold=higher, sharers=sharers(higher, roles.count(Role.CORRUPT))):
            found[corrupt] = higher
            higher += 1
    return found


def session_threshold(clients: int, corrupt: int) -> int:
    return (clients + corrupt) // 2 + 1


def enough_agree(roles: Roles, degree: int) -> bool:
    """On the complete graph the number of signatures is part of the argument; on a sparse one it is not."""
    corrupt = roles.count(Role.CORRUPT)
    return degree < len(roles) - 1 or roles.count(Role.AGREES) >= session_threshold(len(roles), corrupt) - corrupt


def as_many_as_the_share_threshold(threshold: int, corrupt: int) -> int:
    return threshold


def none(threshold: int, corrupt: int) -> int:
    return 0


SPARSE = [(clients, degree) for clients in range(4, 10) for degree in range(2, clients - 1, 2)]


@pytest.mark.parametrize(("clients", "degree"), SPARSE)
def test_malicious_threshold_leaves_the_sum_of_all_honest_survivors_only(clients: int, degree: int) -> None:
    """The adversary drops, corrupts and misleads clients in every possible way, on every small circle.

    A share threshold of degree / 2 + 2 + corrupt must leave it the sum of all honest survivors and no other.
    """
    found = leaks(clients, degree, as_many_as_the_share_threshold)
    assert 0 in found
    for corrupt, leaking in found.items():
        assert leaking < degree // 2 + 2 + corrupt, corrupt


@pytest.mark.parametrize(("clients", "degree", "corrupt"), [(5, 2, 0), (6, 2, 1), (8, 4, 0), (9, 4, 0), (9, 2, 1)])
def test_malicious_threshold_less_one_lets_a_part_be_summed(clients: int, degree: int, corrupt: int) -> None:
    """With one share less the same adversary learns the sum of a part, so the threshold is the least that is safe."""
    assert leaks(clients, degree, as_many_as_the_share_threshold)[corrupt] == degree // 2 + 1 + corrupt


@pytest.mark.parametrize(("clients", "degree"), [(6, 4), (7, 4), (8, 6)])
def test_malicious_threshold_does_not_do_if_clients_mask_with_however_few_have_shared(
    clients: int, degree: int
) -> None:
    """The adversary tells a client that no neighbour has shared, and gets its input under its self-mask alone.

    The threshold does not stop that: clients must count the sharers around them.
    """
    assert leaks(clients, degree, none)[0] >= degree // 2 + 2


@pytest.mark.parametrize("clients", range(3, 9))
def test_malicious_threshold_on_the_complete_graph_need_only_exceed_the_corrupt(clients: int) -> None:
    """On the complete graph, where a majority signs and clients count all sharers, any adversary must be stopped by a
    share threshold above the number of corrupt clients.
    """
    found = leaks(clients, clients - 1, lambda threshold, corrupt: session_threshold(clients, corrupt))
    assert set(found) == set(range(clients - 1))
    for corrupt, leaking in found.items():
        assert leaking <= corrupt


@pytest.mark.parametrize("clients", range(5, 9))
def test_malicious_threshold_on_the_complete_graph_does_not_do_if_clients_ask_for_few_sharers(clients: int) -> None:
    """On the complete graph, too, an adversary that names few sharers learns a partial sum if clients do not count
    them.
    """
    assert leaks(clients, clients - 1, none)[0] >= session_threshold(clients, 0)


@pytest.mark.parametrize(("degree", "pattern"), [(6, "CDD"), (10, "DCDCC"), (24, "CCDCDDCDCCDC")])
def test_malicious_threshold_less_one_fails_between_two_gaps_of_any_length(degree: int, pattern: str) -> None:
    """The adversary isolates degree / 2 + 1 honest clients in a row between two gaps of dropped and corrupt ones.

    With one share less it learns their sum; with the threshold it must learn no partial sum.
    """
    gap = [{"C": Role.CORRUPT, "D": Role.DROPPED}[letter] for letter in pattern]
    roles = (*gap, *[Role.AGREES] * (degree // 2 + 1), *gap, *[Role.AGREES] * (2 * degree))
    near, row = circle(len(roles), degree), set(range(degree // 2, degree + 1))
    corrupt, last = most_corrupt(near, roles), len(roles) - 1
    assert corrupt == pattern.count("C")
    leaking = degree // 2 + 1 + corrupt
    assert learned(near, roles, left_out=last, threshold=leaking, sharers=leaking) == row
    for left_out in (each for each, role in enumerate(roles) if role in SURVIVORS):
        assert not learned(near, roles, left_out=left_out, threshold=leaking + 1, sharers=leaking + 1)
