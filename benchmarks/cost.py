"""What a secure sum costs: `python -m benchmarks.cost`.

CPU seconds of a client and of the server, and bytes of a client, for one sum of n vectors of d entries modulo 2^24,
with a tenth of the clients dropping out, spread over the rounds. Parameters are the protocol's own suggestion for 5%
adversarial clients and 10% dropout.  Everything is one process of `protocols.simulate`, each party's work timed by
`time.process_time`: a client's is the median over those that stay to the end, and every figure is the least of
`REPEATS` sums.  Eight distinct vectors are dealt out in turn, so one vector a client is held, not two; every sum is
checked against theirs.

Absolute seconds are this machine's.  What carries over are the ratios, each taken within one run: client CPU over the
same client's in the clear, client CPU over the bare AES-CTR keystream that its masks need, and bytes sent over
float32 in the clear.
"""

import math
import os
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Final

import msgspec
import numpy as np
import typer
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.machine import Machine
from protocols import Outcome, SecureSum, Session, load, simulate
from protocols.crypto import keystream
from protocols.crypto.secret import Secret
from protocols.pairwise.protocol import PairwiseMasking

CLIENTS: Final = (20, 100, 300)
LENGTHS: Final = (10_000, 100_000, 1_000_000)
PROTOCOLS: Final = ("plain", "secagg", "secagg-plus")
MODULUS: Final = 2**24
ADVERSARIAL: Final = 0.05
DROPOUT: Final = 0.1
REPEATS: Final = 3
SKIPPED: Final = "secagg with 300 clients: each would mask with the 299 others, which secagg-plus is there to avoid"

