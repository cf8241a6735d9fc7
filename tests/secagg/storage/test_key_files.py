import hashlib
import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from protocols.crypto.paillier.threshold import KeyShare
from secagg.storage import key_files
from secagg.storage.key_files import (
    DamagedKeyFile,
    ExposedKeyFile,
    KeyFileError,
    check_free,
    read_committee_key,
    read_key_share,
    write_committee,
)
from tests.support.committee_keys import key_shares, threshold_key

pytestmark = pytest.mark.slow

KEY, SHARES = threshold_key(2, 5, 3), key_shares(2, 5, 3)
NAMES = {"committee.pub", *(f"member-{index}.key" for index in range(1, 6))}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "committee"
    write_committee(path, KEY, SHARES)
    return path


def private(path: Path, content: bytes) -> Path:
    path.touch(mode=0o600)
    path.write_bytes(content)
    return path


def sealed(whole: bytes) -> bytes:
    """The content of a key file, with a checksum that is right."""
    return whole[:-32] + hashlib.sha256(whole[:-32]).digest()


def test_key_files_are_read_as_they_were_written(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == NAMES
    assert list(folder.parent.iterdir()) == [folder]
    key = read_committee_key(folder / "committee.pub")
    assert key == KEY
    assert key.fingerprint == KEY.fingerprint
    for share in SHARES:
        read = read_key_share(folder / f"member-{share.index}.key", key)
        assert read == share
        assert read.index == share.index


def test_members_files_are_their_owners_alone(folder: Path, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_committee(tmp_path / "keys", KEY, SHARES)
    finally:
        os.umask(before)
    for path in (folder, tmp_path / "keys"):
        assert path.stat().st_mode & 0o777 == 0o700
        assert {entry.stat().st_mode & 0o777 for entry in path.glob("*.key")} == {0o600}
        assert (path / "committee.pub").stat().st_mode & 0o777 == 0o644


def test_members_files_are_private_while_they_are_written(tmp_path: Path) -> None:
    """Seen in the middle of the writing, by a share that is slow to tell its bytes: it looks around itself."""
    seen: dict[str, int] = {}

    class ModeWatchingShare(KeyShare):
        def to_bytes(self) -> bytes:
            seen.update({path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")})
            return super().to_bytes()

    last = ModeWatchingShare(KEY, 5, SHARES[4].reveal())
    write_committee(tmp_path / "keys", KEY, (*SHARES[:4], last))
    (partial,) = (name for name in seen if name.endswith(".partial"))
    assert seen.pop(partial) == 0o700
    assert seen == {f"member-{index}.key": 0o600 for index in range(1, 5)}
    assert read_key_share(tmp_path / "keys" / "member-5.key", KEY) == SHARES[4]


@pytest.mark.parametrize(
    "shares",
    [(), SHARES[:4], SHARES[::-1], (*SHARES, SHARES[4]), (*SHARES[:4], SHARES[0]), key_shares(2, 5, 4)],
    ids=["none", "four", "backwards", "six", "one twice", "another key's"],
)
def test_shares_that_are_not_those_of_all_members_are_refused(shares: tuple[KeyShare, ...], tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="shares of all 5 members"):
        write_committee(tmp_path / "keys", KEY, shares)
    assert not list(tmp_path.iterdir())


def test_folder_that_is_empty_or_has_no_parents_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    for path in (Path("empty"), "a/b/keys"):
        write_committee(path, KEY, SHARES)
        assert {entry.name for entry in (tmp_path / path).iterdir()} == NAMES
    assert {entry.name for entry in tmp_path.iterdir()} == {"a", "empty"}


@pytest.mark.parametrize("name", ["committee.pub", "member-3.key", "notes.txt"])
def test_folder_that_holds_anything_is_left_as_it_is(name: str, tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / name).write_text("precious")
    expected = "'notes.txt' in it" if name == "notes.txt" else "a committee's key, which is never overwritten"
    for refused in (lambda: check_free(tmp_path / "keys"), lambda: write_committee(tmp_path / "keys", KEY, SHARES)):
        with pytest.raises(KeyFileError, match=expected):
            refused()
    assert [path.name for path in tmp_path.rglob("*")] == ["keys", name]
    assert (tmp_path / "keys" / name).read_text() == "precious"


def test_folder_that_is_none_or_in_use_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("precious")
    (tmp_path / "here").mkdir()
    (tmp_path / "link").symlink_to("here")
    (tmp_path / "nowhere").symlink_to("missing")
    before = sorted(tmp_path.rglob("*"))
    for name in ("file", "link", "nowhere"):
        with pytest.raises(KeyFileError, match="found a link or a file"):
            check_free(tmp_path / name)
    for unwritable in (tmp_path / "file" / "keys", tmp_path / "file" / "in" / "keys", Path("/proc/committee")):
        with pytest.raises(KeyFileError, match=f"{unwritable} cannot be made: "):
            check_free(unwritable)
    with pytest.raises(KeyFileError, match="Name a new folder"):
        check_free("/")
    monkeypatch.chdir(tmp_path / "here")
    for name in (".", str(tmp_path / "here")):
        with pytest.raises(KeyFileError, match="found one that is in use"):
            check_free(name)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("at", [1, 3, 5])
def test_interruption_in_the_middle_leaves_nothing(at: int, tmp_path: Path) -> None:
    class InterruptingShare(KeyShare):
        def to_bytes(self) -> bytes:
            raise KeyboardInterrupt

    shares = list(SHARES)
    shares[at - 1] = InterruptingShare(KEY, at, SHARES[at - 1].reveal())
    with pytest.raises(KeyboardInterrupt):
        write_committee(tmp_path / "keys", KEY, shares)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("room", [0, 500, 2000])
def test_full_disk_leaves_nothing(room: int, tmp_path: Path) -> None:
    """A soft limit stands for it: none is written, half of one, or all but the public one."""
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
        with pytest.raises(OSError, match="File too large"):
            write_committee(tmp_path / "keys", KEY, SHARES)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert not list(tmp_path.iterdir())


def damaged(whole: bytes) -> Iterator[bytes]:
    """Cut at many places, longer, and with one bit flipped at many places."""
    for length in (*range(0, len(whole), 41), len(whole) - 33, len(whole) - 32, len(whole) - 31, len(whole) - 1):
        yield whole[:length]
    yield whole + b"\0"
    yield whole + b"\n"
    yield whole + whole
    for position in range(0, len(whole), 23):
        yield whole[:position] + bytes([whole[position] ^ 1 << position % 8]) + whole[position + 1 :]


def test_public_file_that_is_damaged_is_refused(folder: Path, tmp_path: Path) -> None:
    """A public key file is cut, longer, or has one bit flipped. The checksum must stop it (DamagedKeyFile)."""
    whole, count = (folder / "committee.pub").read_bytes(), 0
    for content in damaged(whole):
        path = private(tmp_path / "file", content)
        with pytest.raises(DamagedKeyFile, match=str(path)):
            read_committee_key(path)
        count += 1
    assert count > 300


def test_member_file_that_is_damaged_is_refused(folder: Path, tmp_path: Path) -> None:
    """A member's key file is cut, longer, or has one bit flipped.

    The checksum must stop it (DamagedKeyFile), and the error must not show the share.
    """
    whole, count = (folder / "member-2.key").read_bytes(), 0
    for content in damaged(whole):
        path = private(tmp_path / "file", content)
        with pytest.raises(DamagedKeyFile, match=str(path)) as caught:
            read_key_share(path, KEY)
        assert hex(SHARES[1].reveal())[10:30] not in str(caught.value)
        count += 1
    assert count > 60


def test_altered_file_with_a_right_checksum_is_no_other_key(folder: Path, tmp_path: Path) -> None:
    """Somebody alters a key file and its checksum.

    A member's share must fit its verification key (DamagedKeyFile); a public file with other numbers has another
    fingerprint.
    """
    member, public = (folder / "member-2.key").read_bytes(), (folder / "committee.pub").read_bytes()
    altered = bytearray(member)
    altered[-40] ^= 1
    with pytest.raises(DamagedKeyFile, match="the one that fits the verification key of member 2"):
        read_key_share(private(tmp_path / "member", sealed(bytes(altered))), KEY)
    with pytest.raises(DamagedKeyFile):
        read_key_share(private(tmp_path / "member", sealed(member[:-33] + bytes(32))), KEY)
    with pytest.raises(DamagedKeyFile):
        read_committee_key(private(tmp_path / "public", sealed(public[:-33] + bytes(32))))
    altered = bytearray(public)
    altered[-40] ^= 1
    other = read_committee_key(private(tmp_path / "public", sealed(bytes(altered))))
    assert other.fingerprint != KEY.fingerprint
    with pytest.raises(DamagedKeyFile, match="another key"):
        read_key_share(folder / "member-2.key", other)


def test_member_file_of_another_committee_is_refused(folder: Path, tmp_path: Path) -> None:
    """A member's file comes from another committee: one with the same primes and as many members, and one with another
    s. It must be refused (DamagedKeyFile).
    """
    for number, (s, threshold) in enumerate(((2, 4), (1, 3))):
        path = tmp_path / str(number)
        write_committee(path, threshold_key(s, 5, threshold), key_shares(s, 5, threshold))
        with pytest.raises(DamagedKeyFile, match=r"member-1\.key"):
            read_key_share(path / "member-1.key", KEY)
        with pytest.raises(DamagedKeyFile, match=r"member-1\.key"):
            read_key_share(folder / "member-1.key", read_committee_key(path / "committee.pub"))


def test_files_whose_names_were_swapped_are_still_their_members(folder: Path, tmp_path: Path) -> None:
    one = private(tmp_path / "member-1.key", (folder / "member-4.key").read_bytes())
    four = private(tmp_path / "member-4.key", (folder / "member-1.key").read_bytes())
    assert (read_key_share(one, KEY).index, read_key_share(four, KEY).index) == (4, 1)


def test_public_and_members_files_are_not_taken_for_each_other(folder: Path) -> None:
    with pytest.raises(DamagedKeyFile, match='begins with "secagg committee\'s public key"'):
        read_committee_key(folder / "member-1.key")
    (folder / "committee.pub").chmod(0o600)
    with pytest.raises(DamagedKeyFile, match='begins with "secagg committee member\'s secret key"'):
        read_key_share(folder / "committee.pub", KEY)


@pytest.mark.parametrize("mode", [0o601, 0o602, 0o604, 0o610, 0o620, 0o640, 0o644, 0o660, 0o777])
def test_member_file_that_others_may_use_is_refused(mode: int, folder: Path, tmp_path: Path) -> None:
    """Other users of the machine may read or write a member's file. It must be refused (ExposedKeyFile)."""
    path = private(tmp_path / "member-1.key", (folder / "member-1.key").read_bytes())
    path.chmod(mode)
    with pytest.raises(ExposedKeyFile, match=f"mode {mode:04o}.*chmod 600 {path}"):
        read_key_share(path, KEY)
    for right in (0o600, 0o400, 0o700):
        path.chmod(right)
        assert read_key_share(path, KEY) == SHARES[0]


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    """A path leads to a pipe, a device or a huge file, which would block or fill memory.

    It must be refused at once (KeyFileError).
    """
    os.mkfifo(tmp_path / "pipe", 0o600)
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(2**40)
    (tmp_path / "huge").chmod(0o600)
    for path in (tmp_path / "missing", tmp_path, tmp_path / "pipe", Path("/dev/zero"), tmp_path / "huge"):
        with pytest.raises(KeyFileError, match=str(path)):
            read_committee_key(path)
        with pytest.raises(KeyFileError, match=str(path)):
            read_key_share(path, KEY)


def test_bound_on_the_size_is_above_the_largest_key() -> None:
    """64 members, 8192 bits, s = 3: v and 64 v_i modulo n^4, h and n modulo n, and some hundred bytes of labels."""
    largest = 65 * 4 * 1024 + 2 * 1024 + 200
    assert largest < key_files._MOST_BYTES <= 2 * largest
