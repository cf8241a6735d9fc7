"""How long a secure round takes on Flower, beside Flower's own SecAgg+: `python -m benchmarks.engines.flower_rounds`.

One federation of real processes, a SuperLink and five SuperNodes without TLS, on this machine, with the poll intervals
that Flower ships. The ways are run one after the other, and that several times. What counts are the rounds after the
first of each run, which has a query more. It wants an idle machine of at least two cores and takes ten minutes.
"""

import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console

from benchmarks.machine import Machine
from tests.support.flower_processes import FlowerProcesses
from tests.support.flower_runs import TIMEOUT_S, FlowerRuns

NODES: Final = 5
ROUNDS: Final = 2
OWN_APP: Final = Path(__file__).parent / "flower_own_app"
OWN: Final = "Flower's SecAgg+"
AT_MOST: Final = {"our SecAgg+": 0.95, "our OneShot": 0.55, "our OneShot, warm": 0.2}
"""The ratio to Flower's own that each way should not exceed."""


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """One way to run a secure round.

    Attributes:
        name: What it is.
        first: Seconds of the first round of each run; ours have a query more in it.
        seconds: Seconds of the other rounds.
        ratio: The median of `seconds` by that of Flower's own.
        at_most: What the ratio should not exceed; None for Flower's own.
    """

    name: str
    first: list[float]
    seconds: list[float]
    ratio: float
    at_most: float | None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What is written as JSON.

    Attributes:
        machine: Where it ran.
        load: The load average of the minute before, which should be near 0.
        nodes: How many.
        ways: Flower's own first.
    """

    machine: Machine
    load: float
    nodes: int
    ways: list[Way]


@dataclass(frozen=True, slots=True)
class _Federation:
    """The processes, and how each way is run; each returns the seconds of each round."""

    runs: FlowerRuns
    flower: FlowerProcesses

    def own(self, name: str) -> list[float]:
        """Run Flower's own SecAgg+."""
        result = self.runs.folder / name
        self.flower.start_run(OWN_APP, f'result="{result}" nodes={NODES} rounds={ROUNDS}', timeout_s=TIMEOUT_S)
        self.flower.wait_for(result, timeout_s=TIMEOUT_S)
        told = json.loads(result.read_text())
        _check(told["moved"], 0.25)
        return list(told["seconds"])

    def ours(self, name: str, protocol: str) -> list[float]:
        """Run a protocol of ours."""
        told = self.runs.run(self.flower, name, protocol=protocol, variant=name, rounds=ROUNDS)
        _check(told.moved, told.moved[1])
        return told.seconds

    def warm(self, name: str) -> list[float]:
        """Run OneShot with client processes that are forks."""
        self.flower.start_warm()
        try:
            return self.ours(name, "oneshot")
        finally:
            self.flower.stop_warm()


def _check(moved: list[float], step: float) -> None:
    """Check that the model has moved by the same step in every round.

    Raises:
        RuntimeError: It has not: a round was lost.
    """
    expected = [number * step for number in range(ROUNDS + 1)]
    if len(moved) != ROUNDS + 1 or step <= 0 or any(abs(a - b) > 0.01 for a, b in zip(moved, expected, strict=True)):
        raise RuntimeError(f"a round was lost: {moved}")


def measure(repetitions: int, folder: Path, console: Console) -> list[Way]:
    """Return the seconds of each way."""
    runs = FlowerRuns.new(folder, NODES, ["secagg-plus", "oneshot"])
    found: dict[str, list[list[float]]] = {name: [] for name in (OWN, *AT_MOST)}
    with runs.processes(warm=True, settings={"FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "1"}) as flower:
        flower.stop_warm()
        federation = _Federation(runs, flower)
        ways: dict[str, Callable[[str], list[float]]] = {
            OWN: federation.own,
            "our SecAgg+": lambda name: federation.ours(name, "secagg-plus"),
            "our OneShot": lambda name: federation.ours(name, "oneshot"),
            "our OneShot, warm": federation.warm,
        }
        for repetition in range(repetitions):
            for number, (name, run) in enumerate(ways.items()):
                found[name].append(run(f"run-{repetition}-{number}"))
                console.print(f"{name}: {', '.join(f'{each:.1f}' for each in found[name][-1])} s")
    own = statistics.median([each for run in found[OWN] for each in run[1:]])
    return [
        Way(
            name=name,
            first=[run[0] for run in taken],
            seconds=[each for run in taken for each in run[1:]],
            ratio=statistics.median([each for run in taken for each in run[1:]]) / own,
            at_most=AT_MOST.get(name),
        )
        for name, taken in found.items()
    ]


def main(
    repetitions: Annotated[int, typer.Option(min=1, help="How often each way is run.")] = 2,
    json: Annotated[Path | None, typer.Option(help="Also write the figures here.")] = None,
) -> None:
    """Measure the seconds of a secure round on Flower."""
    console, load = Console(), os.getloadavg()[0]
    if sys.platform == "win32":
        raise SystemExit("it needs the processes of a POSIX system")
    with tempfile.TemporaryDirectory() as folder:
        ways = measure(repetitions, Path(folder), console)
    report = Report(machine=Machine.here(("flwr", "numpy", "cryptography")), load=load, nodes=NODES, ways=ways)
    for way in ways:
        goal = "" if way.at_most is None else f", to be at most {way.at_most}"
        console.print(f"{way.name}: {statistics.median(way.seconds):.1f} s a round, ratio {way.ratio:.2f}{goal}")
    console.print(f"load {load:.1f}; {report.machine}", highlight=False)
    if json is not None:
        json.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")


if __name__ == "__main__":
    typer.run(main)
