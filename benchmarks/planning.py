"""How far `secagg plan` is from real sums: `python -m benchmarks.planning --constants FILE`.

Each protocol sums at three sizes in memory, none of which the calibration uses. For each party, the CPU seconds that
were measured are divided by those that the model predicts, and the bytes that it moved by those of the model.
Predictions must be within a factor of two of what is measured, and bytes within 1%: otherwise the exit code is 1.

Give the constants of this machine, made by `secagg bench --calibrate` under the same load: seconds of another machine
say nothing.
"""

from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from protocols import Adversary, SecureSum
from secagg.planning.calibration.calibrate import this_machine
from secagg.planning.calibration.sums import Timed, run
from secagg.planning.cost.constants import Constants, Machine, default_constants, read_constants
from secagg.planning.cost.models import MODELLED
from secagg.planning.cost.timing_key import dealt

SIZES: Final = ((20, 1_000), (60, 30_000), (15, 400_000))
SHORTER: Final = 200
"""Paillier encrypts every coordinate, so its vectors are shorter by this factor, and have at least ten coordinates."""

MOST_RATIO: Final = 2.0
MOST_BYTES: Final = 0.01


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One sum.

    Attributes:
        protocol: Its name.
        adversary: What the server may do.
        clients: The number of clients.
        length: The number of coordinates.
        seconds: The CPU seconds that were measured, by party.
        ratios: Those over the predicted seconds, by party.
        byte_ratios: The bytes that were moved over those of the model, by party.
    """

    protocol: str
    adversary: str
    clients: int
    length: int
    seconds: dict[str, float]
    ratios: dict[str, float]
    byte_ratios: dict[str, float]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What is written as JSON: the machine, and all cases."""

    machine: Machine
    cases: list[Case]


def case(kind: type[SecureSum], adversary: Adversary, timed: Timed, constants: Constants) -> Case:
    """Return what a sum measured and what the model predicted."""
    factors = msgspec.structs.asdict(constants.factors[kind.name])
    counted = timed.counted(constants.durations)
    parties = {"client": timed.cost.client, "member": timed.cost.member}
    return Case(
        protocol=kind.name,
        adversary=str(adversary),
        clients=timed.size.clients,
        length=timed.size.length,
        seconds=dict(timed.seconds),
        ratios={party: each / (counted[party] * factors[party]) for party, each in timed.seconds.items()},
        byte_ratios={
            party: moved / (cost.sent_bytes + cost.received_bytes)
            for party, moved in timed.moved_bytes.items()
            if (cost := parties[party]) is not None
        },
    )


def measured(constants: Constants) -> list[Case]:
    """Return all cases, printing each."""
    committee, cases = dealt(2, 2), list[Case]()
    for kind in MODELLED:
        for adversary in kind.adversaries or (Adversary.CURIOUS,):
            for clients, length in SIZES:
                entries = max(10, length // SHORTER) if kind.name == "paillier" else length
                timed = run(kind, clients=clients, length=entries, adversary=adversary, committee=committee)
                cases.append(found := case(kind, adversary, timed, constants))
                ratios = "  ".join(f"{party} {ratio:.2f}" for party, ratio in found.ratios.items())
                print(f"{kind.name:<12} {adversary:<10} {clients:>4} {entries:>8}  {ratios}", flush=True)
    return cases


def main(
    constants: Annotated[Path | None, typer.Option(help="Constants of this machine.")] = None,
    json: Annotated[Path | None, typer.Option(help="Also write the figures here.")] = None,
) -> None:
    """Compare predicted with measured CPU seconds and bytes."""
    known = default_constants() if constants is None else read_constants(constants)
    machine = this_machine(None)
    cases = measured(known)
    if json is not None:
        json.write_bytes(msgspec.json.format(msgspec.json.encode(Report(machine=machine, cases=cases))) + b"\n")
    far = [
        each
        for each in cases
        if any(not 1 / MOST_RATIO <= ratio <= MOST_RATIO for ratio in each.ratios.values())
        or any(abs(ratio - 1) > MOST_BYTES for ratio in each.byte_ratios.values())
    ]
    print(f"{len(cases) - len(far)} of {len(cases)} sums are within a factor of {MOST_RATIO:g}, and bytes within 1%")
    if far:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
