"""What a sum of long vectors costs from disk to disk: python -m benchmarks.models --json models.json.

SeedSum with stream pads, a committee of 2 of 3, a malicious server, so that everything is signed; values of 16 bits.
Two clients send the same file, each from a process of its own, and write their frames to a file; the server reads them
from there, and adds up in a file; each member is a process of its own too. The sum is compared with the inputs.

A process's seconds are its processor time, for the user and in the kernel, from before its machine is made. Its memory
is the largest resident set that the kernel has seen since then, with all files that it has mapped (`resident_mb`), and
the largest amount of memory that belongs to no file (`own_mb`), which is read every 10 ms. The server has mapped the
sum and the replies, whose pages the kernel can take away at any time: so its figure is the second one.

The last figure is the encoding of an update in float32, with noise, of a tenth of the length: clip, rotate, round, add
noise, write residues. The update is mapped, so the figure for its memory is the second one too.
"""

import benchmarks.masking.core  # noqa: F401, I001  # before numpy

import multiprocessing
import os
import re
import shutil
import tempfile
import threading
import time
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Annotated, Final

import msgspec
import numpy as np
import typer

from benchmarks.machine import Machine
from protocols import Adversary, Client, Committee, Continue, Finish, PlainSum, Server, Session
from protocols.crypto.keystream import Keystream
from protocols.crypto.secret import Secret
from protocols.frames import HEADER_BYTES, PAYLOAD_BYTES
from protocols.seeds import MemberCertificate, MemberShare, SeedCommittee, SeedSum
from protocols.seeds.sets import quorum
from protocols.testing import Scenario
from protocols.testing.repeatable import fixed_identity, fixed_roster
from secagg.aggregation.long_updates import write_contribution
from secagg.aggregation.mean import SecureMean, Target
from secagg.storage.frame_inbox import FrameInbox
from secagg.storage.vector_files import SumFile, VectorFile

MODULUS: Final = 2**16
CLIENTS: Final = (0, 1)
MEMBERS: Final = (10, 11, 12)
NOW: Final = 1_800_000_000
LATER: Final = NOW + 86_400
CLIENT_S: Final = 10.0
CLIENT_MB: Final = 100.0
SERVER_MB: Final = 200.0
"""What is to be reached at 10^9 values."""

