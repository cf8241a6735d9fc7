"""Real FLARE processes with mutual TLS: a server and 3 sites, which are the committee, too."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("nvflare", reason="needs the extra nvflare")

from protocols import OneShot, SecureSum, SeedSum
from tests.support.flare_federation import SERVER, made, model_of, moved, names, submitted
from tests.support.flare_processes import running


@pytest.mark.engine
@pytest.mark.parametrize("protocol", [pytest.param(OneShot, marks=pytest.mark.long), SeedSum])
def test_a_job_returns_the_mean_of_its_sites(protocol: type[SecureSum], tmp_path: Path, live: Path) -> None:
    sites = names(3)
    kits = made(tmp_path, live, len(sites), seeds=protocol is SeedSum, protocols=f'protocols = ["{protocol.name}"]')
    with running(kits, SERVER, *sites) as fleet:
        result = submitted(kits, protocol, rounds=2, min_clients=3, deadline=60.0).get_result(timeout=300)
        assert result is not None, fleet.log(SERVER)
    model = model_of(result)
    assert model["kernel"].dtype == np.float32
    np.testing.assert_allclose(model["kernel"], moved([sites] * 2), atol=1e-4)
    np.testing.assert_allclose(model["bias"], 1 + moved([sites] * 2), atol=1e-4)
    for name in (SERVER, *sites):
        assert "Traceback" not in fleet.log(name), fleet.log(name)
