"""What `secagg node check` says of a committee by replicated seeds."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from secagg.engines.node.check import NodeReport, check_node
from secagg.engines.node.committee_report import WARNED_S
from secagg.engines.node.home import Home
from secagg.storage.key_files import PUBLIC_NAME
from tests.support.seed_members import ENDS, NOW
from tests.support.stations import Cohort

SEEDS: Final = Cohort(protocol="seeds")
CLIENT, MEMBER = 5, 21


def report(folder: Path, party: int, now: float = NOW, **policy: Any) -> NodeReport:
    home = SEEDS.make_home(folder, party, **policy)
    return check_node(Home.open(home.path, wall_clock=lambda: now))


def test_check_shows_the_pin_the_epochs_and_their_dates(tmp_path: Path) -> None:
    facts = dict(report(tmp_path, CLIENT).facts)
    assert facts["Pin of the committee"].startswith(SEEDS.key.pin.hex())
    assert facts["Committee"] == "3 members, of whom 3 agree on a sum, and at most 1 may be corrupt"
    assert facts["Member 1 in committee.pub"].startswith("epoch 0, 2027-01-15 08:00 UTC to 2027-02-14 08:00 UTC; ident")
    assert "This node in the committee" not in facts
    facts = dict(report(tmp_path, MEMBER).facts)
    assert facts["This node in the committee"] == "member 2"
    assert (
        facts["Secret keys in member.key"] == "epoch 0 until 2027-02-14 08:00 UTC; epoch 1 until 2027-02-14 08:00 UTC"
    )


def test_check_has_no_fault_and_no_warning_of_a_committee_that_lasts(tmp_path: Path) -> None:
    for party in (CLIENT, MEMBER):
        found = report(tmp_path, party)
        assert found.faults == ()
        assert not [line for line in found.warnings if ".pub" in line or ".key" in line]


@pytest.mark.parametrize(("now", "verb"), [(ENDS - WARNED_S + 1, "ends"), (ENDS - 1, "ends"), (ENDS, "ended")])
def test_check_warns_before_an_epoch_ends(now: int, verb: str, tmp_path: Path) -> None:
    (client,) = [line for line in report(tmp_path, CLIENT, now).warnings if line.startswith(PUBLIC_NAME)]
    assert f"found one that {verb} on 2027-02-14 08:00 UTC" in client
    member = [line for line in report(tmp_path, MEMBER, now).warnings if line.startswith("member.key")]
    assert "secagg keys member" in member[0]
    assert ["--delete-expired" in line for line in member] == ([False, True] if now == ENDS else [False])


def test_check_finds_a_committee_of_the_other_kind(tmp_path: Path) -> None:
    (found,) = report(tmp_path, CLIENT, protocols=["oneshot"]).faults
    assert found.startswith("committee.pub: expected a committee for oneshot, found one by replicated seeds")
    home = replace(SEEDS, protocol="oneshot", _offers={}).make_home(tmp_path / "dealt", CLIENT, protocols=["seeds"])
    (found,) = check_node(home).faults
    assert found.startswith("committee.pub: expected a committee for seeds, found one with a dealer")
