"""Degree and threshold: the authors' figures, and the least parameters counted in exact arithmetic."""

import json
import re
import time
from fractions import Fraction
from functools import cache
from math import comb
from pathlib import Path
from typing import Final, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.errors import ParameterError
from protocols.pairwise import graph, parameters

pytestmark = pytest.mark.slow

Class = Literal["curious", "semi-malicious", "malicious"]
CLASSES: Final[tuple[Class, ...]] = ("curious", "semi-malicious", "malicious")
VECTORS = Path(__file__).parents[2] / "vectors" / "harary_parameters.json"


@pytest.mark.parametrize("row", json.loads(VECTORS.read_text())["rows"], ids=str)
def test_find_parameters_reproduces_the_authors_figures(row: list[object]) -> None:
    adversarial, dropout, adversary, clients, degree, threshold_at_most = row
    found = graph.find_parameters(
        clients=clients,  # type: ignore[arg-type]  # the vectors are JSON
        adversarial=adversarial,  # type: ignore[arg-type]
        dropout=dropout,  # type: ignore[arg-type]
        adversary=adversary,  # type: ignore[arg-type]
    )
    assert found.degree == degree
    assert 2 <= found.threshold <= threshold_at_most  # type: ignore[operator]


@cache
def exceeds(population: int, marked: int, sample: int, t: int) -> Fraction:
    highest = min(marked, sample)
    ways = sum(comb(marked, x) * comb(population - marked, sample - x) for x in range(t + 1, highest + 1))
    return Fraction(ways, comb(population, sample))


def limits_by_counting(clients: int, corrupt: int, dropped: int, degree: int, privacy_bits: int) -> tuple[int, int]:
    security, failure = Fraction(1, 2**privacy_bits * clients), Fraction(1, 2**20 * clients)
    return (
        next(t for t in range(degree + 1) if exceeds(clients, corrupt, degree, t) < security),
        next(t for t in range(degree + 1) if exceeds(clients, dropped, degree, t) < failure),
    )


def least_by_counting(clients: int, corrupt: int, dropped: int, adversary: Class) -> tuple[int, int] | None:
    """Every degree in turn, each event in exact fractions; then the complete graph, where nothing is left to chance."""
    if adversary == "malicious":
        return least_malicious_by_counting(clients, corrupt, dropped)
    for degree in [*range(2, clients - 1, 2), clients - 1]:
        if degree < clients - 1:
            pairs = Fraction(clients * (clients - degree - 1), 2)
            if pairs * comb(corrupt + dropped, degree) / comb(clients, degree) >= Fraction(1, 2**41):
                continue
            most_corrupt, most_dropped = limits_by_counting(clients, corrupt, dropped, degree, privacy_bits=41)
        else:
            most_corrupt, most_dropped = corrupt, dropped
        unsafe = most_corrupt if adversary == "curious" else (degree + most_corrupt) // 2
        if unsafe < degree - most_dropped:
            return degree, max(unsafe + 1, 2)
    return None


def least_malicious_by_counting(clients: int, corrupt: int, dropped: int) -> tuple[int, int] | None:
    for degree in range(2, clients - 1, 2):
        most_corrupt, most_dropped = limits_by_counting(clients, corrupt, dropped, degree, privacy_bits=100)
        for threshold in range(2, degree - most_dropped + 1):
            if threshold - most_corrupt - 1 > degree / 2:  # honest holders, the owner left out: some on either side
                return degree, threshold
    majorities = [threshold for threshold in range(clients - dropped + 1) if 2 * threshold > clients + corrupt]
    return (clients - 1, majorities[0]) if majorities and clients - corrupt >= 2 else None


def found_or_none(clients: int, corrupt: int, dropped: int, adversary: Class) -> tuple[int, int] | None:
    try:
        found = graph.find_parameters(
            clients=clients, adversarial=corrupt / clients, dropout=dropped / clients, adversary=adversary
        )
    except graph.InfeasibleParameters:
        return None
    return found.degree, found.threshold


@pytest.mark.parametrize("adversary", CLASSES)
@pytest.mark.parametrize("clients", range(2, 13))
def test_find_parameters_is_the_least_for_every_small_cohort(clients: int, adversary: Class) -> None:
    for corrupt in range(clients):
        for dropped in range(clients):
            expected = least_by_counting(clients, corrupt, dropped, adversary)
            assert found_or_none(clients, corrupt, dropped, adversary) == expected, (corrupt, dropped)


