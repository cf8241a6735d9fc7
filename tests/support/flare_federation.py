"""A federation of real FLARE processes for tests: its files, its job, and the model that must come out."""

import json
import re
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from nvflare.recipe.prod_env import ProdEnv

from examples.nvflare_job.federation import SUBMITTER, make
from protocols import SecureSum
from secagg.engines.node.policy_file import POLICY_NAME
from secagg.engines.nvflare import SecureAveragingRecipe
from secagg.engines.nvflare.local_file import FILE_NAME
from secagg.engines.nvflare.model_file import RESULT_NAME, read_model
from secagg.engines.server.plans import averaging
from secagg.storage.key_files import write_committee
from tests.support.committee_keys import key_shares, threshold_key
from tests.support.flare_processes import free_port
from tests.support.flare_training import step_of
from tests.support.seed_folders import give_seed_committee

SERVER: Final = "localhost"
START: Final[dict[str, NDArray[Any]]] = {"kernel": np.zeros((4, 3), np.float32), "bias": np.ones(3)}


def names(sites: int) -> list[str]:
    """Return the names of the sites."""
    return [f"site-{number + 1}" for number in range(sites)]


def made(folder: Path, live: Path, sites: int, *, seeds: bool = False, **policy: str) -> Path:
    """Make all files of a federation whose first 3 sites are the committee, and return the folder of the kits.

    Args:
        folder: An empty folder.
        live: A folder in memory.
        sites: How many sites.
        seeds: Whether the committee is one by replicated seeds.
        policy: Lines of every node's policy that take the place of those of the example, by their first word.
    """
    if not seeds:
        write_committee(folder / "committee", threshold_key(s=2), key_shares(s=2))
    kits = make(
        folder / "federation",
        live=live,
        host=SERVER,
        port=free_port(),
        sites=sites,
        train="tests.support.flare_training:train",
        committee=None if seeds else folder / "committee",
    )
    if seeds:
        _give_seeds(folder, kits, sites)
    for file in (folder / "federation" / "homes").glob(f"*/{POLICY_NAME}"):
        text = file.read_text()
        for word, line in policy.items():
            text, changed = re.subn(rf"^{word} = .*$", line, text, flags=re.MULTILINE)
            assert changed == 1, word
        file.write_text(text)
    return kits


def _give_seeds(folder: Path, kits: Path, sites: int) -> None:
    """Make the first 3 sites a committee by replicated seeds."""
    homes = [folder / "federation" / "homes" / name for name in names(sites)]
    give_seed_committee(folder / "committee", homes[:3], [*homes[3:], folder / "federation" / "coordinator"])
    file = kits / SERVER / "local" / FILE_NAME
    before = file.read_text()
    file.write_text(before.replace("members = []", f"members = {json.dumps(names(3))}"))
    assert file.read_text() != before


def recipe(protocol: type[SecureSum], *, rounds: int, min_clients: int, **changes: Any) -> SecureAveragingRecipe:
    """Return a recipe, with some arguments changed or added, of which some are the plan's."""
    planned: dict[str, Any] = {"clip_l2": 4.0, "adversarial": 0.0, "dropout": 0.25}
    planned |= {name: changes.pop(name) for name in ("target", "dropout", "minimum_contributors") if name in changes}
    settings: dict[str, Any] = {"model": START, "coordinator": "digits", "deadline": 30.0}
    plan = averaging(protocol, **planned)
    return SecureAveragingRecipe(plan=plan, rounds=rounds, min_clients=min_clients, **(settings | changes))


def submitted(kits: Path, protocol: type[SecureSum], *, rounds: int, min_clients: int, **changes: Any) -> Any:
    """Submit a job, and return FLARE's run; see `recipe`."""
    env = ProdEnv(startup_kit_location=str(kits / SUBMITTER), username=SUBMITTER, login_timeout=30)
    return recipe(protocol, rounds=rounds, min_clients=min_clients, **changes).execute(env)


def model_of(result: str) -> dict[str, Any]:
    """Return the model in a job's result."""
    (found,) = Path(result).rglob(RESULT_NAME)
    return read_model(found)


def moved(sites: list[list[str]]) -> float:
    """Return by how much each entry has moved after rounds with these contributors."""
    return float(sum(np.mean([step_of(site, number) for site in each]) for number, each in enumerate(sites, start=1)))
