"""How clients' updates are clipped in a run: as a whole, array by array, or by a bound that adapts.

On the client, a clip prepares an update for the secure mean. From the released mean it derives the mean update and the
next round's clip. Clients and server agree on the clip before a round, as they do on the weights. `Encoding` always
bounds the norm of a client's whole contribution. The guarantee rests only on that bound, so a server that chooses a bad
clip does not weaken it.
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
"""The largest weight of an adaptive clip's count if a clipped update has norm 1.

It makes the update's noise at most 3.1% larger. In cohorts that need a larger weight, the count has more noise than in
the paper, and the bound follows less reliably.
"""


class ClippingKind(StrEnum):
    """The part of an update to which a bound applies, and whether the bound adapts."""

    GLOBAL = "global"
    PER_LAYER = "per-layer"
    ADAPTIVE = "adaptive"


@dataclass(frozen=True, slots=True)
class GlobalClip:
    """A clip of each update as a whole, by the planned bound of the mean, which the mean's encoding applies."""

    def prepare(self, update: Arrays) -> Arrays:
        """Return what a client contributes: its update."""
        return update

    def after(self, mean: Arrays) -> tuple[Arrays, "GlobalClip"]:
        """Return the mean update and the next round's clip."""
        return mean, self

    @property
    def unit(self) -> float:
        """The update's units that one unit of the mean stands for."""
        return 1.0


@dataclass(frozen=True, slots=True)
class PerLayerClip:
    """A clip of each array of an update by a bound of its own.

    Attributes:
        bounds: Bounds on the l2 norms of the arrays, in order.
    """

    bounds: tuple[float, ...]

    def prepare(self, update: Arrays) -> Arrays:
        """Return what a client contributes: its update, clipped.

        Raises:
            dp.errors.InvalidParameter: An entry is NaN or infinite, or the numbers of arrays and bounds differ.
        """
        return list(clip_l2_per_layer(update, bounds=self.bounds).arrays)

    def after(self, mean: Arrays) -> tuple[Arrays, "PerLayerClip"]:
        """Return the mean update and the next round's clip."""
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
    """Return the first round's clip.

    Args:
        kind: The kind of clipping.
        clip_l2: Bound on the l2 norm of an update. Bounds of single arrays have equal shares of its square; an adaptive
            bound starts from it.
        quantile: The fraction of clients whose norms an adaptive bound should exceed.
        arrays: The number of arrays of an update.
        contributors: The least number of clients in a mean.
        noise_multiplier: Approximate standard deviation of the summed noise over the sensitivity; None without noise.

    Raises:
        ConfigurationError: `kind` is not a kind of clipping.
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
                # The count has the least noise at the greatest weight.
                least = noise_multiplier * math.hypot(1.0, MOST_WEIGHT) / (2 * MOST_WEIGHT)
                count_sigma = max(least, COUNT_SIGMA_PER_CLIENT * contributors)
                weight = count_weight(noise_multiplier=noise_multiplier, count_sigma=count_sigma)
            return AdaptiveClip(bound=clip_l2, quantile=quantile, weight=weight)
        case _:
            assert_never(kind)


def planned(clip: Clip, *, shapes: Sequence[tuple[int, ...]], clip_l2: float) -> tuple[Shapes, float]:
    """Return what to plan a mean for: the shapes of a client's contribution, and the bound on its l2 norm.

    Args:
        clip: The clip of the run's first round.
        shapes: The shapes of an update's arrays.
        clip_l2: The bound on an update that is clipped as a whole.
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


def model_parameters(kind: ClippingKind, shapes: Sequence[tuple[int, ...]]) -> int:
    """Return how many elements of a client's contribution are parameters of the model.

    Args:
        kind: The kind of clipping; a clip that adapts adds an array of its own.
        shapes: The shapes of the contribution's arrays, as `planned` returns them.
    """
    return sum(math.prod(shape) for shape in (shapes[:-1] if kind is ClippingKind.ADAPTIVE else shapes))


def clip_in_words(kind: ClippingKind, *, clip_l2: float, quantile: float, arrays: int, bounds: Sequence[float]) -> str:
    """Describe for people what bounds a client's update.

    Args:
        kind: The kind of clipping.
        clip_l2: As for `choose_clip`.
        quantile: As for `choose_clip`.
        arrays: The number of arrays of an update.
        bounds: The adaptive bounds of the rounds done; empty if there are none.
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
                "l2 norm of a client's whole update at most a bound that adapts, until about a fraction of "
                f"{quantile:g} of the updates is within it; {first:.3g} in the first round, {last:.3g} in the last"
            )
        case _:
            assert_never(kind)
