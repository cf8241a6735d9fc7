"""The key files of a committee by replicated seeds in tests/vectors/keys: read, and written again byte for byte."""

from pathlib import Path

import pytest

from protocols.seeds.committee import SeedCommittee
from secagg.storage.labelled_file import DamagedKeyFile
from secagg.storage.seed_keys import (
    read_certificate,
    read_member,
    read_member_share,
    read_seed_committee,
    write_member,
    write_seed_committee,
)
from tests.support.seed_members import certificates, issued
from tests.vectors.recorded import VECTORS, private_copy

KEYS = VECTORS / "keys"
NAMES = ("member-epoch-0.pub", "member-epoch-1.pub", "member.key")
FINGERPRINT = "94068b9f3b00ff0a029a950a7bd818bd668d03db8148e1f0004961d4ab32bb35"
PIN = "762a13e9a721db045c37b1454a675459bf4f9421e3e3a7a504790ec49aa8859c"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy whose files are their owner's alone, as git does not keep them."""
    path = tmp_path / "member"
    path.mkdir(mode=0o700)
    for name in NAMES:
        private_copy(KEYS / "seed-member" / name, path / name)
    private_copy(KEYS / "seed-committee.pub", path / "committee.pub")
    return path


def test_recorded_files_are_read(folder: Path) -> None:
    committee = read_seed_committee(folder / "committee.pub")
    assert (committee.fingerprint.hex(), committee.pin.hex()) == (FINGERPRINT, PIN)
    assert committee == SeedCommittee(certificates=certificates(3), colluding=1, quorum=3)
    for epoch in (0, 1):
        assert read_certificate(folder / f"member-epoch-{epoch}.pub") == issued(0, epoch)[0]
    share = read_member_share(folder, committee)
    assert share.index == 1
    assert share.epoch_key.key.secret == issued(0)[1].key.secret


def test_recorded_files_are_written_again_byte_for_byte(folder: Path, tmp_path: Path) -> None:
    write_member(tmp_path / "again", read_member(folder))
    assert sorted(path.name for path in (tmp_path / "again").iterdir()) == list(NAMES)
    for name in NAMES:
        assert (tmp_path / "again" / name).read_bytes() == (KEYS / "seed-member" / name).read_bytes()
    write_seed_committee(tmp_path / "again.pub", read_seed_committee(folder / "committee.pub"))
    assert (tmp_path / "again.pub").read_bytes() == (KEYS / "seed-committee.pub").read_bytes()


@pytest.mark.parametrize("name", [*NAMES, "committee.pub"])
def test_recorded_file_with_one_other_bit_is_refused(name: str, folder: Path) -> None:
    altered = bytearray((folder / name).read_bytes())
    altered[len(altered) // 2] ^= 1
    (folder / name).write_bytes(altered)
    readers = {"member.key": lambda path: read_member(path.parent), "committee.pub": read_seed_committee}
    with pytest.raises(DamagedKeyFile):
        readers.get(name, read_certificate)(folder / name)
