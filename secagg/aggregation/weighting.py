"""How clients count in a mean."""

from enum import StrEnum


class Weighting(StrEnum):
    """How clients count in the mean."""

    UNIFORM = "uniform"
    WEIGHTED = "weighted"
