"""Real FLARE processes with mutual TLS: a server and 3 sites that are the committee, too."""

import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("nvflare", reason="needs the extra nvflare")

from nvflare.recipe.prod_env import ProdEnv

from examples.nvflare_job.federation import SUBMITTER, make
from protocols.encrypted import OneShot
from secagg.engines.nvflare import SecureAveragingRecipe
from secagg.engines.nvflare.model_file import RESULT_NAME, read_model
from secagg.engines.plans import averaging
from secagg.storage.key_files import write_committee
from tests.support.committee_keys import key_shares, threshold_key
from tests.support.flare_processes import running
from tests.support.flare_training import step_of

SITES = ["site-1", "site-2", "site-3"]
ROUNDS = 2


@pytest.fixture
def live() -> Iterator[Path]:
    """Yield a folder in memory."""
    path = Path(tempfile.mkdtemp(prefix="secagg-test-", dir="/dev/shm"))
    yield path
    shutil.rmtree(path)


def free_port() -> int:
    """Return a port of this machine that is free, like the one after it."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            try:
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


@pytest.mark.engine
def test_a_job_returns_the_mean_of_its_sites(tmp_path: Path, live: Path) -> None:
    write_committee(tmp_path / "committee", threshold_key(s=2), key_shares(s=2))
    kits = make(
        tmp_path / "federation",
        live=live,
        host="localhost",
        port=free_port(),
        sites=len(SITES),
        train="tests.support.flare_training:train",
        committee=tmp_path / "committee",
    )
    recipe = SecureAveragingRecipe(
        model={"kernel": np.zeros((4, 3), np.float32), "bias": np.ones(3)},
        plan=averaging(OneShot, clip_l2=4.0, adversarial=0.0, dropout=0.0),
        coordinator="digits",
        rounds=ROUNDS,
        deadline=30,
        min_clients=len(SITES),
    )
    with running(kits, "localhost", SITES) as fleet:
        env = ProdEnv(startup_kit_location=str(kits / SUBMITTER), username=SUBMITTER, login_timeout=30)
        run = recipe.execute(env)
        result = run.get_result(timeout=120)
        assert result is not None, fleet.log("localhost")
    found = list(Path(result).rglob(RESULT_NAME))
    assert len(found) == 1, fleet.log("localhost")
    model = read_model(found[0])
    moved = sum(np.mean([step_of(site, number) for site in SITES]) for number in range(1, ROUNDS + 1))
    assert model["kernel"].dtype == np.float32
    np.testing.assert_allclose(model["kernel"], moved, atol=1e-4)
    np.testing.assert_allclose(model["bias"], 1 + moved, atol=1e-4)
    for name in ("localhost", *SITES):
        assert "Traceback" not in fleet.log(name), fleet.log(name)
