"""The server's side: FedAvg through the workflow, whose seconds a round are written to a file."""

import itertools
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import Context
from flwr.common import ndarrays_to_parameters
from flwr.server import LegacyContext, ServerConfig
from flwr.server.strategy import FedAvg
from flwr.server.workflow import DefaultWorkflow, SecAggPlusWorkflow
from flwr.serverapp import Grid, ServerApp

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Train, and write what the first entry is after every round, with seconds."""
    config = context.run_config
    nodes, rounds, result = int(str(config["nodes"])), int(str(config["rounds"])), Path(str(config["result"]))
    moved: list[float] = []
    ended: list[float] = []

    def evaluate(_: int, arrays: list[Any], __: dict[str, Any]) -> None:
        ended.append(time.monotonic())
        moved.append(float(arrays[0][0, 0]))

    strategy = FedAvg(
        fraction_evaluate=0.0,
        min_fit_clients=nodes,
        min_available_clients=nodes,
        initial_parameters=ndarrays_to_parameters([np.zeros((3, 4), dtype=np.float32)]),
        evaluate_fn=evaluate,
    )
    workflow = DefaultWorkflow(fit_workflow=SecAggPlusWorkflow(num_shares=nodes, reconstruction_threshold=nodes - 1))
    workflow(grid, LegacyContext(context, config=ServerConfig(num_rounds=rounds), strategy=strategy))
    seconds = [after - before for before, after in itertools.pairwise(ended)]
    partial = result.with_name(f"{result.name}.partial")
    partial.write_text(json.dumps({"moved": moved, "seconds": seconds}))
    os.replace(partial, result)
