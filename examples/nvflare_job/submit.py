"""Submit the job, wait for it, and evaluate the model that comes out.

python examples/nvflare_job/submit.py /srv/federation/kits/secagg-digits/prod_00
"""

import argparse
from pathlib import Path

from digits_site import SEED, model
from nvflare.recipe.prod_env import ProdEnv

from protocols import load
from secagg.data.load import load_dataset
from secagg.engines.nvflare import SecureAveragingRecipe
from secagg.engines.nvflare.model_file import RESULT_NAME, read_model
from secagg.engines.server.plans import averaging

SUBMITTER = "lead@coordinator.org"


def main() -> None:
    """Run ten rounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kits", type=Path, help="The folder of the startup kits.")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--name", default="digits", help="The name of the run. A job of the same name goes on.")
    parser.add_argument("--protocol", default="secagg-plus", help="Of `secagg protocols`; oneshot has fewest steps.")
    given = parser.parse_args()
    recipe = SecureAveragingRecipe(
        model=model().get_weights(),
        plan=averaging(load(given.protocol), clip_l2=8.0, adversarial=0.0, dropout=0.2),
        coordinator="digits",
        rounds=given.rounds,
        deadline=180,  # In the first round of a job the sites import TensorFlow.
        name=given.name,
        settings={"learning_rate": 0.5, "epochs": 3},
        min_clients=3,
    )
    env = ProdEnv(startup_kit_location=str(given.kits / SUBMITTER), username=SUBMITTER, login_timeout=30)
    run = recipe.execute(env)
    result = run.get_result(timeout=600)
    if result is None:
        raise SystemExit(f"job: expected a result, found {run.get_status()}. Read the server's log.")
    trained = next(Path(result).rglob(RESULT_NAME))
    model().set_weights(list(read_model(trained).values()))
    data = load_dataset("digits", seed=SEED)
    loss, accuracy = model().evaluate(data.test_x, data.test_y, verbose=0)
    print(f"accuracy {accuracy:.3f}, loss {loss:.3f}")


if __name__ == "__main__":
    main()
