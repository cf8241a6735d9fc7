"""The smallest use on Flower between real processes: a SuperLink, SuperNodes, and an app that `flwr run` sends."""

import pytest

pytest.importorskip("flwr")

from collections.abc import Callable
from pathlib import Path

from tests.support.flower_processes import SUPPORTED
from tests.support.flower_runs import STEPS, FlowerRuns

pytestmark = [
    pytest.mark.engine,
    pytest.mark.long,
    pytest.mark.skipif(not SUPPORTED, reason="the driver does not know how this version starts its processes"),
]


def test_one_shot_between_three_supernodes(tmp_path: Path) -> None:
    """Each message to a node starts a process there."""
    runs = FlowerRuns.new(tmp_path, 3, ["oneshot"])
    with runs.processes() as flower:
        assert runs.run(flower).moved == pytest.approx([0.0, sum(STEPS[:3]) / 3], abs=1e-3)


@pytest.mark.parametrize("adversary", ["curious", "malicious"])
def test_seed_sum_between_three_supernodes(adversary: str, tmp_path: Path) -> None:
    """The nodes are the committee too. A member's machine is kept between the processes of its steps."""
    runs = FlowerRuns.new(tmp_path, 3, ["seeds"])
    with runs.processes() as flower:
        told = runs.run(flower, protocol="seeds", adversary=adversary)
    assert told.moved == pytest.approx([0.0, sum(STEPS[:3]) / 3], abs=1e-3)


def test_warm_process_answers_for_three_supernodes(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Client processes are forks, and none is the command of Flower itself: its log would have no such line."""
    runs = FlowerRuns.new(tmp_path, 3, ["oneshot"])
    with runs.processes(warm=True) as flower:
        told = runs.run(flower, rounds=2)
        assert "the real command runs instead" not in flower.logs()
    assert told.moved == pytest.approx([0.0, sum(STEPS[:3]) / 3, 2 * sum(STEPS[:3]) / 3], abs=1e-3)
    record_property("seconds", told.seconds)
