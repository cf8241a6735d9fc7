"""The smallest use on Flower between real processes: a SuperLink, SuperNodes, and an app that `flwr run` sends."""

import pytest

pytest.importorskip("flwr")

import json
import os
import sys
from pathlib import Path
from typing import Final

from tests.support.flower_federation import FlowerFederation
from tests.support.flower_processes import SUPPORTED, FlowerProcesses

APP: Final = Path(__file__).parents[3] / "support" / "flower_app"
STEPS: Final = (0.25, 0.5, 1.0)
TIMEOUT_S: Final = 300.0

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(not SUPPORTED, reason="the driver does not know how this version starts its processes"),
]


def test_one_shot_between_three_supernodes(tmp_path: Path) -> None:
    """Every node is a member of the committee too. Each message to a node starts a process there."""
    federation = FlowerFederation(folder=tmp_path / "nodes", clients=3, protocol="oneshot", members=(0, 1, 2))
    federation.write_policies(largest_clip=10.0)
    configs = [f'secagg-home="{federation.home(client)}" step="{step}"' for client, step in enumerate(STEPS)]
    result = tmp_path / "result.json"
    config = f'coordinator="{federation.coordinator_folder}" result="{result}" members="0 1 2"'
    path = os.pathsep.join([*sys.path, os.environ.get("PYTHONPATH", "")])
    with FlowerProcesses(tmp_path / "flower", configs, environment={"PYTHONPATH": path}) as flower:
        told = json.loads(flower.run(APP, config, result=result, timeout_s=TIMEOUT_S))
    assert told["moved"] == pytest.approx([0.0, sum(STEPS) / 3], abs=1e-3)
