"""Whether a larger population takes more memory: `python -m benchmarks.population`.

A run of `secagg train` with cohorts of 300 clients and a budget, over 1,000 and over 100,000 clients, on the same
examples.  Each run is a process of its own; what is reported is the most memory that was resident in it.  Clients are
made when they are asked, so that both should take about the same.  Linux only.
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Final

import msgspec
import numpy as np
import typer
from rich.console import Console

from benchmarks.machine import Machine

POPULATIONS: Final = (1_000, 100_000)
COHORT: Final = 300
ROUNDS: Final = 3
EXAMPLES: Final = 200_000
FEATURES: Final = 20
CLASSES: Final = 5


class Peak(msgspec.Struct, frozen=True, kw_only=True):
    """The most memory of one run.

    Attributes:
        clients: The size of the population.
        draw: How the cohorts were drawn.
        peak_bytes: The most memory that was resident.
        cpu_s: Processor seconds of the whole run.
        elapsed_s: Seconds from the first to the last round.
    """

    clients: int
    draw: str
    peak_bytes: int
    cpu_s: float
    elapsed_s: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What is written as JSON.

    Attributes:
        machine: Where it ran; it used one core.
        cohort: The number of clients that a round asks.
        rounds: The number of rounds.
        examples: The number of training examples of all clients together.
        peaks: One for each population and draw.
    """

    machine: Machine
    cohort: int
    rounds: int
    examples: int
    peaks: list[Peak]


def write_examples(path: Path) -> None:
    """Write a data set with as many examples as the largest population has clients, or more."""
    generator = np.random.default_rng(1)
    x = generator.normal(size=(EXAMPLES + 1_000, FEATURES)).astype(np.float32)
    y = x[:, :CLASSES].argmax(axis=1).astype(np.int64)
    np.savez(path, x_train=x[:EXAMPLES], y_train=y[:EXAMPLES], x_test=x[EXAMPLES:], y_test=y[EXAMPLES:])


def run(examples: Path, folder: Path, *, clients: int, draw: str) -> Peak:
    """Train in this process, and return what it took."""
    from secagg.runs.folder import RunFolder
    from secagg.runs.parsing import parse
    from secagg.runs.prepare import prepare
    from secagg.runs.run import run_training

    config = parse(
        {
            "dataset": str(examples),
            "model": "numpy-softmax",
            "clients": clients,
            "cohort": COHORT,
            "draw": draw,
            "rounds": ROUNDS,
            "epochs": 1,
            "delta": 1e-6,
            "compare": False,
        }
    )
    run_folder = RunFolder(folder)
    prepared = prepare(config)
    run_folder.begin(prepared.config)
    begun = time.perf_counter()
    summary = run_training(prepared, run_folder, resume=False, observe=lambda *_: None)
    elapsed = time.perf_counter() - begun
    if summary.released != ROUNDS:
        raise RuntimeError(f"expected {ROUNDS} releases, found {summary.released}")
    return Peak(
        clients=clients,
        draw=draw,
        peak_bytes=1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        cpu_s=time.process_time(),
        elapsed_s=elapsed,
    )


def measure() -> Report:
    """Run all processes, one after the other."""
    peaks = []
    with tempfile.TemporaryDirectory() as name:
        examples = Path(name) / "examples.npz"
        write_examples(examples)
        for draw in ("in-turn", "random"):
            for clients in POPULATIONS:
                folder = Path(name) / f"{draw}-{clients}"
                command = [sys.executable, "-m", "benchmarks.population", "one", str(examples), str(folder)]
                command += [str(clients), draw]
                done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603 - this module
                if done.returncode:
                    raise RuntimeError(done.stderr.decode(errors="replace"))
                peaks.append(msgspec.json.decode(done.stdout, type=Peak))
    return Report(
        machine=Machine.here(("numpy", "cryptography", "msgspec")),
        cohort=COHORT,
        rounds=ROUNDS,
        examples=EXAMPLES,
        peaks=peaks,
    )


def main(json: Annotated[Path | None, typer.Option(help="Also write the figures here.")] = None) -> None:
    """Measure the memory of runs over populations of two sizes."""
    report, console = measure(), Console()
    first = {each.draw: each.peak_bytes for each in report.peaks if each.clients == POPULATIONS[0]}
    for each in report.peaks:
        console.print(
            f"{each.clients:>7,} clients, cohorts of {report.cohort} drawn {each.draw}: {each.peak_bytes / 1e6:.0f} MB "
            f"({each.peak_bytes / first[each.draw]:.3f}), {each.cpu_s:.1f} CPU s, rounds {each.elapsed_s:.1f} s",
            highlight=False,
        )
    console.print(f"{report.machine}", highlight=False)
    if json is not None:
        json.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["one"]:
        peak = run(Path(sys.argv[2]), Path(sys.argv[3]), clients=int(sys.argv[4]), draw=sys.argv[5])
        sys.stdout.buffer.write(msgspec.json.encode(peak) + b"\n")
    else:
        typer.run(main)
