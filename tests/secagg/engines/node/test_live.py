"""The file of a node's live session: what is kept is what was written, or nothing."""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from protocols.testing import repeatable_entropy
from secagg.engines.node.live import LiveFile, LiveSession
from secagg.storage.labelled_file import ExposedKeyFile, KeyFileError

ONE: Final = LiveSession(
    step=0, request=bytes(range(32)), reply=b"reply" * 9, offer=b"an offer", snapshot=b"a sealed machine"
)
TWO: Final = LiveSession(step=2, request=bytes(32), reply=b"another reply", offer=b"an offer", snapshot=b"")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "in memory" / "fingerprint"


def live(folder: Path, seed: bytes = b"live") -> LiveFile:
    return LiveFile(folder, entropy=repeatable_entropy(seed))


def test_live_file_returns_what_was_written_last(folder: Path) -> None:
    assert live(folder).read() is None
    live(folder).write(ONE)
    assert live(folder).read() == ONE
    live(folder).write(TWO)
    assert live(folder).read() == TWO
    live(folder).forget()
    assert live(folder).read() is None
    live(folder).forget()


def test_live_file_keeps_one_key(folder: Path) -> None:
    key = live(folder).key()
    live(folder).write(ONE)
    assert live(folder, b"another draw").key() == key
    assert sorted(each.name for each in folder.iterdir()) == ["key", "session"]


def test_live_file_and_its_folder_are_for_their_owner_only(folder: Path) -> None:
    former = os.umask(0)
    try:
        live(folder).write(ONE)
    finally:
        os.umask(former)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(each.stat().st_mode) for each in folder.iterdir()} == {0o600}


def test_live_session_shows_none_of_its_bytes() -> None:
    assert repr(ONE) == "LiveSession(step=0)"


@pytest.mark.parametrize("name", ["session", "key"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:-1],
        lambda data: data + b"x",
        lambda data: bytes(len(data)),
        lambda data: data[: len(data) // 2],
        lambda data: b"\x93" * len(data),
    ],
)
def test_damaged_file_or_key_means_that_nothing_is_kept(
    folder: Path, name: str, damage: Callable[[bytes], bytes]
) -> None:
    live(folder).write(ONE)
    path = folder / name
    path.write_bytes(damage(path.read_bytes()))
    assert live(folder).read() is None
    live(folder, b"another draw").write(TWO)
    assert live(folder).read() == TWO


def test_flipped_bit_means_that_nothing_is_kept(folder: Path) -> None:
    live(folder).write(ONE)
    path = folder / "session"
    whole = path.read_bytes()
    for at in range(len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << at % 8
        path.write_bytes(damaged)
        assert live(folder).read() is None
    path.write_bytes(whole)
    assert live(folder).read() == ONE


def test_file_of_another_folder_means_that_nothing_is_kept(tmp_path: Path) -> None:
    live(tmp_path / "one", b"one").write(ONE)
    live(tmp_path / "two", b"two").write(ONE)
    (tmp_path / "one" / "session").replace(tmp_path / "two" / "session")
    assert live(tmp_path / "two").read() is None


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: path.symlink_to("nowhere")])
def test_entry_that_is_no_file_means_that_nothing_is_kept(folder: Path, make: Callable[[Path], None]) -> None:
    live(folder).key()
    make(folder / "session")
    assert live(folder).read() is None


def test_folder_that_is_lost_begins_anew(folder: Path) -> None:
    live(folder).write(ONE)
    folder.rename(folder.with_name("lost"))
    assert live(folder).read() is None
    live(folder, b"another draw").write(TWO)
    assert live(folder).read() == TWO


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="this system has no modes")
def test_folder_that_others_can_use_is_neither_read_nor_written(folder: Path) -> None:
    live(folder).write(ONE)
    folder.chmod(0o770)
    assert live(folder).read() is None
    with pytest.raises(ExposedKeyFile, match="expected a folder that only its owner may use"):
        live(folder).write(TWO)
    folder.chmod(0o700)
    assert live(folder).read() == ONE


def test_link_in_the_place_of_the_folder_is_neither_read_nor_written(folder: Path) -> None:
    live(folder).write(ONE)
    link = folder.with_name("link")
    link.symlink_to(folder, target_is_directory=True)
    assert live(link).read() is None
    with pytest.raises(KeyFileError, match="expected a folder"):
        live(link).write(TWO)
    assert live(folder).read() == ONE


def test_write_that_fails_leaves_what_was_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    live(folder).write(ONE)

    def full(source: object, target: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(OSError, match="No space left"):
            live(folder).write(TWO)
    assert live(folder).read() == ONE
    assert sorted(each.name for each in folder.iterdir()) == ["key", "session"]


def test_rest_of_a_killed_write_is_replaced(folder: Path) -> None:
    live(folder).write(ONE)
    (folder / ".session.partial").write_bytes(b"half of it")
    live(folder).write(TWO)
    assert live(folder).read() == TWO


def test_folder_that_others_can_replace_is_neither_read_nor_written(folder: Path) -> None:
    live(folder).write(ONE)
    folder.parent.chmod(0o777)
    assert live(folder).read() is None
    with pytest.raises(ExposedKeyFile, match=f"{folder.parent}: expected a folder in which other users cannot rename"):
        live(folder).write(TWO)
    folder.parent.chmod(0o1777)
    assert live(folder).read() == ONE
