"""Conditions that failed come first and in the headline; names, dates, software and colluders are in every form."""

import json
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from dp.errors import InvalidParameter
from dp.events import DistributedDiscreteGaussianEvent, GaussianEvent, Trust
from dp.ledger.description import Description
from dp.ledger.ledger import Ledger
from dp.ledger.records import (
    CLIENTS_DETAIL,
    NOISE_COLLUDING_DETAIL,
    SUM_COLLUDING_DETAIL,
    TRUST_DETAIL,
    UPDATES_HIDDEN_DETAIL,
    Budget,
    Commitment,
    Detail,
    Reservation,
)
from dp.ledger.sqlite_log import SqliteLog
from dp.reporting.assumptions import NOTHING_ELSE, ONLY_LEDGER, State
from dp.reporting.checklist import facts
from dp.reporting.collect import budget_report
from dp.reporting.document import as_json
from dp.reporting.page import as_html
from dp.reporting.report import BudgetReport
from dp.reporting.text import as_text
from dp.version import SOFTWARE, VERSION
from tests.support.ledgers import EVENT, create

SHARED: dict[str, Detail] = {
    TRUST_DETAIL: str(Trust.DISTRIBUTED),
    CLIENTS_DETAIL: 300,
    UPDATES_HIDDEN_DETAIL: "yes",
    NOISE_COLLUDING_DETAIL: 15,
    SUM_COLLUDING_DETAIL: 15,
}


def forged(path: Path, *, epsilon: float, thinner: bool) -> BudgetReport:
    """The report of a whole chain that no ledger writes: beyond its budget, or with less noise than was reserved."""
    with create(path.with_name("honest"), epsilon=epsilon) as ledger:
        budget = ledger.budget
    event = GaussianEvent(noise_multiplier=1e-3) if thinner else EVENT
    with SqliteLog.create(path, msgspec.json.encode(budget)) as chain:
        chain.append(msgspec.json.encode(Reservation(number=1, label="one", event=EVENT, time_s=2000.0)))
        committed = Commitment(number=1, contributors=100, details={}, time_s=2000.0, realised=event)
        chain.append(msgspec.json.encode(committed))
    with Ledger.open_to_read(path) as ledger:
        return budget_report(ledger)


def reported(path: Path, *details: Mapping[str, Detail]) -> BudgetReport:
    with create(path) as ledger:
        for one in details:
            ledger.commit(ledger.reserve(EVENT, "x"), contributors=120, details=one)
        return budget_report(ledger)


@pytest.mark.parametrize(
    ("epsilon", "thinner", "words"),
    [
        (
            0.01,
            False,
            "The listed releases exceed the budget. This report recomputed their cost and found it above the budget.",
        ),
        (
            50.0,
            True,
            "At least one record describes a release that may cost more than was reserved (less noise, more "
            "sensitivity, more coordinates, or more steps). secagg never writes such a record, so the file "
            "was altered or was written by other software.",
        ),
    ],
)
def test_failed_condition_comes_first_and_is_in_the_headline(
    path: Path, epsilon: float, thinner: bool, words: str
) -> None:
    report = forged(path, epsilon=epsilon, thinner=thinner)
    assert [assumption.in_words for assumption in report.failed] == [words]
    assert [assumption.state for assumption in report.assumptions] == sorted(
        (assumption.state for assumption in report.assumptions), key=list(State).index
    )
    text = as_text(report, width=1000)
    assert text.startswith("Privacy budget: 1 condition of this guarantee FAILED\n")
    assert f"Assumptions: FAILED\n  - {words}\n" in text
    assert words not in text.split("Assumptions: verified")[1]
    found = json.loads(as_json(report))
    assert found["failed"] == [words]
    assert (found["assumptions"][0]["state"], found["assumptions"][0]["verified"]) == ("failed", False)
    assert "FAILED" in found["statement"]
    page = as_html(report)
    assert "<h1>Privacy budget report: " in page.replace("\n", " ")
    assert '<span class="badge failed">FAILED</span>' in page
    assert page.index("badge failed") < page.index("badge verified") < page.index("badge declared")


