"""How SecAgg+ grows, and what memory it takes: `python -m benchmarks.scale`.

Every sum is one process of `protocols.simulate`, modulo 2^32, with a tenth of the clients dropping out, half of them
before they share keys and half before they mask; each party's work is timed by `time.process_time`.  Parameters are
the protocol's own suggestion for 5% adversarial clients and 10% dropout.  All clients contribute the same vector, and
every sum is checked.  Peak memory is measured apart, in `benchmarks.masking.memory`.

The server's seconds in the simulator are those of its own work; the elapsed time is that of all parties, one after
the other, which in a deployment are machines of their own.
"""

import benchmarks.masking.core  # noqa: F401, I001  # before numpy

import math
import statistics
import time
from pathlib import Path
from typing import Annotated, Final

import msgspec
import numpy as np
import typer
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.machine import Machine
from benchmarks.masking.cohort import ADVERSARIAL, MODULUS, plan
from benchmarks.masking.memory import Peak, measure_peak
from protocols import SecAggPlus, simulate
from protocols.cohort import Adversary

DROPOUT: Final = 0.1
SIZES: Final = {
    Adversary.CURIOUS: (
        (100, 10_000), (300, 10_000), (1_000, 10_000), (3_000, 10_000), (1_000, 1_000), (1_000, 100_000),
        (10_000, 1_000),
    ),
    Adversary.MALICIOUS: ((100, 10_000), (300, 10_000), (1_000, 10_000), (1_000, 1_000), (1_000, 100_000)),
}  # fmt: skip
SKIPPED: Final = (
    "a malicious server and more than 1,000 clients: each of them checks the signatures of all survivors, one after "
    "the other here"
)
MEMORY: Final = (("server", 100, 10_000_000, 6), ("client", 20, 10_000_000, 4))


