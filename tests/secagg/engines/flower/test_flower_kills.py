"""Real processes of Flower, killed by SIGKILL: a client process, a ServerApp, a SuperNode twice, and a SuperLink."""

import pytest

pytest.importorskip("flwr")

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from secagg.errors import CheckpointError
from secagg.storage.folder_lock import FolderLock
from tests.support.flower_processes import SUPPORTED
from tests.support.flower_runs import STEPS, TIMEOUT_S, FlowerRuns, made_security

NODES: Final = 3
UNUSED_S: Final = 60.0
ALL: Final = sum(STEPS[:NODES]) / NODES
WITHOUT_LAST: Final = sum(STEPS[: NODES - 1]) / (NODES - 1)

pytestmark = [
    pytest.mark.engine,
    pytest.mark.long,
    pytest.mark.skipif(not SUPPORTED, reason="the driver does not know how this version starts its processes"),
]


@pytest.fixture
def runs(tmp_path: Path) -> FlowerRuns:
    """Three nodes, each of which is a member of the committee too."""
    return FlowerRuns.new(tmp_path, NODES, ["oneshot"])


def releases(runs: FlowerRuns) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in runs.federation.coordinator_folder.glob("release-*")}


def wait_until_unused(folder: Path) -> None:
    """Wait for the end of the ServerApp that has lost its SuperLink: it keeps the coordinator's folder until then."""
    until = time.monotonic() + UNUSED_S
    while True:
        try:
            with FolderLock(folder, "coordinator"):
                return
        except CheckpointError:
            assert time.monotonic() < until
            time.sleep(0.5)


def test_run_goes_on_after_its_server_was_killed(runs: FlowerRuns, tmp_path: Path) -> None:
    """The first round comes from the coordinator's folder, and is trained once."""
    mark = tmp_path / "ended"
    with runs.processes() as flower:
        runs.start(flower, rounds=2, ends=mark)
        flower.wait_for(mark, timeout_s=TIMEOUT_S)
        kept = releases(runs)
        found = runs.run(flower, rounds=2, ends=mark)
    assert found.moved == pytest.approx([0.0, ALL, 2 * ALL], abs=1e-3)
    assert len(kept) == 1
    assert releases(runs).items() >= kept.items()
    assert len(releases(runs)) == 2


def test_round_ends_without_a_node_that_was_killed_while_it_trained(runs: FlowerRuns, tmp_path: Path) -> None:
    with runs.processes(ending=tmp_path / "ended") as flower:
        found = runs.run(flower, deadline=100.0)
    assert (tmp_path / "ended").exists()
    assert found.moved == pytest.approx([0.0, WITHOUT_LAST], abs=1e-3)


def test_supernode_that_was_killed_costs_one_deadline_and_comes_back(
    runs: FlowerRuns, record_property: Callable[[str, object], None]
) -> None:
    """It is killed twice. Its supervisor starts it until the SuperLink takes it; then it takes part again."""
    with runs.processes(warm=True) as flower:
        result = runs.start(flower, rounds=14, deadline=30.0)
        for number in (1, 2):
            flower.wait_for(result.with_name(f"{result.name}-{number}"), timeout_s=TIMEOUT_S)
            flower.kill_node(NODES - 1)
            flower.supervise(NODES - 1)
        flower.wait_for(result, timeout_s=2 * TIMEOUT_S)
        found = runs.told(result)
    steps = [after - before for before, after in itertools.pairwise(found.moved)]
    record_property("steps and seconds", [steps, found.seconds])
    assert steps[0] == pytest.approx(ALL, abs=1e-3)
    assert steps[-1] == pytest.approx(ALL, abs=1e-3)
    without = [number for number, step in enumerate(steps) if step == pytest.approx(WITHOUT_LAST, abs=1e-3)]
    assert without
    assert len(without) + sum(step == pytest.approx(ALL, abs=1e-3) for step in steps) == len(steps)
    assert sum(found.seconds[number] > 30.0 for number in without) <= 2


def test_run_goes_on_after_the_superlink_was_killed(runs: FlowerRuns, tmp_path: Path) -> None:
    """Its registrations are in its database; what was released is in the coordinator's folder."""
    security = made_security(tmp_path / "security", NODES)
    with runs.processes(security=security, database=True, warm=True) as flower:
        result = runs.start(flower, "first", rounds=50)
        flower.wait_for(result.with_name(f"{result.name}-1"), timeout_s=TIMEOUT_S)
        kept = releases(runs)
        flower.kill_link()
        flower.start_link()
        wait_until_unused(runs.federation.coordinator_folder)
        found = runs.run(flower, "second", rounds=2)
    assert found.moved == pytest.approx([0.0, ALL, 2 * ALL], abs=1e-3)
    assert kept
    assert releases(runs).items() >= kept.items()
