import os
from pathlib import Path

import pytest

from protocols.identity import Identity
from secagg.storage.labelled_file import DamagedKeyFile, ExposedKeyFile, KeyFileError
from secagg.storage.node_keys import (
    create_coordinator,
    read_coordinator,
    read_coordinator_key,
    read_node_identity,
    write_node_identity,
)
from secagg.storage.public_line import coordinator_line


def test_coordinator_is_read_as_it_was_made(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        made = create_coordinator(tmp_path / "a" / "coordinator", entropy=lambda size: bytes(range(size)))
    finally:
        os.umask(before)
    folder = tmp_path / "a" / "coordinator"
    identity, run = read_coordinator(folder)
    assert identity.secret == made.secret
    assert run == bytes(range(16))
    assert read_coordinator_key(folder / "coordinator.pub") == made.public
    assert folder.stat().st_mode & 0o777 == 0o700
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert modes == {"identity.key": 0o600, "run.id": 0o600, "coordinator.pub": 0o644}
    assert made.secret.reveal().hex() not in (folder / "coordinator.pub").read_text()


def test_two_coordinators_have_different_runs_and_keys(tmp_path: Path) -> None:
    for name in ("one", "other"):
        create_coordinator(tmp_path / name)
    (one, run), (other, its_run) = (read_coordinator(tmp_path / name) for name in ("one", "other"))
    assert one.public != other.public
    assert run != its_run


def test_folder_that_is_not_free_is_left_as_it_is(tmp_path: Path) -> None:
    create_coordinator(tmp_path / "coordinator")
    before = {path: path.read_bytes() for path in (tmp_path / "coordinator").iterdir()}
    with pytest.raises(KeyFileError, match="expected a new or empty folder"):
        create_coordinator(tmp_path / "coordinator")
    assert {path: path.read_bytes() for path in (tmp_path / "coordinator").iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["coordinator"]


def test_failing_entropy_leaves_nothing(tmp_path: Path) -> None:
    def fail(size: int) -> bytes:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        create_coordinator(tmp_path / "coordinator", entropy=fail)
    assert not list(tmp_path.iterdir())


def test_node_and_coordinator_cannot_use_each_others_key_file(tmp_path: Path) -> None:
    create_coordinator(tmp_path / "coordinator")
    with pytest.raises(DamagedKeyFile, match=r'begins with "secagg node.s secret identity key"'):
        read_node_identity(tmp_path / "coordinator")
    (tmp_path / "node").mkdir(mode=0o700)
    identity = Identity.generate()
    write_node_identity(tmp_path / "node", identity)
    assert read_node_identity(tmp_path / "node").secret == identity.secret
    with pytest.raises(DamagedKeyFile, match=r'begins with "secagg coordinator.s secret'):
        read_coordinator(tmp_path / "node")
    with pytest.raises(FileExistsError):
        write_node_identity(tmp_path / "node", Identity.generate())


def test_exposed_key_or_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "coordinator"
    create_coordinator(folder)
    folder.chmod(0o755)
    with pytest.raises(ExposedKeyFile, match="found mode 0755"):
        read_coordinator(folder)
    folder.chmod(0o700)
    (folder / "identity.key").chmod(0o640)
    with pytest.raises(ExposedKeyFile, match=r"found mode 0640. Anyone who has read it can give orders to all nodes"):
        read_coordinator(folder)


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe", b"secagg-node-" + b"0" * 64, b"x" * 2000, b"\x00" * 100],
    ids=["empty", "no text", "a node's line", "too long", "zeros"],
)
def test_file_that_is_no_coordinators_line_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "coordinator.pub").write_bytes(content)
    with pytest.raises(DamagedKeyFile, match=r"coordinator.pub: "):
        read_coordinator_key(tmp_path / "coordinator.pub")


def test_line_that_was_typed_into_a_file_is_read(tmp_path: Path) -> None:
    key = Identity.generate().public
    (tmp_path / "coordinator.pub").write_text(coordinator_line(key))
    assert read_coordinator_key(tmp_path / "coordinator.pub") == key
