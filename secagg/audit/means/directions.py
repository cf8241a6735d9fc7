"""Updates that an adversary chooses, to make a client's integers as large as they can be."""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from secagg.aggregation.rotation import Rotation
from secagg.arrays import Arrays
from secagg.audit.means.subject import Setting

BEYOND = 1e3
"""How far beyond the clip an update is that has to be clipped."""


def directions(
    setting: Setting, rotation: Rotation, chosen: np.random.Generator, randoms: int
) -> Iterator[tuple[str, Arrays]]:
    """Yield updates with a name each: at the clip, and far beyond it.

    Args:
        setting: The mean.
        rotation: The rotation of the session, which an adversary knows.
        chosen: Chooses random directions.
        randoms: The number of random directions.
    """
    entries = setting.entries
    fixed = {
        "one coordinate": _one(entries, 0),
        "all coordinates alike": np.ones(entries),
        "alternating signs": 1.0 - 2.0 * (np.arange(entries) % 2),
        "one rotated coordinate": rotation.restore(_one(rotation.padded, rotation.padded // 2))[:entries],
        "all rotated coordinates alike": rotation.restore(np.ones(rotation.padded))[:entries],
        "halfway between integers": _halfway(setting, rotation)[:entries],
    }
    for name, direction in fixed.items():
        for scale, where in ((1.0, "at the clip"), (BEYOND, "beyond the clip")):
            yield f"{name}, {where}", setting.split(_scaled(direction, scale * norm_of_updates(setting)))
    yield "every array at the clip", every_array(setting)
    for number in range(randoms):
        direction = chosen.standard_normal(entries)
        yield f"random direction {number}", setting.split(_scaled(direction, norm_of_updates(setting)))


def every_array(setting: Setting) -> Arrays:
    """Return an update each of whose arrays has the norm of the clip, so that all together are above it."""
    arrays = [np.ones(shape) for shape in setting.shapes]
    return [array * (norm_of_updates(setting) / math.sqrt(array.size)) for array in arrays]


def norm_of_updates(setting: Setting) -> float:
    """Return the norm of an update at the clip, in the update's unit."""
    return setting.mean.encoding.clip_l2 * setting.clip.unit


def _one(size: int, at: int) -> NDArray[np.float64]:
    vector = np.zeros(size)
    vector[at] = 1.0
    return vector


def _scaled(direction: NDArray[np.float64], norm: float) -> NDArray[np.float64]:
    length = math.sqrt(float(direction @ direction))
    return direction * (norm / length) if length else direction


def _halfway(setting: Setting, rotation: Rotation) -> NDArray[np.float64]:
    """Return an update whose rotated coordinates lie halfway between two integers, where rounding adds most."""
    encoding = setting.mean.encoding
    each = encoding.clip_l2 / math.sqrt(rotation.padded)
    return rotation.restore(np.full(rotation.padded, math.floor(each / encoding.granularity) + 0.5))
