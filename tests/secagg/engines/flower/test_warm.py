"""A warm process with a function of the tests in the place of Flower's, and the command that asks it."""

import contextlib
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import pytest

if sys.platform == "win32":
    pytest.skip("a warm process needs fork", allow_module_level=True)

from secagg.engines.flower.launcher import GO, LENGTH, PROCESS
from secagg.engines.flower.unpromised import CLIENT_COMMAND
from secagg.engines.flower.warm import Request, Warm, installed, warm_folder
from secagg.errors import ConfigurationError

TOKEN: Final = "5ec4e7" * 8
NOBODY: Final = 65534
SERVER: Final = """
import json, logging, os, random, signal, sys
from pathlib import Path
import numpy as np
from secagg.engines.flower.warm import Warm, installed, serve, warm_folder
from secagg.logger import LOGGER

def run():
    told = {"arguments": sys.argv[1:], "folder": os.getcwd(), "given": os.environ.get("GIVEN"), "process": os.getpid(),
            "read": sys.stdin.read(), "drawn": [np.random.random(), random.random()]}
    print(json.dumps(told), flush=True)
    if sys.argv[1] == "exit":
        sys.exit(int(sys.argv[2]))
    if sys.argv[1] == "raise":
        raise ValueError("an app that fails")
    if sys.argv[1] == "wait":
        signal.pause()

LOGGER.addHandler(logging.StreamHandler(sys.stderr))
folder, command = sys.argv[1:]
with warm_folder(Path(folder)) as listener:
    warm = Warm(run=run, command=command, environment=dict(os.environ), versions=installed())
    print("ready", file=sys.stderr, flush=True)
    serve(listener, warm)
"""


class Serving:
    """A warm process.

    Attributes:
        folder: Its folder.
        real: The folder of the command that it stands in for, which says "real".
    """

    def __init__(self, base: Path) -> None:
        self.folder, self.real, self._log = base / "warm", base / "bin", base / "log"
        command(self.real)
        self.environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "FLWR_HOME": "/nowhere"}
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-c", SERVER, str(self.folder), str(self.real / CLIENT_COMMAND)],
                env=self.environment,
                stderr=log,
            )
        while "ready" not in self.log():
            assert self.process.poll() is None, self.log()

    def log(self) -> str:
        return self._log.read_text()

    def begin(
        self, *arguments: str, path: Path | None = None, variables: Mapping[str, str] = MappingProxyType({})
    ) -> subprocess.Popen[str]:
        """Run the command as a SuperNode does, with the folder first on the PATH."""
        found = os.pathsep.join(map(str, [self.folder, path or self.real]))
        return subprocess.Popen(
            [str(self.folder / CLIENT_COMMAND), *arguments],
            env=self.environment | {"PATH": f"{found}{os.pathsep}/usr/bin{os.pathsep}/bin"} | dict(variables),
            cwd=self.folder.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(
        self, *arguments: str, path: Path | None = None, variables: Mapping[str, str] = MappingProxyType({})
    ) -> tuple[int, str, str]:
        with self.begin(*arguments, path=path, variables=variables) as process:
            out, err = process.communicate("what it reads")
        return process.returncode, out, err

    def told(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments)[1])

    def connected(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(20.0)
        connection.connect(str(self.folder / "socket"))
        return connection


def command(folder: Path) -> None:
    folder.mkdir()
    path = folder / CLIENT_COMMAND
    path.write_text('#!/bin/sh\necho "real $*"\nexit 5\n')
    path.chmod(0o755)


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    made = Serving(tmp_path_factory.mktemp("w"))
    yield made
    made.process.terminate()
    made.process.wait()


def test_command_runs_in_a_fork_as_if_it_had_been_started(serving: Serving) -> None:
    code, out, err = serving.run("exit", "7", "--token", TOKEN, variables={"GIVEN": "a \udce9 name"})
    told = json.loads(out)
    assert (code, err) == (7, "")
    assert told["arguments"] == ["exit", "7", "--token", TOKEN]
    assert (told["folder"], told["given"]) == (str(serving.folder.parent), "a \udce9 name")
    assert told["read"] == "what it reads"
    assert told["process"] != serving.process.pid


def test_command_without_an_exit_code_has_ended_well(serving: Serving) -> None:
    assert serving.run("return")[0] == 0


def test_error_of_the_command_goes_where_the_launcher_writes(serving: Serving) -> None:
    code, _, err = serving.run("raise")
    assert code == 1
    assert "an app that fails" in err
    assert "an app that fails" not in serving.log()


def test_no_two_forks_draw_the_same(serving: Serving) -> None:
    """They all have the state of the warm process, which an app's global generators would go on from."""
    first, second = serving.told("return")["drawn"], serving.told("return")["drawn"]
    assert first[0] != second[0]
    assert first[1] != second[1]


def test_signal_to_the_launcher_ends_the_command(serving: Serving) -> None:
    with serving.begin("wait") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        running = json.loads(process.stdout.readline())["process"]
        process.terminate()
        assert process.wait() == 1
    with pytest.raises(ProcessLookupError):
        wait_for_end(running)


def test_command_that_was_killed_is_not_run_again(serving: Serving) -> None:
    with serving.begin("wait") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        os.kill(json.loads(process.stdout.readline())["process"], signal.SIGKILL)
        assert process.wait() == 1
        assert process.stdout.read() == ""


def wait_for_end(process: int) -> None:
    """Poll until a process is no more, or is only waited for by the warm process, which has then not run it."""
    while Path(f"/proc/{process}/stat").read_text().split()[2] != "Z" if Path("/proc").exists() else True:
        os.kill(process, 0)
    raise ProcessLookupError


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"FLWR_HOME": "/elsewhere"}, "other values of FLWR_HOME"),
        ({"PYTHONHASHSEED": "1", "LD_PRELOAD": ""}, "other values of LD_PRELOAD, PYTHONHASHSEED"),
    ],
)
def test_real_command_runs_where_what_is_read_at_the_start_differs(
    variables: dict[str, str], reason: str, serving: Serving
) -> None:
    assert serving.run("exit", "7", variables=variables) == (5, "real exit 7\n", "")
    assert reason in serving.log()


