"""Runs of the app of `tests/support/flower_app` on real processes of Flower: homes, node configs, and results."""

import importlib.util
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.support.flower_federation import FlowerFederation
from tests.support.flower_processes import FlowerProcesses, Security

APP: Final = Path(__file__).parent / "flower_app"
STEPS: Final = (0.25, 0.5, 1.0, 0.75, 0.125)
"""By how much each node moves every entry of the model."""

TIMEOUT_S: Final = 400.0
_SCRIPT: Final = Path(__file__).parents[2] / "examples" / "flower_app" / "federation.py"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a run has told.

    Attributes:
        moved: The model's first entry before the first round and after each.
        seconds: The seconds of each round.
        vectors: The peak of the server's memory beyond that before the first round, in copies of the model.
    """

    moved: list[float]
    seconds: list[float]
    vectors: float


@dataclass(frozen=True, slots=True)
class FlowerRuns:
    """A federation of the tests, and what its runs write.

    Attributes:
        federation: The homes and the coordinator's folder.
        folder: Where results and the files of processes are.
    """

    federation: FlowerFederation
    folder: Path

    @classmethod
    def new(cls, folder: Path, clients: int, protocols: Sequence[str], **policy: Any) -> "FlowerRuns":
        """Make the homes. The first three nodes are the members of the committee, of the kind of the first protocol."""
        made = FlowerFederation(folder=folder / "nodes", clients=clients, protocol=protocols[0], members=(0, 1, 2))
        made.write_policies(**{"protocols": list(protocols), "largest_clip": 10.0, "least_contributors": 2} | policy)
        return cls(made, folder)

    def processes(
        self,
        *,
        scale: float = 1.0,
        security: Security | None = None,
        ending: Path | None = None,
        settings: Mapping[str, str] | None = None,
        **options: Any,
    ) -> FlowerProcesses:
        """Return the processes of Flower.

        Args:
            scale: What the nodes' steps are multiplied with.
            security: TLS and the authentication of nodes.
            ending: A file: the last node's process is killed in its first training if there is none, and makes it.
            settings: Variables of the processes, besides those of this one and of the tests.
            options: Of the processes.
        """
        path = os.pathsep.join([*sys.path, os.environ.get("PYTHONPATH", "")])
        configs = [
            f'secagg-home="{self.federation.home(client)}" step="{STEPS[client] * scale}"'
            for client in range(self.federation.clients)
        ]
        configs[-1] += "" if ending is None else f' ends="{ending}"'
        environment = {"PYTHONPATH": path, **(settings or {})}
        return FlowerProcesses(self.folder / "flower", configs, environment=environment, security=security, **options)

    def start(self, flower: FlowerProcesses, name: str = "result", **config: object) -> Path:
        """Start a run, and return the file of its result, beside which are files for the rounds that have ended."""
        result = self.folder / name
        settings = {
            "coordinator": self.federation.coordinator_folder,
            "result": result,
            "members": "0 1 2",
            "nodes": self.federation.clients,
        } | config
        given = " ".join(
            f"{key}={value}" if isinstance(value, int | float) else f'{key}="{value}"'
            for key, value in settings.items()
        )
        flower.start_run(APP, given, timeout_s=TIMEOUT_S)
        return result

    def run(self, flower: FlowerProcesses, name: str = "result", **config: object) -> Told:
        """Run the app to its end."""
        result = self.start(flower, name, **config)
        flower.wait_for(result, timeout_s=TIMEOUT_S)
        return self.told(result)

    @staticmethod
    def told(result: Path) -> Told:
        """Return what a run has written into the file of its result."""
        return Told(**json.loads(result.read_text()))


def made_security(folder: Path, nodes: int) -> Security:
    """Make certificates and keys with the script of the example."""
    spec = importlib.util.spec_from_file_location("flower_example", _SCRIPT)
    if spec is None or spec.loader is None:
        raise ImportError(str(_SCRIPT))
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.make_certificates(folder / "tls", ["localhost", "127.0.0.1"])
    script.make_node_keys(folder / "keys", nodes)
    return Security(tls=folder / "tls", keys=folder / "keys")
