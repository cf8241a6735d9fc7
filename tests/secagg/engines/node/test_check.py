import re
from pathlib import Path
from typing import Any

import pytest

from dp.errors import LedgerCorrupt
from dp.events import GaussianEvent
from dp.ledger.ledger import Ledger
from dp.ledger.participation import Accounting
from protocols.identity import Identity
from secagg.engines.node.check import NodeReport, check_node
from secagg.engines.node.home import Home
from secagg.storage.key_files import write_committee
from secagg.storage.public_line import PublicLine, fingerprint
from secagg.storage.roster_file import RosterFile
from secagg.storage.session_store import SessionStoreCorrupt
from tests.support.committee_keys import key_shares, threshold_key
from tests.support.homes import COORDINATOR, complete, exact_text, homes, policy_text

pytestmark = pytest.mark.slow


def opened(folder: Path, text: bytes | None = None, nodes: int = 3) -> Home:
    return Home.open(homes(folder, nodes, text=text)[0])


def of(folder: Path, *, exact: bool = False, **changes: Any) -> NodeReport:
    made = exact_text if exact else policy_text
    return check_node(opened(folder, made(encrypted_live_folder=str(folder / "live"), **changes)))


def test_check_names_the_node_and_all_fingerprints(tmp_path: Path) -> None:
    home = opened(tmp_path)
    write_committee(tmp_path / "keys", threshold_key(), key_shares())
    for name in ("committee.pub", "member-3.key"):
        (tmp_path / "keys" / name).rename(home.path / name)
    home = Home.open(home.path)
    report = check_node(home)
    facts = dict(report.facts)
    assert facts["Node"] == "0, node-0"
    assert facts["Fingerprint of this node"] == fingerprint(home.identity.public)
    assert facts["Fingerprint of the coordinator"] == fingerprint(COORDINATOR.public)
    assert facts["Fingerprint of the roster of 3 nodes"] == RosterFile.read(home.path / "roster.json").fingerprint
    assert facts["Fingerprint of the committee's key"] == threshold_key().fingerprint.hex()
    assert facts["Key share of the committee"] == "3"
    assert facts["Live session"] == str(home.live)
    assert facts["Privacy budget"] == "epsilon 0.0000 of 8 spent at delta 1e-06; sessions counted: 0"
    assert report.faults == ()
    secret = home.identity.secret.reveal().hex()
    assert secret not in repr(report)


def test_check_says_what_is_spent_and_makes_the_ledger(tmp_path: Path) -> None:
    home = opened(tmp_path)
    check_node(home)
    assert (home.path / "record" / "ledger.db").is_file()
    with home.lock():
        home.reserve(GaussianEvent(noise_multiplier=5.0), "a session")
    found = dict(check_node(home).facts)["Privacy budget"]
    assert found.startswith("epsilon 0.83")
    assert found.endswith(" of 8 spent at delta 1e-06; sessions counted: 1")


