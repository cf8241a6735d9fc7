"""What OneShot costs a client, the server and a committee member: python -m benchmarks.oneshot --json oneshot.json.

One core, processor time, 3072-bit keys with s = 2, a committee of 3 of 5, values of 16 bits, 1,000 clients in the
session.  A client and the server are measured on 10^6 values; a member on sums of 1,000 real contributions to short
vectors of two lengths, since nothing that it gets or does depends on the length.  The server's additions are set beside
numpy's own of two arrays of the same size.  Last, two clients and a committee sum 10^7 values, with peak memory.

The committee's primes are fixed and public, `benchmarks.committee`: a key made of them protects nothing.
"""

import benchmarks.masking.core  # noqa: F401, I001  # before numpy

import os
import statistics
import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import msgspec
import numpy as np
import typer
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.committee import KEY, SHARES
from benchmarks.machine import Machine
from protocols import Client, Committee, Continue, Finish, Keyholder, MemoryOpenings, OneShot, Server, Session
from protocols.crypto.integers import fastest
from protocols.encrypted.oneshot import PaddedVector

VALUE_BITS: Final = 16
CLIENTS: Final = 1000
LENGTH: Final = 1_000_000
LONG: Final = 10_000_000
MEMBER_LENGTHS: Final = (1_000, 50_000)
REPEATS: Final = 7
MODULUS: Final = 2**32
MEMBERS: Final = tuple(2**31 + index for index in range(KEY.members))
"""Their ids: parties of their own."""

TARGETS: Final = {"pad_ms": 200.0, "message_ms": 400.0, "bytes_per_value": 4.2, "member_s": 5.0}


class Peak(msgspec.Struct, frozen=True, kw_only=True):
    """A sum of two clients' vectors of 10^7 values, with three members of the committee.

    Attributes:
        client_s: Of one client.
        client_peak: Bytes above what was there, as multiples of the vector in 4-byte words.
        server_s: Of the server, both clients and the opening.
        server_peak: Bytes above what was there, as multiples of the vector in 4-byte words.
    """

    client_s: float
    client_peak: float
    server_s: float
    server_peak: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Processor time, medians over the repeats.

    Attributes:
        machine: Where.
        table_s: Of the key's table, once a process.
        pad_ms: A client's pad over 10^6 values, drawing its key included.
        message_ms: The whole of a client's work on its one message.
        bytes_per_value: Of that message.
        key_bytes: Of it, what is not the padded vector.
        server_ms: Of one client's message.
        adding_ratio: numpy's addition of as many words over the server's.
        member_s: By length, of a member's opening of 1,000 clients' sum.
        member_bytes: By length, of its request.
        finish_ms: The server's end: combining three openings, which were checked before, and removing the pad.
        long: 10^7 values.
    """

    machine: Machine
    table_s: float
    pad_ms: float
    message_ms: float
    bytes_per_value: float
    key_bytes: int
    server_ms: float
    adding_ratio: float
    member_s: dict[int, float]
    member_bytes: dict[int, int]
    finish_ms: float
    long: Peak


def took(work: Callable[[], object]) -> float:
    """Processor time of one call, in seconds."""
    start = time.process_time()
    work()
    return time.process_time() - start


def session(length: int, clients: int = CLIENTS, threshold: int = CLIENTS - CLIENTS // 10) -> Session:
    """A session with that number of clients."""
    return Session(
        session_id=b"benchmark of one sum",
        clients=tuple(range(clients)),
        threshold=threshold,
        length=length,
        modulus=MODULUS,
        committee=Committee(key=KEY, members=MEMBERS),
    )


PROTOCOL: Final = OneShot(value_bits=VALUE_BITS)


def vector(length: int) -> "np.ndarray[tuple[int], np.dtype[np.uint32]]":
    """Values of 16 bits, half of them negative."""
    half = 2 ** (VALUE_BITS - 1)
    return np.random.default_rng(length).integers(-half, half, length).astype(np.uint32)


def client_message(agreed: Session, client: int, values: "np.ndarray[tuple[int], np.dtype[np.uint32]]") -> bytes:
    """A client's one message."""
    machine = Client(PROTOCOL, agreed, client, values, entropy=os.urandom)
    return machine.handle(Server(PROTOCOL, agreed).start().requests[client])


def keyholder(index: int) -> Keyholder:
    """One member's share and rules."""
    return Keyholder(share=SHARES[index], openings=MemoryOpenings(), minimum_contributors=2)


def member(agreed: Session, index: int) -> Client:
    """One member's machine."""
    return Client(PROTOCOL, agreed, MEMBERS[index], None, entropy=os.urandom, keyholder=keyholder(index))


def measure_member(length: int) -> tuple[float, int, float]:
    """Seconds and bytes of an opening of 1,000 clients' sum, and the server's end in milliseconds."""
    agreed, values = session(length), vector(length)
    server = Server(PROTOCOL, agreed)
    requests = server.start().requests
    for client in track(agreed.clients, description=f"1,000 clients, {length:,} values", console=Console(stderr=True)):
        machine = Client(PROTOCOL, agreed, client, values, entropy=os.urandom)
        server.receive(client, machine.handle(requests[client]))
    step = server.advance()
    if not isinstance(step, Continue):
        raise TypeError("the committee was not asked")
    seconds = []
    for index in range(KEY.threshold):
        request, machine = step.requests[MEMBERS[index]], member(agreed, index)
        begun = time.process_time()
        reply = machine.handle(request)
        seconds.append(time.process_time() - begun)
        server.receive(MEMBERS[index], reply)
    begun = time.process_time()
    finish = server.advance()
    finished = time.process_time() - begun
    if isinstance(finish, Continue) or not np.array_equal(finish.total, values.astype(np.uint64) * CLIENTS % MODULUS):
        raise RuntimeError("the sum is wrong")
    return statistics.median(seconds), len(request), 1e3 * finished


