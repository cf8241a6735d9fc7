"""A resident station behind a Unix socket: what is passed on, and whom it turns away."""

import logging
import os
import resource
import socket
import stat
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from secagg.engines.node.resident import (
    HELLO,
    ResidentStation,
    StationUnavailable,
    ask,
    listening,
)
from secagg.errors import ConfigurationError
from secagg.logger import LOGGER

LIMIT = 2**20


@contextmanager
def resident(path: Path, answer: Callable[[bytes], bytes], *, limit: int = LIMIT) -> Iterator[None]:
    """Run a resident station at a path."""
    with listening(path) as listener:
        thread = threading.Thread(target=ResidentStation(answer, limit=limit).serve, args=(listener,))
        thread.start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def echo(parcel: bytes) -> bytes:
    return HELLO if parcel == HELLO else b"reply to " + parcel


@pytest.mark.parametrize("parcel", [b"p", bytes(LIMIT)], ids=["short", "longest"])
def test_resident_passes_bytes_on(tmp_path: Path, parcel: bytes) -> None:
    with resident(tmp_path / "s", echo):
        assert ask(tmp_path / "s", parcel, timeout_s=30) == b"reply to " + parcel
        assert ask(tmp_path / "s", HELLO, timeout_s=30) == HELLO


def test_resident_socket_is_for_its_owner_and_removed_afterwards(tmp_path: Path) -> None:
    with resident(tmp_path / "s", echo):
        assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o600
    assert not (tmp_path / "s").exists()


def test_resident_reads_nothing_of_a_parcel_that_is_too_long(tmp_path: Path) -> None:
    asked: list[bytes] = []

    def answer(parcel: bytes) -> bytes:
        asked.append(parcel)
        return b""

    with resident(tmp_path / "s", answer):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(30)
            connection.connect(str(tmp_path / "s"))
            connection.sendall(struct.pack(">Q", LIMIT + 1))
            assert connection.recv(1) == b""
        with pytest.raises(StationUnavailable, match="expected a reply"):
            ask(tmp_path / "s", bytes(LIMIT + 1), timeout_s=30)
    assert asked == []


def test_resident_takes_no_memory_for_a_parcel_that_is_only_announced(tmp_path: Path) -> None:
    """Who may connect announces 32 TiB, and sends nothing of it. The station must go on without an error."""
    with resident(tmp_path / "s", echo, limit=2**50):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(tmp_path / "s"))
            connection.sendall(struct.pack(">Q", 2**45))
        assert ask(tmp_path / "s", b"p", timeout_s=30) == b"reply to p"


def test_resident_goes_on_after_connections_that_end_early(tmp_path: Path) -> None:
    with resident(tmp_path / "s", echo):
        for sent in (b"", b"\0\0", struct.pack(">Q", 10) + b"half"):
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(str(tmp_path / "s"))
                connection.sendall(sent)
        assert ask(tmp_path / "s", b"p", timeout_s=30) == b"reply to p"


def test_resident_turns_connections_away_while_four_are_open(tmp_path: Path) -> None:
    """A station that trains answers the next parcel at once, and is not kept from it by those that say nothing."""
    begun, going_on = threading.Semaphore(0), threading.Event()

    def answer(parcel: bytes) -> bytes:
        begun.release()
        assert going_on.wait(30)
        return parcel

    replies: list[bytes] = []
    with resident(tmp_path / "s", answer):
        asking = [
            threading.Thread(target=lambda: replies.append(ask(tmp_path / "s", b"p", timeout_s=30))) for _ in range(4)
        ]
        for thread in asking:
            thread.start()
        for _ in asking:
            assert begun.acquire(timeout=30)
        with pytest.raises(StationUnavailable):
            ask(tmp_path / "s", b"fifth", timeout_s=30)
        going_on.set()
        for thread in asking:
            thread.join()
        assert replies == [b"p"] * 4


