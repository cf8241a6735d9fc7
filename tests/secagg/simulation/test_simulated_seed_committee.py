"""Committees by replicated seeds in simulations: drawn, or from a folder with all of their members."""

import shutil
import time
from pathlib import Path

import pytest

from protocols import MemberShare, SeedCommittee
from protocols.seeds.member_keys import MemberKeys
from secagg.errors import ConfigurationError
from secagg.simulation.seed_committee import DRAWN_MEMBERS, drawn_committee, read_committee
from secagg.storage.labelled_file import ExposedKeyFile, KeyFileError
from secagg.storage.seed_keys import COMMITTEE_NAME, add_epoch, read_member, write_member, write_seed_committee
from tests.support.seed_folders import seed_folder

DAY_S = 86_400


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return seed_folder(tmp_path / "committee", 3)


@pytest.mark.parametrize(("adversarial", "colluding", "quorum"), [(0.0, 1, 4), (0.05, 1, 4), (0.4, 2, 4), (0.7, 3, 5)])
def test_drawn_committee_withstands_the_fraction_of_corrupt_members(
    adversarial: float, colluding: int, quorum: int
) -> None:
    found = drawn_committee(clients=16, adversarial=adversarial)
    key = found.committee.key
    assert isinstance(key, SeedCommittee)
    assert (key.members, key.colluding, key.quorum) == (DRAWN_MEMBERS, colluding, quorum)
    assert found.committee.members == (16, 17, 18, 19, 20)
    key.check(time.time())
    assert [share.index for share in found.shares] == [1, 2, 3, 4, 5]


def test_drawn_committees_have_nothing_in_common() -> None:
    one, other = (drawn_committee(clients=8, adversarial=0.0).committee for _ in range(2))
    assert one.key.pin != other.key.pin


def test_committee_of_a_folder_is_played_by_its_members_in_their_order(folder: Path) -> None:
    found = read_committee(folder, clients=16)
    key = found.committee.key
    assert isinstance(key, SeedCommittee)
    assert found.committee.members == (16, 17, 18)
    for share, identity in zip(found.shares, key.identities, strict=True):
        assert isinstance(share, MemberShare)
        assert share.identity.public == identity
        assert share.identity.secret.reveal().hex() not in repr(found)


def test_names_of_the_members_folders_do_not_matter(folder: Path) -> None:
    before = read_committee(folder, clients=16).committee
    names = sorted(path.name for path in folder.iterdir() if path.is_dir())
    for name, other in zip(names, reversed([f"x{index}" for index in range(len(names))]), strict=True):
        (folder / name).rename(folder / other)
    assert read_committee(folder, clients=16).committee == before


def test_committee_of_another_epoch_has_the_same_pin(folder: Path) -> None:
    before = read_committee(folder, clients=16).committee.key
    now = int(time.time())
    members = [path for path in sorted(folder.iterdir()) if path.is_dir()]
    certificates = [add_epoch(each, not_before=now, not_after=now + DAY_S).epochs[-1].certificate for each in members]
    (folder / COMMITTEE_NAME).unlink()
    write_seed_committee(
        folder / COMMITTEE_NAME, SeedCommittee(certificates=tuple(certificates), colluding=1, quorum=3)
    )
    after = read_committee(folder, clients=16).committee.key
    assert after.pin == before.pin
    assert after.fingerprint != before.fingerprint


def test_folder_without_a_committee_says_how_to_make_one(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(
            ConfigurationError, match=r"a file seed-committee\.pub at .*, found none.*leave out --committee"
        ):
            read_committee(path, clients=16)


def test_file_in_the_place_of_the_folder_is_answered_with_its_folder(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"found a file at .*Name the folder, {folder}\\.$"):
        read_committee(folder / COMMITTEE_NAME, clients=16)


def test_folder_without_all_members_names_those_that_are_missing(folder: Path) -> None:
    shutil.rmtree(folder / "member1")
    with pytest.raises(
        ConfigurationError, match=r"the folders of all 3 members .*, found none of member 2 \(identity "
    ):
        read_committee(folder, clients=16)


def test_member_without_the_key_of_the_epoch_is_refused(folder: Path) -> None:
    identity = read_member(folder / "member0").identity
    shutil.rmtree(folder / "member0")
    write_member(folder / "member0", MemberKeys(identity, 1, ()))
    with pytest.raises(ConfigurationError, match="the key of epoch 0, which the committee names"):
        read_committee(folder, clients=16)


def test_committee_whose_certificates_have_expired_is_refused(tmp_path: Path) -> None:
    folder = seed_folder(tmp_path / "expired", 3, begins=-2 * DAY_S, ends=-DAY_S)
    with pytest.raises(ConfigurationError, match=r"seed-committee\.pub: .*next epoch"):
        read_committee(folder, clients=16)


def test_damaged_and_exposed_files_are_refused(folder: Path) -> None:
    (folder / "member2" / "member.key").chmod(0o644)
    with pytest.raises(ExposedKeyFile):
        read_committee(folder, clients=16)
    (folder / COMMITTEE_NAME).write_bytes(b"no committee")
    with pytest.raises(KeyFileError):
        read_committee(folder, clients=16)
