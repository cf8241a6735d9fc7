"""A Python process that has imported what commands use, and is forked for each program that a test runs.

A new interpreter needs up to two seconds for the same imports. The fork is a process of its own all the same: it has
its own working directory, environment, files and signals, and it ends as any interpreter does. TensorFlow is not
imported, since its threads would not survive a fork; a program that needs TensorFlow imports it.

Requests come on the socket whose number is the argument: the length of a program in JSON, with a socket for the
answers, and then the program. The answers are lines: the number of the process, when it has begun, and its exit code,
when it has ended.
"""

import importlib
import json
import os
import signal
import socket
import sys
from collections.abc import Mapping
from typing import Any, Final

IMPORTED: Final = (
    "dp_accounting.pld",
    "matplotlib.backends.backend_svg",
    "matplotlib.figure",
    "secagg.audit",
    "secagg.cli",
    "secagg.commands.audit",
    "secagg.commands.budget",
    "secagg.commands.budget_plan",
    "secagg.commands.cost",
    "secagg.commands.protocols",
    "secagg.commands.train",
    "secagg.reports.report",
    "sklearn.datasets",
)


LENGTH_BYTES: Final = 16
"""Number of decimal digits of the length of a request."""


def next_program(requests: socket.socket) -> dict[str, Any] | None:
    """Return a program in the process that has to run it; in the server itself, None when no more will come.

    Each request comes with a socket of its own for the answers, so that programs can run at the same time. A process
    beside the program waits for its end and answers.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # The processes that wait are removed when they end.
    while True:
        length, sockets, _, _ = socket.recv_fds(requests, LENGTH_BYTES, 1)
        if not length:
            return None
        request = b""
        while len(request) < int(length):
            request += requests.recv(int(length) - len(request))
        if os.fork() == 0:
            requests.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            if wait_beside(socket.socket(fileno=sockets[0])):
                os._exit(0)
            return json.loads(request)  # type: ignore[no-any-return]
        os.close(sockets[0])


def wait_beside(answers: socket.socket) -> bool:
    """Fork; return False in the new process, and True in this one when the new one has ended."""
    number = os.fork()
    with answers:
        if number == 0:
            return False
        answer(answers, number)
        answer(answers, os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]))
        return True


def answer(answers: socket.socket, number: int) -> None:
    """Send a number."""
    answers.sendall(f"{number}\n".encode())


def become(program: dict[str, Any]) -> None:
    """Give this process the files, the environment, the folder and the arguments of a program."""
    for path, standard in zip((os.devnull, program["stdout"], program["stderr"]), (0, 1, 2), strict=True):
        opened = os.open(path, os.O_RDWR)
        os.dup2(opened, standard)
        os.close(opened)
    inherited = search_path(os.environ)
    os.environ.clear()
    os.environ.update(program["environment"])
    sys.path[:] = [*search_path(os.environ), *(path for path in sys.path if path not in inherited)]
    importlib.invalidate_caches()
    os.chdir(program["folder"])
    sys.argv = ["-c", *program["arguments"]]


def search_path(environment: Mapping[str, str]) -> list[str]:
    """Return the folders that an environment puts first on the path of modules."""
    return [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]


def main() -> None:
    """Import, wait, and run one program in each fork."""
    for name in IMPORTED:
        importlib.import_module(name)
    if "tensorflow" in sys.modules:
        raise RuntimeError("modules that are imported before the fork: expected no TensorFlow, found it")
    program = next_program(socket.socket(fileno=int(sys.argv[1])))
    if program is not None:
        become(program)
        exec(compile(program["code"], "<string>", "exec"), {"__name__": "__main__"})


if __name__ == "__main__":
    main()
