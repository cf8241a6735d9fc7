"""Counts of who took part: their spread, and the account of the client that was charged most, against a recount."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from dp.accounting.guarantee import guarantee
from dp.events import GaussianEvent, PrivacyEvent
from dp.ledger.ledger import Ledger
from dp.ledger.participation import Participation
from dp.reporting.collect import budget_report
from dp.reporting.participation import Spread, charged_events, cohort, realised_events

DIGEST = "c1" * 32
CLIENTS = 12
KINDS = tuple(GaussianEvent(noise_multiplier=noise) for noise in (8.0, 9.0, 10.0))


def filled(path: Path, *, kinds: int, seed: int) -> tuple[Ledger, list[tuple[PrivacyEvent, list[int]]]]:
    """A ledger of 20 releases with cohorts at random, and what each asked; the noise realised is more by turns."""
    random = np.random.default_rng(seed)
    ledger = Ledger.create(
        path, epsilon=50.0, delta=1e-3, population=CLIENTS, participation=Participation(clients=DIGEST, adaptive=False)
    )
    made = []
    for number in range(20):
        event = KINDS[int(random.integers(kinds))]
        asked = sorted(int(one) for one in random.choice(CLIENTS, size=int(random.integers(1, 6)), replace=False))
        realised = GaussianEvent(noise_multiplier=event.noise_multiplier * (1 + number % 3))
        ledger.commit(ledger.reserve(event, "x", participants=asked), contributors=asked[:1], realised=realised)
        made.append((event, asked))
    return ledger, made


def of_client(made: list[tuple[PrivacyEvent, list[int]]], client: int) -> Counter[PrivacyEvent]:
    return Counter(event for event, asked in made if client in asked)


def epsilon(events: Counter[PrivacyEvent]) -> float:
    return guarantee(events, delta=1e-3).epsilon


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ([45, 44, 45], "44 to 45 releases, 45 in the median"),
        ([1, 2], "1 to 2 releases, 1.5 in the median"),
        ([3, 3], "3 releases"),
        ([1500], "1,500 releases"),
    ],
)
def test_spread_in_words(counts: list[int], words: str) -> None:
    assert Spread.of(counts).in_words("releases") == words


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_charged_events_of_one_kind_are_those_of_the_worst_client(tmp_path: Path, seed: int) -> None:
    ledger, made = filled(tmp_path / "l", kinds=1, seed=seed)
    with ledger:
        charged = charged_events(ledger.entries(), ledger.budget)
    for end in range(1, len(made) + 1):
        worst = max(of_client(made[:end], client).total() for client in range(CLIENTS))
        assert sum(event is not None for event in charged[:end]) == worst


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_charged_events_of_several_kinds_bound_every_client_after_every_release(tmp_path: Path, seed: int) -> None:
    ledger, made = filled(tmp_path / "l", kinds=3, seed=seed)
    with ledger:
        charged = charged_events(ledger.entries(), ledger.budget)
        report = budget_report(ledger)
    for end in range(1, len(made) + 1):
        bound = Counter(event for event in charged[:end] if event is not None)
        assert all(of_client(made[:end], client) <= bound for client in range(CLIENTS))
    worst = max(epsilon(of_client(made, client)) for client in range(CLIENTS))
    assert report.spent.epsilon == report.releases[-1].epsilon_after == worst
    after = [release.epsilon_after or 0.0 for release in report.releases]
    assert after == sorted(after)
    assert after[-1] == worst


def test_noise_realised_is_that_of_the_client_with_the_least(tmp_path: Path) -> None:
    ledger, made = filled(tmp_path / "l", kinds=2, seed=4)
    with ledger:
        found = realised_events(ledger.entries(), ledger.budget)
        report = budget_report(ledger)
    each = [
        Counter(
            GaussianEvent(noise_multiplier=event.noise_multiplier * (1 + number % 3))
            for number, (event, asked) in enumerate(made)
            if client in asked
        )
        for client in range(CLIENTS)
    ]
    worst = max(each, key=epsilon)
    assert Counter(event for event in found if event is not None) == worst
    assert report.realised is not None
    assert report.realised.epsilon == epsilon(worst) < report.spent.epsilon


def test_cohort_is_that_of_the_reservation(tmp_path: Path) -> None:
    ledger, made = filled(tmp_path / "l", kinds=1, seed=5)
    with ledger:
        assert [cohort(entry, ledger.budget).tolist() for entry in ledger.entries()] == [asked for _, asked in made]
    with Ledger.create(tmp_path / "all", epsilon=50.0, delta=1e-3, population=CLIENTS) as plain:
        plain.reserve(KINDS[0], "x")
        with pytest.raises(TypeError, match="expected one of a ledger with participation"):
            cohort(plain.entries()[0], plain.budget)
