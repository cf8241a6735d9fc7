"""Pairwise masking beside Flower's SecAgg+: `python -m benchmarks.masking`.

Every time is CPU time of one core in one process, ours and Flower's own code by turns, the least of several runs of
each; so what disturbs one disturbs the other, and what carries over to another machine are the ratios. Both work
modulo 2^32, but for one row, on the complete graph, each client with all others for neighbours, and rebuild secrets
from as many shares.

- "mask" is the round in which a client opens the shares it was sent and masks its vector.  Flower quantises
  in the same stage: the time of its own `quantize` on the same vector, measured apart, is taken off.
- "share" is the round in which it deals shares of its two secrets.
- "unmask" is all the server does once the last round's replies are there. Clients drop out after they have
  shared keys: the only loss that Flower's workflow stands.
- "quantise, pack" starts from a float32 vector.  Flower's cuts, scales and rounds at random.  Ours cuts, scales,
  rounds at random within a bound on the norm, and packs the bits: 32, as Flower's modulus has, or the 29 that a sum
  of 100 such vectors needs.
- Bytes are those of a client's messages, all rounds together, nobody dropping out, each library in its own encoding.

Our messages are decoded and encoded on the clock, Flower's off it.
"""

import benchmarks.masking.core  # noqa: F401, I001  # before numpy

import importlib.util
import math
import os
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console

from benchmarks.cost import measure_rates
from benchmarks.machine import Machine
from benchmarks.masking.cohort import MODULUS, Cohort, complete, run_sum
from benchmarks.masking.report import ADVERSARIES, Report, Row, Stages, Upload, power, time_table, upload_table
from protocols import packing
from protocols.cohort import Adversary
from secagg.aggregation.rounding import round_at_random

if TYPE_CHECKING:
    from benchmarks.masking.flower import LoneClient

CLIPPING_RANGE: Final = 8.0
LEVELS: Final = 2**22
PACKED_MODULI: Final = (2**32, 2**29)
MISSING: Final = 'the peer is not installed: `pip install ".[peers]"`, or --alone to measure ours without a comparison'

Timed = Callable[[], float]
"""Runs some work once, and gives the CPU seconds it took."""


def measure(*, beside_flower: bool) -> Report:
    """Everything, in about three minutes beside Flower."""
    rates = measure_rates()
    small, small_stages = unmask_row(20, 12, 1_000_000, dropped=2, target=1 / 20, beside_flower=beside_flower)
    large, large_stages = unmask_row(50, 30, 100_000, dropped=5, target=1 / 150, beside_flower=beside_flower)
    rows = [
        mask_row(100, 60, 1_000_000, target=1 / 8, runs=7, beside_flower=beside_flower),
        mask_row(100, 60, 1_000_000, bits=16, target=1 / 15, runs=7, beside_flower=beside_flower),
        mask_row(50, 30, 100_000, target=1 / 8, runs=15, beside_flower=beside_flower),
        share_row(100, 60, target=1 / 100, runs=5, beside_flower=beside_flower),
        small,
        large,
        *(
            quantise_row(1_000_000, modulus, target=1 / 3, runs=25, beside_flower=beside_flower)
            for modulus in PACKED_MODULI
        ),
    ]
    return Report(
        machine=Machine.here(("numpy", "cryptography", "msgspec", *(("flwr",) if beside_flower else ()))),
        flower=version("flwr") if beside_flower else None,
        modulus=MODULUS,
        rows=rows,
        stages=[*small_stages, *large_stages],
        uploads=measure_uploads(100, 60, 1_000_000, beside_flower=beside_flower),
        rates=rates,
    )


def mask_row(
    neighbours: int,
    threshold: int,
    length: int,
    *,
    bits: int = 32,
    target: float,
    runs: int,
    beside_flower: bool,
) -> Row:
    """A client masks; Flower's always modulo 2^32."""
    work = f"mask, d={power(length)}, {neighbours} neighbours" + (f", {bits} bits" if bits != 32 else "")
    vector = _integers(1, length)[0] % 2**bits
    cohorts = {each: Cohort(complete(neighbours + 1, threshold, length, each, 2**bits), vector) for each in ADVERSARIES}
    ours = {each: _next_of(cohort, "mask_input") for each, cohort in cohorts.items()}
    if not beside_flower:
        return _compare(work, ours, None, target=target, runs=runs)
    from benchmarks.masking import flower

    floats = _floats(1, length)[0]
    client = flower.LoneClient(neighbours=neighbours, threshold=threshold, vector=floats)
    quantise = min(flower.quantise_s(floats) for _ in range(runs))
    return _compare(work, ours, lambda: client.mask_s() - quantise, target=target, runs=runs)


def share_row(neighbours: int, threshold: int, *, target: float, runs: int, beside_flower: bool) -> Row:
    """A client shares its keys; the vector has no part in it."""
    work = f"share, {neighbours} neighbours, t={threshold}"
    vector = _integers(1, 1)[0]
    cohorts = {each: Cohort(complete(neighbours + 1, threshold, 1, each), vector) for each in ADVERSARIES}
    ours = {each: _next_of(cohort, "share_keys") for each, cohort in cohorts.items()}
    if not beside_flower:
        return _compare(work, ours, None, target=target, runs=runs)
    client = _lone_client(neighbours, threshold, 1)
    return _compare(work, ours, client.share_keys_s, target=target, runs=runs)


