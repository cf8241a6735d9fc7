"""The server's side: FedAvg as usual, over a secure grid."""

import time
from pathlib import Path

from flwr.app import Array, ArrayRecord, ConfigRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from flower_digits.training import accuracy, model
from protocols import load
from secagg.engines.coordinator import Coordinator
from secagg.engines.flower import SecureGrid, read_node_key
from secagg.engines.plans import averaging

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Train, and write the accuracy after every round."""
    config = {name: str(value) for name, value in context.run_config.items()}
    nodes, members = int(config["nodes"]), [int(member) for member in config["members"].split()]
    keys = (
        {int(path.stem): read_node_key(path) for path in Path(config["keys"]).glob("*.pub")} if config["keys"] else {}
    )
    names = [f"layer-{index}" for index, _ in enumerate(model().get_weights())]
    lines: list[str] = []
    begun = time.monotonic()

    def evaluate(number: int, arrays: ArrayRecord) -> MetricRecord:
        found = accuracy([arrays[name].numpy() for name in names])
        lines.append(f"round {number}: accuracy {found:.4f}, {time.monotonic() - begun:.1f} s")
        print(lines[-1], flush=True)
        if config["result"]:
            Path(config["result"]).write_text("\n".join(lines) + "\n")
        return MetricRecord({"accuracy": found})

    strategy = FedAvg(fraction_evaluate=0.0, min_train_nodes=nodes, min_available_nodes=nodes)
    plan = averaging(load(config["protocol"]), clip_l2=8.0, adversarial=0.0, dropout=0.2)
    with Coordinator(config["coordinator"], plan, members=members) as coordinator:
        strategy.start(
            grid=SecureGrid(
                grid, strategy=strategy, coordinator=coordinator, deadline=float(config["deadline"]), keys=keys
            ),
            initial_arrays=ArrayRecord(
                {name: Array(array) for name, array in zip(names, model().get_weights(), strict=True)}
            ),
            num_rounds=int(config["rounds"]),
            train_config=ConfigRecord(
                {"learning-rate": float(config["learning-rate"]), "epochs": int(config["epochs"])}
            ),
            evaluate_fn=evaluate,
        )
