"""The files of a committee by replicated seeds: who may read them, what replaces them, and what is refused."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from protocols.crypto import hpke
from protocols.seeds.committee import SeedCommittee
from protocols.seeds.member_keys import MemberKeys
from secagg.errors import CheckpointError
from secagg.storage import seed_keys
from secagg.storage.folder_lock import FolderLock
from secagg.storage.labelled_file import DamagedKeyFile, ExposedKeyFile, KeyFileError
from secagg.storage.seed_keys import (
    KEYS_NAME,
    add_epoch,
    certificate_name,
    delete_expired,
    read_certificate,
    read_member,
    read_member_share,
    read_seed_committee,
    write_member,
    write_seed_committee,
)
from tests.support.seed_members import certificates

DATES: Final = {"not_before": 1_000, "not_after": 2_000}


def create_member(folder: Path) -> MemberKeys:
    """Make the folder of a new member with the key of one epoch."""
    keys = MemberKeys.generate().with_epoch(**DATES)
    write_member(folder, keys)
    return keys


def made(folder: Path, members: int = 3) -> tuple[list[Path], Path, SeedCommittee]:
    """Return the folders of new members, and the file of their committee."""
    folders = [folder / f"member-{number}" for number in range(members)]
    for each in folders:
        create_member(each)
    read = tuple(read_certificate(each / certificate_name(0)) for each in folders)
    committee = SeedCommittee(certificates=read, colluding=1, quorum=members)
    write_seed_committee(folder / "committee.pub", committee)
    return folders, folder / "committee.pub", committee


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_member_and_committee_are_read_as_they_were_made(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        folders, path, committee = made(tmp_path / "a" / "b")
    finally:
        os.umask(before)
    assert read_seed_committee(path) == committee
    for index, folder in enumerate(folders, start=1):
        share = read_member_share(folder, read_seed_committee(path))
        assert share.index == index
        box = hpke.seal(committee.public_keys[index - 1], b"info", b"seeds")
        assert share.epoch_key.key.open(b"info", box) == b"seeds"
        assert folder.stat().st_mode & 0o777 == 0o700
        modes = {each.name: each.stat().st_mode & 0o777 for each in folder.iterdir()}
        assert modes == {"member.key": 0o600, "member-epoch-0.pub": 0o644}
    assert path.stat().st_mode & 0o777 == 0o644


def test_public_files_hold_no_secret(tmp_path: Path) -> None:
    folders, path, _ = made(tmp_path)
    keys = read_member(folders[0])
    for secret in (keys.identity.secret, keys.epochs[0].key.secret):
        for public in (path, folders[0] / certificate_name(0)):
            assert secret.reveal() not in public.read_bytes()


def test_each_further_epoch_has_another_key_and_the_same_identity(tmp_path: Path) -> None:
    create_member(tmp_path / "m")
    for epoch in (1, 2):
        keys = add_epoch(tmp_path / "m", not_before=1_500, not_after=3_000 + epoch)
        certificate = read_certificate(tmp_path / "m" / certificate_name(epoch))
        assert certificate == keys.epochs[-1].certificate
        assert (certificate.epoch, certificate.not_before, certificate.not_after) == (epoch, 1_500, 3_000 + epoch)
    found = read_member(tmp_path / "m")
    assert [key.certificate.epoch for key in found.epochs] == [0, 1, 2]
    assert {key.certificate.identity for key in found.epochs} == {found.identity.public}
    assert (tmp_path / "m" / KEYS_NAME).stat().st_mode & 0o777 == 0o600


def test_deleted_keys_are_in_no_file_of_the_folder(tmp_path: Path) -> None:
    """Someone takes a member's folder after an epoch. The epoch's secret key must not be in it, and the others must."""
    folder = tmp_path / "m"
    create_member(folder)
    keys = add_epoch(folder, not_before=1_500, not_after=3_000)
    assert delete_expired(folder, now=1_999) == ()
    gone = delete_expired(folder, now=2_000)
    assert [each.epoch for each in gone] == [0]
    whole = b"".join(contents(folder).values())
    assert keys.epochs[0].key.secret.reveal() not in whole
    assert keys.epochs[1].key.secret.reveal() in whole
    assert read_certificate(folder / certificate_name(0)) == gone[0]
    assert delete_expired(folder, now=2_000) == ()
    assert [each.epoch for each in delete_expired(folder, now=9_999)] == [1]
    assert add_epoch(folder, not_before=3_000, not_after=4_000).epochs[-1].certificate.epoch == 2


def test_member_without_the_committees_key_or_place_has_no_share(tmp_path: Path) -> None:
    folders, _, committee = made(tmp_path)
    delete_expired(folders[1], now=2_000)
    with pytest.raises(KeyFileError, match=r"member.key: member's keys: expected the key of epoch 0"):
        read_member_share(folders[1], committee)
    create_member(tmp_path / "other")
    with pytest.raises(KeyFileError, match="identity of one of the committee's members"):
        read_member_share(tmp_path / "other", committee)


def test_folder_that_is_not_free_is_left_as_it_is(tmp_path: Path) -> None:
    create_member(tmp_path / "m")
    before = contents(tmp_path / "m")
    with pytest.raises(KeyFileError, match="expected a new or empty folder"):
        create_member(tmp_path / "m")
    assert contents(tmp_path / "m") == before


def test_committees_file_is_never_overwritten(tmp_path: Path) -> None:
    _, path, _ = made(tmp_path)
    other = SeedCommittee(certificates=certificates(4), colluding=1, quorum=3)
    before = path.read_bytes()
    with pytest.raises(KeyFileError, match="never overwritten"):
        write_seed_committee(path, other)
    assert path.read_bytes() == before


def test_secret_file_or_folder_that_others_may_use_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    create_member(folder)
    (folder / KEYS_NAME).chmod(0o640)
    for attempt in (read_member, lambda path: add_epoch(path, **DATES), lambda path: delete_expired(path, now=9_999)):
        with pytest.raises(ExposedKeyFile, match="can sign and decrypt like this member"):
            attempt(folder)
    (folder / KEYS_NAME).chmod(0o600)
    folder.chmod(0o755)
    for change in (lambda path: add_epoch(path, **DATES), lambda path: delete_expired(path, now=9_999)):
        with pytest.raises(ExposedKeyFile, match="chmod 700"):
            change(folder)
    folder.chmod(0o700)
    assert len(read_member(folder).epochs) == 1


def test_two_processes_cannot_change_the_keys_at_once(tmp_path: Path) -> None:
    """Two processes would each write what they have read, and one epoch's key would be lost."""
    create_member(tmp_path / "m")
    with FolderLock(tmp_path / "m", "member"):
        for change in (lambda path: add_epoch(path, **DATES), lambda path: delete_expired(path, now=9_999)):
            with pytest.raises(CheckpointError, match="another member in it"):
                change(tmp_path / "m")
    assert len(add_epoch(tmp_path / "m", **DATES).epochs) == 2


