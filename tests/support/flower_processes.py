"""Real processes of Flower on this machine: a SuperLink, SuperNodes, and runs of an app.

Each federation has ports, a home of Flower and log files of its own. From flwr 1.40 on, a process talks HTTP on one
port. Up to 1.34 a SuperLink has three addresses for gRPC. The versions between mix both, and are not supported here.
"""

import importlib.metadata
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.support.commands import COMMAND
from tests.support.owned_processes import OwnedProcesses, free_ports

COMMANDS: Final = Path(sys.executable).parent
VERSION: Final = tuple(map(int, importlib.metadata.version("flwr").split(".")[:2]))
SUPPORTED: Final = VERSION >= (1, 40) or VERSION <= (1, 34)
_ONE_PORT: Final = VERSION >= (1, 40)
_NO_INSTALLATION: Final = ("--disable-runtime-dependency-installation",) if VERSION >= (1, 32) else ()
SETTINGS: Final = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.25",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """The certificates of a SuperLink, and the keys with which its SuperNodes register.

    Attributes:
        tls: A folder with ca.crt, link.crt and link.key.
        keys: A folder with 0.key, 0.pub and so on.
    """

    tls: Path
    keys: Path


class FlowerProcesses:
    """A SuperLink and its SuperNodes, as long as the `with` block lasts.

    Args:
        folder: An empty folder for logs and Flower's own files.
        node_configs: For each SuperNode, what `--node-config` says.
        environment: Variables of the processes, besides those of this one.
        security: TLS and the authentication of nodes; None for neither.
        database: Whether the SuperLink keeps its state in a file.
        warm: Whether client processes are forks of `secagg engine warm`.
    """

    def __init__(
        self,
        folder: Path,
        node_configs: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        security: Security | None = None,
        database: bool = False,
        warm: bool = False,
    ) -> None:
        self._folder, self._configs = folder, node_configs
        self._security, self._database, self._warm = security, database, warm
        self._environment = {
            **os.environ,
            **SETTINGS,
            "PATH": f"{COMMANDS}{os.pathsep}{os.environ['PATH']}",
            "FLWR_HOME": str(folder / "flwr"),
            **(environment or {}),
        }
        self._processes = OwnedProcesses(folder, self._environment)
        self._link, self._fleet, self._apps, *self._ports = free_ports(3 + len(node_configs))
        self._warm_process: subprocess.Popen[bytes] | None = None
        self._link_process: subprocess.Popen[bytes] | None = None
        self._nodes: dict[int, subprocess.Popen[bytes]] = {}
        self._supervised: set[int] = set()

    def __enter__(self) -> Self:
        (self._folder / "flwr").mkdir(parents=True)
        security = "insecure = true"
        if self._security is not None:
            security = f'root-certificates = "{self._security.tls / "ca.crt"}"'
        (self._folder / "flwr" / "config.toml").write_text(
            f'[superlink]\ndefault = "tests"\n\n[superlink.tests]\naddress = "127.0.0.1:{self._link}"\n{security}\n'
        )
        try:
            if self._warm:
                self.start_warm()
            self.start_link()
            for number in range(len(self._configs)):
                if self._security is not None:
                    self._flwr("supernode", "register", str(self._security.keys / f"{number}.pub"), "tests")
                self.start_node(number)
        except BaseException:
            self._processes.end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._processes.end()

    @property
    def _warm_folder(self) -> Path:
        return self._folder / "warm"

    def start_warm(self) -> None:
        """Start `secagg engine warm`, and wait until it listens."""
        command = [*COMMAND, "engine", "warm", str(self._warm_folder)]
        self._warm_process = self._processes.start("warm", command)
        self._processes.wait_for((self._warm_folder / "socket").exists, timeout_s=120.0)

    def stop_warm(self) -> None:
        """Stop it: client processes are those of Flower from now on."""
        assert self._warm_process is not None
        self._processes.stop(self._warm_process)

    def start_link(self) -> None:
        """Start the SuperLink, and wait until it listens."""
        where = ["--insecure"]
        if self._security is not None:
            tls = self._security.tls
            where = ["--ssl-ca-certfile", str(tls / "ca.crt"), "--ssl-certfile", str(tls / "link.crt")]
            where += ["--ssl-keyfile", str(tls / "link.key"), "--enable-supernode-auth"]
        if self._database:
            where += ["--database", str(self._folder / "link.db")]
        self._link_process = self._start("link", "flower-superlink", *where, *self._link_addresses(), *_NO_INSTALLATION)
        ports = [self._link] if _ONE_PORT else [self._link, self._fleet, self._apps]
        self._processes.wait_for(lambda: all(_listens(port) for port in ports), timeout_s=120.0)

    def start_node(self, number: int) -> None:
        """Start a SuperNode."""
        link, own = self._link if _ONE_PORT else self._fleet, self._ports[number]
        where = ["--superlink", f"127.0.0.1:{link}", "--node-config", self._configs[number]]
        if self._security is None:
            where.append("--insecure")
        else:
            where += ["--root-certificates", str(self._security.tls / "ca.crt")]
            where += ["--auth-supernode-private-key", str(self._security.keys / f"{number}.key")]
        if _ONE_PORT:
            where += ["--host", "127.0.0.1", "--port", str(own)]
        else:
            where += ["--clientappio-api-address", f"127.0.0.1:{own}"]
        self._nodes[number] = self._start(f"node-{number}", "flower-supernode", *where)

    def kill_link(self) -> None:
        """Kill the SuperLink by SIGKILL; those that it has started end, too."""
        assert self._link_process is not None
        self._processes.kill(self._link_process)

    def kill_node(self, number: int) -> None:
        """Kill a SuperNode by SIGKILL; those that it has started end, too. A supervisor would start it again."""
        self._supervised.discard(number)
        self._processes.kill(self._nodes.pop(number))

    def supervise(self, number: int) -> None:
        """Start a SuperNode, and start it again whenever it has ended, as long as `wait_for` waits."""
        self._supervised.add(number)

    def run(self, app: Path, config: str, *, result: Path, timeout_s: float) -> str:
        """Run an app until it has written its result, and return that.

        Raises:
            AssertionError: As from `start_run` and `wait_for`.
        """
        self.start_run(app, config, timeout_s=timeout_s)
        self.wait_for(result, timeout_s=timeout_s)
        return result.read_text()

    def start_run(self, app: Path, config: str, *, timeout_s: float) -> None:
        """Start a run of an app.

        Raises:
            AssertionError: It could not be started in time.
        """
        self._flwr("run", str(app), "tests", "--run-config", config, timeout_s=timeout_s)

    def wait_for(self, file: Path, *, timeout_s: float) -> None:
        """Wait until a process has written a file.

        Raises:
            AssertionError: There is none in time, or a process has ended; with the ends of the logs.
        """

        def done() -> bool:
            for number in self._supervised:
                if number not in self._nodes or self._processes.collect(self._nodes[number]):
                    self.start_node(number)
            return file.exists()

        self._processes.wait_for(done, timeout_s=timeout_s)

    def logs(self) -> str:
        """Return the ends of all logs."""
        return self._processes.logs()

    def _flwr(self, *arguments: str, timeout_s: float = 120.0) -> None:
        """Run the command `flwr`, again until it succeeds."""
        until = time.monotonic() + timeout_s
        while True:
            command = [str(COMMANDS / "flwr"), *arguments]
            done = subprocess.run(
                command, env=self._environment, capture_output=True, text=True, timeout=timeout_s, check=False
            )
            if done.returncode == 0:
                return
            assert time.monotonic() < until, done.stdout + done.stderr + self.logs()

    def _link_addresses(self) -> list[str]:
        if _ONE_PORT:
            return ["--host", "127.0.0.1", "--port", str(self._link)]
        ports = {"control": self._link, "fleet": self._fleet, "serverappio": self._apps}
        return [part for name, port in ports.items() for part in (f"--{name}-api-address", f"127.0.0.1:{port}")]

    def _start(self, name: str, command: str, *arguments: str) -> subprocess.Popen[bytes]:
        path = self._environment["PATH"]
        if self._warm:
            path = f"{self._warm_folder}{os.pathsep}{path}"
        return self._processes.start(name, [COMMANDS / command, *arguments], PATH=path)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0
