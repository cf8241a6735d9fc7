"""The server's side: FedAvg as usual, over a secure grid."""

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from flower_digits.training import accuracy, model
from protocols import load
from secagg.engines.flower import SecureGrid, read_node_key
from secagg.engines.server.coordinator import Coordinator
from secagg.engines.server.plans import averaging
from secagg.files import write_whole

app = ServerApp()


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The model after a round, in a file that is replaced whole.

    Attributes:
        path: The file.
    """

    path: Path

    def read(self, initial: list[Any]) -> tuple[int, list[Any]]:
        """Return how many rounds are in the saved model, and the model; no round and `initial` without a file."""
        if not self.path.exists():
            return 0, initial
        with np.load(self.path) as saved:
            return int(saved["done"]), [saved[f"array-{index}"] for index, _ in enumerate(initial)]

    def write(self, done: int, weights: list[Any]) -> None:
        """Save the model after a round, on the disk before this returns."""
        arrays = {f"array-{index}": array for index, array in enumerate(weights)}

        def write(path: Path) -> None:
            with path.open("wb") as file:
                np.savez(file, done=done, **arrays)

        write_whole(self.path, write, mode=0o600)


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Train, and write the accuracy after every round."""
    logging.getLogger("secagg").addHandler(logging.StreamHandler())  # It says which round released nothing, and why.
    config = {name: str(value) for name, value in context.run_config.items()}
    nodes, members = int(config["nodes"]), [int(member) for member in config["members"].split()]
    keys = (
        {int(path.stem): read_node_key(path) for path in Path(config["keys"]).glob("*.pub")} if config["keys"] else {}
    )
    names = [f"layer-{index}" for index, _ in enumerate(model().get_weights())]
    lines: list[str] = []
    begun = time.monotonic()
    saved = Checkpoint(Path(config["checkpoint"])) if config["checkpoint"] else None
    done, initial = (0, model().get_weights()) if saved is None else saved.read(model().get_weights())

    def evaluate(number: int, arrays: ArrayRecord) -> MetricRecord:
        weights = [arrays[name].numpy() for name in names]
        found = accuracy(weights)
        lines.append(f"round {done + number}: accuracy {found:.4f}, {time.monotonic() - begun:.1f} s")
        print(lines[-1], flush=True)
        if config["result"]:
            Path(config["result"]).write_text("\n".join(lines) + "\n")
        if saved is not None and number:
            saved.write(done + number, weights)
            coordinator.forget(done + number)
        return MetricRecord({"accuracy": found})

    strategy = FedAvg(fraction_evaluate=0.0, min_train_nodes=nodes, min_available_nodes=nodes)
    plan = averaging(load(config["protocol"]), clip_l2=8.0, adversarial=0.0, dropout=0.2)
    with Coordinator(config["coordinator"], plan, members=members) as coordinator:
        strategy.start(
            grid=SecureGrid(
                grid,
                strategy=strategy,
                coordinator=coordinator,
                deadline=float(config["deadline"]),
                keys=keys,
                done=done,
            ),
            initial_arrays=ArrayRecord({name: Array(array) for name, array in zip(names, initial, strict=True)}),
            num_rounds=max(int(config["rounds"]) - done, 0),
            train_config=ConfigRecord(
                {"learning-rate": float(config["learning-rate"]), "epochs": int(config["epochs"])}
            ),
            evaluate_fn=evaluate,
        )
