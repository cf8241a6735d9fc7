"""How much memory the server takes in a round between processes: `python -m benchmarks.engines.memory`.

Twenty nodes are in a process of their own, reached by a pipe, one message at a time.  What is reported is the peak of
all that Python allocates (tracemalloc, which knows arrays and messages) beyond the arrays of the model, in vectors: 4
bytes for each of 10^7 coordinates.  A parcel and a reply on their way count, and so do the opening before the last step
and the sum, which has 8 bytes a coordinate.  After the last step the server decodes the sum and keeps the release in
the folder of a coordinator.  A round of a short model comes first: modules that are imported when they are used, and
the table of the committee's key, are in memory once a process and do not count.  POSIX only.
"""

import benchmarks.masking.core  # noqa: F401, I001  # before numpy

import gc
import os
import tempfile
import time
import tracemalloc
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Annotated, Final

import msgspec
import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console

from benchmarks.committee import KEY, SHARES
from benchmarks.machine import Machine
from protocols import Client, Committee, Identity, Keyholder, MemoryOpenings, Secret, load
from secagg.aggregation.mean import SecureMean
from secagg.engines.base import Release, RoundPlan, RoundResult, ServerSide
from secagg.engines.server.channel import ChannelEngine, Failure
from secagg.engines.server.folder import CoordinatorFolder
from secagg.engines.server.kept import KeptRelease
from secagg.engines.wire.offer import Offer, fresh_session_id, session_context
from secagg.engines.wire.parcel import Limits, Reply, open_request
from secagg.engines.wire.work import Work
from secagg.storage.node_keys import create_coordinator

CLIENTS: Final = 20
LENGTH: Final = 10_000_000
SHORT_LENGTH: Final = 1000
WORD_BYTES: Final = 4
AT_MOST: Final = 3
RELEASE: Final = "release is decoded and kept"
_MEMBERS: Final = (101, 102, 103, 104, 105)
_SECRET: Final = Secret(bytes(range(32)))  # It protects nothing but this measurement.
_HEADER: Final = 8


