"""The calibration: durations of operations, then a few small real sums with each protocol, for what is not counted."""

import os
import platform
import statistics
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from dp.version import SOFTWARE
from dp.version import VERSION as SOFTWARE_VERSION
from protocols import Adversary, SecureSum, SeedSum
from secagg.planning.calibration import paillier, primitives
from secagg.planning.calibration.overheads import overheads
from secagg.planning.calibration.seed_committee import drawn
from secagg.planning.calibration.sums import Timed, run
from secagg.planning.cost.constants import VERSION, Constants, Factors, Machine, default_constants
from secagg.planning.cost.models import MODELLED
from secagg.planning.cost.operations import Operation
from secagg.planning.cost.timing_key import dealt

COMMAND: Final = "secagg bench --calibrate"
_LIBRARIES: Final = ("numpy", "scipy", "cryptography", "msgspec", "gmpy2")
_SIZES: Final = ((10, 20_000), (30, 100_000))
_LENGTH_OVER_PAILLIER: Final = 20  # Paillier encrypts every coordinate, so its vectors are shorter.
_MEMBERS: Final = 2
_SEED_MEMBERS: Final = 3
_PROCESSORS: Final = Path("/proc/cpuinfo")


def calibrate(note: Callable[[str], object]) -> Constants:
    """Return the constants of this machine. It takes less than a minute on an idle one.

    Args:
        note: Called with each thing that is measured next.
    """
    load = _load()
    note("operations")
    committee = dealt(_MEMBERS, _MEMBERS)
    durations = primitives.durations()
    note("Paillier's cryptosystem")
    durations |= paillier.durations(*committee)
    durations |= overheads(durations)
    factors = {}
    for kind in MODELLED:
        note(f"sums with {kind.name}")
        timed = [
            run(
                kind,
                clients=clients,
                length=_length(kind, length),
                adversary=adversary,
                committee=drawn(_SEED_MEMBERS, 1) if issubclass(kind, SeedSum) else committee,
            )
            for adversary in kind.adversaries or (Adversary.CURIOUS,)
            for clients, length in _SIZES
        ]
        factors[kind.name] = factors_of(timed, durations)
    return Constants(
        version=VERSION,
        command=COMMAND,
        machine=this_machine(load),
        durations=durations,
        factors=factors,
        engines=default_constants().engines,
    )


def factors_of(timed: list[Timed], durations: dict[Operation, float]) -> Factors:
    """Return the geometric means of measured over counted seconds, by party."""
    found: dict[str, float | None] = {}
    for party in ("client", "server", "member"):
        ratios = [each.seconds[party] / each.counted(durations)[party] for each in timed if party in each.seconds]
        found[party] = statistics.geometric_mean(ratios) if ratios else None
    return Factors(client=found["client"] or 1.0, server=found["server"] or 1.0, member=found["member"])


def this_machine(load: float | None) -> Machine:
    """Return what this machine is, given its load before the measurement."""
    return Machine(
        processor=_processor(),
        cores=os.cpu_count() or 1,
        python=f"{platform.python_implementation()} {platform.python_version()}",
        software=f"{SOFTWARE} {SOFTWARE_VERSION}",
        libraries={name: found for name in _LIBRARIES if (found := _installed(name)) is not None},
        load=load,
    )


def _length(kind: type[SecureSum], length: int) -> int:
    return length // _LENGTH_OVER_PAILLIER if kind.name == "paillier" else length


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _load() -> float | None:
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def _processor() -> str:
    lines = _PROCESSORS.read_text(encoding="utf-8").splitlines() if _PROCESSORS.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