_FRAME: Final = HEADER_BYTES + PAYLOAD_BYTES
_PIECE: Final = 2**20


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """What one process has used.

    Attributes:
        cpu_s: Processor time.
        resident_mb: The largest resident set, in units of 10^6 bytes.
        own_mb: The largest amount of resident memory that belongs to no file, in the same units.
    """

    cpu_s: float
    resident_mb: float
    own_mb: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What the parties have used, and where it was measured.

    Attributes:
        machine: The machine.
        length: Number of values.
        client: The client that used more time.
        member: The member that used more time.
        server: The server.
        encoded: The number of entries of the update that is encoded.
        encoding: What encodes it.
    """

    machine: Machine
    length: int
    client: Use
    member: Use
    server: Use
    encoded: int
    encoding: Use


class Meter:
    """The use of this process from now on."""

    def __init__(self) -> None:
        Path("/proc/self/clear_refs").write_text("5")  # The kernel forgets the largest resident set so far.
        self._begun, self._own, self._over = time.process_time(), 0.0, threading.Event()
        self._watch = threading.Thread(target=self._look, daemon=True)
        self._watch.start()

    def _look(self) -> None:
        while not self._over.wait(0.01):
            self._own = max(self._own, _status_mb("RssAnon"))

    def use(self) -> Use:
        """Return what was used, and stop."""
        self._over.set()
        self._watch.join()
        return Use(
            cpu_s=time.process_time() - self._begun,
            resident_mb=_status_mb("VmHWM"),
            own_mb=max(self._own, _status_mb("RssAnon")),
        )


def _status_mb(name: str) -> float:
    found = re.search(rf"^{name}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    if found is None:
        raise RuntimeError(f"memory: expected {name} in the status of the process, found none. Measure on Linux.")
    return int(found[1]) * 1024 / 1e6


def scenario(length: int) -> Scenario:
    """Return a session of two clients and three members."""
    issued = [MemberCertificate.issue(fixed_identity(member), 0, NOW, LATER) for member in MEMBERS]
    least = quorum(len(MEMBERS), 1)
    key = SeedCommittee(certificates=tuple(each for each, _ in issued), colluding=1, quorum=least)
    session = Session(
        session_id=b"benchmark of models",
        clients=CLIENTS,
        threshold=2,
        length=length,
        modulus=MODULUS,
        roster=fixed_roster(CLIENTS),
        committee=Committee(key=key, members=MEMBERS),
        expires=LATER,
    )
    shares = {
        member: MemberShare(key, place + 1, fixed_identity(member), issued[place][1])
        for place, member in enumerate(MEMBERS)
    }
    return Scenario(
        label="models", protocol=SeedSum(adversary=Adversary.MALICIOUS), session=session, key_shares=shares, now=NOW
    )


class Party:
    """A party in a process of its own, which answers requests with files of frames."""

    def __init__(self, made: Scenario, party: int, folder: Path) -> None:
        self._path = folder / f"reply-{party}"
        self._here, there = _FORK.Pipe()
        self._process = _FORK.Process(target=_serve, args=(there, made, party, folder / "input", self._path))
        self._process.start()
        there.close()  # So that a process that fails ends the wait for its answer.

    def answer(self, request: bytes) -> Path:
        """Return the file of the reply's frames."""
        self._here.send_bytes(request)
        self._here.recv_bytes()
        return self._path

    def use(self) -> Use:
        """Return what the process has used, and end it."""
        self._here.send_bytes(b"")
        found = msgspec.json.decode(self._here.recv_bytes(), type=Use)
        self._process.join()
        return found

    def close(self) -> None:
        """End the process if it still runs."""
        self._process.kill()


_FORK = multiprocessing.get_context("fork")


def _serve(connection: Connection, made: Scenario, party: int, source: Path, target: Path) -> None:
    meter, terms = Meter(), made.terms(party)
    machine = Client(
        made.protocol,
        made.session,
        party,
        VectorFile(source, modulus=MODULUS) if party in CLIENTS else None,
        entropy=os.urandom,
        terms=None if terms is None else replace(terms, adversarial=0.0),
        keyholder=made.keyholder(party),
        clock=made.clock,
    )
    while request := connection.recv_bytes():
        with target.open("wb", buffering=0) as file:
            for frame in machine.frames(request):
                file.write(frame)
        connection.send_bytes(b"done")
    connection.send_bytes(msgspec.json.encode(meter.use()))


def write_input(path: Path, length: int) -> None:
    """Write values of 16 bits, all of them equally likely."""
    stream = Keystream(Secret(bytes(32)), expected_bytes=2 * length)
    with path.open("wb") as file:
        for start in range(0, length, _PIECE):
            file.write(stream.read(2 * min(_PIECE, length - start)))


def check_sum(source: Path, total: Path) -> None:
    """Raise `RuntimeError` unless a sum is twice the input."""
    with source.open("rb") as one, total.open("rb") as other:
        while given := one.read(_PIECE):
            found = np.frombuffer(other.read(_PIECE), dtype="<u2")
            if not np.array_equal(found, 2 * np.frombuffer(given, dtype="<u2")):
                raise RuntimeError("the sum is wrong")


def run(made: Scenario, parties: dict[int, Party], folder: Path) -> Use:
    """Run the server; return what it has used."""
    meter = Meter()
    with SumFile(folder / "sum", made.session) as total:
        server = Server(made.protocol, made.session, total=total.array)
        progress: Continue | Finish = server.start()
        with FrameInbox(server, folder) as inbox:
            while isinstance(progress, Continue):
                for party, request in progress.requests.items():
                    path = parties[party].answer(request)
                    with path.open("rb", buffering=0) as file:
                        while frame := file.read(_FRAME):
                            inbox.add(party, frame)
                    path.unlink()
                progress = server.advance()
        if not progress.verified:
            raise RuntimeError("the sum is not verified")
        total.complete()
    return meter.use()