def test_real_command_runs_where_another_one_is_on_the_path(serving: Serving, tmp_path: Path) -> None:
    command(tmp_path / "other")
    assert serving.run("exit", "7", path=tmp_path / "other") == (5, "real exit 7\n", "")
    assert "another installation of Flower" in serving.log()


def test_launcher_says_so_where_there_is_no_real_command(serving: Serving, tmp_path: Path) -> None:
    code, _, err = serving.run("exit", "7", path=tmp_path)
    assert code == 127
    assert "found none" in err


def test_real_command_runs_where_others_may_use_the_folder(serving: Serving) -> None:
    """Somebody else's process could listen there."""
    serving.folder.chmod(0o750)
    try:
        assert serving.run("exit", "7") == (5, "real exit 7\n", "")
    finally:
        serving.folder.chmod(0o700)


def test_real_command_runs_without_a_warm_process(tmp_path: Path) -> None:
    """Before, and after one that was killed and has left its socket."""
    serving = Serving(tmp_path)
    assert serving.run("exit", "7")[0] == 7
    serving.process.kill()
    serving.process.wait()
    assert (serving.folder / "socket").is_socket()
    assert serving.run("exit", "7") == (5, "real exit 7\n", "")
    with warm_folder(serving.folder):
        pass
    assert not (serving.folder / "socket").exists()
    assert serving.run("exit", "7") == (5, "real exit 7\n", "")


def request(**fields: Any) -> bytes:
    usual = {"command": "/c", "arguments": [], "folder": "/", "environment": {}}
    return json.dumps(usual | fields).encode()


@pytest.mark.parametrize(
    ("head", "body", "files"),
    [
        (LENGTH.pack(4), b"junk", 3),
        (LENGTH.pack(2**40), b"", 3),
        (b"\0\0", b"", 3),
        (LENGTH.pack(len(request())), request(), 0),
        (LENGTH.pack(len(request())), request(), 1),
        (LENGTH.pack(len(request(more=1))), request(more=1), 3),
        (LENGTH.pack(len(request(arguments=[1]))), request(arguments=[1]), 3),
        (LENGTH.pack(100), b"too short", 3),
    ],
)
def test_what_is_no_request_is_not_answered_and_runs_nothing(
    head: bytes, body: bytes, files: int, serving: Serving
) -> None:
    with serving.connected() as connection, contextlib.suppress(ConnectionResetError, BrokenPipeError):
        if files:
            socket.send_fds(connection, [head], [0] * files)
        else:
            connection.sendall(head)
        connection.sendall(body)
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""
    assert serving.run("exit", "7")[0] == 7