class Sum(msgspec.Struct, frozen=True, kw_only=True):
    """One secure sum, CPU seconds.

    Attributes:
        clients: In the session, dropouts included.
        length: Entries of a vector.
        adversary: The kind of server that the session protects from.
        neighbours: Of each client.
        contributors: Whose vectors are in the sum.
        client_median_s: Of the clients that stay to the end.
        client_max_s: Of the clients that stay to the end.
        server_s: Of the server.
        sent_bytes: By a client that stays to the end, median.
        received_bytes: By a client that stays to the end, median.
        elapsed_s: Of the whole simulation, all parties in turn.
    """

    clients: int
    length: int
    adversary: Adversary
    neighbours: int
    contributors: int
    client_median_s: float
    client_max_s: float
    server_s: float
    sent_bytes: float
    received_bytes: float
    elapsed_s: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What is written as JSON.

    Attributes:
        machine: Where it ran; it used one core.
        modulus: Of all sums.
        adversarial: Fraction that the parameters stand.
        dropout: Fraction that drops out.
        sums: In the order of measuring.
        skipped: What was left out, and why.
        peaks: Of memory.
    """

    machine: Machine
    modulus: int
    adversarial: float
    dropout: float
    sums: list[Sum]
    skipped: str
    peaks: list[Peak]


def measure() -> Report:
    """All sums, then the peaks, with progress on standard error."""
    console = Console(stderr=True)
    cases = [(*size, adversary) for adversary, sizes in SIZES.items() for size in sizes]
    return Report(
        machine=Machine.here(("numpy", "cryptography", "msgspec")),
        modulus=MODULUS,
        adversarial=ADVERSARIAL,
        dropout=DROPOUT,
        sums=[measure_sum(*case) for case in track(cases, description="secure sums", console=console)],
        skipped=SKIPPED,
        peaks=[
            measure_peak(party, clients=clients, length=length, adversary=adversary, at_most=at_most)
            for party, clients, length, at_most in track(MEMORY, description="peak memory", console=console)
            for adversary in (Adversary.CURIOUS, Adversary.MALICIOUS)
        ],
    )


def measure_sum(clients: int, length: int, adversary: Adversary) -> Sum:
    """One sum in the simulator.

    Raises:
        RuntimeError: It is wrong.
    """
    protocol, threshold = SecAggPlus.suggest(
        clients=clients, adversarial=ADVERSARIAL, dropout=DROPOUT, adversary=adversary
    )
    planned = plan(protocol, clients=clients, threshold=threshold, length=length)
    vector = np.random.default_rng(length).integers(0, MODULUS, length, dtype=np.uint32)
    gone = planned.session.clients[:: round(1 / DROPOUT)]
    begun = time.perf_counter()
    outcome = simulate(
        protocol,
        planned.session,
        dict.fromkeys(planned.session.clients, vector),
        terms=planned.terms,
        drops={"share_keys": gone[::2], "mask_input": gone[1::2]},
        clock=time.process_time,
    )
    elapsed = time.perf_counter() - begun
    contributors = len(outcome.contributors)
    if not np.array_equal(outcome.total, vector.astype(np.uint64) * np.uint64(contributors) % np.uint64(MODULUS)):
        raise RuntimeError(f"the sum of {clients} clients is wrong")
    stayed = outcome.contributors
    seconds = [outcome.cost.client_s[client] for client in stayed]
    return Sum(
        clients=clients,
        length=length,
        adversary=adversary,
        neighbours=protocol.neighbours,
        contributors=contributors,
        client_median_s=statistics.median(seconds),
        client_max_s=max(seconds),
        server_s=outcome.cost.server_s,
        sent_bytes=statistics.median(outcome.cost.sent_bytes[client] for client in stayed),
        received_bytes=statistics.median(outcome.cost.received_bytes[client] for client in stayed),
        elapsed_s=elapsed,
    )


def sum_table(report: Report) -> Table:
    """One line for each sum."""
    headings = (
        "server", "clients", "length", "neigh-\nbours", "client\nms", "at most\nms", "server\ns",
        "out\nKB", "in\nKB", "elapsed\ns",
    )  # fmt: skip
    title = f"SecAgg+ modulo 2^{MODULUS.bit_length() - 1}, {report.dropout:.0%} of the clients dropping out"
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "server" else "right", no_wrap=True)
    for each in report.sums:
        table.add_row(
            str(each.adversary),
            f"{each.clients:,}",
            f"10^{round(math.log10(each.length))}",
            f"{each.neighbours}",
            f"{1e3 * each.client_median_s:.1f}",
            f"{1e3 * each.client_max_s:.1f}",
            f"{each.server_s:.2f}",
            f"{each.sent_bytes / 1e3:.1f}",
            f"{each.received_bytes / 1e3:.1f}",
            f"{each.elapsed_s:.1f}",
        )
    return table


def peak_table(report: Report) -> Table:
    """One line for each party measured."""
    table = Table(title="peak memory", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for heading in ("party", "server", "clients", "length", "MB", "vectors", "under"):
        table.add_column(heading, justify="left" if heading in {"party", "server"} else "right", no_wrap=True)
    for each in report.peaks:
        table.add_row(
            each.party,
            str(each.adversary),
            f"{each.clients}",
            f"10^{round(math.log10(each.length))}",
            f"{each.peak_bytes / 1e6:.0f}",
            f"{each.vectors:.2f}",
            f"{each.at_most}",
        )
    return table


def main(
    json: Annotated[Path | None, typer.Option(help="Also write the figures here.")] = None,
) -> None:
    """Measure how SecAgg+ grows with clients and length, and its peak memory."""
    report = measure()
    console = Console()
    console.print(sum_table(report))
    console.print()
    console.print(peak_table(report))
    console.print(f"left out: {report.skipped}", f"{report.machine}", sep="\n", highlight=False)
    if json is not None:
        json.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")


if __name__ == "__main__":
    typer.run(main)
