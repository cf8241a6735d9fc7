"""A federation of real FLARE processes for tests: its files, its job, and the model that must come out."""

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from nvflare.recipe.prod_env import ProdEnv

from examples.nvflare_job.federation import SUBMITTER, make
from protocols import SecureSum
from secagg.engines.nvflare import SecureAveragingRecipe
from secagg.engines.nvflare.model_file import RESULT_NAME, read_model
from secagg.engines.server.plans import averaging
from secagg.storage.key_files import write_committee
from tests.support.committee_keys import key_shares, threshold_key
from tests.support.flare_processes import free_port
from tests.support.flare_training import step_of

SERVER: Final = "localhost"
START: Final[dict[str, NDArray[Any]]] = {"kernel": np.zeros((4, 3), np.float32), "bias": np.ones(3)}


def names(sites: int) -> list[str]:
    """Return the names of the sites."""
    return [f"site-{number + 1}" for number in range(sites)]


def made(folder: Path, live: Path, sites: int) -> Path:
    """Make all files of a federation whose first 3 sites are the committee, and return the folder of the kits."""
    write_committee(folder / "committee", threshold_key(s=2), key_shares(s=2))
    return make(
        folder / "federation",
        live=live,
        host=SERVER,
        port=free_port(),
        sites=sites,
        train="tests.support.flare_training:train",
        committee=folder / "committee",
    )


def submitted(kits: Path, protocol: type[SecureSum], *, rounds: int, min_clients: int, deadline: float = 30.0) -> Any:
    """Submit a job, and return FLARE's run."""
    recipe = SecureAveragingRecipe(
        model=START,
        plan=averaging(protocol, clip_l2=4.0, adversarial=0.0, dropout=0.25),
        coordinator="digits",
        rounds=rounds,
        deadline=deadline,
        min_clients=min_clients,
    )
    return recipe.execute(ProdEnv(startup_kit_location=str(kits / SUBMITTER), username=SUBMITTER, login_timeout=30))


def model_of(result: str) -> dict[str, Any]:
    """Return the model in a job's result."""
    (found,) = Path(result).rglob(RESULT_NAME)
    return read_model(found)


def moved(sites: list[list[str]]) -> float:
    """Return by how much each entry has moved after rounds with these contributors."""
    return float(sum(np.mean([step_of(site, number) for site in each]) for number, each in enumerate(sites, start=1)))
