"""The graph itself: a reproducible uniform order, and a Harary graph over it."""

import hashlib
import os
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import combinations, permutations
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, chisquare

from protocols.errors import ParameterError
from protocols.pairwise import graph

SEED = bytes(range(32))
FALSE_ALARM = 1e-6


def passes_on_one_of_two(p_value: Callable[[], float]) -> bool:
    """One retry on a fresh seed, each check at a false-alarm rate of 1e-6."""
    return p_value() > FALSE_ALARM or p_value() > FALSE_ALARM


def is_connected(neighbours: Mapping[int, Collection[int]], alive: Collection[int]) -> bool:
    left = set(alive)
    border = [left.pop()]
    while border:
        reached = left.intersection(neighbours[border.pop()])
        left -= reached
        border.extend(reached)
    return not left


@st.composite
def sparse_graphs(draw: st.DrawFn) -> tuple[tuple[int, ...], int]:
    clients = draw(st.lists(st.integers(0, 2**40), min_size=4, max_size=24, unique=True))
    degree = 2 * draw(st.integers(1, (len(clients) - 2) // 2))
    return graph.order(draw(st.binary(min_size=16, max_size=64)), clients), degree


# --- the order ---------------------------------------------------------------------------------------------------


def order_by_the_letter(seed: bytes, clients: list[int]) -> list[int]:
    """The docstring's specification, read once more from scratch."""

    def words() -> Iterator[int]:
        for block in range(1_000):
            prefix = b"protocols.crypto.graph order v1" + seed + block.to_bytes(8, "big")
            stream = hashlib.shake_256(prefix).digest(4096)
            yield from (int(stream[i : i + 4].hex(), 16) for i in range(0, 4096, 4))

    stream, circle = words(), sorted(clients)
    for last in reversed(range(1, len(circle))):
        low_bits = 2 ** len(f"{last:b}")
        position = next(word % low_bits for word in stream if word % low_bits <= last)
        moved = circle[last]
        circle[last] = circle[position]
        circle[position] = moved
    return circle


def test_order_is_reproducible_byte_for_byte() -> None:
    assert graph.order(SEED, range(16)) == (5, 1, 11, 0, 6, 3, 4, 2, 9, 15, 13, 10, 7, 8, 12, 14)
    assert list(graph.order(SEED, range(5_000))) == order_by_the_letter(SEED, list(range(5_000)))


@given(seed=st.binary(min_size=16, max_size=64), clients=st.sets(st.integers(0, 2**62), min_size=1, max_size=40))
def test_order_depends_on_the_set_of_clients_and_not_on_its_sequence(seed: bytes, clients: set[int]) -> None:
    ascending = sorted(clients)
    found = graph.order(seed, ascending)
    assert sorted(found) == ascending
    assert graph.order(seed, ascending[::-1]) == found


def test_order_changes_with_every_bit_of_the_seed() -> None:
    clients = range(40)
    others = {graph.order((int.from_bytes(SEED, "big") ^ 1 << bit).to_bytes(32, "big"), clients) for bit in range(256)}
    assert len(others | {graph.order(SEED, clients)}) == 257


def test_order_is_uniform_over_all_permutations() -> None:
    """Chi-square over the 120 permutations of five clients, 24,000 orders."""

    def p_value() -> float:
        seed = os.urandom(28)
        counts = Counter(graph.order(seed + i.to_bytes(4, "big"), range(5)) for i in range(24_000))
        return float(chisquare([counts[each] for each in permutations(range(5))]).pvalue)

    assert passes_on_one_of_two(p_value)


def test_order_of_ten_thousand_takes_less_than_30_ms() -> None:
    def cpu_s() -> float:
        start = time.process_time()
        graph.order(SEED, range(10_000))
        return time.process_time() - start

    assert min(cpu_s() for _ in range(5)) < 0.030


@pytest.mark.parametrize("clients", [[], [1, 2, 1], [True, 0], [1.0, 2.0], ["a", "b"]])
def test_order_refuses_clients_that_are_no_distinct_ints(clients: list[int]) -> None:
    with pytest.raises(ParameterError, match="of the order: expected"):
        graph.order(SEED, clients)


@pytest.mark.parametrize("seed", [b"", bytes(15), "s" * 32, bytearray(32), None])
def test_order_refuses_a_seed_that_is_short_or_no_bytes(seed: bytes) -> None:
    with pytest.raises(ParameterError, match="at least 16 bytes"):
        graph.order(seed, range(4))


def test_order_keeps_the_seed_out_of_its_error() -> None:
    with pytest.raises(ParameterError) as caught:
        graph.order(b"secret", range(4))
    assert "secret" not in str(caught.value)


# --- the neighbours ----------------------------------------------------------------------------------------------


def test_neighbourhood_is_the_nearest_on_each_side() -> None:
    circle = (3, 2, 5, 4, 1, 8, 9, 0, 6, 7)
    assert graph.neighbourhood(circle, 3, 4) == (6, 7, 2, 5)
    assert graph.neighbourhood(circle, 1, 2) == (4, 8)
    assert graph.neighbourhood(circle, 7, 6) == (9, 0, 6, 3, 2, 5)


@pytest.mark.parametrize("degree", [4, 5, 1_000])
def test_neighbourhood_of_degree_clients_less_one_or_more_is_everyone_else(degree: int) -> None:
    assert graph.neighbourhood((9, 4, 7, 1, 3), 7, degree) == (1, 3, 9, 4)


@given(sparse_graphs())
def test_neighbourhoods_are_symmetric_regular_and_without_loops(case: tuple[tuple[int, ...], int]) -> None:
    circle, degree = case
    found = graph.neighbourhoods(circle, degree)
    assert tuple(found) == circle
    for client, neighbours in found.items():
        assert neighbours == graph.neighbourhood(circle, client, degree)
        assert len(set(neighbours)) == degree
        assert client not in neighbours
        assert all(client in found[neighbour] for neighbour in neighbours)


@given(case=sparse_graphs(), data=st.data())
def test_neighbourhoods_stay_connected_without_any_fewer_than_degree_clients(
    case: tuple[tuple[int, ...], int], data: st.DataObject
) -> None:
    circle, degree = case
    removed = data.draw(st.sets(st.sampled_from(circle), max_size=degree - 1))
    assert is_connected(graph.neighbourhoods(circle, degree), set(circle) - removed)


@given(case=sparse_graphs(), data=st.data())
def test_neighbourhoods_fall_apart_without_two_gaps_of_half_the_degree(
    case: tuple[tuple[int, ...], int], data: st.DataObject
) -> None:
    circle, degree = case
    side = degree // 2
    second = data.draw(st.integers(side + 1, len(circle) - side - 1))
    removed = {*circle[:side], *circle[second : second + side]}
    assert not is_connected(graph.neighbourhoods(circle, degree), set(circle) - removed)


def disconnecting_fraction(clients: int, degree: int, removed: int) -> float:
    """Of all sets of `removed` clients, the share whose removal disconnects the graph, counted one by one."""
    neighbours = graph.neighbourhoods(range(clients), degree)
    everyone = set(range(clients))
    broken = sum(not is_connected(neighbours, everyone.difference(gone)) for gone in combinations(everyone, removed))
    return broken / comb(clients, removed)


@pytest.mark.parametrize(("clients", "degree"), [(8, 2), (10, 4), (11, 6), (12, 4), (13, 8)])
def test_disconnection_is_never_more_likely_than_the_union_bound(clients: int, degree: int) -> None:
    for removed in range(degree, clients - 1):
        pairs_of_gaps = clients * (clients - degree - 1) / 2
        bound = pairs_of_gaps * comb(removed, degree) / comb(clients, degree)
        fraction = disconnecting_fraction(clients, degree, removed)
        assert 0 < fraction <= bound * (1 + 1e-12)
        if removed == degree:
            assert fraction == pytest.approx(bound)  # one pair of gaps fills the whole set: the events are disjoint


def test_random_order_breaks_as_often_as_counting_says() -> None:
    """Two-sided binomial test: 12 clients, degree 4, clients 0 to 5 removed, 8,000 random orders."""
    exact = disconnecting_fraction(12, 4, 6)

    def p_value() -> float:
        seed, broken = os.urandom(28), 0
        for i in range(8_000):
            circle = graph.order(seed + i.to_bytes(4, "big"), range(12))
            broken += not is_connected(graph.neighbourhoods(circle, 4), range(6, 12))
        return float(binomtest(broken, 8_000, exact).pvalue)

    assert passes_on_one_of_two(p_value)


@pytest.mark.parametrize("degree", [0, -2, 1, 3, 2.0, True, "2"])
def test_neighbourhoods_refuse_a_degree_that_no_graph_has(degree: int) -> None:
    for ask in (lambda: graph.neighbourhoods(range(6), degree), lambda: graph.neighbourhood(range(6), 0, degree)):
        with pytest.raises(ParameterError, match="degree"):
            ask()


def test_neighbourhoods_refuse_clients_that_are_absent_repeated_or_alone() -> None:
    with pytest.raises(ParameterError, match="0 times"):
        graph.neighbourhood((1, 2, 3, 4), 5, 2)
    with pytest.raises(ParameterError, match="2 times"):
        graph.neighbourhood((1, 2, 1, 4), 1, 2)
    with pytest.raises(ParameterError, match="distinct"):
        graph.neighbourhoods((1, 2, 1, 4), 2)
    with pytest.raises(ParameterError, match="at least 2"):
        graph.neighbourhoods((1,), 2)
