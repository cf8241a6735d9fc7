"""Real FLARE processes with mutual TLS: a server and 3 sites, which are the committee, too."""

import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("nvflare", reason="needs the extra nvflare")

from protocols.encrypted import OneShot
from protocols.pairwise import SecAggPlus
from tests.support.flare_federation import SERVER, made, model_of, moved, names, submitted
from tests.support.flare_processes import running


@pytest.fixture
def live() -> Iterator[Path]:
    """Yield a folder in memory."""
    path = Path(tempfile.mkdtemp(prefix="secagg-test-", dir="/dev/shm"))
    yield path
    shutil.rmtree(path)


@pytest.mark.engine
def test_a_job_returns_the_mean_of_its_sites(tmp_path: Path, live: Path) -> None:
    sites = names(3)
    kits = made(tmp_path, live, len(sites))
    with running(kits, SERVER, *sites) as fleet:
        result = submitted(kits, OneShot, rounds=2, min_clients=3, deadline=60.0).get_result(timeout=300)
        assert result is not None, fleet.log(SERVER)
    model = model_of(result)
    assert model["kernel"].dtype == np.float32
    np.testing.assert_allclose(model["kernel"], moved([sites] * 2), atol=1e-4)
    np.testing.assert_allclose(model["bias"], 1 + moved([sites] * 2), atol=1e-4)
    for name in (SERVER, *sites):
        assert "Traceback" not in fleet.log(name), fleet.log(name)


def contributors(log: str, rounds: int) -> list[int]:
    """Return how many clients each round had, from the server's log; a round that was begun anew counts once."""
    found = {int(number): int(count) for number, count in re.findall(r"round (\d+): (\d+) of \d+ clients", log)}
    assert sorted(found) == list(range(1, rounds + 1)), log
    return [found[number] for number in sorted(found)]


@pytest.mark.engine
@pytest.mark.long
def test_a_site_that_is_killed_drops_out_and_the_rounds_go_on(tmp_path: Path, live: Path) -> None:
    """FLARE 2.9.0 calls such a job running until the site's heartbeat times out, so the server's own file is read."""
    sites, rounds = names(4), 8
    kits = made(tmp_path, live, len(sites))
    with running(kits, SERVER, *sites) as fleet:
        submitted(kits, SecAggPlus, rounds=rounds, min_clients=3, deadline=20.0)
        fleet.wait_for(SERVER, "round 2: 4 of 4", timeout_s=300.0)
        fleet.kill("site-4")
        fleet.wait_for(SERVER, f"round {rounds}: 3 of 3", timeout_s=300.0)
        fleet.wait_for(SERVER, "ABOUT_TO_END_RUN fired", timeout_s=60.0)
        model = model_of(str(kits / SERVER))
    counts = contributors(fleet.log(SERVER), rounds)
    assert counts == sorted(counts, reverse=True)
    assert (counts[0], counts[-1]) == (4, 3)
    np.testing.assert_allclose(model["bias"], 1 + moved([sites[:count] for count in counts]), atol=1e-3)


@pytest.mark.engine
@pytest.mark.long
@pytest.mark.parametrize("killed", [SERVER, "site-4"])
def test_a_job_whose_process_is_killed_goes_on_when_it_is_submitted_again(
    tmp_path: Path, live: Path, killed: str
) -> None:
    """FLARE 2.9.0 ends a job whose process has failed at one site, if the site's own FLARE process reports it."""
    sites, rounds = names(4), 8
    kits = made(tmp_path, live, len(sites))
    with running(kits, SERVER, *sites) as fleet:
        run = submitted(kits, SecAggPlus, rounds=rounds, min_clients=4)
        fleet.wait_for(SERVER, "round 2: 4 of 4", timeout_s=300.0)
        fleet.kill_job(killed)
        run.get_result(timeout=120)
        result = submitted(kits, SecAggPlus, rounds=rounds, min_clients=4).get_result(timeout=300)
        assert result is not None, fleet.log(SERVER)
    assert fleet.log(SERVER).count("round 1: ") == 1
    assert contributors(fleet.log(SERVER), rounds) == [4] * rounds
    np.testing.assert_allclose(model_of(result)["bias"], 1 + moved([sites] * rounds), atol=1e-3)
