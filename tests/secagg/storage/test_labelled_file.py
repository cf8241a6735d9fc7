import hashlib
import os
from pathlib import Path

import pytest

from secagg.storage.labelled_file import (
    DamagedKeyFile,
    ExposedKeyFile,
    KeyFileError,
    check_private_folder,
    filled_folder,
    read_labelled,
    read_regular,
    write_labelled,
    write_new,
)

LABEL = b"secagg test's file, file format 1\n"


def test_labelled_file_is_read_as_it_was_written_and_refused_with_any_other_bit(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_labelled(path, LABEL, b"content", mode=0o600)
    whole = path.read_bytes()
    assert read_labelled(path, LABEL, most_bytes=1000, risk="") == b"content"
    for place in range(len(whole)):
        altered = bytearray(whole)
        altered[place] ^= 1 << place % 8
        path.write_bytes(altered)
        with pytest.raises(DamagedKeyFile):
            read_labelled(path, LABEL, most_bytes=1000)
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(DamagedKeyFile):
            read_labelled(path, LABEL, most_bytes=1000)


def test_file_of_another_label_or_too_long_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_labelled(path, LABEL, b"content", mode=0o600)
    with pytest.raises(DamagedKeyFile, match=r'begins with "secagg other.s file"'):
        read_labelled(path, b"secagg other's file, file format 1\n", most_bytes=1000)
    assert read_regular(path, most_bytes=path.stat().st_size) == b""
    with pytest.raises(DamagedKeyFile):
        read_labelled(path, LABEL, most_bytes=path.stat().st_size)


def test_existing_file_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("file", "link"):
        with pytest.raises(FileExistsError):
            write_new(tmp_path / name, b"other", mode=0o600)
    assert (tmp_path / "file").read_bytes() == b"mine"
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o644, 0o666])
def test_secret_file_that_others_may_use_is_refused_and_says_the_risk(mode: int, tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_labelled(path, LABEL, b"content", mode=0o600)
    path.chmod(mode)
    with pytest.raises(ExposedKeyFile, match=rf"found mode {mode:04o}. All is lost. If nobody has, run: chmod 600"):
        read_labelled(path, LABEL, most_bytes=1000, risk="All is lost.")
    assert read_labelled(path, LABEL, most_bytes=1000) == b"content"


def test_what_is_not_a_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "missing"):
        with pytest.raises(KeyFileError):
            read_regular(path, most_bytes=1000)


def test_folder_is_filled_whole_or_not_at_all(tmp_path: Path) -> None:
    with filled_folder(tmp_path / "new") as partial:
        write_new(partial / "file", b"content", mode=0o600)
        assert not (tmp_path / "new").exists()
    assert (tmp_path / "new" / "file").read_bytes() == b"content"
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    with pytest.raises(OSError, match="not empty"), filled_folder(tmp_path / "new") as partial:
        write_new(partial / "other", b"other", mode=0o600)
    with pytest.raises(KeyboardInterrupt), filled_folder(tmp_path / "another"):
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.rglob("*")] == ["new", "file"]


def test_folder_that_others_may_use_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o700)
    check_private_folder(folder)
    (tmp_path / "link").symlink_to("folder")
    (tmp_path / "file").touch()
    for name in ("link", "file"):
        with pytest.raises(KeyFileError, match="expected a folder, found something else"):
            check_private_folder(tmp_path / name)
    with pytest.raises(KeyFileError, match="cannot be read"):
        check_private_folder(tmp_path / "missing")
    folder.chmod(0o750)
    with pytest.raises(ExposedKeyFile, match=r"found mode 0750. .* run: chmod 700"):
        check_private_folder(folder)


def test_checksum_is_of_label_and_content(tmp_path: Path) -> None:
    write_labelled(tmp_path / "file", LABEL, b"content", mode=0o600)
    expected = LABEL + b"content" + hashlib.sha256(LABEL + b"content").digest()
    assert (tmp_path / "file").read_bytes() == expected
