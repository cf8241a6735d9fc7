"""Both observers of a ledger with participation are in every form of its report; who took part is in none."""

import base64
import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest

from dp.accounting.guarantee import Claim, guarantee
from dp.events import (
    GaussianEvent,
    NeighbouringRelation,
    Observer,
    PoissonSampledEvent,
    PrivacyEvent,
    PrivacyUnit,
    Trust,
)
from dp.ledger.ledger import Ledger
from dp.ledger.participation import Accounting, Participation
from dp.ledger.records import TRUST_DETAIL
from dp.reporting.assumptions import State
from dp.reporting.checklist import facts
from dp.reporting.collect import budget_report
from dp.reporting.document import as_json
from dp.reporting.observers import HEADINGS
from dp.reporting.page import as_html
from dp.reporting.report import BudgetReport
from dp.reporting.text import as_text
from tests.support.ledgers import EVENT, ticks

DELTA = 1e-4
DIGEST = "c1" * 32
EITHER = NeighbouringRelation.ADD_OR_REMOVE_ONE
NOISES = tuple(GaussianEvent(noise_multiplier=noise, relation=EITHER) for noise in (2.0, 3.0))
SAMPLED = tuple(PoissonSampledEvent(sampling_rate=0.2, event=noise) for noise in NOISES)
COHORTS = ((0, 1, 5), (1, 2), (1, 5, 6, 7), (), (2, 5))


def reported(
    path: Path,
    towards: Observer,
    *,
    population: int = 9,
    cohorts: Sequence[Sequence[int]] = COHORTS,
    kinds: Sequence[int] = (0,),
    accounting: Accounting = Accounting.FIXED,
    adaptive: bool = False,
    trust: Trust = Trust.CENTRAL,
) -> BudgetReport:
    """The report of a ledger with one reservation for each cohort, the last of which is never committed."""
    readers = towards is Observer.READERS
    participation = Participation(clients=DIGEST, cap=None if readers else 9, adaptive=adaptive)
    with Ledger.create(
        path,
        epsilon=30.0,
        delta=DELTA,
        population=population,
        relation=EITHER if readers else NeighbouringRelation.ZERO_OUT,
        participation=participation,
        towards=towards,
        accounting=accounting,
        clock=ticks(),
    ) as ledger:
        for number, cohort in enumerate(cohorts):
            noise = NOISES[kinds[number % len(kinds)]]
            event = (
                SAMPLED[kinds[number % len(kinds)]]
                if readers
                else msgspec.structs.replace(noise, relation=NeighbouringRelation.ZERO_OUT)
            )
            if not cohort and not readers:
                continue
            ticket = ledger.reserve(event, f"release {number + 1}", participants=cohort)
            if number < len(cohorts) - 1:
                ledger.commit(ticket, contributors=cohort[1:] or cohort, details={TRUST_DETAIL: str(trust)})
        return budget_report(ledger)


def forms(report: BudgetReport) -> tuple[str, ...]:
    """Text, JSON and page, with the page's drawings as they are seen."""
    page = as_html(report)
    drawn = (base64.b64decode(found).decode() for found in re.findall(r"base64,([A-Za-z0-9+/=]+)", page))
    return as_text(report, width=10_000), as_json(report), re.sub(r"base64,[A-Za-z0-9+/=]+", "", page), *drawn


def test_statement_towards_the_server_holds_towards_readers_too(tmp_path: Path) -> None:
    report = reported(tmp_path / "l", Observer.SERVER)
    server, readers = report.statements
    assert (server.observer, server.enforced) == (Observer.SERVER, True)
    assert (readers.observer, readers.enforced) == (Observer.READERS, False)
    assert server.guarantee == readers.guarantee == report.spent
    assert (server.guarantee.relation, server.guarantee.unit) == (NeighbouringRelation.ZERO_OUT, PrivacyUnit.CLIENT)
    assert report.spent.epsilon == guarantee({GaussianEvent(noise_multiplier=2.0): 3}, delta=DELTA).epsilon
    # The noise is central, so the sentence excepts a server that adds it.
    start = "Towards the server, unless it adds the noise, all 4 releases together are ("
    assert report.statement.startswith(start)
    assert "Nothing better is claimed" in dict(facts(report))["Towards readers"]
    assert "(enforced by this ledger)" in dict(facts(report))["Towards the server"]
    assert "This report" not in dict(facts(report))