def test_protocol_that_hides_nothing_is_no_declared_condition(path: Path) -> None:
    report = reported(path, SHARED, SHARED | {UPDATES_HIDDEN_DETAIL: "no"})
    assert [assumption.text for assumption in report.failed] == [
        "At least one release was summed by a protocol that shows every client's vector to the server."
    ]
    assert "hides each of them" not in " ".join(assumption.text for assumption in report.assumptions)
    assert report.colluders.startswith("none: the guarantee does not hold even against the server alone")


def test_vectors_that_the_server_saw_count_only_for_noise_that_rests_on_hiding_them(path: Path) -> None:
    alone: dict[str, Detail] = {TRUST_DETAIL: str(Trust.LOCAL), UPDATES_HIDDEN_DETAIL: "no"}
    central: dict[str, Detail] = {TRUST_DETAIL: str(Trust.CENTRAL)}
    report = reported(path, SHARED, alone, central)
    assert report.failed == ()
    assert "sees every client's vector" not in report.setting
    report = reported(path.with_name("exposed"), central | {UPDATES_HIDDEN_DETAIL: "no"})
    assert report.failed == ()
    assert report.setting.startswith("central: the summing party sees every client's vector")
    assert report.colluders.endswith("it sees every client's vector")
    assert "reveals neither the vectors, nor" in " ".join(assumption.text for assumption in report.assumptions)


def test_condition_refuted_from_outside_is_not_declared_any_more(path: Path) -> None:
    report = reported(path, SHARED).refuted({ONLY_LEDGER: "There is another.", NOTHING_ELSE: "There is more."})
    assert report.headline == "2 conditions of this guarantee FAILED"
    declared = [assumption.text for assumption in report.assumptions if assumption.state is State.DECLARED]
    assert not {ONLY_LEDGER, NOTHING_ELSE} & set(declared)
    assert 'Not true: "This is the latest copy of the only ledger for these data." There is another.' in (
        as_text(report, width=1000)
    )


def test_no_form_offers_a_figure_to_state_if_a_condition_failed(path: Path) -> None:
    with create(path) as ledger:
        realised = msgspec.structs.replace(EVENT, contributors=121)
        ledger.commit(ledger.reserve(EVENT, "x"), contributors=121, details=SHARED, realised=realised)
        kept = budget_report(ledger)
    failed = kept.refuted({ONLY_LEDGER: "There is another."})
    assert (kept.stated_epsilon, failed.stated_epsilon) == (kept.spent.epsilon, None)
    for form in (as_text(kept, width=1000), as_json(kept), as_html(kept)):
        assert " as the guarantee; the budget is charged with that" in form
        assert "The only release is (" in form
    for form in (as_text(failed, width=1000), as_json(failed), as_html(failed)):
        assert "as the guarantee; the budget is charged with that" not in form
        assert "State no figure as the guarantee: 1 condition of this guarantee FAILED" in form
        assert (
            "So this report states no guarantee. Computed as if no condition had failed: the only release is (" in form
        )
        assert "The only release is (" not in form


@pytest.mark.parametrize(
    ("details", "words"),
    [
        ([], "nothing released yet"),
        ([{}], "not recorded"),
        ([SHARED], "at most 15 of 300 clients colluding with the server"),
        (
            [SHARED, SHARED | {CLIENTS_DETAIL: 10, NOISE_COLLUDING_DETAIL: 1, SUM_COLLUDING_DETAIL: 0}],
            "0 of 10 clients may help the server, not even one. (The protocol that sums withstands 0 colluding "
            "clients; the noise leaves out the share of 1.)",
        ),
        (
            [SHARED, {}],
            "at most 15 of 300 clients colluding with the server; not recorded for 1 of 2 releases",
        ),
        (
            [{TRUST_DETAIL: str(Trust.CENTRAL)}],
            "any number of clients, as long as the party that adds the noise helps none of them: it sees the exact sum",
        ),
        (
            [{TRUST_DETAIL: str(Trust.LOCAL)}],
            "any number of clients, also together with the server: each client's vector has enough noise by itself",
        ),
        (
            [{TRUST_DETAIL: str(Trust.LOCAL)}, {TRUST_DETAIL: str(Trust.CENTRAL)}],
            "any number of clients, as long as the party that adds the noise helps none of them: it sees the exact sum",
        ),
    ],
)
def test_report_says_how_many_may_collude(path: Path, details: list[dict[str, Detail]], words: str) -> None:
    report = reported(path, *details)
    assert dict(facts(report))["Colluding clients"] == words
    assert json.loads(as_json(report))["colluders"] == words


