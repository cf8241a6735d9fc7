"""A Python process that has imported what commands use, and is forked for each program that a test runs.

A new interpreter needs up to two seconds for the same imports. The fork is a process of its own all the same: it has
its own working directory, environment, files and signals, and it ends as any interpreter does. TensorFlow is not
imported, since its threads would not survive a fork; a program that needs TensorFlow imports it.

Requests and answers are lines of JSON on the socket whose number is the argument. An answer is the number of the
process, when it has begun, and its exit code, when it has ended.
"""

import importlib
import json
import os
import socket
import sys
from typing import IO, Any, Final

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


def next_program(channel: socket.socket) -> dict[str, Any] | None:
    """Return a program in the process that has to run it; in the server itself, None when no more will come."""
    with channel, channel.makefile("rw") as lines:
        for line in lines:
            number = os.fork()
            if number == 0:
                return json.loads(line)  # type: ignore[no-any-return]
            answer(lines, number)
            answer(lines, os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]))
    return None


def answer(lines: IO[str], number: int) -> None:
    """Send a number."""
    lines.write(f"{number}\n")
    lines.flush()


def become(program: dict[str, Any]) -> None:
    """Give this process the files, the environment, the folder and the arguments of a program."""
    for path, standard in zip((os.devnull, program["stdout"], program["stderr"]), (0, 1, 2), strict=True):
        opened = os.open(path, os.O_RDWR)
        os.dup2(opened, standard)
        os.close(opened)
    os.environ.clear()
    os.environ.update(program["environment"])
    os.chdir(program["folder"])
    sys.argv = ["-c", *program["arguments"]]


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