@pytest.mark.parametrize("kinds", [(0,), (0, 1)])
def test_statement_towards_the_server_is_computed_where_that_towards_readers_is_enforced(
    tmp_path: Path, kinds: tuple[int, ...]
) -> None:
    report = reported(tmp_path / "l", Observer.READERS, kinds=kinds)
    readers, server = report.statements
    assert (readers.observer, readers.enforced, readers.guarantee) == (Observer.READERS, True, report.spent)
    assert (server.observer, server.enforced) == (Observer.SERVER, False)
    worst = 0.0
    for client in range(9):
        asked = [number for number, cohort in enumerate(COHORTS) if client in cohort]
        counts = Counter(NOISES[kinds[number % len(kinds)]].noise_multiplier for number in asked)
        events: dict[PrivacyEvent, int] = {
            GaussianEvent(noise_multiplier=noise): count for noise, count in counts.items()
        }
        worst = max(worst, guarantee(events, delta=DELTA).epsilon)
    assert server.guarantee.epsilon == worst
    assert (server.guarantee.relation, server.guarantee.claim) == (NeighbouringRelation.ZERO_OUT, Claim.SPENT)
    assert server.guarantee.epsilon > report.spent.epsilon
    assert report.unamplified is None
    for form in forms(report)[:3]:
        for words in (
            "relation add-or-remove-one",
            "relation zero-out",
            "It does not hold against a party that adds the noise: that party sees the exact sums",
            "do not give it to readers",
        ):
            assert words in form.replace("<dd>", "")


def test_statement_towards_the_server_is_conditional_where_results_may_end_the_releases(tmp_path: Path) -> None:
    condition = "It holds only if the number of releases did not depend on results"
    fixed, stopped = (reported(tmp_path / f"{one}", Observer.READERS, adaptive=one) for one in (False, True))
    assert condition not in dict(facts(fixed))["Towards the server"]
    assert condition in dict(facts(stopped))["Towards the server"]
    assert stopped.statement.startswith("Towards readers, all releases that this ledger admits, 5 so far")
    filtered = reported(tmp_path / "f", Observer.READERS, accounting=Accounting.RENYI_FILTER, kinds=(0, 1))
    condition = "It holds only if noise and number of releases did not depend on results"
    assert condition in dict(facts(filtered))["Towards the server"]


def test_many_kinds_of_events_count_as_if_one_client_had_been_asked_by_all(tmp_path: Path) -> None:
    events = [GaussianEvent(noise_multiplier=5.0 + number, relation=EITHER) for number in range(17)]
    participation = Participation(clients=DIGEST)
    with Ledger.create(
        tmp_path / "l",
        epsilon=30.0,
        delta=DELTA,
        population=9,
        relation=EITHER,
        participation=participation,
        towards=Observer.READERS,
        accounting=Accounting.RENYI_FILTER,
    ) as ledger:
        for number, event in enumerate(events):
            ledger.reserve(PoissonSampledEvent(sampling_rate=0.1, event=event), "x", participants=[number % 9])
        _, server = budget_report(ledger).statements
    unsampled: dict[PrivacyEvent, int] = {
        msgspec.structs.replace(event, relation=NeighbouringRelation.ZERO_OUT): 1 for event in events
    }
    assert server.guarantee.epsilon == guarantee(unsampled, delta=DELTA).epsilon


