"""Masks of a million entries, beside the way in which they were expanded before: `python -m benchmarks.masks`.

Before, that is up to commit e5ce1dd and for some time after it, each mask came from CTR, and was expanded and added
before the next, and each word held one entry. Now all masks of a client are applied together, from the mode that wins
the trial, and entries of sums with headroom share words if a word holds more of them (`protocols.lanes`). Both ways are
measured in the same process by turns, on the same seeds. The new totals are compared with those of the old way for the
same words.

Times of masks are processor time of one mask. A vector is also brought into words and packed, once for all of its
masks. A ratio is the median over the runs, each of two adjacent measurements.
"""

import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

import msgspec
import numpy as np
import typer
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from rich.console import Console
from rich.table import Table

from benchmarks.machine import Machine
from protocols import packing
from protocols.crypto.counter_mode import CounterMode, mode_of_long_streams
from protocols.crypto.keystream import SignedMask, Words, apply_masks, word_dtype
from protocols.crypto.secret import Secret
from protocols.lanes import Lanes

LENGTH: Final = 1_000_000
MASKS: Final = 64
RUNS: Final = 21
ENTRY_BITS: Final = (32, 16, 21)

_CHUNK_BYTES = 128 * 1024
_ZEROS = memoryview(bytes(_CHUNK_BYTES))


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """Masks of one width.

    Attributes:
        bits: Of an entry.
        lanes: Entries that share a word now.
        before_us: Processor time of one mask, the old way, in microseconds; median.
        now_us: The same, the new way.
        ratio: Of the new time to the old one; median over pairs.
        ratio_to_32_bits: Of the new time to the old one of words of 32 bits; ratio of medians.
        once_before_us: Processor time to pack a masked vector, the old way, in microseconds; median.
        once_us: Processor time to bring a vector into words and to pack them, the new way; median.
    """

    bits: int
    lanes: int
    before_us: float
    now_us: float
    ratio: float
    ratio_to_32_bits: float
    once_before_us: float
    once_us: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What is written as JSON.

    Attributes:
        machine: Where it ran.
        mode: Of the keystreams.
        length: Entries of a vector.
        masks: Of one client.
        runs: Of each measurement.
        rows: By width.
    """

    machine: Machine
    mode: CounterMode
    length: int
    masks: int
    runs: int
    rows: list[Row]


def measure() -> Report:
    """Measure all widths, in about ten seconds."""
    rows: list[Row] = []
    for bits in ENTRY_BITS:
        rows.append(measure_width(bits, rows[0].before_us if rows else None))
    return Report(
        machine=Machine.here(("numpy", "cryptography")),
        mode=mode_of_long_streams(),
        length=LENGTH,
        masks=MASKS,
        runs=RUNS,
        rows=rows,
    )


def measure_width(bits: int, before_at_32_bits: float | None) -> Row:
    """Measure masks of entries of this many bits; raise `RuntimeError` if the two ways differ."""
    modulus = 2**bits
    lanes = Lanes(length=LENGTH, modulus=modulus, headroom=True)
    operations = (np.add, np.subtract)
    masks: list[SignedMask] = [(operations[number % 2], Secret(os.urandom(32))) for number in range(MASKS)]
    expected, found = lanes.nothing(), lanes.nothing()
    apply_one_by_one(expected, masks)
    apply_masks(found, masks)
    if not np.array_equal(expected, found):
        raise RuntimeError("the two ways give different totals")
    vector = np.zeros(LENGTH, dtype=word_dtype(modulus))
    old, new = vector.copy(), lanes.nothing()
    pairs = [
        (_us(lambda: apply_one_by_one(old, masks)) / MASKS, _us(lambda: apply_masks(new, masks)) / MASKS)
        for _ in range(RUNS)
    ]
    before = statistics.median(one for one, _ in pairs)
    now = statistics.median(other for _, other in pairs)
    return Row(
        bits=bits,
        lanes=lanes.lanes,
        before_us=before,
        now_us=now,
        ratio=statistics.median(other / one for one, other in pairs),
        ratio_to_32_bits=now / (before if before_at_32_bits is None else before_at_32_bits),
        once_before_us=statistics.median(_us(lambda: packing.pack(vector, modulus)) for _ in range(RUNS)),
        once_us=statistics.median(_us(lambda: lanes.pack(lanes.fold(vector))) for _ in range(RUNS)),
    )


def apply_one_by_one(total: Words, masks: list[SignedMask]) -> None:
    """Apply masks in the old way."""
    for operation, seed in masks:
        stream = Cipher(algorithms.AES256(seed.reveal()), modes.CTR(bytes(16))).encryptor()
        buffer = np.empty(_CHUNK_BYTES // total.itemsize, dtype=total.dtype)
        raw = buffer.view(np.uint8).data
        for start in range(0, total.size, buffer.size):
            piece = total[start : start + buffer.size]
            stream.update_into(_ZEROS[: piece.nbytes], raw[: piece.nbytes])
            operation(piece, buffer[: piece.size], out=piece)


def _us(work: Callable[[], object]) -> float:
    """Return the microseconds of processor time that some work takes."""
    begun = time.process_time_ns()
    work()
    return (time.process_time_ns() - begun) / 1e3


def table(report: Report) -> Table:
    """The figures as a table."""
    shown = Table(
        "bits", "entries a word", "before, us", "now, us", "ratio", "to 32 bits before", "once before, us", "once, us"
    )
    for row in report.rows:
        shown.add_row(
            str(row.bits),
            str(row.lanes),
            f"{row.before_us:.0f}",
            f"{row.now_us:.0f}",
            f"{row.ratio:.2f}",
            f"{row.ratio_to_32_bits:.2f}",
            f"{row.once_before_us:.0f}",
            f"{row.once_us:.0f}",
        )
    return shown


def main(json: Annotated[Path | None, typer.Option(help="Also write the figures here.")] = None) -> None:
    """Measure masks of a million entries beside the way in which they were expanded before."""
    report, console = measure(), Console()
    console.print(table(report))
    console.print(f"keystreams from {report.mode}", f"{report.machine}", sep="\n", highlight=False)
    if json is not None:
        json.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")


if __name__ == "__main__":
    typer.run(main)