def test_command_begins_only_when_the_launcher_says_so(serving: Serving) -> None:
    """A launcher that has waited too long runs the real command, so the fork must not run it too."""
    body = request(
        command=str(serving.real / CLIENT_COMMAND), arguments=["return"], environment=serving.environment, folder="/"
    )
    for word in (b"", b"?", GO):
        out, into = os.pipe()
        with serving.connected() as connection:
            socket.send_fds(connection, [LENGTH.pack(len(body))], [into, into, into])
            os.close(into)
            connection.sendall(body)
            assert struct.unpack(">Q", connection.recv(PROCESS.size))[0] > 0
            connection.sendall(word)
            connection.shutdown(socket.SHUT_WR)
            with os.fdopen(out) as told:
                assert (told.read() != "") is (word == GO)


def test_folder_and_socket_are_for_this_user_alone(serving: Serving) -> None:
    assert serving.folder.stat().st_mode & 0o777 == 0o700
    assert (serving.folder / "socket").stat().st_mode & 0o777 == 0o600
    assert (serving.folder / CLIENT_COMMAND).stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.geteuid() != 0 or not sys.platform.startswith("linux"), reason="needs to be two users")
def test_stranger_is_refused_before_a_byte_is_read(serving: Serving) -> None:
    """Even where the modes would let in another user."""
    code = "import os, socket, sys; os.setuid(65534); c = socket.socket(socket.AF_UNIX); c.connect(sys.argv[1]); "
    code += "sys.stdout.write('in '); sys.stdout.write(repr(c.recv(1)))"
    near = Path("/tmp", f"secagg-{os.getpid()}")  # tmp_path is not for other users.
    near.symlink_to(serving.folder)
    opened = [serving.folder, *[each for each in serving.folder.parents if not each.stat().st_mode & 0o001]]
    modes = [(each, each.stat().st_mode) for each in [*opened, serving.folder / "socket"]]

    def stranger() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-I", "-S", "-c", code, str(near / "socket")]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    try:
        assert "PermissionError" in stranger().stderr
        for each, mode in modes:
            each.chmod(mode | 0o077)
        assert stranger().stdout == "in b''"
    finally:
        for each, mode in modes:
            each.chmod(mode)
        near.unlink()
    assert "a connection to the warm process was refused" in serving.log()


def test_token_is_in_no_log_and_in_no_arguments_of_the_warm_process(serving: Serving) -> None:
    serving.run("exit", "7", "--token", TOKEN)
    serving.run("exit", "7", "--token", TOKEN, variables={"FLWR_HOME": "/elsewhere"})
    assert TOKEN not in serving.log()
    line = Path(f"/proc/{serving.process.pid}/cmdline")
    assert not line.exists() or TOKEN.encode() not in line.read_bytes()


def test_warm_process_notices_that_another_version_was_installed(tmp_path: Path) -> None:
    asked = Request(command=str(tmp_path / "c"), arguments=[], folder="/", environment={"LANG": "C"})
    warm = Warm(run=lambda: None, command=str(tmp_path / "c"), environment={}, versions=installed())
    assert warm.difference(asked) is None
    older = Warm(run=lambda: None, command=str(tmp_path / "c"), environment={}, versions={"flwr": "1.0"})
    assert older.difference(asked) == "another version was installed since the start"


def test_folder_of_others_or_in_use_is_refused(serving: Serving, tmp_path: Path) -> None:
    (tmp_path / "open").mkdir(mode=0o755)
    with pytest.raises(ConfigurationError, match="mode 0700"), warm_folder(tmp_path / "open"):
        pass
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(ConfigurationError, match="mode 0700"), warm_folder(tmp_path / "link"):
        pass
    with pytest.raises(ConfigurationError, match="found a process that listens there"), warm_folder(serving.folder):
        pass


def test_command_is_found_by_its_entry_point() -> None:
    pytest.importorskip("flwr")
    if shutil.which(CLIENT_COMMAND, path=str(Path(sys.executable).parent)) is None:
        pytest.skip("the command is not beside this Python")
    warm = Warm.here()
    assert Path(warm.command).name == CLIENT_COMMAND
    assert warm.versions.keys() >= {"flwr"}
