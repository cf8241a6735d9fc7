import json
from pathlib import Path

import msgspec
import pytest

from dp.accounting.guarantee import guarantee
from dp.errors import DpError
from dp.events import (
    DistributedDiscreteGaussianEvent,
    GaussianEvent,
    NeighbouringRelation,
    PrivacyUnit,
)
from dp.figures import rounded_up
from dp.ledger.ledger import Ledger
from dp.ledger.participation import Accounting
from dp.ledger.records import Commitment, Reservation
from dp.ledger.sqlite_log import SqliteLog
from dp.reporting.assumptions import NOTHING_ELSE, ONLY_LEDGER
from dp.reporting.collect import budget_report
from dp.reporting.page import as_html
from dp.reporting.text import as_text
from secagg.commands.budget import NOT_INTACT, report_on_terminal, verify_on_terminal
from secagg.errors import ConfigurationError
from tests.support.commands import secagg

ADD_OR_REMOVE = NeighbouringRelation.ADD_OR_REMOVE_ONE
EVENT = DistributedDiscreteGaussianEvent(local_sigma=20.0, contributors=100, l2_sensitivity=100.0, dimension=650)


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.sqlite"
    with Ledger.create(path, epsilon=8, delta=1e-3, population=300) as opened:
        opened.commit(opened.reserve(EVENT, "round 1"), contributors=120)
        opened.reserve(EVENT, "round 2")
    return path


def head(path: Path) -> str:
    with Ledger.open_to_read(path) as opened:
        return opened.head