def test_interrupted_change_leaves_the_keys_from_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create_member(tmp_path / "m")
    before = contents(tmp_path / "m")

    def fail(path: Path, label: bytes, content: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(seed_keys, "fill_labelled", fail)
        for change in (lambda path: add_epoch(path, **DATES), lambda path: delete_expired(path, now=9_999)):
            with pytest.raises(KeyboardInterrupt):
                change(tmp_path / "m")
    assert contents(tmp_path / "m") == before | {"member.lock": b""}


def rewritten(path: Path, content: bytes) -> None:
    """Put this content into a labelled file, with the right checksum."""
    label = path.read_bytes().partition(b"\n")[0] + b"\n"
    path.write_bytes(label + content + hashlib.sha256(label + content).digest())


def test_damaged_and_foreign_files_are_refused(tmp_path: Path) -> None:
    folders, path, committee = made(tmp_path)
    folder, certificate = folders[0], folders[0] / certificate_name(0)
    readers: dict[Path, Callable[[], object]] = {
        folder / KEYS_NAME: lambda: read_member(folder),
        certificate: lambda: read_certificate(certificate),
        path: lambda: read_seed_committee(path),
    }
    whole = {each: each.read_bytes() for each in readers}
    for each, reader in readers.items():
        for wrong in (b"", whole[each][:-1], whole[each] + b"\0", whole[each][:200], bytes(len(whole[each]))):
            each.write_bytes(wrong)
            with pytest.raises(DamagedKeyFile, match=each.name):
                reader()
        for other in readers.keys() - {each}:
            each.write_bytes(whole[other])
            with pytest.raises(DamagedKeyFile, match="expected a file that begins with"):
                reader()
        each.write_bytes(whole[each])
        for content in (b"", bytes(2_000), whole[each][60:-32]):
            rewritten(each, content)
            with pytest.raises(DamagedKeyFile, match=each.name):
                reader()
        each.write_bytes(whole[each])
        reader()
    assert read_seed_committee(path) == committee


def test_missing_file_is_a_key_file_error(tmp_path: Path) -> None:
    for reader in (read_member, read_certificate, read_seed_committee):
        with pytest.raises(KeyFileError, match="cannot be read"):
            reader(tmp_path / "none")
    for change in (lambda path: add_epoch(path, **DATES), lambda path: delete_expired(path, now=0)):
        with pytest.raises(KeyFileError, match="cannot be read"):
            change(tmp_path / "none")