@pytest.mark.parametrize("adversary", CLASSES)
@pytest.mark.parametrize("clients", [40, 75, 110, 175, 215, 280])
def test_find_parameters_is_the_least_by_counting(clients: int, adversary: Class) -> None:
    for corrupt in sorted({0, 1, clients // 50, clients // 20, clients // 10, clients // 5}):
        for dropped in sorted({0, 1, clients // 30, clients // 15, clients // 8, clients // 4}):
            expected = least_by_counting(clients, corrupt, dropped, adversary)
            assert found_or_none(clients, corrupt, dropped, adversary) == expected, (corrupt, dropped)


@given(data=st.data(), clients=st.integers(2, 1_000_000), adversary=st.sampled_from(CLASSES))
@settings(deadline=None)
def test_find_parameters_grow_with_what_goes_wrong(data: st.DataObject, clients: int, adversary: Class) -> None:
    weight = 1 if adversary == "curious" else 2
    corrupt = data.draw(st.integers(0, max(0, (clients - 2) // 2)))
    dropped = data.draw(st.integers(0, (clients - 2 - corrupt) // weight))
    fewer_corrupt, fewer_dropped = data.draw(st.integers(0, corrupt)), data.draw(st.integers(0, dropped))

    def find(bad: int, gone: int, against: Class = adversary) -> graph.Parameters:
        return graph.find_parameters(
            clients=clients, adversarial=bad / clients, dropout=gone / clients, adversary=against
        )

    found = find(corrupt, dropped)
    assert find(fewer_corrupt, fewer_dropped).degree <= found.degree
    assert find(corrupt, dropped, "curious").degree <= found.degree


@given(data=st.data(), clients=st.integers(3, 1_000_000), adversary=st.sampled_from(CLASSES))
@settings(deadline=None)
def test_find_parameters_keep_their_promises(data: st.DataObject, clients: int, adversary: Class) -> None:
    weight = 1 if adversary == "curious" else 2
    dropped = data.draw(st.integers(0, (clients - 2) // weight))
    corrupt = data.draw(st.integers(0, clients - 2 - weight * dropped))
    found = graph.find_parameters(
        clients=clients, adversarial=corrupt / clients, dropout=dropped / clients, adversary=adversary
    )
    assert found.degree == clients - 1 or (found.degree % 2 == 0 and 2 <= found.degree < clients - 1)
    assert found.corrupt_neighbours <= min(corrupt, found.degree)
    assert found.surviving_neighbours >= found.degree - dropped
    holders = found.degree + 1
    if adversary == "malicious" and found.degree == clients - 1:
        assert found.threshold <= clients - dropped
    else:
        assert found.threshold <= found.surviving_neighbours or (found.threshold == 2 and found.degree > dropped)
    assert found.threshold > found.corrupt_neighbours
    assert found.threshold <= found.threshold_with_own_share <= holders
    if adversary == "semi-malicious":
        assert 2 * found.threshold > found.degree + found.corrupt_neighbours
        assert 2 * found.threshold_with_own_share > holders + found.corrupt_neighbours
        assert 2 * (found.threshold_with_own_share - 1) <= holders + found.corrupt_neighbours
    else:
        assert found.threshold_with_own_share == found.threshold
    if adversary == "malicious":
        assert 2 * found.threshold > holders + found.corrupt_neighbours
        assert corrupt + 2 * dropped < clients  # so that enough survivors can agree on who they are
        least = parameters.least_threshold(clients=clients, adversarial=corrupt / clients, degree=found.degree)
        assert least == found.threshold


@pytest.mark.parametrize("adversary", CLASSES)
@pytest.mark.parametrize("clients", [2, 3, 7, 30, 100])
def test_complete_graph_meets_the_threshold_with_own_share_after_any_drops(clients: int, adversary: Class) -> None:
    weight = 1 if adversary == "curious" else 2
    for dropped in range((clients - 2) // weight + 1):
        corrupt = clients - 2 - weight * dropped
        found = graph.find_parameters(
            clients=clients, adversarial=corrupt / clients, dropout=dropped / clients, adversary=adversary
        )
        assert found.degree == clients - 1 or clients >= 30
        if found.degree == clients - 1:
            assert found.threshold_with_own_share <= clients - dropped


@pytest.mark.parametrize("adversary", CLASSES)
@pytest.mark.parametrize("margin", [0.5, 0.1, 0.02, 0.01, 0.003, 0.001, 0.0001])
def test_find_parameters_of_a_million_takes_less_than_a_second(adversary: Class, margin: float) -> None:
    dropout = (1 - margin) / 2 / (1 if adversary == "curious" else 2)
    start = time.process_time()
    graph.find_parameters(clients=1_000_000, adversarial=(1 - margin) / 2, dropout=dropout, adversary=adversary)
    assert time.process_time() - start < 1.0


@pytest.mark.parametrize("margin", [0.5, 0.1, 0.02, 0.01, 0.003, 0.001, 0.0001])
@pytest.mark.parametrize("corrupt_part", [0.0, 0.5, 0.9, 1.0])
def test_find_malicious_parameters_at_the_edge_of_sparseness_takes_less_than_a_second(
    margin: float, corrupt_part: float
) -> None:
    both = (1 - margin) / 2
    start = time.process_time()
    graph.find_parameters(
        clients=1_000_000, adversarial=both * corrupt_part, dropout=both * (1 - corrupt_part), adversary="malicious"
    )
    assert time.process_time() - start < 1.0


@pytest.mark.parametrize("clients", [2, 3, 7, 30, 100])
def test_malicious_parameters_exist_exactly_where_survivors_can_agree_and_two_are_honest(clients: int) -> None:
    for corrupt in range(clients):
        for dropped in range(clients):
            feasible = found_or_none(clients, corrupt, dropped, "malicious") is not None
            assert feasible == (corrupt + 2 * dropped < clients and corrupt <= clients - 2), (corrupt, dropped)


@pytest.mark.parametrize(("clients", "corrupt", "degree"), [(1_000, 50, 168), (3_000, 300, 330), (10_000, 100, 98)])
@pytest.mark.parametrize(("adversary", "bits"), [("curious", 41), ("semi-malicious", 41), ("malicious", 100)])
def test_corrupt_neighbours_are_the_least_by_counting(
    clients: int, corrupt: int, degree: int, adversary: Class, bits: int
) -> None:
    most = parameters.corrupt_neighbours(
        clients=clients, adversarial=corrupt / clients, degree=degree, adversary=adversary
    )
    bound = Fraction(1, 2**bits * clients)
    assert exceeds(clients, corrupt, degree, most) < bound <= exceeds(clients, corrupt, degree, most - 1)
    if adversary == "malicious":
        least = parameters.least_threshold(clients=clients, adversarial=corrupt / clients, degree=degree)
        assert least == degree // 2 + 2 + most


@pytest.mark.parametrize("adversary", CLASSES)
def test_corrupt_neighbours_of_the_complete_graph_are_all_the_corrupt(adversary: Class) -> None:
    assert parameters.corrupt_neighbours(clients=10, adversarial=0.3, degree=9, adversary=adversary) == 3
    assert parameters.least_threshold(clients=10, adversarial=0.3, degree=9) == 7
    assert parameters.least_threshold(clients=11, adversarial=0.0, degree=10) == 6


@pytest.mark.parametrize(
    ("clients", "adversarial", "degree"), [(100, 0.1, 12), (100, 0.1, 20), (1_000, 0.4, 100), (10, 0.9, 9)]
)
def test_least_threshold_says_where_no_threshold_is_safe(clients: int, adversarial: float, degree: int) -> None:
    with pytest.raises(graph.InfeasibleParameters, match="Use more neighbours; or assume fewer corrupt clients"):
        parameters.least_threshold(clients=clients, adversarial=adversarial, degree=degree)


@pytest.mark.parametrize("degree", [0, -2, 3, 100, 1_000, 2.0, True, "2", None])
def test_least_threshold_refuses_a_degree_that_no_graph_has(degree: int) -> None:
    with pytest.raises(ParameterError, match="degree: expected an even number"):
        parameters.least_threshold(clients=100, adversarial=0.1, degree=degree)
    with pytest.raises(ParameterError, match="degree: expected an even number"):
        parameters.corrupt_neighbours(clients=100, adversarial=0.1, degree=degree, adversary="curious")


def test_least_threshold_of_a_million_is_fast_enough_for_every_client_to_ask() -> None:
    start = time.process_time()
    for _ in range(10_000):
        parameters.least_threshold(clients=1_000_000, adversarial=0.05, degree=324)
    assert time.process_time() - start < 0.5


def test_fractions_count_the_clients_that_their_decimals_mean() -> None:
    assert 0.29 * 100 < 29  # what a plain floor would make 28 of
    decimal = graph.find_parameters(clients=100, adversarial=0.29, dropout=0.29, adversary="curious")
    assert decimal == graph.find_parameters(clients=100, adversarial=0.295, dropout=0.295, adversary="curious")
    assert decimal.corrupt_neighbours == 29


def test_adversary_is_an_enum_that_may_be_named() -> None:
    named = graph.find_parameters(clients=50, adversarial=0.1, dropout=0.1, adversary="semi-malicious")
    member = graph.find_parameters(clients=50, adversarial=0.1, dropout=0.1, adversary=graph.Adversary.SEMI_MALICIOUS)
    assert named == member
    assert named.adversary is graph.Adversary.SEMI_MALICIOUS


@pytest.mark.parametrize("adversary", CLASSES)
@pytest.mark.parametrize(("adversarial", "dropout"), [(0.5, 0.5), (0.2, 0.9), (0.98, 0.98)])
@pytest.mark.parametrize("clients", [10, 99, 1_000, 1_000_000])
def test_infeasible_parameters_name_what_would_do(
    clients: int, adversarial: float, dropout: float, adversary: Class
) -> None:
    with pytest.raises(graph.InfeasibleParameters, match=r"No threshold is safe .* Use ") as caught:
        graph.find_parameters(clients=clients, adversarial=adversarial, dropout=dropout, adversary=adversary)
    assert isinstance(caught.value, ValueError)
    for kind, most in re.findall(r"(dropout|adversarial fraction) of at most (\d+)/", str(caught.value)):
        if kind == "dropout":
            graph.find_parameters(
                clients=clients, adversarial=adversarial, dropout=int(most) / clients, adversary=adversary
            )
        else:
            graph.find_parameters(
                clients=clients, adversarial=int(most) / clients, dropout=dropout, adversary=adversary
            )


@pytest.mark.parametrize("clients", [0, 1, -5, 1_000_001, True, 10.0, "10"])
def test_find_parameters_refuse_a_number_of_clients_that_is_none(clients: int) -> None:
    with pytest.raises(ParameterError, match="clients: expected an int"):
        graph.find_parameters(clients=clients, adversarial=0.1, dropout=0.1, adversary="curious")


@pytest.mark.parametrize("fraction", [-0.1, 1.0, 1.5, float("nan"), float("inf"), True, "0.1", None])
def test_find_parameters_refuse_a_fraction_that_is_none(fraction: float) -> None:
    with pytest.raises(ParameterError, match="adversarial: expected a fraction"):
        graph.find_parameters(clients=100, adversarial=fraction, dropout=0.1, adversary="curious")
    with pytest.raises(ParameterError, match="dropout: expected a fraction"):
        graph.find_parameters(clients=100, adversarial=0.1, dropout=fraction, adversary="curious")


@pytest.mark.parametrize("adversary", ["covert", "CURIOUS", "", None, 1])
def test_find_parameters_refuse_an_unknown_adversary(adversary: Class) -> None:
    with pytest.raises(ParameterError, match="'curious', 'semi-malicious', 'malicious'"):
        graph.find_parameters(clients=100, adversarial=0.1, dropout=0.1, adversary=adversary)
    with pytest.raises(ParameterError, match="'curious', 'semi-malicious', 'malicious'"):
        parameters.corrupt_neighbours(clients=100, adversarial=0.1, degree=34, adversary=adversary)


@pytest.mark.parametrize(("clients", "corrupt", "dropped"), [(225, 1, 97), (150, 1, 30), (96, 1, 29)])
def test_leavers_meet_the_threshold_with_own_share_but_for_two_to_the_minus_20(
    clients: int, corrupt: int, dropped: int
) -> None:
    """The worst cases known of what docs/graph.md says about shares dealt to oneself, in exact integers."""
    found = parameters.find_parameters(
        clients=clients,
        adversarial=corrupt / clients,
        dropout=dropped / clients,
        adversary="semi-malicious",
    )
    degree, others, leavers = found.degree, clients - 1, dropped - 1
    short = range(degree - found.threshold_with_own_share + 1, min(degree, leavers) + 1)
    ways = sum(comb(leavers, gone) * comb(others - leavers, degree - gone) for gone in short)
    assert 0 < dropped * ways * 2**20 < comb(others, degree)
