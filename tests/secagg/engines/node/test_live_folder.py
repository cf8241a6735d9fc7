import os
from pathlib import Path

import pytest

from secagg.engines.node.live_folder import LiveFolderError, filesystem_of, live_folder
from secagg.engines.node.policy import NodePolicy
from secagg.storage.labelled_file import ExposedKeyFile, KeyFileError
from tests.support.homes import policy

MOUNTS = (
    "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
    "23 22 0:20 / /run/user/1000 rw,nosuid shared:2 - tmpfs tmpfs rw,size=100k\n"
    "24 22 0:21 / /with\\040space rw - ramfs ramfs rw\n"
    "25 22 0:22 / /covered rw - tmpfs tmpfs rw\n"
    "26 22 8:2 / /covered rw - ext4 /dev/sda2 rw\n"
    "27 25 0:23 / /covered/again rw master:3 propagate_from:2 - tmpfs tmpfs rw\n"
    "damaged line\n"
    "28 22 - tmpfs\n"
)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "ext4"),
        ("/home/user", "ext4"),
        ("/run/user/1000", "tmpfs"),
        ("/run/user/1000/secagg/abc", "tmpfs"),
        ("/run/user/10000", "ext4"),
        ("/with space/secagg", "ramfs"),
        ("/covered/secagg", "ext4"),
        ("/covered/again/secagg", "tmpfs"),
        ("/run/user/1000/../1001", "ext4"),
    ],
)
def test_file_system_is_that_of_the_last_mount_above_a_path(path: str, kind: str) -> None:
    assert filesystem_of(Path(path), MOUNTS) == kind


def test_file_system_of_a_table_that_says_nothing_is_unknown() -> None:
    assert filesystem_of(Path("/anywhere"), "") is None


def mounted(folder: Path, kind: str) -> str:
    return f"1 0 8:1 / / rw - ext4 disk rw\n2 1 0:9 / {folder} rw - {kind} x rw\n"


def of(found: NodePolicy, folder: Path, kind: str = "tmpfs", *, runtime: str | None = None) -> Path:
    return live_folder(found, "abc", runtime=runtime, mounts=mounted(folder, kind))


@pytest.mark.parametrize("kind", ["tmpfs", "ramfs"])
def test_live_folder_is_the_one_of_the_policy_else_of_the_system_and_private(kind: str, tmp_path: Path) -> None:
    named = policy(live_folder=str(tmp_path / "named"))
    assert of(named, tmp_path, kind, runtime=str(tmp_path)) == tmp_path / "named" / "abc"
    found = of(policy(), tmp_path, kind, runtime=str(tmp_path))
    assert found == tmp_path / "secagg" / "abc"
    assert found.stat().st_mode & 0o777 == 0o700
    assert of(policy(), tmp_path, kind, runtime=str(tmp_path)) == found


def test_live_folder_on_a_disk_is_refused_and_not_made(tmp_path: Path) -> None:
    for kind in ("ext4", "xfs", "nfs", "overlay"):
        with pytest.raises(LiveFolderError, match=f"found one on {kind}, {tmp_path}/secagg/abc"):
            of(policy(), tmp_path, kind, runtime=str(tmp_path))
        with pytest.raises(LiveFolderError, match=f"found one on {kind}"):
            of(policy(live_folder=str(tmp_path)), tmp_path, kind)
    for mounts in (None, ""):
        with pytest.raises(LiveFolderError, match="not known"):
            live_folder(policy(), "abc", runtime=str(tmp_path), mounts=mounts)
    assert not list(tmp_path.iterdir())


def test_link_to_a_disk_is_refused(tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir()
    (tmp_path / "disk").mkdir()
    (tmp_path / "memory" / "secagg").symlink_to(tmp_path / "disk")
    with pytest.raises(LiveFolderError, match="found one on ext4"):
        of(policy(), tmp_path / "memory", runtime=str(tmp_path / "memory"))


def test_folder_that_the_policy_names_as_encrypted_is_accepted_on_a_disk(tmp_path: Path) -> None:
    found = policy(encrypted_live_folder=str(tmp_path))
    assert of(found, tmp_path, "ext4", runtime="/run/user/0") == tmp_path / "abc"


@pytest.mark.parametrize("runtime", [None, "", "relative"])
def test_missing_folder_in_memory_is_refused(runtime: str | None, tmp_path: Path) -> None:
    with pytest.raises(LiveFolderError, match=r"XDG_RUNTIME_DIR is not set. Name one in policy.toml"):
        of(policy(), tmp_path, runtime=runtime)


def test_live_folder_of_others_is_refused(tmp_path: Path) -> None:
    found = of(policy(), tmp_path, runtime=str(tmp_path))
    found.chmod(0o755)
    with pytest.raises(ExposedKeyFile, match="found mode 0755"):
        of(policy(), tmp_path, runtime=str(tmp_path))
    found.rmdir()
    found.symlink_to(tmp_path)
    with pytest.raises(KeyFileError, match="expected a folder, found something else"):
        of(policy(), tmp_path, runtime=str(tmp_path))


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o702])
def test_live_folder_that_others_may_replace_is_refused(mode: int, tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    base.chmod(mode)
    for named in (base, base / "own"):
        with pytest.raises(ExposedKeyFile, match=f"{base}: expected .*, found mode {mode:04o}"):
            of(policy(live_folder=str(named)), tmp_path)
    base.chmod(mode | 0o1000)
    assert of(policy(live_folder=str(base)), tmp_path) == base / "abc"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a second user")
def test_live_folder_below_a_folder_or_a_link_of_another_user_is_refused(tmp_path: Path) -> None:
    base, link = tmp_path / "base", tmp_path / "link"
    base.mkdir(mode=0o755)
    link.symlink_to(base)
    assert of(policy(live_folder=str(link)), tmp_path) == link / "abc"
    os.chown(link, 12345, -1, follow_symlinks=False)
    with pytest.raises(ExposedKeyFile, match=f"{link}: expected a folder of the current user or of root"):
        of(policy(live_folder=str(link)), tmp_path)
    os.chown(link, 0, -1, follow_symlinks=False)
    os.chown(base, 12345, -1)
    for named in (base, link):
        with pytest.raises(ExposedKeyFile, match=f"{base}: expected a folder of the current user or of root"):
            of(policy(live_folder=str(named)), tmp_path)


def test_live_folder_and_its_parents_are_made_for_their_owner_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        found = of(policy(live_folder=str(tmp_path / "a" / "b")), tmp_path)
    finally:
        os.umask(before)
    assert {each.stat().st_mode & 0o777 for each in (found, found.parent, found.parent.parent)} == {0o700}
