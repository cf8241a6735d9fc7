"""What `secagg node check` says of a committee by replicated seeds."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from protocols.seeds.member_keys import MemberKeys
from protocols.testing.repeatable import fixed_identity
from secagg.engines.node.check import NodeReport, check_node
from secagg.engines.node.committee_report import WARNED_S
from secagg.engines.node.home import Home
from secagg.engines.node.home_error import HomeError
from secagg.storage.key_files import PUBLIC_NAME
from secagg.storage.labelled_file import KeyFileError
from secagg.storage.seed_keys import KEYS_NAME, certificate_name, write_member, write_seed_committee
from tests.support.seed_members import ENDS, NOW, issued
from tests.support.seed_world import seed_committee_of
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


def test_check_warns_of_a_member_that_lacks_the_key_which_the_committee_names(tmp_path: Path) -> None:
    home = SEEDS.make_home(tmp_path, MEMBER).path
    write_seed_committee(tmp_path / "next", seed_committee_of(3, 1, 3, epoch=2))
    (tmp_path / "next").replace(home / PUBLIC_NAME)
    (found,) = [
        line
        for line in check_node(Home.open(home, wall_clock=lambda: NOW)).warnings
        if line.startswith("member.key: expected the key of")
    ]
    assert "of epoch 2, which committee.pub names for this node, found epoch 0, epoch 1. Ask for" in found


def test_home_with_another_file_in_the_place_of_a_key_is_refused_with_what_to_do(tmp_path: Path) -> None:
    home = SEEDS.make_home(tmp_path, MEMBER).path
    write_member(tmp_path / "member", MemberKeys(fixed_identity(1), 1, (issued(1)[1],)))
    for name in (certificate_name(0), KEYS_NAME):
        (home / PUBLIC_NAME).write_bytes((tmp_path / "member" / name).read_bytes())
        with pytest.raises(KeyFileError, match=r"of a whole committee, found one of a single member\. Use the file"):
            Home.open(home)
    (home / PUBLIC_NAME).unlink()
    (home / KEYS_NAME).unlink()
    (home / KEYS_NAME).symlink_to("nowhere")
    with pytest.raises(HomeError, match=r"by replicated seeds beside member\.key, found none"):
        Home.open(home)
    write_seed_committee(home / PUBLIC_NAME, seed_committee_of(3, 1, 3))
    with pytest.raises(KeyFileError, match=r"member\.key: cannot be read"):
        Home.open(home)
