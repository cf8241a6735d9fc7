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

from protocols.crypto import graph
from protocols.errors import ParameterError

Class = Literal["curious", "semi-malicious"]
CLASSES: Final[tuple[Class, Class]] = ("curious", "semi-malicious")
VECTORS = Path(__file__).parents[1] / "vectors" / "harary_parameters.json"


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


def least_by_counting(clients: int, corrupt: int, dropped: int, adversary: Class) -> tuple[int, int] | None:
    """Every degree in turn, each event in exact fractions; then the complete graph, where nothing is left to chance."""
    for degree in [*range(2, clients - 1, 2), clients - 1]:
        if degree < clients - 1:
            pairs = Fraction(clients * (clients - degree - 1), 2)
            if pairs * comb(corrupt + dropped, degree) / comb(clients, degree) >= Fraction(1, 2**41):
                continue
            security, failure = Fraction(1, 2**41 * clients), Fraction(1, 2**20 * clients)
            most_corrupt = next(t for t in range(degree + 1) if exceeds(clients, corrupt, degree, t) < security)
            most_dropped = next(t for t in range(degree + 1) if exceeds(clients, dropped, degree, t) < failure)
        else:
            most_corrupt, most_dropped = corrupt, dropped
        unsafe = most_corrupt if adversary == "curious" else (degree + most_corrupt) // 2
        if unsafe < degree - most_dropped:
            return degree, max(unsafe + 1, 2)
    return None


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
    assert found.threshold <= found.surviving_neighbours or (found.threshold == 2 and found.degree > dropped)
    holders = found.degree + 1
    assert found.threshold > found.corrupt_neighbours
    assert found.threshold <= found.threshold_with_own_share <= holders
    if adversary == "semi-malicious":
        assert 2 * found.threshold > found.degree + found.corrupt_neighbours
        assert 2 * found.threshold_with_own_share > holders + found.corrupt_neighbours
        assert 2 * (found.threshold_with_own_share - 1) <= holders + found.corrupt_neighbours
    else:
        assert found.threshold_with_own_share == found.threshold


@pytest.mark.parametrize("adversary", CLASSES)
@pytest.mark.parametrize("clients", [2, 3, 7, 30, 100])
def test_complete_graph_meets_the_threshold_with_own_share_whoever_drops(clients: int, adversary: Class) -> None:
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
    with pytest.raises(graph.InfeasibleParameters, match="what would do is") as caught:
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
    with pytest.raises(ParameterError, match="clients must be an int"):
        graph.find_parameters(clients=clients, adversarial=0.1, dropout=0.1, adversary="curious")


@pytest.mark.parametrize("fraction", [-0.1, 1.0, 1.5, float("nan"), float("inf"), True, "0.1", None])
def test_find_parameters_refuse_a_fraction_that_is_none(fraction: float) -> None:
    with pytest.raises(ParameterError, match="adversarial must be a fraction"):
        graph.find_parameters(clients=100, adversarial=fraction, dropout=0.1, adversary="curious")
    with pytest.raises(ParameterError, match="dropout must be a fraction"):
        graph.find_parameters(clients=100, adversarial=0.1, dropout=fraction, adversary="curious")


@pytest.mark.parametrize("adversary", ["malicious", "CURIOUS", "", None, 1])
def test_find_parameters_refuse_an_unknown_adversary(adversary: Class) -> None:
    with pytest.raises(ParameterError, match="'curious', 'semi-malicious'"):
        graph.find_parameters(clients=100, adversarial=0.1, dropout=0.1, adversary=adversary)