def traced(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds, and the peak of memory above the beginning, in vectors of 10^7 words of 4 bytes."""
    tracemalloc.start()
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    seconds = took(work)
    peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    return seconds, peak / (4 * LONG)


def measure_long() -> Peak:
    """Two clients, 10^7 values."""
    agreed, values = session(LONG, clients=2, threshold=2), vector(LONG)
    replies: list[bytes] = []
    client = traced(lambda: replies.append(client_message(agreed, 0, values)))
    replies.append(client_message(agreed, 1, values))
    ends: list[Continue | Finish] = []

    def serve() -> None:
        server = Server(PROTOCOL, agreed)
        server.start()
        for sender in agreed.clients:
            server.receive(sender, replies[sender])
        step = server.advance()
        if isinstance(step, Continue):
            for index in range(KEY.threshold):
                server.receive(MEMBERS[index], member(agreed, index).handle(step.requests[MEMBERS[index]]))
        ends.append(server.advance())

    served = traced(serve)
    (end,) = ends
    if isinstance(end, Continue) or not np.array_equal(end.total, 2 * values.astype(np.uint64) % MODULUS):
        raise RuntimeError("the sum is wrong")
    return Peak(client_s=client[0], client_peak=client[1], server_s=served[0], server_peak=served[1])


def measure() -> Report:
    """Everything, on one key."""
    agreed, values = session(LENGTH), vector(LENGTH)
    table_s = took(lambda: PROTOCOL._derived(agreed).encryptor)
    payload: PaddedVector = PROTOCOL.payload(agreed)
    message = client_message(agreed, 0, values)
    messages = [client_message(agreed, client, values) for client in range(REPEATS)]
    server = Server(PROTOCOL, agreed)
    server.start()
    server_s = statistics.median(took(partial(server.receive, c, messages[c])) for c in range(REPEATS))
    total, more = payload.nothing(), memoryview(bytes(payload.padded_bytes))
    other = np.frombuffer(more, dtype=np.uint64)
    ratios = [
        took(lambda: np.add(total, other, out=total)) / took(lambda: payload.add(total, more))
        for _ in range(5 * REPEATS)
    ]
    members = {length: measure_member(length) for length in MEMBER_LENGTHS}
    return Report(
        machine=Machine.here(("gmpy2", "numpy", "scipy")),
        table_s=table_s,
        pad_ms=1e3 * statistics.median(took(partial(payload.wrap, values.copy(), os.urandom)) for _ in range(REPEATS)),
        message_ms=1e3 * statistics.median(took(lambda: client_message(agreed, 0, values)) for _ in range(REPEATS)),
        bytes_per_value=len(message) / LENGTH,
        key_bytes=len(message) - payload.padded_bytes,
        server_ms=1e3 * server_s,
        adding_ratio=statistics.median(ratios),
        member_s={length: seconds for length, (seconds, _, _) in members.items()},
        member_bytes={length: size for length, (_, size, _) in members.items()},
        finish_ms=members[MEMBER_LENGTHS[-1]][2],
        long=measure_long(),
    )


def table(report: Report) -> Table:
    """One line for each figure that has a target, and the others after them."""
    shown = Table(title="OneShot, one core", box=box.SIMPLE_HEAD, show_edge=False)
    for heading in ("work", "measured", "at most", ""):
        shown.add_column(heading, justify="left" if heading == "work" else "right", no_wrap=True)

    def row(work: str, value: float, unit: str, target: float | None = None) -> None:
        met = "" if target is None else "met" if value <= target else "MISSED"
        shown.add_row(work, f"{value:,.2f} {unit}", "" if target is None else f"{target:g} {unit}", met)

    row("client: pad, 10^6 values", report.pad_ms, "ms", TARGETS["pad_ms"])
    row("client: whole message", report.message_ms, "ms", TARGETS["message_ms"])
    row("client: message", report.bytes_per_value, "bytes a value", TARGETS["bytes_per_value"])
    for length, seconds in report.member_s.items():
        row(f"member: 1,000 clients, {length:,} values", seconds, "s", TARGETS["member_s"])
        row(f"member: request, {length:,} values", report.member_bytes[length] / 1e6, "MB")
    row("server: one client's message, 10^6 values", report.server_ms, "ms")
    row("server: numpy's addition over ours", report.adding_ratio, "")
    row("server: combine, remove the pad", report.finish_ms, "ms")
    row("client: 10^7 values", report.long.client_s, "s")
    row("client: 10^7 values, peak", report.long.client_peak, "vectors")
    row("server: 10^7 values, 2 clients, 3 members", report.long.server_s, "s")
    row("server: 10^7 values, peak", report.long.server_peak, "vectors")
    return shown


def main(json: Annotated[Path | None, typer.Option(help="Also write the figures here.")] = None) -> None:
    """Measure OneShot."""
    if fastest().name != "gmpy2":
        raise typer.BadParameter('gmpy2 is not installed. Install it by: pip install ".[paillier]"')
    report = measure()
    console = Console()
    console.print(table(report))
    console.print(f"table {report.table_s:.2f} s; {report.key_bytes} bytes of keys\n{report.machine}", highlight=False)
    if json is not None:
        json.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")


if __name__ == "__main__":
    typer.run(main)
