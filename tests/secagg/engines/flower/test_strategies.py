"""Which strategies may take a mean for all replies: those of which it is known that they use nothing else."""

import pytest

pytest.importorskip("flwr")

from flwr.serverapp import strategy as flower

from secagg.engines.flower.strategies import MEAN_ONLY, check_strategy, weight_key
from secagg.errors import ConfigurationError

OTHERS = [
    flower.Bulyan,
    flower.FedMedian,
    flower.FedTrimmedAvg,
    flower.FedXgbBagging,
    flower.FedXgbCyclic,
    flower.Krum,
    flower.MultiKrum,
    flower.QFedAvg,
]


class MeanOnly(flower.FedAvg):  # type: ignore[misc, unused-ignore]
    uses_mean_only = True


class Heir(MeanOnly):
    """It could have another way of aggregating, and does not say that it has none."""


def made(kind: type) -> flower.Strategy:
    needed: dict[type, dict[str, float]] = {
        flower.FedProx: {"proximal_mu": 0.1},
        flower.QFedAvg: {"client_learning_rate": 0.1},
    }
    strategy: flower.Strategy = kind(**needed.get(kind, {}))
    return strategy


@pytest.mark.parametrize("kind", [*MEAN_ONLY, MeanOnly])
def test_strategy_that_uses_the_mean_only_is_accepted(kind: type) -> None:
    check_strategy(made(kind))


@pytest.mark.parametrize("kind", [*OTHERS, Heir])
def test_strategy_that_may_use_more_is_refused(kind: type) -> None:
    with pytest.raises(ConfigurationError, match=rf"found {kind.__name__}\. It is given one reply"):
        check_strategy(made(kind))


def test_every_strategy_of_flower_has_been_looked_at() -> None:
    """A new one, or another base, has to be read before it is put into one list or the other."""
    strategies = {each for each in vars(flower).values() if isinstance(each, type) and issubclass(each, flower.FedAvg)}
    assert strategies == {*MEAN_ONLY, *OTHERS}


def test_weight_key_is_the_one_of_the_strategy() -> None:
    assert weight_key(flower.FedAvg(weighted_by_key="patients")) == "patients"