def test_noise_of_the_summing_party_protects_from_others_only(tmp_path: Path) -> None:
    exposed = "It does not hold against a party that adds the noise"
    central = reported(tmp_path / "central", Observer.SERVER)
    assert exposed in dict(facts(central))["Towards the server"]
    with Ledger.create(
        tmp_path / "shares", epsilon=30.0, delta=1e-3, population=300, participation=Participation(clients=DIGEST)
    ) as ledger:
        ledger.reserve(EVENT, "noise shares", participants=range(120))
        shares = budget_report(ledger)
    assert exposed not in dict(facts(shares))["Towards the server"]
    assert central.statement.startswith("Towards the server, unless it adds the noise, ")
    assert shares.statement.startswith("Towards the server, all releases that this ledger admits")


def test_json_names_both_observers_with_relation_and_unit(tmp_path: Path) -> None:
    found = json.loads(as_json(reported(tmp_path / "l", Observer.READERS)))
    assert [
        (each["observer"], each["enforced"], each["guarantee"]["relation"], each["guarantee"]["unit"])
        for each in found["statements"]
    ] == [("readers", True, "add-or-remove-one", "client"), ("server", False, "zero-out", "client")]
    assert found["budget"]["towards"] == "readers"
    assert found["participation"] == {
        "clients": 9,
        "cap": None,
        "adaptive": False,
        "rounds": {"least": 0, "median": 1.0, "most": 3},
        "asked": {"least": 0, "median": 2.0, "most": 4},
        "eligible": 9,
    }
    assert [release["asked"] for release in found["releases"]] == [3, 2, 4, 0, 2]


def test_conditions_are_those_of_the_observer(tmp_path: Path) -> None:
    def conditions(report: BudgetReport) -> str:
        return " ".join(each.text for each in report.assumptions)

    server = reported(tmp_path / "s", Observer.SERVER)
    readers = reported(tmp_path / "r", Observer.READERS)
    for words, holds in (
        ("No client was asked more often than the cap", (True, False)),
        ("Who is asked and who drops out depend only on public facts", (True, False)),
        ("Each number of a client means the same client", (True, True)),
        ("Everybody who was asked for a vector is in a reservation", (True, True)),
        ("from a cryptographic source", (False, True)),
        ("stay secret for ever", (False, True)),
        ("No reader was in a release together with the client", (False, True)),
        ("nobody who sees the releases learns who took part", (False, False)),
    ):
        assert (words in conditions(server), words in conditions(readers)) == holds, words
    (cap,) = (each for each in server.assumptions if "than the cap" in each.text)
    assert cap.state is State.VERIFIED


@pytest.mark.parametrize("towards", list(Observer))
def test_no_form_of_a_report_says_who_took_part(tmp_path: Path, towards: Observer) -> None:
    ids = tuple(sorted(int(one) for one in np.random.default_rng(5).choice(9_000, size=7, replace=False) + 777_001))
    cohorts = (ids[:4], ids[2:], ids[::2])
    with Ledger.create(
        tmp_path / "ledger",
        epsilon=30.0,
        delta=1e-7,
        population=800_000,
        relation=EITHER if towards is Observer.READERS else NeighbouringRelation.ZERO_OUT,
        participation=Participation(clients=DIGEST, adaptive=False),
        towards=towards,
        clock=ticks(),
    ) as ledger:
        unsampled = GaussianEvent(noise_multiplier=2.0)
        for cohort in cohorts:
            event = SAMPLED[0] if towards is Observer.READERS else unsampled
            ledger.commit(ledger.reserve(event, "x", participants=cohort), contributors=cohort[:-1])
        texts = [DIGEST]
        for entry in ledger.entries():
            assert entry.commitment is not None
            texts += [str(entry.reservation.participants), str(entry.commitment.missing)]
        found = forms(budget_report(ledger))
    assert len(found) > 3
    for form in found:
        digits = re.findall(r"\d+", form.replace(",", ""))
        assert not {str(one) for one in ids} & set(digits)
        assert not [text for text in texts if text in form]
    assert "Ledger file" in found[0]
    assert "it holds who was asked for each release, and this report does not" in found[0]


def test_headings_name_every_observer() -> None:
    assert set(HEADINGS) == set(Observer)