_DISTINCT_INPUTS = 8
_FLOAT32_BYTES = 4
_RATE_LENGTH = 1_000_000
_RATE_REPEATS = 25
_RATE_CHUNK_BYTES = 128 * 1024


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """The cost of one secure sum.

    Attributes:
        protocol: Its name.
        clients: In the session, dropouts included.
        length: Entries of a vector.
        contributors: Whose vectors are in the sum.
        client_s: CPU seconds of a client that stays to the end, median.
        server_s: CPU seconds of the server.
        sent_bytes: Of a client that stays to the end, mean.
        received_bytes: By a client that stays to the end, mean.
        client_over_plain: `client_s` over that of the protocol `plain`.
        client_over_keystream: `client_s` over the time for the bare keystream of its masks; None without masks.
        sent_over_float32: `sent_bytes` over four bytes an entry.
    """

    protocol: str
    clients: int
    length: int
    contributors: int
    client_s: float
    server_s: float
    sent_bytes: float
    received_bytes: float
    client_over_plain: float
    client_over_keystream: float | None
    sent_over_float32: float


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """How fast masks are expanded and added, in bytes of mask a CPU second, of one core.

    Attributes:
        keystream: Bare AES-256-CTR, into one small buffer.
        expansion: Expanded and added to a vector of a million 32-bit words.
    """

    keystream: float
    expansion: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What is written as JSON.

    Attributes:
        machine: Where it ran.
        modulus: Of all sums.
        adversarial: Fraction that the parameters stand.
        dropout: Fraction that drops out.
        repeats: Of each sum; figures are the least.
        rates: In the same run.
        cases: One for each protocol, number of clients and length.
        skipped: What was left out, and why.
        peak_memory_bytes: Of the whole process, all parties in it.
    """

    machine: Machine
    modulus: int
    adversarial: float
    dropout: float
    repeats: int
    rates: Rates
    cases: list[Case]
    skipped: str
    peak_memory_bytes: int


def measure() -> Report:
    """All cases, with progress on standard error."""
    rates = measure_rates()
    sizes = [(clients, length) for length in LENGTHS for clients in CLIENTS]
    shown = track(sizes, description="secure sums", console=Console(stderr=True))
    cases = [case for clients, length in shown for case in measure_size(clients, length, rates.keystream)]
    return Report(
        machine=Machine.here(("numpy", "cryptography", "msgspec")),
        modulus=MODULUS,
        adversarial=ADVERSARIAL,
        dropout=DROPOUT,
        repeats=REPEATS,
        rates=rates,
        cases=cases,
        skipped=SKIPPED,
        peak_memory_bytes=1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    )


def measure_rates() -> Rates:
    """Bare keystream and mask expansion, in turn, the fastest of each."""
    vector = np.zeros(_RATE_LENGTH, dtype=keystream.word_dtype(MODULUS))
    seed = Secret(os.urandom(32))
    zeros, buffer = bytes(_RATE_CHUNK_BYTES), bytearray(_RATE_CHUNK_BYTES)
    chunks = -(-vector.nbytes // _RATE_CHUNK_BYTES)

    def expand_bare() -> None:
        stream = Cipher(algorithms.AES256(seed.reveal()), modes.CTR(bytes(16))).encryptor()
        for _ in range(chunks):
            stream.update_into(zeros, buffer)

    pairs = [(_seconds(expand_bare), _seconds(lambda: keystream.add_mask(vector, seed))) for _ in range(_RATE_REPEATS)]
    bare, added = (min(times) for times in zip(*pairs, strict=True))
    return Rates(keystream=chunks * _RATE_CHUNK_BYTES / bare, expansion=vector.nbytes / added)


def _seconds(work: Callable[[], None]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def measure_size(clients: int, length: int, keystream_rate: float) -> Iterator[Case]:
    """The protocols in turn, so that what disturbs one repetition disturbs all of them."""
    chosen = [name for name in PROTOCOLS if name != "secagg" or clients <= 100]
    planned = {name: _plan(name, clients, length) for name in chosen}
    vectors = np.random.default_rng(length).integers(0, MODULUS, (_DISTINCT_INPUTS, length), dtype=np.uint64)
    outcomes: dict[str, list[Outcome]] = {name: [] for name in chosen}
    for _ in range(REPEATS):
        for name, (protocol, session) in planned.items():
            outcomes[name].append(_sum_checked(protocol, session, vectors))
    in_the_clear = _client_s(outcomes["plain"])
    for name, (protocol, session) in planned.items():
        client_s, floor_s = _client_s(outcomes[name]), _mask_bytes(protocol, session) / keystream_rate
        costs = [outcome.cost for outcome in outcomes[name]]
        stayed = _stayed(outcomes[name][0])
        sent = statistics.fmean(costs[0].sent_bytes[client] for client in stayed)
        yield Case(
            protocol=name,
            clients=clients,
            length=length,
            contributors=len(outcomes[name][0].contributors),
            client_s=client_s,
            server_s=min(cost.server_s for cost in costs),
            sent_bytes=sent,
            received_bytes=statistics.fmean(costs[0].received_bytes[client] for client in stayed),
            client_over_plain=client_s / in_the_clear,
            client_over_keystream=client_s / floor_s if floor_s else None,
            sent_over_float32=sent / (_FLOAT32_BYTES * length),
        )


def _plan(name: str, clients: int, length: int) -> tuple[SecureSum, Session]:
    protocol, threshold = load(name).suggest(clients=clients, adversarial=ADVERSARIAL, dropout=DROPOUT)
    session = Session(
        session_id=os.urandom(16), clients=tuple(range(clients)), threshold=threshold, length=length, modulus=MODULUS
    )
    return protocol, session


def _sum_checked(protocol: SecureSum, session: Session, vectors: NDArray[np.uint64]) -> Outcome:
    inputs = {client: vectors[client % _DISTINCT_INPUTS] for client in session.clients}
    outcome = simulate(protocol, session, inputs, drops=_drops(protocol, session), clock=time.process_time)
    counts = np.bincount(np.array(outcome.contributors) % _DISTINCT_INPUTS, minlength=_DISTINCT_INPUTS)
    if not np.array_equal(outcome.total, counts.astype(np.uint64) @ vectors % np.uint64(MODULUS)):
        raise RuntimeError(f"{protocol.name} gave a wrong sum for {len(session.clients)} clients")
    return outcome


def _drops(protocol: SecureSum, session: Session) -> dict[str, list[int]]:
    """Clients that drop out, dealt out to the rounds in turn; the middle one, where inputs are due, comes first."""
    names = [row.name for row in protocol.steps]
    middle = len(names) // 2
    gone = session.clients[:: round(1 / DROPOUT)]
    return {name: list(gone[index :: len(names)]) for index, name in enumerate(names[middle:] + names[:middle])}


def _stayed(outcome: Outcome) -> list[int]:
    return [client for client in outcome.cost.client_s if client not in outcome.dropped]


def _client_s(outcomes: list[Outcome]) -> float:
    return min(statistics.median(outcome.cost.client_s[client] for client in _stayed(outcome)) for outcome in outcomes)


def _mask_bytes(protocol: SecureSum, session: Session) -> int:
    """What a client expands where nobody has left before it masks: one mask a neighbour and its own."""
    if not isinstance(protocol, PairwiseMasking):
        return 0
    return (protocol.degree(session) + 1) * session.length * keystream.word_dtype(session.modulus).itemsize


def cost_table(report: Report) -> Table:
    """One line for each case."""
    headings = (
        "protocol", "clients", "length", "client\nms", "server\nms", "out\nKB", "in\nKB",
        "client /\nplain", "client /\nAES-CTR", "out /\nfloat32",
    )  # fmt: skip
    table = Table(
        title=f"one secure sum modulo 2^{MODULUS.bit_length() - 1}, {report.dropout:.0%} of the clients dropping out",
        box=box.SIMPLE_HEAD,
        padding=0,
        show_edge=False,
    )
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "protocol" else "right", no_wrap=True)
    for number, case in enumerate(report.cases, start=1):
        over_keystream = "" if case.client_over_keystream is None else f"{case.client_over_keystream:.2f}"
        table.add_row(
            case.protocol,
            f"{case.clients}",
            f"10^{round(math.log10(case.length))}",
            f"{1e3 * case.client_s:.2f}",
            f"{1e3 * case.server_s:.1f}",
            f"{case.sent_bytes / 1e3:.1f}",
            f"{case.received_bytes / 1e3:.1f}",
            f"{case.client_over_plain:.1f}",
            over_keystream,
            f"{case.sent_over_float32:.3f}",
            end_section=number == len(report.cases) or report.cases[number].clients != case.clients,
        )
    return table


def main(json: Annotated[Path | None, typer.Option(help="Also write the figures here.")] = None) -> None:
    """Measure client CPU, server CPU and bytes of secure sums."""
    report = measure()
    console = Console()
    console.print(cost_table(report))
    rates = report.rates
    console.print(
        f"mask expansion {rates.expansion / 1e9:.2f} GB/s, {rates.expansion / rates.keystream:.2f} of the bare AES-CTR "
        f"keystream's {rates.keystream / 1e9:.2f} GB/s",
        f"peak memory {report.peak_memory_bytes / 1e9:.1f} GB, all parties in one process",
        f"left out: {report.skipped}",
        f"{report.machine}",
        sep="\n",
        highlight=False,
    )
    if json is not None:
        json.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")


if __name__ == "__main__":
    typer.run(main)
