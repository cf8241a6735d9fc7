"""The constants of a machine and of the engines, in one file: what the models of cost are multiplied by.

A file of measured constants ships with the package. It says on which machine and by which command it was made. Any
other file comes from `secagg bench --calibrate`.
"""

import math
from importlib.resources import files
from pathlib import Path
from typing import Final

import msgspec

from secagg.errors import ConfigurationError
from secagg.planning.cost.operations import Operation
from secagg.planning.cost.request import EngineName

VERSION: Final = 1
WARM: Final = "flower-warm"
"""The name of Flower's constants with a fork server for the processes of nodes."""

_MOST_BYTES: Final = 2**20
_DEFAULT: Final = "constants.json"


class Machine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The machine and the software of a measurement; no host name and no path.

    Attributes:
        processor: The model's name, or the architecture.
        cores: The number of logical cores.
        python: The implementation and its version.
        software: The name and version of this distribution.
        libraries: The versions of the libraries that do the work, by distribution.
        load: The load average of the minute before, if the system tells it. Above the number of cores, times are longer
            than on an idle machine.
    """

    processor: str
    cores: int
    python: str
    software: str
    libraries: dict[str, str]
    load: float | None


class Factors(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The measured CPU time of real sums over the counted one, by party; None if there is no such party."""

    client: float
    server: float
    member: float | None


class EngineConstants(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an engine adds to each step of a protocol.

    Attributes:
        low_s: The least seconds that were measured for a step.
        high_s: The most seconds that were measured for a step.
        processes: Whether every message to a node starts a process there.
        copies: The copies of each reply that the engine's own server holds until the coordinator has fetched it.
        most_nodes: The number of idle nodes that fill one process of the engine's server; None if none was measured.
        source: What was measured, when and on what.
    """

    low_s: float
    high_s: float
    processes: bool
    copies: int
    most_nodes: int | None
    source: str


class Constants(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All constants.

    Attributes:
        version: The version of the file's format.
        command: The command that measured durations and factors.
        machine: The machine that they were measured on.
        durations: The CPU seconds of each operation.
        factors: By protocol, how far real sums exceed what is counted.
        engines: By engine, what it adds to a step.
    """

    version: int
    command: str
    machine: Machine
    durations: dict[Operation, float]
    factors: dict[str, Factors]
    engines: dict[str, EngineConstants]

    def to_bytes(self) -> bytes:
        """Return the file's bytes."""
        return msgspec.json.format(msgspec.json.encode(self)) + b"\n"


def default_constants() -> Constants:
    """Return the constants that ship with the package."""
    return _parsed(files(__package__).joinpath(_DEFAULT).read_bytes(), _DEFAULT)


def read_constants(path: Path) -> Constants:
    """Return the constants of a file.

    Raises:
        ConfigurationError: The file is not one of constants, in this version.
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        data = file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise ConfigurationError(f"{path}: expected a file of constants of at most 1 MiB, found a larger file. {_MEND}")
    return _parsed(data, str(path))


_MEND: Final = "Make one with `secagg bench --calibrate`."


def _parsed(data: bytes, name: str) -> Constants:
    try:
        constants = msgspec.json.decode(data, type=Constants)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigurationError(f"{name}: expected a file of constants, found another ({error}). {_MEND}") from None
    if constants.version != VERSION:
        raise ConfigurationError(f"{name}: expected version {VERSION}, found {constants.version}. {_MEND}")
    if missing := sorted(set(Operation) - constants.durations.keys()):
        raise ConfigurationError(f"{name}: expected the duration of {missing[0]}, found none. {_MEND}")
    if missing := sorted({*EngineName, WARM} - constants.engines.keys()):
        raise ConfigurationError(f"{name}: expected the engine {missing[0]}, found none. {_MEND}")
    for what, number in _numbers(constants).items():
        if not 0 < number < math.inf and not (what.endswith("_s") and number == 0):
            raise ConfigurationError(f"{name}, {what}: expected a finite number above 0, found {number:g}. {_MEND}")
    return constants


def _numbers(constants: Constants) -> dict[str, float]:
    """Return every number of the file that must be finite and positive; seconds a step may be 0."""
    found = {str(operation): each for operation, each in constants.durations.items()}
    for protocol, factors in constants.factors.items():
        found |= {
            f"{protocol} {party}": each for party, each in msgspec.structs.asdict(factors).items() if each is not None
        }
    for engine, each in constants.engines.items():
        found |= {f"{engine} low_s": each.low_s, f"{engine} high_s": each.high_s}
    return found