def test_check_does_not_call_the_budget_of_a_filter_spent(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    Ledger.create(path, epsilon=8, delta=1e-6, population=3, accounting=Accounting.GAUSSIAN_FILTER).close()
    home = opened(tmp_path, policy_text(encrypted_live_folder=str(tmp_path / "live"), ledger=str(path)))
    found = dict(check_node(home).facts)["Privacy budget"]
    assert (
        found == "epsilon 8.0000 guaranteed at delta 1e-06, the budget, of which 0.0000% is used; sessions counted: 0"
    )
    with home.lock():
        home.reserve(GaussianEvent(noise_multiplier=5.0), "a session")
    found = dict(check_node(home).facts)["Privacy budget"]
    assert re.fullmatch(r"epsilon 8\.0000 guaranteed .* of which [1-9]\.\d{4}% is used; sessions counted: 1", found)


def test_check_says_how_often_the_node_has_taken_part(tmp_path: Path) -> None:
    home = opened(tmp_path, policy_text(encrypted_live_folder=str(tmp_path / "live"), cap=45))
    assert dict(check_node(home).facts)["Participations"] == "0 of at most 45"
    with home.lock():
        for number in range(3):
            home.sessions.record(home.identity.public, bytes([number]) * 32, 0, vector=number > 0)
    assert dict(check_node(home).facts)["Participations"] == "2 of at most 45"
    (home.path / "policy.toml").write_bytes(policy_text(encrypted_live_folder=str(tmp_path / "live")))
    assert dict(check_node(Home.open(home.path)).facts)["Participations"] == "2; the policy has no cap"


def test_check_says_what_central_noise_means(tmp_path: Path) -> None:
    central = "\n".join(of(tmp_path / "central", trust=["distributed", "central"]).accepts)
    assert "Central noise: the server sees exact sums" in central
    assert "Central noise" not in "\n".join(of(tmp_path / "shared").accepts)


def test_check_says_in_words_what_the_node_accepts(tmp_path: Path) -> None:
    said = "\n".join(of(tmp_path / "noise").accepts)
    assert "Protocols: secagg-plus, secagg, if they protect from a curious server." in said
    assert "at most 100 clients, all in the roster, with at least 2 contributors in each sum" in said
    assert "at most 10,000 entries, clipped to an l2 norm of at most 10; means that are uniform or weighted." in said
    assert "Sums with noise only (distributed), until epsilon 8 at delta 1e-06 is spent" in said
    assert "No message without protection." in said
    exact = of(tmp_path / "exact", exact=True, plain_messages=["evaluate"])
    said = "\n".join(exact.accepts)
    assert "Exact sums: the coordinator learns the sum of each session without noise." in said
    assert "Messages without protection: evaluate." in said
    assert dict(exact.facts)["Privacy budget"] == "none: exact sums, without differential privacy"
    assert any(each.startswith("plain_messages: ") for each in exact.warnings)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("sent", "The mode is curious, whatever the protocol can do"),
        ("installed", "The mode is malicious or better, since the policy says that only installed code runs"),
        ("resident", "The mode is malicious or better, since the policy says that a resident station trains"),
    ],
)
def test_check_calls_the_mode_curious_unless_the_code_is_the_operators(code: str, said: str, tmp_path: Path) -> None:
    report = of(tmp_path, code=code, adversary="malicious")
    assert any(each.startswith(said) for each in report.accepts)
    assert any(each.startswith("code: ") for each in report.warnings) is (code == "sent")


def test_check_warns_of_nobody_corrupt_and_of_protocols_that_are_not_installed(tmp_path: Path) -> None:
    warnings = of(tmp_path, adversarial=0.1, protocols=["secagg", "nothing", "secagg-pluss"]).warnings
    assert any(each.startswith("adversarial: withstands 0 colluding of 3 clients") for each in warnings)
    assert any("expected installed ones, found nothing, secagg-pluss" in each for each in warnings)
    more = of(tmp_path / "more", adversarial=0.34)
    assert not any(each.startswith("adversarial: ") for each in more.warnings)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"least_contributors": 4}, "least_contributors: expected at most 3, the clients of the largest possible"),
        ({"adversarial": 0.7}, "adversarial: expected at least 2 clients of 3 that are not corrupt, found that 2"),
        ({"most_clients": 2, "adversarial": 0.34}, "adversarial: expected at least 2 clients of 2"),
        ({"protocols": ["plain"]}, "protocols: expected one that is installed and protects from a curious server"),
        ({"protocols": ["nothing"]}, "protocols: expected one that is installed"),
        ({"protocols": ["lightsecagg"], "adversary": "malicious"}, "protocols: expected one .* a malicious server"),
        ({"protocols": ["oneshot", "paillier", "seeds"]}, "committee.pub: expected the committee's key"),
    ],
)
def test_policy_that_accepts_nothing_is_a_fault(changes: dict[str, Any], fault: str, tmp_path: Path) -> None:
    (found,) = of(tmp_path, **changes).faults
    assert re.match(fault, found)


def test_damaged_record_is_found(tmp_path: Path) -> None:
    home = opened(tmp_path)
    check_node(home)
    for name, error in (("sessions.db", SessionStoreCorrupt), ("ledger.db", LedgerCorrupt)):
        path = home.path / "record" / name
        before = path.read_bytes()
        path.write_bytes(b"damage" + before[6:])
        with pytest.raises(error):
            check_node(home)
        path.write_bytes(before)


def test_check_works_for_rosters_with_other_ids(tmp_path: Path) -> None:
    home = opened(tmp_path)
    lines = [
        PublicLine(id=7, name="me", key=home.identity.public),
        PublicLine(id=4_000_000_000, name="other", key=Identity.generate().public),
    ]
    complete(home.path, RosterFile.of(lines), policy_text(encrypted_live_folder=str(tmp_path / "live")))
    assert dict(check_node(Home.open(home.path)).facts)["Node"] == "7, me"
