"""What a ledger of a population costs: `python -m benchmarks.ledger`.

Of 100,000 clients, 300 are asked in each of 1,500 rounds, and 20 of these drop out. Reported are the processor time of
the last reservations and commitments, the time in which the file is opened, and its size.  The first reservation of a
process also loads libraries, and is not counted.
"""

import tempfile
import time
from pathlib import Path
from typing import Annotated, Final

import msgspec
import numpy as np
import typer
from rich.console import Console

from benchmarks.machine import Machine
from dp import Accounting, DistributedDiscreteGaussianEvent, Ledger, Participation, clients_digest

CLIENTS: Final = 100_000
COHORT: Final = 300
ROUNDS: Final = 1500
MISSING: Final = 20
LAST: Final = 100
CAP: Final = 45
EVENT: Final = DistributedDiscreteGaussianEvent(
    local_sigma=60.0, contributors=250, l2_sensitivity=100.0, dimension=2**20
)


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """The costs of one ledger.

    Attributes:
        accounting: How it charges clients.
        reserve_ms: Processor time of a reservation, mean of the last hundred.
        most_reserve_ms: The most that one of these took.
        commit_ms: Processor time of a commitment, mean of the last hundred.
        open_s: Processor time of opening the file.
        file_mb: Its size in megabytes.
    """

    accounting: str
    reserve_ms: float
    most_reserve_ms: float
    commit_ms: float
    open_s: float
    file_mb: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What is written as JSON.

    Attributes:
        machine: Where it ran; it used one core.
        clients: The size of the population.
        cohort: The number of clients that a round asks.
        rounds: The number of rounds.
        ledgers: One for each way of accounting.
    """

    machine: Machine
    clients: int
    cohort: int
    rounds: int
    ledgers: list[Costs]


def measure(accounting: Accounting, path: Path) -> Costs:
    """Fill a ledger, and return what that cost."""
    generator = np.random.default_rng(1)
    participation = Participation(clients=clients_digest(client.to_bytes(4) for client in range(CLIENTS)), cap=CAP)
    reserved, committed = [], []
    with Ledger.create(
        path, epsilon=6.0, delta=1e-6, population=CLIENTS, participation=participation, accounting=accounting
    ) as ledger:
        for number in range(ROUNDS):
            asked = generator.choice(CLIENTS, COHORT, replace=False).tolist()
            begun = time.process_time()
            reservation = ledger.reserve(EVENT, f"round {number}", participants=asked)
            between = time.process_time()
            ledger.commit(reservation, contributors=asked[MISSING:], realised=EVENT)
            reserved.append(1e3 * (between - begun))
            committed.append(1e3 * (time.process_time() - between))
    begun = time.process_time()
    Ledger.open(path).close()
    return Costs(
        accounting=str(accounting),
        reserve_ms=sum(reserved[-LAST:]) / LAST,
        most_reserve_ms=max(reserved[-LAST:]),
        commit_ms=sum(committed[-LAST:]) / LAST,
        open_s=time.process_time() - begun,
        file_mb=path.stat().st_size / 1e6,
    )


def main(json: Annotated[Path | None, typer.Option(help="Also write the figures here.")] = None) -> None:
    """Measure what ledgers of a large population cost."""
    with tempfile.TemporaryDirectory() as folder:
        ledgers = [measure(each, Path(folder) / f"{each}.sqlite") for each in Accounting]
    report, console = (
        Report(
            machine=Machine.here(("numpy", "msgspec")), clients=CLIENTS, cohort=COHORT, rounds=ROUNDS, ledgers=ledgers
        ),
        Console(),
    )
    for each in ledgers:
        console.print(
            f"{each.accounting:>16}: reserve {each.reserve_ms:.2f} ms (at most {each.most_reserve_ms:.2f}), commit "
            f"{each.commit_ms:.2f} ms, opened in {each.open_s:.2f} s, file of {each.file_mb:.2f} MB",
            highlight=False,
            soft_wrap=True,
        )
    console.print(f"{report.machine}", highlight=False)
    if json is not None:
        json.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")


if __name__ == "__main__":
    typer.run(main)
