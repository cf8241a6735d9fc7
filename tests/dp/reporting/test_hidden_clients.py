"""Reports say how often clients were asked, never which: they are the same if the clients change places."""

import hashlib
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from dp.accounting.renyi_accountant import RenyiAccountant
from dp.events import GaussianEvent, NeighbouringRelation, Observer, PoissonSampledEvent
from dp.ledger.ledger import Ledger
from dp.ledger.participation import Accounting, Participation
from dp.reporting.collect import budget_report
from dp.reporting.document import as_json
from dp.reporting.page import as_html
from dp.reporting.participation import ReportedParticipation
from dp.reporting.text import as_text
from tests.support.cohort_world import DIGEST

POPULATION: Final = 40
EVENT: Final = GaussianEvent(noise_multiplier=5.0)
SAMPLED: Final = PoissonSampledEvent(
    sampling_rate=0.1,
    event=GaussianEvent(noise_multiplier=5.0, relation=NeighbouringRelation.ADD_OR_REMOVE_ONE),
)
ASKED: Final = [(3, 5, 17), (3, 21, 33), (5, 21, 38), (3, 4, 39)]
"""Whom each release asks. One of them drops out of each release but the last, which is not committed."""

KINDS: Final[dict[str, dict[str, Any]]] = {
    "fixed": {},
    "gaussian-filter": {"accounting": Accounting.GAUSSIAN_FILTER},
    "renyi-filter": {"accounting": Accounting.RENYI_FILTER},
    "readers": {"towards": Observer.READERS, "relation": NeighbouringRelation.ADD_OR_REMOVE_ONE},
}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the accountant that takes seconds for sampled noise."""
    monkeypatch.setattr("dp.accounting.accountants.ACCOUNTANTS", (RenyiAccountant(),))


def reports(path: Path, places: Sequence[int], **changes: Any) -> list[str]:
    """Return what is said of a ledger, where client i has the number `places[i]`; a page of one kind only."""
    makers = (as_text, as_json, as_html) if "towards" in changes else (as_text, as_json)
    participation = Participation(clients=DIGEST, cap=None if "towards" in changes else 4)
    with Ledger.create(
        path,
        epsilon=8.0,
        delta=1e-3,
        population=POPULATION,
        participation=participation,
        clock=map(float, itertools.count(1000)).__next__,
        entropy=bytes,
        **changes,
    ) as ledger:
        for number, clients in enumerate(ASKED, start=1):
            asked = [places[client] for client in clients]
            ledger.reserve(SAMPLED if "towards" in changes else EVENT, f"round {number}", participants=asked)
            if number < len(ASKED):
                ledger.commit(number, contributors=asked[1:])
        report, head = budget_report(ledger), ledger.head
    # A head is a hash over all records, with a salt.
    return [make(report).replace(head, "HEAD") for make in makers]


def other_places() -> list[int]:
    """Return an order of the clients by a hash of their numbers."""
    return sorted(range(POPULATION), key=lambda client: hashlib.sha256(bytes([client])).digest())


@pytest.mark.parametrize("kind", KINDS)
def test_reports_are_the_same_if_clients_change_places(tmp_path: Path, kind: str) -> None:
    one = reports(tmp_path / "one", range(POPULATION), **KINDS[kind])
    other = reports(tmp_path / "other", other_places(), **KINDS[kind])
    assert one == other


def print_who_took_part(monkeypatch: pytest.MonkeyPatch) -> None:
    made = vars(ReportedParticipation)["in_words"].fget

    def in_words(self: ReportedParticipation) -> str:
        return f"{made(self)}; the last one asked {WHO[-1]}"

    monkeypatch.setattr(ReportedParticipation, "in_words", property(in_words))


def name_the_client_with_most(monkeypatch: pytest.MonkeyPatch) -> None:
    made = ReportedParticipation.of.__func__  # type: ignore[attr-defined]

    def of(cls: type[ReportedParticipation], ledger: Ledger, asked: Sequence[int]) -> ReportedParticipation:
        found: ReportedParticipation = made(cls, ledger, asked)
        object.__setattr__(found, "eligible", int(ledger.rounds_by_client().argmax()))
        return found

    monkeypatch.setattr(ReportedParticipation, "of", classmethod(of))


WHO: Final[list[list[int]]] = []


@pytest.mark.parametrize("mutate", [print_who_took_part, name_the_client_with_most])
def test_report_that_names_clients_is_noticed(
    tmp_path: Path, mutate: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    mutate(monkeypatch)
    found = []
    for name, places in (("one", list(range(POPULATION))), ("other", other_places())):
        WHO.append([places[client] for client in ASKED[-1]])
        found.append(reports(tmp_path / name, places))
    assert found[0] != found[1]
