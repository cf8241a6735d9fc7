"""Masks of a million words, beside the way in which they were expanded before: `python -m benchmarks.masks`.

Before, that is up to commit e5ce1dd and for some time after it, each mask came from CTR, and was expanded and added
before the next. Now all masks of a client are applied together, from the mode that wins the trial. Both ways are
measured in the same process by turns, on the same seeds, and their totals are compared.

Times are processor time of one mask. A ratio is the median over the runs, each of two adjacent measurements.
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
from protocols.crypto.counter_mode import CounterMode, mode_of_long_streams
from protocols.crypto.keystream import SignedMask, Words, apply_masks, word_dtype
from protocols.crypto.secret import Secret

LENGTH: Final = 1_000_000
MASKS: Final = 64
RUNS: Final = 21
WORD_BITS: Final = (32, 16)

_CHUNK_BYTES = 128 * 1024
_ZEROS = memoryview(bytes(_CHUNK_BYTES))


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """Masks of one width.

    Attributes:
        bits: Of a word.
        before_us: Processor time of one mask, the old way, in microseconds; median.
        now_us: The same, the new way.
        ratio: Of the new time to the old one; median over pairs.
        ratio_to_32_bits: Of the new time to the old one of words of 32 bits; ratio of medians.
    """

    bits: int
    before_us: float
    now_us: float
    ratio: float
    ratio_to_32_bits: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What is written as JSON.

    Attributes:
        machine: Where it ran.
        mode: Of the keystreams.
        length: Words of a mask.
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
    for bits in WORD_BITS:
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
    """Measure masks of words of this many bits; raise `RuntimeError` if the two ways differ."""
    operations = (np.add, np.subtract)
    masks: list[SignedMask] = [(operations[number % 2], Secret(os.urandom(32))) for number in range(MASKS)]
    old, new = (np.zeros(LENGTH, dtype=word_dtype(2**bits)) for _ in range(2))
    pairs = [(_us(apply_one_by_one, old, masks), _us(apply_masks, new, masks)) for _ in range(RUNS)]
    if not np.array_equal(old, new):
        raise RuntimeError("the two ways give different totals")
    before = statistics.median(one for one, _ in pairs)
    now = statistics.median(other for _, other in pairs)
    return Row(
        bits=bits,
        before_us=before,
        now_us=now,
        ratio=statistics.median(other / one for one, other in pairs),
        ratio_to_32_bits=now / (before if before_at_32_bits is None else before_at_32_bits),
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


def _us(apply: Callable[[Words, list[SignedMask]], None], total: Words, masks: list[SignedMask]) -> float:
    """Return the microseconds that one mask takes."""
    begun = time.process_time_ns()
    apply(total, masks)
    return (time.process_time_ns() - begun) / 1e3 / len(masks)


def table(report: Report) -> Table:
    """The figures as a table."""
    shown = Table("bits of a word", "before, us", "now, us", "ratio", "to 32 bits before")
    for row in report.rows:
        shown.add_row(
            str(row.bits),
            f"{row.before_us:.0f}",
            f"{row.now_us:.0f}",
            f"{row.ratio:.2f}",
            f"{row.ratio_to_32_bits:.2f}",
        )
    return shown


def main(json: Annotated[Path | None, typer.Option(help="Also write the figures here.")] = None) -> None:
    """Measure masks of a million words beside the way in which they were expanded before."""
    report, console = measure(), Console()
    console.print(table(report))
    console.print(f"keystreams from {report.mode}", f"{report.machine}", sep="\n", highlight=False)
    if json is not None:
        json.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")


if __name__ == "__main__":
    typer.run(main)
