"""The key files of tests/vectors/keys/committee, of a public test key: read, and written again byte for byte."""

from pathlib import Path

import pytest

from secagg.storage.key_files import DamagedKeyFile, read_committee_key, read_key_share, write_committee
from tests.support.committee_keys import key_shares, threshold_key
from tests.vectors.recorded import VECTORS, private_copy

COMMITTEE = VECTORS / "keys" / "committee"
NAMES = ("committee.pub", "member-1.key", "member-2.key", "member-3.key")
FINGERPRINT = "157e3121ae31c41abbdec46250bef9990080434742eb31d96ccc1f985f1df872"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy whose files are their owner's alone, as git does not keep them."""
    path = tmp_path / "committee"
    path.mkdir(mode=0o700)
    for name in NAMES:
        private_copy(COMMITTEE / name, path / name)
    return path


def test_recorded_key_files_are_read(folder: Path) -> None:
    key = read_committee_key(folder / "committee.pub")
    assert (key.members, key.threshold, key.fingerprint.hex()) == (3, 2, FINGERPRINT)
    assert key == threshold_key(1, 3, 2)
    shares = tuple(read_key_share(folder / name, key) for name in NAMES[1:])
    assert [share.index for share in shares] == [1, 2, 3]
    assert shares == key_shares(1, 3, 2)


def test_recorded_key_files_are_written_again_byte_for_byte(folder: Path, tmp_path: Path) -> None:
    key = read_committee_key(folder / "committee.pub")
    write_committee(tmp_path / "again", key, [read_key_share(folder / name, key) for name in NAMES[1:]])
    assert sorted(path.name for path in (tmp_path / "again").iterdir()) == list(NAMES)
    for name in NAMES:
        assert (tmp_path / "again" / name).read_bytes() == (COMMITTEE / name).read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_recorded_key_file_with_one_other_bit_is_refused(name: str, folder: Path) -> None:
    key = read_committee_key(folder / "committee.pub")
    altered = bytearray((folder / name).read_bytes())
    altered[len(altered) // 2] ^= 1
    (folder / name).write_bytes(altered)
    with pytest.raises(DamagedKeyFile):
        read_committee_key(folder / name) if name == "committee.pub" else read_key_share(folder / name, key)
