"""The server's side: FedAvg over a secure grid, whose result is written to a file."""

import itertools
import json
import os
import resource
import time
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from protocols import load
from secagg.engines.flower import SecureGrid
from secagg.engines.server.coordinator import Coordinator
from secagg.engines.server.plans import averaging
from secagg_test_app import end_once

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Train, and write the model's first entry after every round, with seconds and memory."""
    config = {name: str(value) for name, value in context.run_config.items()}
    nodes, rounds = int(config["nodes"]), int(config["rounds"])
    members = [int(member) for member in config["members"].split()]
    plan = averaging(
        load(config["protocol"]), clip_l2=10.0, adversarial=0.0, dropout=0.34, adversary=config["adversary"]
    )
    strategy = FedAvg(fraction_evaluate=0.0, min_available_nodes=nodes, min_train_nodes=nodes)
    moved: list[float] = []
    ended: list[float] = []
    result = Path(config["result"])

    def evaluate(number: int, arrays: ArrayRecord) -> None:
        ended.append(time.monotonic())
        moved.append(float(arrays["weight"].numpy()[0, 0]))
        result.with_name(f"{result.name}-{number}").touch()
        if number == 1:
            end_once(config["ends"])

    with Coordinator(config["coordinator"], plan, members=members) as coordinator:
        secure = SecureGrid(grid, strategy=strategy, coordinator=coordinator, deadline=float(config["deadline"]))
        model = ArrayRecord({"weight": Array(np.zeros((int(config["rows"]), 4), dtype=np.float32))})
        size, begun = model.count_bytes(), resident_kib()
        strategy.start(
            grid=secure,
            initial_arrays=model,
            num_rounds=rounds,
            train_config=ConfigRecord({"variant": config["variant"]}),
            evaluate_fn=evaluate,
        )
    seconds = [after - before for before, after in itertools.pairwise(ended)]
    vectors = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - begun) * 1024 / size
    partial = result.with_name(f"{result.name}.partial")
    partial.write_text(json.dumps({"moved": moved, "seconds": seconds, "vectors": vectors}))
    os.replace(partial, result)


def resident_kib() -> int:
    """Return the memory of this process now, in KiB, as Linux tells it; 0 elsewhere."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) for line in lines if line.startswith("VmRSS:")), 0)
