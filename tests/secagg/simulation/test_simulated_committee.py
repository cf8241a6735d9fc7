import shutil
from pathlib import Path

import pytest

from protocols import Roster
from protocols.testing import fixed_identity
from secagg.errors import ConfigurationError
from secagg.simulation.committee import SimulatedCommittee
from secagg.storage.key_files import DamagedKeyFile, ExposedKeyFile, write_committee
from tests.support.committee_keys import key_shares, threshold_key


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_committee(tmp_path / "keys", threshold_key(1, 3, 2), key_shares(1, 3, 2))
    return tmp_path / "keys"


def test_committee_of_a_folder_has_the_ids_after_the_clients(folder: Path) -> None:
    found = SimulatedCommittee.read(folder, clients=16)
    assert found.committee.key == threshold_key(1, 3, 2)
    assert found.committee.members == (16, 17, 18)
    roster = Roster({client: fixed_identity(client).public for client in range(16)})
    keyholders = found.keyholders(minimum_contributors=9, roster=roster)
    assert [keyholders[16 + index].share.index for index in range(3)] == [1, 2, 3]
    assert {keyholder.minimum_contributors for keyholder in keyholders.values()} == {9}
    assert all(keyholder.roster is roster for keyholder in keyholders.values())
    assert len({id(keyholder.openings) for keyholder in keyholders.values()}) == 3
    for share in key_shares(1, 3, 2):
        assert str(share.reveal()) not in repr(found)


def test_committee_of_no_folder_names_the_command_that_makes_one(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(
            ConfigurationError,
            match=r"a folder with a file committee\.pub .*, found none\. .*: secagg keys committee --members 5",
        ):
            SimulatedCommittee.read(path, clients=16)


def test_committee_without_all_files_names_those_that_are_missing(folder: Path) -> None:
    (folder / "member-1.key").unlink()
    (folder / "member-3.key").unlink()
    with pytest.raises(
        ConfigurationError, match=r"plays all of them, found that member-1\.key, member-3\.key are missing"
    ):
        SimulatedCommittee.read(folder, clients=16)


def test_committee_that_could_open_two_sums_is_refused(tmp_path: Path) -> None:
    write_committee(tmp_path / "keys", threshold_key(1, 4, 2), key_shares(1, 4, 2))
    with pytest.raises(ConfigurationError, match=r"at least 3 of the 4 members .*, found 2\. .* of 3 or more"):
        SimulatedCommittee.read(tmp_path / "keys", clients=16)


def test_committee_with_files_in_each_others_place_is_refused(folder: Path) -> None:
    shutil.copy(folder / "member-1.key", folder / "member-2.key")
    with pytest.raises(
        ConfigurationError, match=r"expected the file of member 2 at .*member-2\.key, found that of member 1"
    ):
        SimulatedCommittee.read(folder, clients=16)


def test_committee_with_a_file_that_is_not_its_own_or_not_secret_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "member-2.key").chmod(0o644)
    with pytest.raises(ExposedKeyFile, match=r"member-2\.key"):
        SimulatedCommittee.read(folder, clients=16)
    write_committee(tmp_path / "other", threshold_key(1, 3, 3), key_shares(1, 3, 3))
    shutil.copy(tmp_path / "other" / "member-2.key", folder / "member-2.key")
    (folder / "member-2.key").chmod(0o600)
    with pytest.raises(DamagedKeyFile, match=r"member-2\.key"):
        SimulatedCommittee.read(folder, clients=16)
