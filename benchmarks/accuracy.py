"""How accurate private training is: `python -m benchmarks.accuracy`, for the command's default settings on digits.

For each seed: the secure private run at epsilon 8, 4 and 2, the same run with noise from a trusted server, the same run
without noise, plain federated averaging in the clear over the same contributors, and, as the ceiling, logistic
regression on all the training data in one place. The trusted server's noise is what central Gaussian noise of the same
epsilon is, to within 1e-5 of its deviation. Noise shares are sized for the least number of honest contributors, so the
sum of those that are there has more noise than that.

The sums are taken by the protocol `plain`: what clients add up, noise included, is what they add up under masks, and
masks leave an exact sum exact, so accuracy does not depend on them. With it all clients that drop out do so before they
contribute, which is the worse case: under `secagg-plus` some drop out later. `numpy-softmax` stands for the Keras
model `softmax` because it is some times faster; `--model softmax` takes Keras.
"""

import math
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.machine import Machine
from dp import Ledger
from dp.events import Trust
from secagg import PlainAveraging, SecureAveraging, load_dataset
from secagg.runs.config import TrainingConfig
from secagg.runs.prepare import Prepared, prepare

EPSILONS: Final = (8.0, 4.0, 2.0)
SEEDS: Final = range(8)
DELTA: Final = TrainingConfig().delta
LIBRARIES: Final = ("numpy", "scikit-learn")


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """The test accuracy of final models over seeds.

    Attributes:
        name: Of the runs.
        mean: Over the seeds.
        least: Over the seeds.
        most: Over the seeds.
        by_seed: In the order of the seeds.
    """

    name: str
    mean: float
    least: float
    most: float
    by_seed: list[float]

    @classmethod
    def over(cls, name: str, accuracies: Sequence[float]) -> "Spread":
        """The spread of these accuracies, one a seed."""
        by_seed = list(accuracies)
        return cls(name=name, mean=sum(by_seed) / len(by_seed), least=min(by_seed), most=max(by_seed), by_seed=by_seed)


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What is written as JSON.

    Attributes:
        machine: Where it ran.
        settings: Of the runs; each had its own seed and epsilon.
        seeds: Of the runs.
        spreads: Most private first.
    """

    machine: Machine
    settings: TrainingConfig
    seeds: list[int]
    spreads: list[Spread]


def private_accuracy(config: TrainingConfig) -> float:
    """Final test accuracy of the secure private run, its budget kept by a ledger."""
    prepared = prepare(config)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.sqlite"
        with Ledger.create(path, epsilon=config.epsilon, delta=config.delta, population=config.clients) as ledger:
            training = SecureAveraging(
                engine=prepared.engine,
                model=prepared.devices.model,
                test=prepared.test,
                mean=prepared.mean,
                ledger=ledger,
                step=config.server_step,
            )
            return [training.round().accuracy for _ in range(config.rounds)][-1]


def baseline_accuracies(config: TrainingConfig) -> tuple[float, float, float]:
    """Final test accuracy without noise, in the clear over the same contributors, and of central training."""
    prepared = prepare(config)
    secure = SecureAveraging(
        engine=prepared.engine,
        model=prepared.devices.model,
        test=prepared.test,
        mean=prepared.noiseless,
        step=config.server_step,
    )
    plain = _plain_averaging(prepared)
    pairs = [(secure.round().accuracy, plain.round(secure.contributors).accuracy) for _ in range(config.rounds)]
    return *pairs[-1], _central_accuracy(config)


def _plain_averaging(prepared: Prepared) -> PlainAveraging:
    config = prepared.config
    return PlainAveraging(devices=prepared.devices, test=prepared.test, clip_l2=config.clip_l2, step=config.server_step)


def _central_accuracy(config: TrainingConfig) -> float:
    from sklearn.linear_model import LogisticRegression

    data = load_dataset(config.dataset, seed=config.seed)
    fitted = LogisticRegression(max_iter=5_000).fit(data.train_x, data.train_y)
    return float(fitted.score(data.test_x, data.test_y))


def measure(model: str) -> Report:
    """All runs, in as many processes as there are cores."""
    # A forked process would inherit TensorFlow's threads, which do not survive it.
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        private = {
            (trust, epsilon): pool.map(private_accuracy, [_config(model, seed, epsilon, trust) for seed in SEEDS])
            for trust in (Trust.DISTRIBUTED, Trust.CENTRAL)
            for epsilon in EPSILONS
        }
        baselines = pool.map(baseline_accuracies, map(_config, repeat(model), SEEDS, repeat(math.inf)))
        spreads = [
            Spread.over(f"{trust} noise, epsilon {epsilon:g}", list(found))
            for (trust, epsilon), found in private.items()
        ]
        names = ("without noise", "federated averaging in the clear", "logistic regression on all data")
        spreads += [Spread.over(name, found) for name, found in zip(names, zip(*baselines, strict=True), strict=True)]
    libraries = LIBRARIES if model == "numpy-softmax" else (*LIBRARIES, "tensorflow", "keras")
    return Report(
        machine=Machine.here(libraries),
        settings=_config(model, SEEDS[0], EPSILONS[0]),
        seeds=list(SEEDS),
        spreads=spreads,
    )


def _config(model: str, seed: int, epsilon: float, trust: Trust = Trust.DISTRIBUTED) -> TrainingConfig:
    return TrainingConfig(model=model, protocol="plain", seed=seed, epsilon=epsilon, trust=trust)


def spread_table(title: str, spreads: Sequence[Spread]) -> Table:
    """Accuracies in per cent, one line for each spread."""
    table = Table("run", "mean", "least", "most", title=title)
    for spread in spreads:
        table.add_row(spread.name, *(f"{100 * value:.2f}" for value in (spread.mean, spread.least, spread.most)))
    return table


def main(
    model: Annotated[str, typer.Option(help="A name that secagg.models.zoo knows.")] = "numpy-softmax",
    json: Annotated[Path | None, typer.Option(help="Also write the figures here.")] = None,
) -> None:
    """Measure the accuracy of private training on digits, over seeds 0 to 7."""
    report = measure(model)
    title = f"test accuracy in per cent, {model} on digits, delta {DELTA:g}, seeds {SEEDS[0]} to {SEEDS[-1]}"
    Console().print(spread_table(title, report.spreads), f"{report.machine}", highlight=False)
    if json is not None:
        json.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")


if __name__ == "__main__":
    typer.run(main)
