"""What a round of a run was planned with: its clip, and how updates share a contribution."""

import warnings
from dataclasses import replace

from dp.clipping.adaptive import AdaptiveClip
from secagg.engines.statistics import SHARED, UpdateParts, divide_updates
from secagg.privacy.clipping import Clip
from secagg.runs.prepare import Prepared


def clip_of(prepared: Prepared, bound: float | None) -> Clip:
    """Return the clip of a round, given the bound that its line of the metrics states.

    Raises:
        dp.errors.InvalidParameter: The bound is out of range.
    """
    clip = prepared.clip
    return replace(clip, bound=bound) if isinstance(clip, AdaptiveClip) and bound is not None else clip


def parts_of(prepared: Prepared) -> UpdateParts:
    """Return how trained arrays and running statistics share a contribution in this run."""
    mean = prepared.mean
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # The run has given this warning.
        return divide_updates(prepared.devices.arrays, SHARED, l2=mean.encoding.clip_l2, mean=mean)
