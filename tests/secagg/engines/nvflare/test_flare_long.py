"""Real FLARE processes with noise and budgets, with long vectors, and FLARE's simulator."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("nvflare", reason="needs the extra nvflare")

from dp.events import Trust
from dp.ledger.ledger import Ledger
from protocols.pairwise import SecAggPlus
from secagg.aggregation.mean import Target
from secagg.engines.nvflare.components import REPORT_NAME
from secagg.engines.nvflare.local_file import FILE_NAME
from tests.support.flare_federation import SERVER, made, model_of, moved, names, submitted
from tests.support.flare_processes import ROOT, running

pytestmark = [pytest.mark.engine, pytest.mark.long]

TARGET = Target(epsilon=8.0, delta=1e-4, releases=2, trust=Trust.DISTRIBUTED, colluding=1)


def test_a_node_whose_budget_is_spent_ends_the_job_and_all_ledgers_agree(tmp_path: Path, live: Path) -> None:
    sites = names(3)
    kits = made(
        tmp_path,
        live,
        len(sites),
        noise="epsilon = 8.01\ndelta = 1e-4",
        trust='trust = ["distributed"]',
        least_contributors="least_contributors = 3",
    )
    path = tmp_path / "ledger.sqlite"
    Ledger.create(path, epsilon=100.0, delta=1e-4, population=1000).close()
    with (kits / SERVER / "local" / FILE_NAME).open("a") as file:
        file.write(f'ledger = "{path}"\n')
    with running(kits, SERVER, *sites) as fleet:
        run = submitted(kits, SecAggPlus, rounds=5, min_clients=3, dropout=0.0, minimum_contributors=3, target=TARGET)
        fleet.wait_for(SERVER, "NothingReleased", timeout_s=300.0)
        run.get_result(timeout=120)
        status, log = run.get_status(), fleet.log(SERVER)
    assert "EXCEPTION" in status, status
    assert log.count("no reply of party") == log.count(": budget") == len(sites), log
    with Ledger.open_to_read(path) as ledger:
        committed = [entry.reservation.event for entry in ledger.entries() if entry.commitment is not None]
        assert (len(ledger.entries()), len(committed)) == (3, 2)
    for site in sites:
        with Ledger.open_to_read(tmp_path / "federation" / "homes" / site / "record" / "ledger.db") as ledger:
            assert [entry.reservation.event for entry in ledger.entries()] == committed


def test_vectors_of_40_megabytes_pass(tmp_path: Path, live: Path) -> None:
    sites, length = names(3), 10_000_000
    kits = made(tmp_path, live, len(sites), most_coordinates=f"most_coordinates = {length}")
    with running(kits, SERVER, *sites) as fleet:
        run = submitted(kits, SecAggPlus, rounds=2, min_clients=3, deadline=120.0, model=[np.zeros(length, np.float32)])
        result = run.get_result(timeout=600)
        assert result is not None, fleet.log(SERVER)
    (array,) = model_of(result).values()
    assert array.shape == (length,)
    assert array.min() == pytest.approx(2 * 4.0 / np.sqrt(length), rel=0.1)  # The clip is the norm of each update.
    reports = [json.loads(line) for path in Path(result).rglob(REPORT_NAME) for line in path.read_text().splitlines()]
    assert [report["contributors"] for report in reports] == [3, 3]


SIMULATION = """
import sys
from nvflare.recipe.sim_env import SimEnv
from protocols.encrypted import OneShot
from tests.support.flare_federation import recipe

if __name__ == "__main__":
    env = SimEnv(clients=["site-1", "site-2", "site-3"], workspace_root=sys.argv[1])
    recipe(OneShot, rounds=2, min_clients=3, deadline=60.0, name="digits").execute(env)
"""


def test_the_simulator_runs_the_same_job(tmp_path: Path, live: Path) -> None:
    sites = names(3)
    kits = made(tmp_path, live, len(sites))
    workspace, federation = tmp_path / "simulation", tmp_path / "federation"
    local = workspace / "digits" / "local"
    local.mkdir(parents=True)
    server = (kits / SERVER / "local" / FILE_NAME).read_text().replace("lead@coordinator.org", "simulator")
    node = f'[node]\nhome = "{federation}/homes/{{site}}"\ntrain = "tests.support.flare_training:train_at_step_1"\n'
    (local / FILE_NAME).write_text(server + node)
    classes = [
        classes
        for kit in (SERVER, "site-1")
        for classes in json.loads((kits / kit / "local" / "resources.json").read_text())["class_allow_list"]
    ]
    (local / "resources.json").write_text(json.dumps({"format_version": 2, "class_allow_list": classes}))
    script = tmp_path / "simulate.py"
    script.write_text(SIMULATION)
    subprocess.run(
        [sys.executable, script, workspace], env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True, timeout=300
    )
    model = model_of(str(workspace))
    np.testing.assert_allclose(model["bias"], 1 + moved([["site-1"]] * 2), atol=1e-3)
