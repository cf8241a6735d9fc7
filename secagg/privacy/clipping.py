"""How clients' updates are clipped in a run: as a whole, array by array, or by a bound that adapts.

A clip prepares an update for the secure mean on the client, and makes of the released mean the mean update and the
next round's clip.  It is part of what clients and server agree on before a round, like the weights.  Whatever it does,
`Encoding` still bounds the norm of all that a client contributes: the guarantee rests on that bound alone, not on a
clip that a server may have chosen badly.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, assert_never

from dp.clipping.adaptive import COUNT_SIGMA_PER_CLIENT, AdaptiveClip, count_weight
from dp.clipping.clip import clip_l2_per_layer, total_l2
from secagg.arrays import Arrays, Shapes
from secagg.checks import check_choice

MOST_WEIGHT: Final = 0.25
"""Of an adaptive clip's count, where a clipped update has norm 1: it makes the update's noise 3.1% larger at the most.

In cohorts for which that is too little the count has more noise than the paper's, and the bound moves less surely.
"""


class ClippingKind(StrEnum):
    """Which part of an update a bound is on, and whether it stays."""

    GLOBAL = "global"
    PER_LAYER = "per-layer"
    ADAPTIVE = "adaptive"


@dataclass(frozen=True, slots=True)
class GlobalClip:
    """Each update as a whole, by the bound that the mean is planned for, which its encoding sees to."""

    def prepare(self, update: Arrays) -> Arrays:
        """What a client contributes: its update."""
        return update

    def after(self, mean: Arrays) -> tuple[Arrays, "GlobalClip"]:
        """The mean update, and the next round's clip."""
        return mean, self

    @property
    def unit(self) -> float:
        """The update's units that one unit of the mean stands for."""
        return 1.0


@dataclass(frozen=True, slots=True)
class PerLayerClip:
    """Each array of an update by a bound of its own.

    Attributes:
        bounds: On the l2 norms of the arrays, in order.
    """

    bounds: tuple[float, ...]

    def prepare(self, update: Arrays) -> Arrays:
        """What a client contributes: its update, clipped.

        Raises:
            dp.errors.InvalidParameter: An entry is NaN or infinite, or there are not as many arrays as bounds.
        """
        return list(clip_l2_per_layer(update, bounds=self.bounds).arrays)

    def after(self, mean: Arrays) -> tuple[Arrays, "PerLayerClip"]:
        """The mean update, and the next round's clip."""
        return mean, self

    @property
    def unit(self) -> float:
        """The update's units that one unit of the mean stands for."""
        return 1.0


Clip = GlobalClip | PerLayerClip | AdaptiveClip


def choose_clip(
    kind: ClippingKind,
    *,
    clip_l2: float,
    quantile: float,
    arrays: int,
    contributors: int,
    noise_multiplier: float | None,
) -> Clip:
    """The first round's clip.

    Args:
        kind: Which.
        clip_l2: Bound on an update; each array has an equal share of its square where arrays have bounds of their own,
            and an adaptive bound begins with it.
        quantile: The fraction of clients whose norms an adaptive bound is to be above.
        arrays: Of an update.
        contributors: The least number of clients in a mean.
        noise_multiplier: Standard deviation of the summed noise over the sensitivity, about; None without noise.

    Raises:
        ConfigurationError: There is no such kind.
        dp.errors.InvalidParameter: A number is out of range.
    """
    kind = check_choice("clipping", kind, ClippingKind)
    match kind:
        case ClippingKind.GLOBAL:
            return GlobalClip()
        case ClippingKind.PER_LAYER:
            return PerLayerClip((clip_l2 / math.sqrt(arrays),) * arrays)
        case ClippingKind.ADAPTIVE:
            weight = MOST_WEIGHT
            if noise_multiplier is not None:
                # The noise that the greatest weight leaves on the count is the least there is.
                least = noise_multiplier * math.hypot(1.0, MOST_WEIGHT) / (2 * MOST_WEIGHT)
                count_sigma = max(least, COUNT_SIGMA_PER_CLIENT * contributors)
                weight = count_weight(noise_multiplier=noise_multiplier, count_sigma=count_sigma)
            return AdaptiveClip(bound=clip_l2, quantile=quantile, weight=weight)
        case _:
            assert_never(kind)


def planned(clip: Clip, *, shapes: Sequence[tuple[int, ...]], clip_l2: float) -> tuple[Shapes, float]:
    """What a mean is to be planned for: the shapes of a client's contribution, and the bound on its l2 norm.

    Args:
        clip: Of the run's first round.
        shapes: Of an update's arrays.
        clip_l2: The bound on an update where it is clipped as a whole.
    """
    match clip:
        case GlobalClip():
            return tuple(shapes), clip_l2
        case PerLayerClip(bounds=bounds):
            return tuple(shapes), total_l2(bounds)
        case AdaptiveClip():
            return (*shapes, (1,)), clip.l2_sensitivity
        case _:
            assert_never(clip)


def clip_in_words(kind: ClippingKind, *, clip_l2: float, quantile: float, arrays: int, bounds: Sequence[float]) -> str:
    """What bounds a client's update, for people.

    Args:
        kind: Which.
        clip_l2: As for `choose_clip`.
        quantile: As for `choose_clip`.
        arrays: Of an update.
        bounds: What the rounds done were clipped by, where that adapts.
    """
    match kind:
        case ClippingKind.GLOBAL:
            return f"l2 norm of a client's whole update at most {clip_l2:g}"
        case ClippingKind.PER_LAYER:
            each = clip_l2 / math.sqrt(arrays)
            return f"l2 norm of each of the {arrays} arrays of a client's update at most {each:g}, of all {clip_l2:g}"
        case ClippingKind.ADAPTIVE:
            first, last = (bounds[0], bounds[-1]) if bounds else (clip_l2, clip_l2)
            return (
                "l2 norm of a client's whole update at most a bound that follows the noised fraction of clients within "
                f"it, which is to be {quantile:g}; {first:.3g} in the first round, {last:.3g} in the last"
            )
        case _:
            assert_never(kind)
