"""How much faster workers take in the replies of OneShot: `python -m benchmarks.engines.workers`.

Clients' messages over 10^6 values are made before, and come as fast as they are taken.  What is reported is the elapsed
time from the first request to the end of the step, without workers and with one and two, after one round to warm up, in
which each process makes the table of the committee's key.  It wants an idle machine of at least two cores; three
processes share them.
"""

import os
import statistics
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final

import msgspec
import numpy as np
import typer
from rich.console import Console
from rich.progress import track

from benchmarks.committee import KEY
from benchmarks.machine import Machine
from protocols import Client, Committee, Identity, OneShot, Secret, Server
from secagg.aggregation.mean import SecureMean
from secagg.engines.base import RoundPlan, ServerSide
from secagg.engines.channel import ChannelEngine, Failure
from secagg.engines.offer import fresh_session_id, session_context
from secagg.engines.parcel import Reply
from secagg.engines.reply_workers import ReplyWorkers
from secagg.engines.work import Work

CLIENTS: Final = 60
LENGTH: Final = 1_000_000
REPEATS: Final = 5
COUNTS: Final = (0, 1, 2)
_SECRET: Final = Secret(bytes(range(32)))  # It protects nothing but this measurement.


class Intake(msgspec.Struct, frozen=True, kw_only=True):
    """How long one number of workers took.

    Attributes:
        workers: How many; 0 for the server's own process.
        seconds: Elapsed, median.
        speedup: Over no workers.
    """

    workers: int
    seconds: float
    speedup: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What is written as JSON.

    Attributes:
        machine: Where it ran.
        clients: How many replies.
        length: Coordinates of a client's array.
        repeats: Rounds measured of each kind, interleaved.
        intakes: By number of workers.
    """

    machine: Machine
    clients: int
    length: int
    repeats: int
    intakes: list[Intake]


@dataclass(slots=True)
class _Ready:
    """A channel whose clients' replies are there, and whose committee is not."""

    replies: Mapping[int, bytes]
    times: list[float] = field(default_factory=list)

    def exchange(
        self,
        parcels: Mapping[int, bytes],
        deadline: float,  # noqa: ARG002  # Nobody is waited for.
    ) -> Iterator[tuple[int, bytes | Failure]]:
        """See `secagg.engines.channel.Channel`."""
        self.times.append(time.perf_counter())
        for party in parcels:
            if party in self.replies:
                yield party, self.replies[party]


def _plan() -> RoundPlan:
    work = Work("workers", 1, (np.zeros(1, dtype=np.float32),))
    protocol, threshold = OneShot.suggest(clients=CLIENTS, adversarial=0.05, dropout=0.1)
    mean = SecureMean.plan(
        protocol=protocol,
        clients=range(CLIENTS),
        minimum_contributors=threshold,
        shapes=[(LENGTH,)],
        clip_l2=1.0,
        committee=Committee(key=KEY, members=tuple(range(1001, 1006))),
    )
    session = mean.session(
        fresh_session_id(1, os.urandom), context=session_context(work.digest(), serial=1, trust=None)
    )
    side = ServerSide(identity=Identity(_SECRET), sealing=_SECRET, keep=lambda _: None)
    return RoundPlan(mean=mean, session=session, work=work, serial=1, server=side)


def _reply(plan: RoundPlan, client: int, request: bytes) -> bytes:
    values = np.arange(plan.session.length, dtype=np.uint32) % np.uint32(1000)
    machine = Client(plan.mean.protocol, plan.session, client, values, entropy=os.urandom)
    return Reply(serial=1, step=0, sender=client, body=machine.handle(request)).to_bytes()


def measure() -> Report:
    """Measure all numbers of workers in turn.

    Raises:
        RuntimeError: A reply was not accepted.
    """
    plan = _plan()
    requests = Server(plan.mean.protocol, plan.session).start().requests
    console = Console(stderr=True)
    made = track(plan.session.clients, description="clients", console=console)
    replies = {client: _reply(plan, client, requests[client]) for client in made}
    with ExitStack() as stack:
        pools = {count: stack.enter_context(ReplyWorkers(count)) if count else None for count in COUNTS}
        rounds = [
            {count: _seconds(plan, replies, pool) for count, pool in pools.items()}
            for _ in track(range(1 + REPEATS), description="rounds", console=console)
        ][1:]
    medians = {count: statistics.median(each[count] for each in rounds) for count in COUNTS}
    return Report(
        machine=Machine.here(("numpy", "cryptography", "msgspec")),
        clients=CLIENTS,
        length=LENGTH,
        repeats=REPEATS,
        intakes=[
            Intake(workers=count, seconds=seconds, speedup=medians[0] / seconds) for count, seconds in medians.items()
        ],
    )


def _seconds(plan: RoundPlan, replies: Mapping[int, bytes], workers: ReplyWorkers | None) -> float:
    """Return the time from the first request to the second step's."""
    channel = _Ready(replies)
    result = ChannelEngine(channel, clock=time.monotonic, step_s=3600.0, workers=workers).run(plan)
    if set(result.dropped) != {plan.mean.protocol.steps[1].name}:
        raise RuntimeError(f"not all replies were accepted: {result.refused}")
    begun, ended = channel.times
    return ended - begun


def main(json: Annotated[Path | None, typer.Option(help="Also write the figures here.")] = None) -> None:
    """Measure how much faster workers take in replies."""
    report = measure()
    console = Console()
    for each in report.intakes:
        console.print(f"{each.workers} workers: {each.seconds:.3f} s, {each.speedup:.2f} times as fast as without")
    console.print(f"{report.machine}", highlight=False)
    if json is not None:
        json.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")


if __name__ == "__main__":
    typer.run(main)
