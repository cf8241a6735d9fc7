"""How much memory a party of SecAgg+ takes: its peak in a process of its own, all other parties in another.

The two processes plan the same session from a seed and talk through a pipe, one message at a time.  What is reported
is the process's peak resident set less what was resident before the party's machine was made, in vectors: `length`
words of 4 bytes.  A message on its way in counts, and so does the sum at the end; a client's own input does not, which
its caller holds anyway.  Linux only.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import IO, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from benchmarks.masking.cohort import MODULUS, Plan, plan
from protocols import Continue, Finish, SecAggPlus, Server
from protocols.cohort import Adversary

WORD_BYTES: Final = 4
ADVERSARIAL: Final = 0.05
DROPOUT: Final = 0.1

_HEADER_BYTES: Final = 8


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """What the measured process is told.

    Attributes:
        party: `"server"`, or `"client"` for the first client.
        seed: Of the plan.
        clients: How many.
        length: Entries of a vector.
        adversary: The kind of server that the session protects from.
    """

    party: str
    seed: bytes
    clients: int
    length: int
    adversary: Adversary

    def plan(self) -> Plan:
        """The session, the same in both processes."""
        protocol, threshold = SecAggPlus.suggest(
            clients=self.clients, adversarial=ADVERSARIAL, dropout=DROPOUT, adversary=self.adversary
        )
        return plan(protocol, clients=self.clients, threshold=threshold, length=self.length, seed=self.seed)

    def vector(self) -> NDArray[np.uint32]:
        """What every client contributes."""
        return np.arange(self.length, dtype=np.uint32) * np.uint32(2654435761)


class Peak(msgspec.Struct, frozen=True, kw_only=True):
    """The most memory that one party took.

    Attributes:
        party: Server or client.
        adversary: The kind of server that the session protects from.
        clients: In the session.
        length: Entries of a vector.
        peak_bytes: Beyond what was resident before.
        vectors: The same in vectors.
        at_most: What it should stay under, in vectors.
    """

    party: str
    adversary: Adversary
    clients: int
    length: int
    peak_bytes: int
    vectors: float
    at_most: int


def measure_peak(party: str, *, clients: int, length: int, adversary: Adversary, at_most: int) -> Peak:
    """Run one sum, with one party in a process of its own.

    Args:
        party: `"server"` or `"client"`.
        clients: How many.
        length: Entries of a vector.
        adversary: The kind of server that the session protects from.
        at_most: Noted in the result.

    Raises:
        RuntimeError: The other process failed, or the sum is wrong.
    """
    task = Task(party=party, seed=os.urandom(16), clients=clients, length=length, adversary=adversary)
    command = [sys.executable, "-m", "benchmarks.masking.memory", msgspec.json.encode(task).decode()]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:  # noqa: S603  # ourselves
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the other process has no pipes")
        pipe = _Pipe(process.stdout, process.stdin)
        (_drive_clients if party == "server" else _drive_server)(task, pipe)
        peak = int(pipe.receive())
    if process.returncode:
        raise RuntimeError(f"the process of the {party} failed")
    return Peak(
        party=party,
        adversary=adversary,
        clients=clients,
        length=length,
        peak_bytes=peak,
        vectors=peak / (WORD_BYTES * length),
        at_most=at_most,
    )


class _Pipe:
    """Messages with their length before them; a message is in memory once."""

    def __init__(self, source: IO[bytes], sink: IO[bytes]) -> None:
        self._source = source
        self._sink = sink

    def send(self, message: bytes) -> None:
        self._sink.write(len(message).to_bytes(_HEADER_BYTES, "big"))
        self._sink.write(message)
        self._sink.flush()

    def receive(self) -> bytes:
        size = int.from_bytes(self._source.read(_HEADER_BYTES), "big")
        message = self._source.read(size)
        if len(message) != size or not size:
            raise RuntimeError("the other process has closed its pipe")
        return message


def _drive_clients(task: Task, pipe: _Pipe) -> None:
    """All clients, each asked in turn by the server in the other process, which has the right sum at the end."""
    planned, vector = task.plan(), task.vector()
    machines = {number: planned.client(number, vector) for number in planned.session.clients}
    while (client := int(pipe.receive())) >= 0:
        pipe.send(machines[client].handle(pipe.receive()))


def _drive_server(task: Task, pipe: _Pipe) -> None:
    """The server and all clients but one, which is in the other process."""
    planned, vector = task.plan(), task.vector()
    machines = {number: planned.client(number, vector) for number in planned.session.clients[1:]}
    server = Server(planned.protocol, planned.session)
    step: Continue | Finish = server.start()
    while isinstance(step, Continue):
        for client in sorted(server.missing):
            request = step.requests[client]
            if client in machines:
                server.receive(client, machines[client].handle(request))
            else:
                pipe.send(request)
                server.receive(client, pipe.receive())
        step = server.advance()
    _check(task, step)


def _check(task: Task, outcome: Finish) -> None:
    expected = task.vector().astype(np.uint64) * np.uint64(len(outcome.contributors)) % np.uint64(MODULUS)
    if not np.array_equal(outcome.total, expected):
        raise RuntimeError("the sum is wrong")


def _measured(task: Task, pipe: _Pipe) -> None:
    """The party that this process is for."""
    planned = task.plan()
    if task.party == "server":
        before = _resident()
        outcome = _serve(planned, pipe)
        peak = _most_resident() - before
        _check(task, outcome)
        pipe.send(b"-1")
    else:
        vector = task.vector()
        before = _resident()
        client = planned.client(planned.session.clients[0], vector)
        while not client.closed:
            pipe.send(client.handle(pipe.receive()))
        peak = _most_resident() - before
    pipe.send(str(peak).encode())


def _serve(planned: Plan, pipe: _Pipe) -> Finish:
    server = Server(planned.protocol, planned.session)
    step: Continue | Finish = server.start()
    while isinstance(step, Continue):
        for client in sorted(server.missing):
            pipe.send(str(client).encode())
            pipe.send(step.requests[client])
            server.receive(client, pipe.receive())
        step = server.advance()
    return step


def _resident() -> int:
    """Bytes resident now; the kernel's record of the most is set back to them."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _most_resident() -> int:
    return _status("VmHWM")


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return 1024 * int(value.split()[0])
    raise RuntimeError(f"this system does not tell a process's {name}")


if __name__ == "__main__":
    _measured(msgspec.json.decode(sys.argv[1], type=Task), _Pipe(sys.stdin.buffer, sys.stdout.buffer))