@pytest.mark.skipif(not hasattr(socket, "SO_PEERCRED") or os.geteuid() != 0, reason="needs a second user")
def test_resident_turns_another_user_away_whatever_the_mode(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with listening(path) as listener:
        os.chown(path, 12345, -1)
        thread = threading.Thread(target=ResidentStation(echo, limit=LIMIT).serve, args=(listener,))
        thread.start()
        try:
            with pytest.raises(StationUnavailable):
                ask(path, b"p", timeout_s=30)
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_resident_goes_on_after_its_socket_was_moved(tmp_path: Path) -> None:
    with resident(tmp_path / "s", echo):
        assert ask(tmp_path / "s", b"p", timeout_s=30) == b"reply to p"
        (tmp_path / "s").rename(tmp_path / "moved")
        for _ in range(2):
            assert ask(tmp_path / "moved", b"p", timeout_s=30) == b"reply to p"


class Noted(logging.Handler):
    """What is logged, and an event that is set then."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []
        self.logged = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())
        self.logged.set()


@pytest.fixture
def noted() -> Iterator[Noted]:
    handler = Noted()
    LOGGER.addHandler(handler)
    yield handler
    LOGGER.removeHandler(handler)


def test_resident_goes_on_when_there_was_no_file_for_a_connection(tmp_path: Path, noted: Noted) -> None:
    path = tmp_path / "s"
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with resident(path, echo), socket.socket(socket.AF_UNIX) as client:
        with socket.socket(socket.AF_UNIX) as first:
            first.connect(str(path))
            first.sendall(struct.pack(">Q", 1) + b"p")
            while first.recv(100):  # Until the station has closed its file of this connection, too.
                pass
        free = os.dup(0)
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
        try:
            client.connect(str(path))
            assert noted.logged.wait(30)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert ask(path, b"p", timeout_s=30) == b"reply to p"
    assert noted.messages[0].endswith("could not be answered: OSError")


def test_resident_goes_on_when_there_was_no_thread_for_a_connection(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with resident(path, echo):
        before = threading.stack_size(2**50)  # There is no memory for it.
        try:
            for _ in range(5):  # One more than may be open at once.
                with pytest.raises(StationUnavailable):
                    ask(path, b"p", timeout_s=30)
        finally:
            threading.stack_size(before)
        assert ask(path, b"p", timeout_s=30) == b"reply to p"


def test_listening_replaces_the_socket_of_a_station_that_was_killed(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "s"))
    with resident(tmp_path / "s", echo):
        assert ask(tmp_path / "s", b"p", timeout_s=30) == b"reply to p"


def test_listening_refuses_a_path_in_use(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConfigurationError, match="found a file"), listening(tmp_path / "file"):
        pass
    assert (tmp_path / "file").read_text() == "mine"
    with (
        resident(tmp_path / "s", echo),
        pytest.raises(ConfigurationError, match="found a process"),
        listening(tmp_path / "s"),
    ):
        pass


def test_listening_where_no_socket_can_be_made_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "none" / "socket"
    with pytest.raises(ConfigurationError, match="found: No such file or directory"), listening(path):
        pass


def test_listening_without_a_path_needs_a_socket_of_systemd() -> None:
    with pytest.raises(ConfigurationError, match="expected a path, or one socket from systemd"), listening(None):
        pass


def test_listening_takes_the_socket_that_systemd_has_passed_on(tmp_path: Path) -> None:
    """As systemd does it: the socket is file 3 of the process that is named in LISTEN_PID."""
    code = (
        "import os, sys\n"
        "os.dup2(int(sys.argv[1]), 3)\n"
        "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1')\n"
        "from secagg.engines.node.resident import ResidentStation, listening\n"
        "with listening(None) as listener:\n"
        "    ResidentStation(lambda parcel: parcel[::-1], limit=100).serve(listener)\n"
    )
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        number = listener.fileno()
        process = subprocess.Popen([sys.executable, "-P", "-c", code, str(number)], pass_fds=[number])
        try:
            assert ask(tmp_path / "s", b"abc", timeout_s=60) == b"cba"
        finally:
            process.kill()
            process.wait()


def test_ask_says_that_there_is_no_station(tmp_path: Path) -> None:
    with pytest.raises(StationUnavailable, match="FileNotFoundError"):
        ask(tmp_path / "none", b"p", timeout_s=1)
