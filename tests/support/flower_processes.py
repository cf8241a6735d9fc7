"""Real processes of Flower on this machine: a SuperLink and SuperNodes without TLS, and runs of an app.

Each federation has ports, a home of Flower and log files of its own, and ends exactly the processes that it started.
From flwr 1.40 on, a process talks HTTP on one port. Up to 1.34 a SuperLink has three addresses for gRPC. The versions
between mix both, and are not supported here.
"""

import importlib.metadata
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

COMMANDS: Final = Path(sys.executable).parent
VERSION: Final = tuple(map(int, importlib.metadata.version("flwr").split(".")[:2]))
SUPPORTED: Final = VERSION >= (1, 40) or VERSION <= (1, 34)
_NO_INSTALLATION: Final = ("--disable-runtime-dependency-installation",) if VERSION >= (1, 32) else ()
SETTINGS: Final = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.1",
}
_END_S: Final = 15.0


def free_ports(count: int) -> list[int]:
    """Return ports on which nothing listens now."""
    with ExitStack() as opened:
        sockets = [opened.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]


class FlowerProcesses:
    """A SuperLink and its SuperNodes, as long as the `with` block lasts.

    Args:
        folder: An empty folder for logs and Flower's own files.
        node_configs: For each SuperNode, what `--node-config` says.
        environment: Variables of the processes, besides those of this one.
    """

    def __init__(
        self, folder: Path, node_configs: Sequence[str], *, environment: Mapping[str, str] | None = None
    ) -> None:
        self._folder, self._configs = folder, node_configs
        self._running: list[subprocess.Popen[bytes]] = []
        path = f"{COMMANDS}{os.pathsep}{os.environ['PATH']}"
        self._environment = {**os.environ, **SETTINGS, "PATH": path, "FLWR_HOME": str(folder / "flwr")} | dict(
            environment or {}
        )
        self._link, self._fleet, self._apps, *self._ports = free_ports(3 + len(node_configs))

    def __enter__(self) -> Self:
        (self._folder / "flwr").mkdir(parents=True)
        (self._folder / "flwr" / "config.toml").write_text(
            '[superlink]\ndefault = "tests"\n\n[superlink.tests]\n'
            f'address = "127.0.0.1:{self._link}"\ninsecure = true\n'
        )
        try:
            self._start("link", "flower-superlink", "--insecure", *self._link_addresses(), *_NO_INSTALLATION)
            for number in range(len(self._configs)):
                self.start_node(number)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end()

    def start_node(self, number: int) -> subprocess.Popen[bytes]:
        """Start a SuperNode."""
        link, own = self._link if VERSION >= (1, 40) else self._fleet, self._ports[number]
        where = ["--insecure", "--superlink", f"127.0.0.1:{link}", "--node-config", self._configs[number]]
        if VERSION >= (1, 40):
            where += ["--host", "127.0.0.1", "--port", str(own)]
        else:
            where += ["--clientappio-api-address", f"127.0.0.1:{own}"]
        return self._start(f"node-{number}", "flower-supernode", *where)

    def run(self, app: Path, config: str, *, result: Path, timeout_s: float) -> str:
        """Run an app until it has written its result, and return that.

        Raises:
            AssertionError: As from `start_run` and `wait_for`.
        """
        self.start_run(app, config, timeout_s=timeout_s)
        self.wait_for(result, timeout_s=timeout_s)
        return result.read_text()

    def start_run(self, app: Path, config: str, *, timeout_s: float) -> None:
        """Start a run of an app, as soon as the SuperLink listens.

        Raises:
            AssertionError: It could not be started in time.
        """
        command = [str(COMMANDS / "flwr"), "run", str(app), "tests", "--run-config", config]
        until = time.monotonic() + timeout_s
        while True:
            done = subprocess.run(
                command, env=self._environment, capture_output=True, text=True, timeout=timeout_s, check=False
            )
            if done.returncode == 0:
                return
            assert time.monotonic() < until, done.stdout + done.stderr

    def wait_for(self, file: Path, *, timeout_s: float) -> None:
        """Wait until a process has written a file.

        Raises:
            AssertionError: There is none in time, or a process has ended; with the ends of the logs.
        """
        until = time.monotonic() + timeout_s
        while not file.exists():
            assert time.monotonic() < until, self.logs()
            assert all(process.poll() is None for process in self._running), self.logs()
            time.sleep(0.1)

    def logs(self) -> str:
        """Return the ends of all logs."""
        return "\n".join(
            f"{path.name}:\n{path.read_text(errors='replace')[-3000:]}" for path in sorted(self._folder.glob("*.log"))
        )

    def _link_addresses(self) -> list[str]:
        if VERSION >= (1, 40):
            return ["--host", "127.0.0.1", "--port", str(self._link)]
        ports = {"control": self._link, "fleet": self._fleet, "serverappio": self._apps}
        return [part for name, port in ports.items() for part in (f"--{name}-api-address", f"127.0.0.1:{port}")]

    def _start(self, name: str, command: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (self._folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [str(COMMANDS / command), *arguments],
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._running.append(process)
        return process

    def _end(self) -> None:
        """End the processes that were started, each with those that it has started itself."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            for process in reversed(self._running):
                try:
                    os.killpg(process.pid, number)
                except ProcessLookupError:
                    continue
            until = time.monotonic() + _END_S
            for process in self._running:
                try:
                    process.wait(max(0.0, until - time.monotonic()))
                except subprocess.TimeoutExpired:
                    continue