def test_verify_says_what_an_intact_ledger_holds(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = head(ledger)
    assert verify_on_terminal(ledger, head=None) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    said = " ".join(lines)
    assert said.startswith(
        "consistent; no --head given, so a rebuilt, replaced or truncated ledger would not be noticed: 2 releases (1 "
    )
    assert said.endswith(" at delta 0.001")
    assert max(map(len, lines)) <= 80
    assert last == f"head {kept}"
    assert verify_on_terminal(ledger, head=kept) == 0
    assert capsys.readouterr().out.startswith("intact, and the kept head is its last record: 2 releases")
    with Ledger.open(ledger) as opened:
        opened.reserve(EVENT, "round 3")
    assert verify_on_terminal(ledger.parent, head=kept) == 0
    assert capsys.readouterr().out.startswith("intact, 1 record after the kept head: 3 releases (2 uncommitted)")


def test_report_does_not_replace_the_ledger_by_its_page(ledger: Path) -> None:
    before = ledger.read_bytes()
    with pytest.raises(ConfigurationError, match=r"found the ledger .* itself"):
        report_on_terminal(ledger, as_json=False, html=ledger.parent / "." / ledger.name)
    assert ledger.read_bytes() == before


def test_page_of_a_report_is_not_written_over_a_folder(ledger: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(ConfigurationError, match=r"^--html: expected a file .*: it is a folder\. Name another file\.$"):
        report_on_terminal(ledger, as_json=False, html=folder)


def test_verify_refuses_another_copy_and_an_altered_one(
    ledger: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    older = tmp_path / "older"
    older.write_bytes(ledger.read_bytes())
    with Ledger.open(ledger) as opened:
        opened.reserve(EVENT, "round 3")
    altered = tmp_path / "altered"
    altered.write_bytes(ledger.read_bytes().replace(b"round 2", b"round 9"))
    for path, kept in ((older, head(ledger)), (altered, None)):
        assert verify_on_terminal(path, head=kept) == NOT_INTACT
        found = capsys.readouterr()
        assert found.out == ""
        assert found.err.startswith("secagg: not intact: ")
        assert found.err.count("\n") == 1
    assert verify_on_terminal(older, head=None) == 0


def test_verify_refuses_a_whole_chain_beyond_its_budget(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "forged"
    with Ledger.create(tmp_path / "honest", epsilon=0.01, delta=1e-3, population=300) as opened:
        made = opened.budget
    reserved = Reservation(number=1, label="round 1", event=EVENT, time_s=made.time_s)
    with SqliteLog.create(path, msgspec.json.encode(made)) as chain:
        chain.append(msgspec.json.encode(reserved))
    assert verify_on_terminal(path, head=None) == NOT_INTACT
    found = capsys.readouterr()
    assert (found.out, found.err.count("\n")) == ("", 1)
    assert "beyond its budget: epsilon " in found.err
    with Ledger.open_to_read(path) as opened:
        report = budget_report(opened)
    assert report.overspent
    assert not report.assumptions[0].verified
    assert "BEYOND THE BUDGET" in as_text(report)
    assert "beyond the budget</span>" in as_html(report)


def test_verify_refuses_less_noise_than_was_reserved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "forged"
    with Ledger.create(tmp_path / "honest", epsilon=8.0, delta=1e-3, population=300) as opened:
        made = opened.budget
    reserved = Reservation(number=1, label="round 1", event=EVENT, time_s=made.time_s)
    thinner = GaussianEvent(noise_multiplier=1e-3)
    recorded = Commitment(number=1, contributors=300, details={}, time_s=made.time_s, realised=thinner)
    with SqliteLog.create(path, msgspec.json.encode(made)) as chain:
        chain.append(msgspec.json.encode(reserved))
        chain.append(msgspec.json.encode(recorded))
    assert verify_on_terminal(path, head=None) == NOT_INTACT
    assert "less noise is recorded than was reserved, of 1" in capsys.readouterr().err


def test_verify_says_what_a_ledger_with_a_filter_guarantees(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    honest, forged = tmp_path / "honest", tmp_path / "forged"
    event = GaussianEvent(noise_multiplier=1.0)
    with Ledger.create(honest, epsilon=8, delta=1e-3, population=300, accounting=Accounting.GAUSSIAN_FILTER) as opened:
        opened.reserve(event, "round 1")
        budget = opened.budget
    assert verify_on_terminal(honest, head=None) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "1 release (1 uncommitted), epsilon 8.0000 guaranteed at delta 0.001, the budget, of which 23.0" in said
    with SqliteLog.create(forged, msgspec.json.encode(budget)) as chain:
        for number in range(1, 6):
            record = Reservation(number=number, label="x", event=event, time_s=budget.time_s)
            chain.append(msgspec.json.encode(record))
    assert verify_on_terminal(forged, head=None) == NOT_INTACT
    refused = " ".join(capsys.readouterr().err.split())
    assert "beyond its budget: 115." in refused
    assert "% of the budget of epsilon 8 at delta 0.001 is used" in refused


def test_verify_that_cannot_tell_is_another_error(ledger: Path, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(ConfigurationError, match=r"found no ledger\.sqlite in it"):
        verify_on_terminal(tmp_path / "folder", head=None)
    with pytest.raises(DpError, match="found no file"):
        verify_on_terminal(tmp_path / "missing", head=None)
    with pytest.raises(DpError, match="64 hexadecimal digits"):
        verify_on_terminal(ledger, head="00")


def test_verify_calls_an_empty_ledger_consistent_and_no_more(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Ledger.create(tmp_path / "new", epsilon=8, delta=1e-3, population=300).close()
    assert verify_on_terminal(tmp_path / "new", head=None) == 0
    line = " ".join(capsys.readouterr().out.split())
    assert "unaltered" not in line
    assert line.startswith(
        "consistent; no --head given, so a rebuilt, replaced or truncated ledger would not be noticed"
    )
    assert "0 releases (0 uncommitted), epsilon 0.0000 of 8 spent" in line


def test_verify_takes_a_head_as_it_is_pasted(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = head(ledger)
    for pasted in (
        f"{kept[:40]}\n  {kept[40:]} ",
        f"\u2502 {kept[:30]} \u2502\n\u2502 {kept[30:]} \u2502",
        f" {kept.upper()}\r\n",
        f"{kept[:10]}\t{kept[10:20]}\u00a0{kept[20:]}",
    ):
        assert verify_on_terminal(ledger, head=pasted) == 0
        assert capsys.readouterr().out.startswith("intact, and the kept head is its last record")


def test_reading_commands_work_while_the_ledger_is_written(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Ledger.open(ledger) as opened:
        opened.reserve(EVENT, "round 3")
        assert verify_on_terminal(ledger.parent, head=opened.head) == 0
        report_on_terminal(ledger.parent, as_json=False, html=None)
        out = capsys.readouterr().out
        assert out.startswith("intact, and the kept head is its last record: 3 releases")
        assert "round 3" in out
        opened.reserve(EVENT, "round 4")


def test_report_adds_ledgers_up(ledger: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "elsewhere" / "ledger.sqlite"
    other.parent.mkdir()
    with Ledger.create(other, epsilon=8, delta=1e-3, population=300) as opened:
        opened.reserve(EVENT, "round 1")
    report_on_terminal(ledger, other.parent, as_json=False, html=None)
    whole = guarantee({EVENT: 3}, delta=1e-3).epsilon
    text = capsys.readouterr().out
    assert f"2 ledgers together: epsilon {rounded_up(whole)} at delta 0.001" in " ".join(text.split())
    paths = str(ledger), str(other), str(other.parent)
    assert all(len(line) <= 80 for line in text.splitlines() if not any(path in line for path in paths))
    report_on_terminal(ledger, other, as_json=True, html=None)
    assert json.loads(capsys.readouterr().out)["by_data"][0]["epsilon"] == whole
    with pytest.raises(ConfigurationError, match="--html: expected one ledger, found 2"):
        report_on_terminal(ledger, other, as_json=False, html=tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_report_of_a_folder_counts_earlier_ledgers_of_the_same_data(
    ledger: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Ledger.create(ledger.with_name("ledger-1.sqlite"), epsilon=8, delta=1e-3, population=300) as opened:
        opened.reserve(EVENT, "round 1")
    report_on_terminal(ledger.parent, as_json=True, html=None)
    found = json.loads(capsys.readouterr().out)
    words = {item["heading"]: item["text"] for item in found["checklist"]}["With earlier ledgers"]
    assert rounded_up(guarantee({EVENT: 3}, delta=1e-3).epsilon) in words
    assert "ledger-1.sqlite" in words
    assert len(found["failed"]) == 2
    assert all("ledger-1.sqlite" in each for each in found["failed"])
    assert "FAILED" in found["statement"]


def test_report_of_an_older_copy_says_so(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    newer = ledger.with_name("ledger-newer.sqlite")
    newer.write_bytes(ledger.read_bytes())
    report_on_terminal(ledger, as_json=False, html=None)
    assert "FAILED" not in capsys.readouterr().out
    with Ledger.open(newer) as opened:
        opened.reserve(EVENT, "round 3")
    report_on_terminal(ledger, as_json=False, html=None)
    assert "holds every record of this ledger and more" in " ".join(capsys.readouterr().out.split())


def test_report_survives_a_neighbour_that_cannot_be_added(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ledger.with_name("ledger-old.sqlite").write_bytes(b"no ledger")
    report_on_terminal(ledger, as_json=False, html=None)
    out = " ".join(capsys.readouterr().out.split())
    assert "This folder also holds ledger-old.sqlite, which could not be added up: " in out
    assert "comes on top of this figure for everyone whose data are in them too." in out


def test_report_fails_beside_a_ledger_of_another_unit(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = ledger.with_name("ledger-1.sqlite")
    Ledger.create(other, epsilon=8, delta=1e-3, population=300, unit=PrivacyUnit.EXAMPLE).close()
    report_on_terminal(ledger, as_json=True, html=None)
    found = json.loads(capsys.readouterr().out)
    failed = [each for each in found["assumptions"] if each["state"] == "failed"]
    assert [each["text"] for each in failed] == [f'Not true: "{NOTHING_ELSE}"', f'Not true: "{ONLY_LEDGER}"']
    assert all("ledger-1.sqlite, which could not be added up: " in each["how"] for each in failed)


def test_report_takes_names_that_the_ledger_lacks(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report_on_terminal(ledger, as_json=False, html=None, organisation="Clinic", title="trial 7")
    out = " ".join(capsys.readouterr().out.split())
    assert "Clinic (given for this report; the ledger does not say)" in out
    assert "trial 7 (given for this report; the ledger does not say)" in out


def test_commands_exit_with_0_and_3(ledger: Path, tmp_path: Path) -> None:
    planned = secagg("budget", "plan", "--clients", "1000", "--rounds", "100", "--epsilon", "8", "--json", cwd=tmp_path)
    assert (planned.returncode, planned.stderr) == (0, "")
    assert json.loads(planned.stdout)["epsilon"] <= 8
    stale = secagg("budget", "verify", str(ledger), "--head", "0" * 64, cwd=tmp_path)
    assert (stale.returncode, stale.stdout) == (3, "")
    assert stale.stderr.startswith("secagg: not intact: ")


def test_report_writes_control_characters_of_file_names_as_escapes(
    ledger: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file name that would set a terminal's colours, or begin a line of its own."""
    steering = tmp_path / "ledger-\x1b[31m\nepsilon 0.sqlite"
    with Ledger.create(steering, epsilon=8, delta=1e-3, population=300) as opened:
        opened.reserve(EVENT, "round 1")
    report_on_terminal(ledger, as_json=False, html=None)
    report_on_terminal(ledger, steering, as_json=False, html=None)
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert "\nepsilon 0.sqlite" not in printed
    assert printed.count("ledger-\\x1b[31m\\nepsilon 0.sqlite") >= 2
    steering.write_bytes(b"no ledger" * 1000)
    refused = secagg("budget", "report", str(steering), cwd=tmp_path)
    assert refused.returncode == 2
    assert "\x1b" not in refused.stderr
    assert refused.stderr.count("\n") == 1
