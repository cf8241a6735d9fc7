"""Defaults of settings that depend on the value of another setting."""

from typing import Final

EXAMPLE_LEVEL_DEFAULTS: Final[dict[str, float]] = {"delta": 1e-5, "clip_l2": 100.0, "learning_rate": 0.1}
"""The defaults of three settings if examples are the privacy unit.

Updates then contain the noise of local training. Clipped as tightly as without it, they would be little but noise.
"""

POISSON_DEFAULTS: Final[dict[str, float]] = {"dropout": 0.0}
"""The default of a setting if each client is drawn by itself: no other number of dropouts is allowed."""
