"""Real FLARE processes are killed during a job: one of each kind, five in all."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("nvflare", reason="needs the extra nvflare")

from protocols.pairwise import SecAggPlus
from secagg.engines.nvflare.local_file import FILE_NAME
from tests.support.flare_federation import SERVER, made, model_of, moved, names, submitted
from tests.support.flare_processes import Fleet, running

pytestmark = [pytest.mark.engine, pytest.mark.long]
TRAINING = "tests.support.flare_training:train"


def contributors(log: str, rounds: int) -> list[int]:
    """Return how many clients each round had, from the server's log; a round that was begun anew counts once."""
    found = {int(number): int(count) for number, count in re.findall(r"round (\d+): (\d+) of \d+ clients", log)}
    assert sorted(found) == list(range(1, rounds + 1)), log
    return [found[number] for number in sorted(found)]


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


def test_a_server_that_is_killed_whole_goes_on_when_it_is_started_again(tmp_path: Path, live: Path) -> None:
    sites, rounds = names(4), 8
    kits = made(tmp_path, live, len(sites))
    with running(kits, SERVER, *sites) as fleet:
        submitted(kits, SecAggPlus, rounds=rounds, min_clients=4)
        fleet.wait_for(SERVER, "round 2: 4 of 4", timeout_s=300.0)
        fleet.kill(SERVER)
        fleet.start(SERVER)
        fleet.wait_for(SERVER, "Server started", times=2)
        result = submitted(kits, SecAggPlus, rounds=rounds, min_clients=4).get_result(timeout=300)
        assert result is not None, fleet.log(SERVER)
    assert fleet.log(SERVER).count("round 1: ") == 1
    assert contributors(fleet.log(SERVER), rounds) == [4] * rounds
    np.testing.assert_allclose(model_of(result)["bias"], 1 + moved([sites] * rounds), atol=1e-3)


def serve(fleet: Fleet, site: str, home: Path, socket: Path) -> None:
    """Start the resident station of a site."""
    command: list[str | Path] = [
        sys.executable,
        "-P",
        "-m",
        "secagg",
        "node",
        "serve",
        home,
        "--train",
        TRAINING,
        "--socket",
        socket,
    ]
    fleet.run(f"station-{site}", *command, site=site)


def test_a_resident_station_that_is_killed_drops_out_until_it_is_back(tmp_path: Path, live: Path) -> None:
    sites, rounds = names(4), 12
    kits = made(tmp_path, live, len(sites), code='code = "resident"')
    homes = tmp_path / "federation" / "homes"
    for site in sites:
        (kits / site / "local" / FILE_NAME).write_text(f'[node]\nsocket = "{live}/{{site}}.sock"\n')
    with running(kits, SERVER, *sites) as fleet:
        for site in sites:
            serve(fleet, site, homes / site, live / f"{site}.sock")
        run = submitted(kits, SecAggPlus, rounds=rounds, min_clients=3)
        fleet.wait_for(SERVER, "round 2: 4 of 4", timeout_s=300.0)
        fleet.kill("station-site-4")
        fleet.wait_for(SERVER, ": 3 of ", timeout_s=300.0)
        serve(fleet, "site-4", homes / "site-4", live / "site-4.sock")
        result = run.get_result(timeout=300)
        assert result is not None, fleet.log(SERVER)
    counts = contributors(fleet.log(SERVER), rounds)
    assert counts[0] == counts[-1] == 4
    assert 3 in counts
    np.testing.assert_allclose(model_of(result)["bias"], 1 + moved([sites[:count] for count in counts]), atol=1e-3)
