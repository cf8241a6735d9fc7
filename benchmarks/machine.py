"""What a measurement was taken on: figures without it mean little.  No host name, no path."""

import os
import platform
import tomllib
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import msgspec

_PROCESSOR_TABLE = Path("/proc/cpuinfo")
_PROJECT = Path(__file__).parents[1] / "pyproject.toml"
"""A benchmark runs from a clone, which need not be installed."""


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Processor and software of a run.

    Attributes:
        processor: The model's name, or the architecture where the system does not tell.
        cores: Logical ones.
        python: Implementation and version.
        libraries: Version by distribution.
        software: Name and version of what was measured; results of before 0.1.0 do not tell.
    """

    processor: str
    cores: int
    python: str
    libraries: dict[str, str]
    software: str = ""

    @classmethod
    def here(cls, libraries: Sequence[str]) -> "Machine":
        """This machine, with the versions of these distributions."""
        return cls(
            processor=_processor(),
            cores=os.cpu_count() or 1,
            python=f"{platform.python_implementation()} {platform.python_version()}",
            libraries={name: version(name) for name in libraries},
            software=_software(),
        )

    def __str__(self) -> str:
        libraries = ", ".join(f"{name} {number}" for name, number in self.libraries.items())
        return f"{self.processor}, {self.cores} cores; {self.python}; {libraries}"


def _software() -> str:
    project = tomllib.loads(_PROJECT.read_text(encoding="utf-8"))["project"]
    return f"{project['name']} {project['version']}"


def _processor() -> str:
    lines = _PROCESSOR_TABLE.read_text().splitlines() if _PROCESSOR_TABLE.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
