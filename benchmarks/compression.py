"""What compression costs in accuracy: `python -m benchmarks.compression`.

The same private training with several fractions of the rotated coordinates sent, over seeds: 1,000 clients, epsilon 8,
`numpy-softmax` on Fashion-MNIST, 20 rounds, with half of the server's default learning rate. The error of a subset is
noise, which a smaller rate averages over the rounds. The privacy setting and the clip are the same for all fractions.
The bytes are those of a client's vector over the number of the model's parameters; what a protocol adds to a vector is
not counted. The sums are taken by the protocol `plain`, as in `benchmarks.accuracy`, and for the same reason. The noise
is a trusted server's, since a thousand exact noise shares a round take most of the time. Noise shares have more noise,
by the square root of the contributors over those that they are sized for, with every fraction alike.
"""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.accuracy import LIBRARIES, Spread, private_accuracy
from benchmarks.machine import Machine
from secagg.runs.config import TrainingConfig
from secagg.runs.parsing import parse
from secagg.runs.prepare import prepare

FRACTIONS: Final = (1.0, 0.25, 0.14)
SEEDS: Final = (1, 2, 3)
BITS: Final = 16
RATE: Final = 1.25


class Fraction(msgspec.Struct, frozen=True, kw_only=True):
    """Training with one fraction of the coordinates.

    Attributes:
        compression: The fraction.
        coordinates: Those that a client sends.
        bytes_a_parameter: The bytes of a client's vector over the number of the model's parameters.
        accuracy: The test accuracy of final models over the seeds.
    """

    compression: float
    coordinates: int
    bytes_a_parameter: float
    accuracy: Spread


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What is written as JSON.

    Attributes:
        machine: Where it ran.
        settings: Of the runs without their data set's path; each had its own seed and fraction.
        seeds: Of the runs.
        fractions: Most exact first.
    """

    machine: Machine
    settings: TrainingConfig
    seeds: list[int]
    fractions: list[Fraction]


def config_of(dataset: str, compression: float, seed: int, rounds: int) -> TrainingConfig:
    """Return the settings of one run."""
    return parse(
        {
            "dataset": dataset,
            "model": "numpy-softmax",
            "protocol": "plain",
            "trust": "central",
            "clients": 1000,
            "rounds": rounds,
            "epsilon": 8.0,
            "delta": 1e-4,
            "modulus_bits": BITS,
            "compression": compression,
            "server_learning_rate": RATE,
            "seed": seed,
        }
    )


def measure(dataset: str, *, rounds: int, fractions: Sequence[float], workers: int) -> Report:
    """Train with each fraction and each seed, in processes of their own."""
    with ProcessPoolExecutor(max_workers=workers, mp_context=get_context("spawn")) as pool:
        runs = {
            fraction: pool.map(private_accuracy, [config_of(dataset, fraction, seed, rounds) for seed in SEEDS])
            for fraction in fractions
        }
        found = [_fraction(dataset, fraction, rounds, list(accuracies)) for fraction, accuracies in runs.items()]
    settings = config_of("fashion-mnist", fractions[0], SEEDS[0], rounds)
    return Report(machine=Machine.here(LIBRARIES), settings=settings, seeds=list(SEEDS), fractions=found)


def _fraction(dataset: str, compression: float, rounds: int, accuracies: list[float]) -> Fraction:
    encoding = prepare(config_of(dataset, compression, SEEDS[0], rounds)).mean.encoding
    return Fraction(
        compression=compression,
        coordinates=encoding.length,
        bytes_a_parameter=encoding.length * encoding.modulus_bits / 8 / encoding.dimension,
        accuracy=Spread.over(f"{compression:g}", accuracies),
    )


def main(
    dataset: Annotated[str, typer.Option(help="fashion-mnist, or an archive with the same images.")] = "fashion-mnist",
    rounds: Annotated[int, typer.Option(help="Rounds of a run.")] = 20,
    workers: Annotated[int, typer.Option(help="Processes at the same time.")] = 2,
    json: Annotated[Path | None, typer.Option(help="Also write the figures here.")] = None,
) -> None:
    """Measure accuracy and bytes by the fraction of the coordinates that clients send."""
    report = measure(dataset, rounds=rounds, fractions=FRACTIONS, workers=workers)
    table = Table("fraction", "coordinates", "bytes a parameter", "mean", "least", "most", title="test accuracy, %")
    for row in report.fractions:
        accuracies = (row.accuracy.mean, row.accuracy.least, row.accuracy.most)
        shown = (f"{100 * value:.2f}" for value in accuracies)
        table.add_row(f"{row.compression:g}", f"{row.coordinates:,}", f"{row.bytes_a_parameter:.3f}", *shown)
    Console().print(table, f"{report.machine}", highlight=False)
    if json is not None:
        json.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")


if __name__ == "__main__":
    typer.run(main)
