"""The budget of `secagg train` if none is given, which `secagg plan` assumes too."""

from typing import Final

EPSILON: Final = 8.0
"""Epsilon of all rounds together."""

ROUNDS: Final = 30
"""The number of rounds, each of which releases one mean."""
