"""The server's side: FedAvg over a secure grid, whose result is written to a file."""

import json
import os
import time
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from protocols import load
from secagg.engines.coordinator import Coordinator
from secagg.engines.flower import SecureGrid
from secagg.engines.plans import averaging
from secagg_test_app import end_once

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Train, and write the model's first entry after every round, with the seconds of all rounds."""
    config = context.run_config
    nodes, rounds = int(str(config["nodes"])), int(str(config["rounds"]))
    members = [int(member) for member in str(config["members"]).split()]
    plan = averaging(load(str(config["protocol"])), clip_l2=10.0, adversarial=0.0, dropout=0.34)
    strategy = FedAvg(fraction_evaluate=0.0, min_available_nodes=nodes, min_train_nodes=nodes)
    moved: list[float] = []

    def evaluate(number: int, arrays: ArrayRecord) -> None:
        moved.append(float(arrays["weight"].numpy()[0, 0]))
        if number == 1:
            end_once(str(config["ends"]))

    with Coordinator(str(config["coordinator"]), plan, members=members) as coordinator:
        secure = SecureGrid(grid, strategy=strategy, coordinator=coordinator, deadline=float(str(config["deadline"])))
        begun = time.monotonic()
        strategy.start(
            grid=secure,
            initial_arrays=ArrayRecord({"weight": Array(np.zeros((3, 4), dtype=np.float32))}),
            num_rounds=rounds,
            evaluate_fn=evaluate,
        )
        seconds = time.monotonic() - begun
    partial = Path(str(config["result"]) + ".partial")
    partial.write_text(json.dumps({"moved": moved, "seconds": seconds}))
    os.replace(partial, str(config["result"]))
