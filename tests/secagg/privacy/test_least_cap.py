import pytest

from secagg.privacy.least_cap import clients_to_ask, least_cap, most_rounds


@pytest.mark.parametrize(
    ("rounds", "cohort", "clients", "least", "most"),
    [
        (1500, 100, 3400, 45, 1530),
        (1500, 112, 3400, 50, 1517),
        (30, 300, 300, 30, 30),
        (1, 1, 9, 1, 9),
        (9, 2, 9, 2, 9),
    ],
)
def test_least_cap_has_places_for_all_rounds_and_one_less_has_not(
    rounds: int, cohort: int, clients: int, least: int, most: int
) -> None:
    assert least_cap(rounds, cohort=cohort, clients=clients) == least
    assert most_rounds(least, cohort=cohort, clients=clients) == most
    assert (least - 1) * clients < rounds * cohort <= least * clients


def test_least_cap_of_large_numbers_is_exact() -> None:
    clients = 10**15
    assert least_cap(10**15 + 1, cohort=10**15 - 1, clients=clients) == 10**15
    assert least_cap(10**15 + 1, cohort=10**15, clients=clients) == 10**15 + 1


@pytest.mark.parametrize(
    ("contributors", "dropout", "asked"),
    [(100, 0.1, 112), (100, 0, 100), (80, 0.2, 100), (90, 0.1, 100), (7, 0.3, 10), (100, 1e-9, 101), (1, 0.99, 100)],
)
def test_clients_to_ask_leave_enough_contributors(contributors: int, dropout: float, asked: int) -> None:
    """A dropout of 0.3 is 3/10, although the float is less: 7 of 10 are left, so 10 are enough."""
    assert clients_to_ask(contributors, dropout=dropout) == asked
