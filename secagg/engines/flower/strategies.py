"""Which strategies may take a mean for all replies of a round.

A strategy is given one reply, with the mean of all updates in it. A strategy that compares replies, as Krum does, or
that takes the median, would take that one reply without a word. A grid cannot see who uses it, so the strategy is an
argument of `SecureGrid`, and is checked by its exact type.
"""

from typing import Final

from flwr.serverapp.strategy import FedAdagrad, FedAdam, FedAvg, FedAvgM, FedProx, FedYogi, Strategy

from secagg.errors import ConfigurationError

MEAN_ONLY: Final = (FedAvg, FedProx, FedAvgM, FedAdam, FedYogi, FedAdagrad)
"""The strategies of Flower that use nothing of the replies but their weighted mean; read in 1.27 and 1.42."""

_KEY: Final = "num-examples"


def check_strategy(strategy: Strategy) -> None:
    """Raise an error unless a strategy is known to use the mean of the replies only.

    Raises:
        ConfigurationError: It is of another type, and its class does not say `uses_mean_only = True` itself.
    """
    kind = type(strategy)
    if kind not in MEAN_ONLY and kind.__dict__.get("uses_mean_only") is not True:
        raise ConfigurationError(
            f"strategy: expected one of {', '.join(each.__name__ for each in MEAN_ONLY)}, found {kind.__name__}. It is "
            "given one reply, the mean of all. If it uses nothing else of the replies, say so in the class itself: "
            "uses_mean_only = True."
        )


def weight_key(strategy: Strategy) -> str:
    """Return the name of the metric by which a strategy weights replies."""
    return str(getattr(strategy, "weighted_by_key", _KEY))