def test_report_names_what_the_ledger_records(path: Path) -> None:
    about = Description(run="trial 7", data="hospital.npz", organisation="Clinic & Co", data_digest="ab" * 32)
    with Ledger.create(path, epsilon=8, delta=1e-3, population=300, description=about, clock=lambda: 1e9) as ledger:
        ledger.reserve(EVENT, "x")
        report = budget_report(ledger)
    found = dict(facts(report))
    assert found["Run"] == "trial 7 (recorded in the ledger when it was made)"
    assert found["Data set"].startswith("hospital.npz (recorded")
    assert found["Organisation"].startswith("Clinic & Co (recorded")
    assert found["Ledger opened"] == found["Last release reserved"] == "2001-09-09 01:46:40 UTC"
    assert found["Software of the ledger"] == found["Software of this report"] == f"{SOFTWARE} {VERSION}"
    assert "Clinic &amp; Co (recorded" in as_html(report)
    assert json.loads(as_json(report))["names"][0]["name"] == "trial 7"
    assert all("ab" * 32 not in form for form in (as_text(report), as_json(report), as_html(report)))
    with pytest.raises(InvalidParameter, match="run: expected none, since the ledger records 'trial 7'"):
        report.named(run="other")


def test_ledger_of_an_earlier_version_is_read_and_says_what_it_does_not_record(path: Path) -> None:
    body = (
        b'{"type":"budget","epsilon":8.0,"delta":0.001,"population":300,"unit":"client","relation":"zero-out",'
        b'"time_s":1000000000.0}'
    )
    SqliteLog.create(path, body).close()
    with Ledger.open(path) as ledger:
        assert ledger.budget == msgspec.json.decode(body, type=Budget)
        report = budget_report(ledger)
        ledger.reserve(EVENT, "goes on")
    found = dict(facts(report))
    assert found["Run"] == "not recorded (the ledger does not say)"
    assert found["Software of the ledger"] == "not recorded"
    given = dict(facts(report.named(run="trial 7", organisation="Clinic")))
    assert given["Organisation"] == "Clinic (given for this report; the ledger does not say)"
    with pytest.raises(InvalidParameter, match="organisation: expected a text"):
        report.named(organisation="\n")


@pytest.mark.parametrize("wrong", [{"run": ""}, {"data": "a\nb"}, {"data_digest": "AB" * 32}, {"data_digest": "ab"}])
def test_description_out_of_range_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(InvalidParameter, match="expected"):
        Description(**wrong)


def test_small_budget_is_not_shown_as_overspent(path: Path) -> None:
    event = DistributedDiscreteGaussianEvent(local_sigma=3e11, contributors=100, l2_sensitivity=100.0, dimension=650)
    with create(path, epsilon=1e-9) as ledger:
        ledger.reserve(event, "x")
        assert ledger.spent().epsilon <= 1e-9
        report = budget_report(ledger)
    spent, of = dict(facts(report))["Epsilon spent"].removesuffix(", computed from the reserved noise").split(" of ")
    assert of == "1e-09"
    assert report.spent.epsilon <= float(spent) <= 1e-9
    page = as_html(report)
    assert "0.0001" not in dict(facts(report))["Epsilon spent"]
    assert "of 1e-09 spent" in page


def test_head_is_on_one_line_of_80_columns(path: Path) -> None:
    report = reported(path, SHARED)
    (line,) = (line for line in as_text(report, width=80).splitlines() if report.head in line)
    assert len(line) <= 80
    assert f'<dd class="whole">{report.head}</dd>' in as_html(report)
