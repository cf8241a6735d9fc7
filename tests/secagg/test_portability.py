"""What the packages need of the operating system: as on Windows, without what only POSIX has.

The names are taken away in a process of its own; `make lint` has mypy look for such names too, with the platform win32.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from secagg.errors import CheckpointError
from secagg.storage.folder_lock import FolderLock
from tests.support.commands import SMALL
from tests.support.forked import TIMEOUT_S

ROOT = Path(__file__).parents[2]
WITHOUT_POSIX = """
import os, shutil, signal, sys
shutil._use_fd_functions = False  # As Python itself has it on Windows.
for module in ("fcntl", "resource", "pwd", "grp", "termios"):
    sys.modules[module] = None
for name in ("geteuid", "getuid", "getegid", "fork", "register_at_fork", "fchmod", "sched_getaffinity", "setsid",
             "O_CLOEXEC", "O_DIRECTORY", "O_NOFOLLOW", "O_NONBLOCK"):
    delattr(os, name)
for name in ("SIGHUP", "SIGALRM", "SIGUSR1", "setitimer"):
    delattr(signal, name)
"""


def run(program: str, *, cwd: Path, encoding: str = "utf-8") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-c", program],
        cwd=cwd,
        capture_output=True,
        text=True,
        encoding=encoding,
        timeout=TIMEOUT_S,
        check=False,
        env=os.environ
        | {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb", "PYTHONIOENCODING": encoding, "PYTHONPATH": str(ROOT)},
    )


def test_commands_need_nothing_that_only_posix_has(tmp_path: Path) -> None:
    train = ("train", *SMALL, "--rounds", "1", "--epsilon", "60", "--no-compare", "--out", "run")
    commands = (train, ("train", "--out", "run", "--resume"), ("budget", "report", "run"), ("protocols",))
    program = f"""{WITHOUT_POSIX}
from secagg.cli import main
for arguments in {commands}:
    sys.argv[1:] = arguments
    try:
        main()
    except SystemExit as ended:
        print("ended with", ended.code)
"""
    # The encoding of a pipe on Windows in western Europe.
    found = run(program, cwd=tmp_path, encoding="cp1252")
    assert found.stdout.count("ended with 0") == len(commands), found.stderr
    assert "Traceback" not in found.stderr
    assert (tmp_path / "run" / "report.html").is_file()


def test_key_files_without_modes_are_written_read_and_warned_of(tmp_path: Path) -> None:
    program = f"""{WITHOUT_POSIX}
from pathlib import Path
from secagg.commands.keys import account
from secagg.storage.key_files import member_name, read_committee_key, read_key_share, write_committee
from tests.support.committee_keys import key_shares, threshold_key

key, shares = threshold_key(), key_shares()
folder = Path("keys")
write_committee(folder, key, shares)
(folder / member_name(1)).chmod(0o644)
found = read_committee_key(folder / "committee.pub")
assert found == key
assert read_key_share(folder / member_name(1), found).index == 1
print(*account(folder, key), sep="\\n")
"""
    found = run(program, cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert "secagg neither restricts nor checks who may read these files" in found.stdout


@pytest.mark.parametrize("program", ["", WITHOUT_POSIX], ids=["as it is", "without POSIX"])
def test_folder_lock_keeps_other_processes_out_until_its_holder_is_killed(program: str, tmp_path: Path) -> None:
    holding = f"{program}import sys; from pathlib import Path; from secagg.storage.folder_lock import FolderLock\n"
    with subprocess.Popen(
        [
            sys.executable,
            "-P",
            "-c",
            f"{holding}with FolderLock(Path('run'), 'run'): print('held', flush=True), input()",
        ],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(CheckpointError, match="found another run in it"), FolderLock(tmp_path / "run", "run"):
            pass
        holder.kill()
        holder.wait()
        with FolderLock(tmp_path / "run", "run"):
            pass
    assert [entry.name for entry in (tmp_path / "run").iterdir()] == ["run.lock"]
    assert (tmp_path / "run" / "run.lock").read_bytes() == b""


def test_folder_lock_outlives_the_fork_of_its_holder(tmp_path: Path) -> None:
    other = (
        "from pathlib import Path; from secagg.storage.folder_lock import FolderLock\n"
        "with FolderLock(Path.cwd(), 'run'): pass"
    )
    with FolderLock(tmp_path, "run"):
        child = os.fork()
        if not child:
            os._exit(0)
        os.waitpid(child, 0)
        found = run(other, cwd=tmp_path)
        assert "found another run in it" in found.stderr
    assert run(other, cwd=tmp_path).returncode == 0


def test_folder_lock_touches_no_file_that_is_not_its_own(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_bytes(b"three years")
    lock = tmp_path / "run" / "run.lock"
    lock.parent.mkdir()
    for make in (lambda: lock.symlink_to(mine), lambda: lock.write_bytes(b"x"), lambda: os.mkfifo(lock), lock.mkdir):
        make()
        with (
            pytest.raises(CheckpointError, match=r"expected the empty lock file of a run"),
            FolderLock(lock.parent, "run"),
        ):
            pass
        lock.rmdir() if lock.is_dir() else lock.unlink()
    assert mine.read_bytes() == b"three years"
