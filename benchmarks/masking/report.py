"""What comes of `benchmarks.masking`: figures, and the tables that show them."""

import math
from typing import Final

import msgspec
from rich import box
from rich.table import Table

from benchmarks.cost import Rates
from benchmarks.machine import Machine
from protocols.cohort import Adversary

ADVERSARIES: Final = (Adversary.CURIOUS, Adversary.MALICIOUS)


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of work, CPU seconds.

    Attributes:
        work: What is measured.
        ours_s: Seconds of ours, by the kind of server that it protects from; the least of the runs.
        flower_s: Seconds of Flower's, which protects from a curious server; None if it was left out.
        ratio: By adversary, ours over Flower's.
        target: What the ratio should be at most.
        runs: Of each.
    """

    work: str
    ours_s: dict[str, float]
    flower_s: float | None
    ratio: dict[str, float]
    target: float
    runs: int


class Stages(msgspec.Struct, frozen=True, kw_only=True):
    """One whole sum, CPU seconds by the stage or round.

    Attributes:
        of: Whose code, and against which adversary.
        clients: How many.
        length: Entries of a vector.
        client_s: Of the client that took the least.
        server_s: From when the stage's replies are in until the next stage's messages are out, or to the end.
        total_s: Of all parties, all stages together.
    """

    of: str
    clients: int
    length: int
    client_s: dict[str, float]
    server_s: dict[str, float]
    total_s: float


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """What one client sends.

    Attributes:
        sender: Ours against an adversary, or Flower's.
        neighbours: Of the client.
        length: Of its vector.
        bytes_per_coordinate: Of the masked vector alone.
        bytes_per_neighbour: Everything else, over the neighbours.
    """

    sender: str
    neighbours: int
    length: int
    bytes_per_coordinate: float
    bytes_per_neighbour: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What is written as JSON.

    Attributes:
        machine: Where it ran; it used one core.
        flower: Flower's version; None where it was left out.
        modulus: Of all sums.
        rows: Times.
        stages: Of the last of the sums that were run for the server's times.
        uploads: Bytes.
        rates: Mask expansion and the bare keystream, in the same run.
    """

    machine: Machine
    flower: str | None
    modulus: int
    rows: list[Row]
    stages: list[Stages]
    uploads: list[Upload]
    rates: Rates


def time_table(report: Report) -> Table:
    """One line for each kind of work, in milliseconds and in how many times ours go into Flower's."""
    table = Table(
        title="CPU ms of one core, ours against a curious and a malicious server",
        box=box.SIMPLE_HEAD,
        padding=0,
        show_edge=False,
    )
    headings = ("work", "curious", "malicious", "Flower", "Flower /\ncurious", "Flower /\nmalicious", "at\nleast")
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "work" else "right", no_wrap=True)
    for row in report.rows:
        table.add_row(
            row.work,
            *(f"{1e3 * row.ours_s[each]:.2f}" if each in row.ours_s else "" for each in ADVERSARIES),
            "" if row.flower_s is None else f"{1e3 * row.flower_s:.0f}",
            *(f"{1 / row.ratio[each]:.1f}" if each in row.ratio else "" for each in ADVERSARIES),
            f"{1 / row.target:.0f}",
        )
    return table


def upload_table(report: Report) -> Table:
    """One line for each sender."""
    first = report.uploads[0]
    table = Table(
        title=f"bytes sent by a client, d={power(first.length)}, {first.neighbours} neighbours",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        show_edge=False,
    )
    for heading in ("sender", "a coordinate", "a neighbour besides"):
        table.add_column(heading, justify="left" if heading == "sender" else "right", no_wrap=True)
    for upload in report.uploads:
        table.add_row(upload.sender, f"{upload.bytes_per_coordinate:.3f}", f"{upload.bytes_per_neighbour:.1f}")
    return table


def power(length: int) -> str:
    """A length, for a table."""
    return f"10^{round(math.log10(length))}"