def encoding_use(length: int, folder: Path) -> Use:
    """Return what the encoding of a mapped update uses, in a process of its own."""
    here, there = _FORK.Pipe()
    process = _FORK.Process(target=_encode, args=(there, length, folder))
    process.start()
    there.close()
    found = msgspec.json.decode(here.recv_bytes(), type=Use)
    process.join()
    return found


def _encode(connection: Connection, length: int, folder: Path) -> None:
    generator = np.random.default_rng(0)
    with (folder / "update").open("wb") as file:
        for start in range(0, length, _PIECE):
            generator.standard_normal(min(_PIECE, length - start), dtype=np.float32).tofile(file)
    mean = SecureMean.plan(
        protocol=PlainSum(),
        clients=range(1000),
        minimum_contributors=900,
        shapes=[(length,)],
        clip_l2=1.0,
        target=Target(epsilon=8.0, delta=1e-5, releases=10, colluding=0),
    )
    session = mean.session(b"benchmark of models")
    meter = Meter()
    update = np.memmap(folder / "update", dtype=np.float32, mode="r")
    write_contribution(folder / "residues", mean, session, [update])
    connection.send_bytes(msgspec.json.encode(meter.use()))
    for name in ("update", "residues"):
        (folder / name).unlink()


def measure(length: int, folder: Path) -> Report:
    """Run one sum in a folder with room for 9 times the vector."""
    made = scenario(length)
    write_input(folder / "input", length)
    parties = {party: Party(made, party, folder) for party in made.parties}
    try:
        server = run(made, parties, folder)
        uses = {party: each.use() for party, each in parties.items()}
    finally:
        for each in parties.values():
            each.close()
    check_sum(folder / "input", folder / "sum")
    encoded = max(length // 10, 1000)
    return Report(
        machine=Machine.here(("numpy", "cryptography")),
        length=length,
        client=max((uses[client] for client in CLIENTS), key=_seconds),
        member=max((uses[member] for member in MEMBERS), key=_seconds),
        server=server,
        encoded=encoded,
        encoding=encoding_use(encoded, folder),
    )


def _seconds(use: Use) -> float:
    return use.cpu_s


def lines(report: Report) -> list[str]:
    """Return a line for each process, with its targets if there are any for this length."""
    found = [f"{report.length:,} values of 16 bits, seeds, 2 of 3, malicious server; {report.machine}"]
    for name in ("client", "member", "server", "encoding"):
        use: Use = getattr(report, name)
        what = f"encoding of {report.encoded:,} entries" if name == "encoding" else name
        found.append(
            f"{what}: {use.cpu_s:.2f} s, {use.resident_mb:,.0f} MB resident, {use.own_mb:,.0f} MB of it of no file"
        )
    if report.length == 10**9:
        missed = [
            name
            for name, value, target in (
                ("client's time", report.client.cpu_s, CLIENT_S),
                ("client's memory", report.client.resident_mb, CLIENT_MB),
                ("server's memory", report.server.own_mb, SERVER_MB),
            )
            if value > target
        ]
        found.append("all targets are met" if not missed else f"MISSED: {', '.join(missed)}")
    return found


def main(
    length: Annotated[int, typer.Option(help="Number of values.", min=1000)] = 10**9,
    folder: Annotated[Path | None, typer.Option(help="A folder on the disk with room for 9 times the vector.")] = None,
    json: Annotated[Path | None, typer.Option(help="Also write the figures here.")] = None,
) -> None:
    """Measure a sum of long vectors from disk to disk."""
    scratch = Path(tempfile.mkdtemp(dir=folder))
    try:
        report = measure(length, scratch)
    finally:
        shutil.rmtree(scratch)
    print("\n".join(lines(report)))
    if json is not None:
        json.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")


if __name__ == "__main__":
    typer.run(main)
