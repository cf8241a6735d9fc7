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


@pytest.fixture
def federation(tmp_path: Path) -> FlowerFederation:
    """Three nodes, each of which is a member of the committee too."""
    made = FlowerFederation(folder=tmp_path / "nodes", clients=3, protocol="oneshot", members=(0, 1, 2))
    made.write_policies(largest_clip=10.0)
    return made


def started(federation: FlowerFederation, folder: Path, *, ending: str = "") -> FlowerProcesses:
    """Return the processes of Flower; the last node ends in its first training if a file is named for that."""
    path = os.pathsep.join([*sys.path, os.environ.get("PYTHONPATH", "")])
    configs = [f'secagg-home="{federation.home(client)}" step="{step}"' for client, step in enumerate(STEPS)]
    configs[-1] += f' ends="{ending}"' if ending else ""
    return FlowerProcesses(folder / "flower", configs, environment={"PYTHONPATH": path})


def moved(flower: FlowerProcesses, federation: FlowerFederation, folder: Path, config: str = "") -> list[float]:
    """Run the app, and return the model's first entry before the first round and after each."""
    given = f'coordinator="{federation.coordinator_folder}" result="{folder / "result"}" members="0 1 2" {config}'
    told = json.loads(flower.run(APP, given, result=folder / "result", timeout_s=TIMEOUT_S))
    return [float(each) for each in told["moved"]]


def test_one_shot_between_three_supernodes(federation: FlowerFederation, tmp_path: Path) -> None:
    """Each message to a node starts a process there."""
    with started(federation, tmp_path) as flower:
        assert moved(flower, federation, tmp_path) == pytest.approx([0.0, sum(STEPS) / 3], abs=1e-3)


@pytest.mark.long
def test_run_goes_on_after_its_server_was_killed(federation: FlowerFederation, tmp_path: Path) -> None:
    """The first round comes from the coordinator's folder, and is trained once."""
    config = f'rounds=2 ends="{tmp_path / "ended"}"'
    with started(federation, tmp_path) as flower:
        flower.start_run(
            APP, f'{config} coordinator="{federation.coordinator_folder}" members="0 1 2"', timeout_s=TIMEOUT_S
        )
        flower.wait_for(tmp_path / "ended", timeout_s=TIMEOUT_S)
        (first,) = federation.coordinator_folder.glob("release-*")
        kept = first.read_bytes()
        found = moved(flower, federation, tmp_path, config)
    assert found == pytest.approx([0.0, sum(STEPS) / 3, 2 * sum(STEPS) / 3], abs=1e-3)
    assert first.read_bytes() == kept
    assert len([*federation.coordinator_folder.glob("release-*")]) == 2


@pytest.mark.long
def test_round_ends_without_a_node_that_was_killed_while_it_trained(
    federation: FlowerFederation, tmp_path: Path
) -> None:
    with started(federation, tmp_path, ending=str(tmp_path / "ended")) as flower:
        found = moved(flower, federation, tmp_path, "deadline=100.0")
    assert (tmp_path / "ended").exists()
    assert found == pytest.approx([0.0, sum(STEPS[:2]) / 2], abs=1e-3)