def unmask_row(
    clients: int, threshold: int, length: int, *, dropped: int, target: float, beside_flower: bool, runs: int = 3
) -> tuple[Row, list[Stages]]:
    """The server removes the masks; whole sums are run for it."""
    work = f"unmask, n={clients}, d={power(length)}, {dropped} gone"
    integers, floats = _integers(clients, length), _floats(clients, length)
    gone, stages = frozenset(range(dropped)), dict[str, Stages]()

    def ours(adversary: Adversary) -> Timed:
        return lambda: noted(run_sum(complete(clients, threshold, length, adversary), integers, gone))

    def flower() -> float:
        from benchmarks.masking.flower import run_round

        return noted(run_round(floats, threshold=threshold, dropped=gone))

    def noted(ran: Stages) -> float:
        stages[ran.of] = ran
        return list(ran.server_s.values())[-1]

    timed = {each: ours(each) for each in ADVERSARIES}
    row = _compare(work, timed, flower if beside_flower else None, target=target, runs=runs)
    return row, list(stages.values())


def quantise_row(length: int, modulus: int, *, target: float, runs: int, beside_flower: bool) -> Row:
    """A vector of floats becomes integers, and ours bytes; what the server may do makes no difference."""
    work = f"quantise, pack {modulus.bit_length() - 1} bits, d={power(length)}"
    vector = _floats(1, length)[0]
    ours = {Adversary.CURIOUS: lambda: _quantise_and_pack_s(vector, modulus)}
    if not beside_flower:
        return _compare(work, ours, None, target=target, runs=runs)
    from benchmarks.masking import flower

    return _compare(work, ours, lambda: flower.quantise_s(vector), target=target, runs=runs)


def _quantise_and_pack_s(vector: NDArray[np.float32], modulus: int) -> float:
    begun = time.process_time()
    scaled = vector.astype(np.float64)
    scaled *= LEVELS / (2 * CLIPPING_RANGE)
    np.clip(scaled, -LEVELS / 2, LEVELS / 2, out=scaled)
    bound = math.sqrt(vector.size) * (LEVELS / 2 + 1)
    words = round_at_random(scaled, l2_bound=bound, entropy=os.urandom).view(np.uint64)
    words &= np.uint64(modulus - 1)
    packing.pack(words, modulus)
    return time.process_time() - begun


def measure_uploads(neighbours: int, threshold: int, length: int, *, beside_flower: bool) -> list[Upload]:
    """Bytes of one client's messages."""
    vector, payload = _integers(1, length)[0], packing.packed_bytes(length, MODULUS)
    found = []
    for adversary in ADVERSARIES:
        cohort = Cohort(complete(neighbours + 1, threshold, length, adversary), vector)
        cohort.run()
        found.append((f"ours, {adversary} server", payload, cohort.sent_bytes[0]))
    if beside_flower:
        client = _lone_client(neighbours, threshold, length)
        found.append(("Flower", client.payload_bytes, sum(client.sent_bytes.values())))
    return [
        Upload(
            sender=sender,
            neighbours=neighbours,
            length=length,
            bytes_per_coordinate=vector_bytes / length,
            bytes_per_neighbour=(all_bytes - vector_bytes) / neighbours,
        )
        for sender, vector_bytes, all_bytes in found
    ]


def _lone_client(neighbours: int, threshold: int, length: int) -> "LoneClient":
    from benchmarks.masking.flower import LoneClient

    return LoneClient(neighbours=neighbours, threshold=threshold, vector=_floats(1, length)[0])


def _next_of(cohort: Cohort, round_name: str) -> Timed:
    return lambda: cohort.next_s(round_name)


def _compare(work: str, ours: dict[Adversary, Timed], flower: Timed | None, *, target: float, runs: int) -> Row:
    """All of them once a run, in turn."""
    taken: dict[Adversary, list[float]] = {each: [] for each in ours}
    flower_taken: list[float] = []
    for _ in range(runs):
        for adversary, timed in ours.items():
            taken[adversary].append(timed())
        if flower is not None:
            flower_taken.append(flower())
    least = {str(adversary): min(seconds) for adversary, seconds in taken.items()}
    flower_s = min(flower_taken, default=None)
    return Row(
        work=work,
        ours_s=least,
        flower_s=flower_s,
        ratio={} if flower_s is None else {adversary: seconds / flower_s for adversary, seconds in least.items()},
        target=target,
        runs=runs,
    )


def _integers(clients: int, length: int) -> NDArray[np.uint64]:
    return np.random.default_rng(length).integers(0, MODULUS, (clients, length), dtype=np.uint64)


def _floats(clients: int, length: int) -> NDArray[np.float32]:
    return np.random.default_rng(length).uniform(-1, 1, (clients, length)).astype(np.float32)


def main(
    json: Annotated[Path | None, typer.Option(help="Also write the figures here.")] = None,
    alone: Annotated[bool, typer.Option("--alone", help="Measure ours without Flower.")] = False,
) -> None:
    """Measure pairwise masking beside Flower's SecAgg+, on one core."""
    if not alone and importlib.util.find_spec("flwr") is None:
        raise typer.BadParameter(MISSING)
    report = measure(beside_flower=not alone)
    console, rates = Console(), report.rates
    console.print(time_table(report))
    console.print()
    console.print(upload_table(report))
    console.print(
        f"mask expansion {rates.expansion / 1e9:.2f} GB/s, {rates.expansion / rates.keystream:.2f} of the bare AES-CTR "
        f"keystream's {rates.keystream / 1e9:.2f} GB/s; at least 0.70 is wanted",
        f"{report.machine}",
        sep="\n",
        highlight=False,
    )
    if json is not None:
        json.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")


if __name__ == "__main__":
    typer.run(main)