class Peak(msgspec.Struct, frozen=True, kw_only=True):
    """The most memory that the server took beside the model.

    Attributes:
        protocol: The protocol's name.
        steps: For each step, from its first request to the next step's, the peak in vectors; and while the release is
            decoded and kept.
        server_s: CPU seconds of the server's process, tracing included.
    """

    protocol: str
    steps: dict[str, float]
    server_s: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What is written as JSON.

    Attributes:
        machine: Where it ran.
        clients: How many.
        length: Coordinates of a client's array.
        at_most: Vectors under which every peak should stay.
        peaks: In the order of measuring.
    """

    machine: Machine
    clients: int
    length: int
    at_most: int
    peaks: list[Peak]


@dataclass(slots=True)
class _Node:
    """A node that contributes the same vector as all others, by the machine of its protocol."""

    id: int
    machine: Client | None = None

    def answer(self, parcel: bytes) -> bytes:
        """Return the reply to a parcel."""
        limits = Limits(work_bytes=2**32, body_bytes=2**32)
        request = open_request(parcel, coordinator=Identity(_SECRET).public, receiver=self.id, limits=limits)
        del parcel
        if request.offer:
            mean, session = Offer.from_bytes(request.offer).build(None, KEY)
            member = self.id in session.committee_members
            self.machine = Client(
                mean.protocol,
                session,
                self.id,
                None if member else vector(session.length, session.modulus),
                entropy=os.urandom,
                keyholder=_keyholder(self.id) if member else None,
            )
        if self.machine is None:
            raise RuntimeError("a request without an offer came first")
        body = self.machine.handle(request.body)
        return Reply(serial=request.serial, step=request.step, sender=self.id, body=body).to_bytes()


def _keyholder(member: int) -> Keyholder:
    return Keyholder(share=SHARES[_MEMBERS.index(member)], openings=MemoryOpenings(), minimum_contributors=2)


def vector(length: int, modulus: int) -> NDArray[np.uint32]:
    """What every client contributes: small integers of both signs, which a sum of twenty keeps in its range."""
    values = np.arange(length, dtype=np.uint32) % np.uint32(1000)
    values[::2] = (np.int64(modulus) - values[::2]) % modulus
    return values


@dataclass(slots=True)
class _Pipes:
    """The channel to the process of the nodes; a message is in memory once."""

    to: IO[bytes]
    back: IO[bytes]
    before: int = 0
    peaks: list[int] = field(default_factory=list)

    def mark(self) -> None:
        """Note the peak since the last call."""
        self.peaks.append(tracemalloc.get_traced_memory()[1] - self.before)
        tracemalloc.reset_peak()

    def exchange(
        self,
        parcels: Mapping[int, bytes],
        deadline: float,  # noqa: ARG002  # A pipe has no deadline.
    ) -> Iterator[tuple[int, bytes | Failure]]:
        """See `secagg.engines.server.channel.Channel`."""
        self.mark()
        for party in parcels:
            _send(self.to, party.to_bytes(_HEADER, "big"))
            _send(self.to, parcels[party])
            yield party, _receive(self.back)


def _send(sink: IO[bytes], message: bytes) -> None:
    sink.write(len(message).to_bytes(_HEADER, "big"))
    sink.write(message)
    sink.flush()


def _receive(source: IO[bytes]) -> bytes:
    size = int.from_bytes(source.read(_HEADER), "big")
    return source.read(size)


def _serve(source: IO[bytes], sink: IO[bytes]) -> None:
    """Answer for all nodes until the pipe is closed."""
    nodes: dict[int, _Node] = {}
    while head := source.read(_HEADER):
        party = int.from_bytes(source.read(int.from_bytes(head, "big")), "big")
        reply = nodes.setdefault(party, _Node(party)).answer(_receive(source))
        _send(sink, reply)


def _forked() -> tuple[int, _Pipes]:
    """Start the process of the nodes, and return its id and the channel to it."""
    (theirs, to), (back, ours) = os.pipe(), os.pipe()
    process = os.fork()
    if process == 0:
        os.close(to)
        os.close(back)
        try:
            _serve(os.fdopen(theirs, "rb"), os.fdopen(ours, "wb"))
        finally:
            os._exit(0)
    os.close(theirs)
    os.close(ours)
    return process, _Pipes(os.fdopen(to, "wb"), os.fdopen(back, "rb"))


def _plan(name: str, work: Work, keep: Path) -> RoundPlan:
    protocol, threshold = load(name).suggest(clients=CLIENTS, adversarial=0.05, dropout=0.1)
    mean = SecureMean.plan(
        protocol=protocol,
        clients=range(CLIENTS),
        minimum_contributors=threshold,
        shapes=[array.shape for array in work.arrays],
        clip_l2=1.0,
        committee=Committee(key=KEY, members=_MEMBERS) if protocol.needs_committee else None,
    )
    session = mean.session(
        fresh_session_id(1, os.urandom), context=session_context(work.digest(), serial=1, trust=None)
    )

    def kept(opening: bytes) -> None:
        keep.write_bytes(opening)

    side = ServerSide(identity=Identity(_SECRET), sealing=_SECRET, keep=kept)
    return RoundPlan(mean=mean, session=session, work=work, serial=1, server=side)


def measure_peak(name: str, length: int = LENGTH) -> Peak:
    """Run one round over vectors of a length, with the nodes in another process.

    Raises:
        RuntimeError: The sum is wrong.
    """
    work = Work("memory", 1, (np.zeros(length, dtype=np.float32),))
    process, channel = _forked()
    with tempfile.TemporaryDirectory() as folder:
        plan = _plan(name, work, Path(folder, "opening"))
        engine = ChannelEngine(channel, clock=time.monotonic, step_s=3600.0)
        gc.collect()
        tracemalloc.start()
        channel.before = tracemalloc.get_traced_memory()[0]
        begun = time.process_time()
        result = engine.run(plan)
        seconds = time.process_time() - begun
        channel.mark()
        _check_sum(plan, result)
        tracemalloc.reset_peak()
        begun = time.process_time()
        _decode_and_keep(plan, result, Path(folder, "coordinator"))
        seconds += time.process_time() - begun
        channel.mark()
        tracemalloc.stop()
    channel.to.close()
    os.waitpid(process, 0)
    phases = [*(str(row.name) for row in plan.mean.protocol.steps), RELEASE]
    return Peak(
        protocol=name,
        steps={phase: peak / (WORD_BYTES * length) for phase, peak in zip(phases, channel.peaks[1:], strict=True)},
        server_s=seconds,
    )


def _check_sum(plan: RoundPlan, result: RoundResult) -> None:
    expected = vector(plan.session.length, plan.session.modulus).astype(np.uint64) * np.uint64(CLIENTS)
    expected %= np.uint64(plan.session.modulus)
    if result.total is None or not np.array_equal(result.total, expected):
        raise RuntimeError(f"the sum of {plan.mean.protocol.name} is wrong")


def _decode_and_keep(plan: RoundPlan, result: RoundResult, path: Path) -> None:
    """Do what a coordinator does with a sum, apart from the ledger."""
    if result.total is None:
        raise RuntimeError("there is no sum")
    count = len(result.contributors)
    decoded = plan.mean.decode(result.total, contributors=count, rotation=plan.rotation, overwrite=True)
    release = Release(
        mean=decoded.mean,
        contributors=result.contributors,
        dropped={},
        realised=None,
        rounding_bound=decoded.rounding_bound,
    )
    create_coordinator(path)
    folder = CoordinatorFolder.open(path)
    folder.keep_release(
        KeptRelease(inputs=plan.work.digest(), run="memory", round=1, reservation=None, details={}, release=release)
    )
    folder.close()


def main(json: Annotated[Path | None, typer.Option(help="Also write the figures here.")] = None) -> None:
    """Measure the server's memory in rounds between processes."""
    names = ("secagg-plus", "oneshot")
    for name in names:
        measure_peak(name, SHORT_LENGTH)
    report = Report(
        machine=Machine.here(("numpy", "cryptography", "msgspec")),
        clients=CLIENTS,
        length=LENGTH,
        at_most=AT_MOST,
        peaks=[measure_peak(name) for name in names],
    )
    console = Console()
    for each in report.peaks:
        console.print(
            f"{each.protocol}: {each.server_s:.1f} s", {name: round(peak, 2) for name, peak in each.steps.items()}
        )
    console.print(f"{report.machine}", highlight=False)
    if json is not None:
        json.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")


if __name__ == "__main__":
    typer.run(main)
