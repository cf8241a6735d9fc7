"""Running statistics in an update: a bound of their own beside the trained arrays', in one sum and one event.

Batch normalisation keeps a moving mean and variance, which no optimizer moves and which may change by thousands a
round where weights change by less than one.  Under one bound they leave the weights nothing, so here each has its own.
A client puts into the sum, for a bound L on all that it contributes and a share s of its square,

    sqrt(1 - s) * trained    trained arrays, clipped to L as if there were no statistics, and
    sqrt(s) * L / (r sqrt(n)) * v    n entries of statistics, each v = clamp(change / max(1, |kept|), -r, r),

whose norms are at most sqrt(1 - s) L and sqrt(s) L, so at most L together: the sensitivity is the one that was planned.
Trained arrays keep their bound, and their noise grows by a factor of 1 / sqrt(1 - s).  An entry of the statistics moves
by at most the reach r a round, in units of its own public, kept magnitude, which lets it grow geometrically.

The server moves kept statistics by exactly the mean change: its learning rate and momentum are for what gradients made.

Statistics that every client keeps for itself (FedBN: Li et al., arXiv 2102.07623) are not offered.  There a global
model has no statistics of its own, and so nothing to be evaluated with or saved as.
"""

import hashlib
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from dp.clipping.clip import clip_l2
from dp.events import Trust
from secagg.aggregation.mean import SecureMean
from secagg.arrays import Arrays
from secagg.errors import ConfigurationError, ModelError
from secagg.models.arrays import ModelArrays
from secagg.models.base import ArrayRole
from secagg.privacy.clipping import Clip, PerLayerClip

_LARGEST_REACH: Final = 1e6
_LEAST: Final = 1e-9
_ROUNDING: Final = 3e-4
_NOISE: Final = 0.03
"""What rounding, and what noise, may be in an entry of the mean, as standard deviations relative to max(1, |kept|).

Evaluation divides by a moving standard deviation, so rounding has to be small against it where the mean is hundreds of
times as large.  Noise accumulates over rounds, and with 3% a round it stays a fraction of what is kept.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedStatistics:
    """Running statistics take part in averaging, under a bound of their own.

    Attributes:
        share: Of the squared bound on what a client contributes, 1e-9 to 1 - 1e-9.
        reach: How far an entry may move in a round, in units of the kept entry's magnitude or of 1 where that is
            larger; 1e-9 to 1e6.  None takes the largest at which rounding moves an entry by about 0.03% of
            that unit, or noise by about 3%.

    Raises:
        ConfigurationError: An attribute is out of range.
    """

    share: float = 0.1
    reach: float | None = None

    def __post_init__(self) -> None:
        if not _LEAST <= self.share <= 1 - _LEAST:
            raise ConfigurationError(
                f"share of the statistics: expected a number in [{_LEAST:g}, 1 - {_LEAST:g}], found {self.share!r}"
            )
        if self.reach is not None and not _LEAST <= self.reach <= _LARGEST_REACH:
            raise ConfigurationError(
                f"reach of the statistics: expected a number in [{_LEAST:g}, {_LARGEST_REACH:g}], found {self.reach!r}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateParts:
    """The trained arrays and the statistics of an update, and how both share a client's contribution.

    Attributes:
        roles: Of each array of the model.
        l2: Bound on what a client contributes.
        share: Of the statistics, see `SharedStatistics`.
        reach: Likewise.
        entries: Of all statistics together; without any, a contribution is what the clip makes of the update.
    """

    roles: tuple[ArrayRole, ...]
    l2: float
    share: float
    reach: float
    entries: int

    @property
    def factor(self) -> float:
        """What the trained arrays of a contribution are multiplied by."""
        return math.sqrt(1 - self.share) if self.entries else 1.0

    def check(self, clip: Clip) -> None:
        """Make sure that a clip fits the arrays.

        Raises:
            ConfigurationError: It has bounds for another number of arrays.
        """
        travelling, trained = len(self._travelling), self.roles.count(ArrayRole.TRAINED)
        if isinstance(clip, PerLayerClip) and len(clip.bounds) not in (trained, travelling):
            raise ConfigurationError(
                f"bounds of a per-layer clip: expected one for each of {trained} trained arrays, found "
                f"{len(clip.bounds)}. Statistics have a bound of their own, and fixed arrays do not travel."
            )

    def prepare(self, clip: Clip, update: Sequence[NDArray[Any]], weights: Sequence[NDArray[Any]]) -> Arrays:
        """What a client contributes.

        Args:
            clip: Of the round.
            update: One array for each of the model's that travels.
            weights: The global ones, all arrays.

        Raises:
            dp.errors.InvalidParameter: An entry of a trained array is NaN or infinite.
        """
        if not self.entries:
            return clip.prepare(list(update))
        trained = [array for array, role in zip(update, self._travelling, strict=True) if not role.is_statistic]
        clipped = clip_l2(self._of_trained(clip).prepare(trained), bound=self.l2).arrays
        scaled = iter([np.asarray(self.factor * array) for array in clipped])
        statistics = iter(
            [
                np.asarray(self._unit * np.clip(change / scale, -self.reach, self.reach))
                for change, scale in zip(self._statistics(update), self._scales(weights), strict=True)
            ]
        )
        merged = [next(statistics if role.is_statistic else scaled) for role in self._travelling]
        return [*merged, *scaled]  # Behind the model's arrays may be an adaptive clip's count.

    def after(self, clip: Clip, mean: Arrays, weights: Sequence[NDArray[Any]]) -> tuple[Arrays, Clip]:
        """The mean update, for each array that travels, and the next round's clip.

        Args:
            clip: Of the round.
            mean: Of what clients contributed.
            weights: The global ones, all arrays.
        """
        if not self.entries:
            return clip.after(mean)
        own = len(self._travelling)
        scaled = [array for array, role in zip(mean[:own], self._travelling, strict=True) if not role.is_statistic]
        update, following = self._of_trained(clip).after(
            [np.asarray(array / self.factor) for array in (*scaled, *mean[own:])]
        )
        trained = iter(update)
        statistics = iter(
            [
                np.asarray(array / self._unit * scale)
                for array, scale in zip(self._statistics(mean[:own]), self._scales(weights), strict=True)
            ]
        )
        return [next(statistics if role.is_statistic else trained) for role in self._travelling], (
            clip if isinstance(clip, PerLayerClip) else following
        )

    def context(self, model: bytes) -> bytes:
        """What the parties agree on: the model's digest, and what each may contribute of its statistics."""
        if not self.entries:
            return model
        return hashlib.sha256(model + msgspec.json.encode((self.roles, self.l2, self.share, self.reach))).digest()

    def in_words(self, mean: SecureMean) -> str:
        """What statistics take of the bound, and what is left of them, for people; it tells nothing of any data."""
        _, noise = relative_errors(mean, share=self.share, reach=self.reach, entries=self.entries)
        noised = f", with noise of about {noise:.2g} times" if noise else ""
        return (
            f"{self.entries:,} entries of running statistics, such as batch normalisation's, are averaged too. They "
            f"take {self.share:.0%} of the squared bound on an update, and a round moves each by at most "
            f"{self.reach:.2g} times its magnitude{noised}"
        )

    def _of_trained(self, clip: Clip) -> Clip:
        """The clip of the trained arrays; bounds that a per-layer clip has for statistics are not used."""
        if not isinstance(clip, PerLayerClip) or len(clip.bounds) != len(self._travelling):
            return clip
        bounds = zip(clip.bounds, self._travelling, strict=True)
        return PerLayerClip(tuple(bound for bound, role in bounds if not role.is_statistic))

    @property
    def _travelling(self) -> list[ArrayRole]:
        return [role for role in self.roles if role.travels]

    @property
    def _unit(self) -> float:
        """What an entry of the statistics that moves by its own magnitude is in a contribution."""
        return math.sqrt(self.share) * self.l2 / (self.reach * math.sqrt(self.entries))

    def _statistics(self, arrays: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        return [array for array, role in zip(arrays, self._travelling, strict=True) if role.is_statistic]

    def _scales(self, weights: Sequence[NDArray[Any]]) -> Arrays:
        kept = [np.abs(kept_array(array, role)) for array, role in zip(weights, self.roles, strict=True)]
        return [np.maximum(1.0, array) for array, role in zip(kept, self.roles, strict=True) if role.is_statistic]


SHARED: Final = SharedStatistics()

WHOLE: Final = UpdateParts(roles=(), l2=1.0, share=SHARED.share, reach=1.0, entries=0)
"""Of updates without statistics: a contribution is what the clip makes of the update, as a whole."""


def divide_updates(
    arrays: ModelArrays, statistics: SharedStatistics | None, *, l2: float, mean: SecureMean | None
) -> UpdateParts:
    """Return how trained arrays and running statistics share what a client contributes.

    Args:
        arrays: Of the model.
        statistics: How running statistics take part in averaging; None refuses a model that keeps any.
        l2: Bound on what a client contributes.
        mean: What carries it; None for a mean in the clear.

    Raises:
        ModelError: The model keeps statistics that are refused.

    Warns:
        UserWarning: Statistics get noise, or can hardly move.
    """
    entries = arrays.statistics_entries
    if entries and statistics is None:
        raise ModelError(
            f"arrays of the model: expected none that are running statistics, found arrays {arrays.statistics}. Freeze "
            "their layers (trainable=False), use layer normalisation, or pass statistics=SharedStatistics()."
        )
    statistics = statistics or SHARED
    reach = chosen_reach(statistics, mean=mean, entries=entries)
    parts = UpdateParts(roles=arrays.roles, l2=l2, share=statistics.share, reach=reach, entries=entries)
    if entries and mean is not None and (mean.noise is not None or reach < 1):
        warnings.warn(
            f"{parts.in_words(mean)}. If that is too much for the model, use layer normalisation, freeze these "
            "layers, or take more clients.",
            stacklevel=3,
        )
    return parts


def kept_array(array: NDArray[Any], role: ArrayRole) -> NDArray[np.float64]:
    """An array of the global model as its layers read it: a variance is never negative, whatever noise has made it."""
    kept = np.asarray(array, dtype=np.float64)
    return np.asarray(np.maximum(kept, 0.0)) if role is ArrayRole.VARIANCE else kept


def chosen_reach(statistics: SharedStatistics, *, mean: SecureMean | None, entries: int) -> float:
    """How far an entry of the statistics may move in a round.

    Args:
        statistics: As the user chose.
        mean: What carries them; None for a mean in the clear.
        entries: Of all statistics together.
    """
    if statistics.reach is not None or mean is None or not entries:
        return statistics.reach or _LARGEST_REACH
    # At a reach of one; both grow with it.
    rounding, noise = relative_errors(mean, share=statistics.share, reach=1.0, entries=entries)
    return min(_LARGEST_REACH, _ROUNDING / rounding, _NOISE / noise if noise else math.inf)


def relative_errors(mean: SecureMean, *, share: float, reach: float, entries: int) -> tuple[float, float]:
    """About the standard deviations of rounding and of noise in an entry of the mean, in units of its magnitude.

    Args:
        mean: What carries them; counted with the least number of contributors.
        share: Of the statistics.
        reach: Of the statistics.
        entries: Of all statistics together.
    """
    encoding, contributors = mean.encoding, mean.minimum_contributors
    step = encoding.granularity * reach * math.sqrt(entries / share) / encoding.clip_l2
    rounding = step / 2 / math.sqrt(contributors)
    if mean.noise is None or mean.target is None:
        return rounding, 0.0
    shares = contributors if mean.target.trust is Trust.LOCAL else 1
    return rounding, mean.noise.noise_multiplier * encoding.l2_sensitivity * step * math.sqrt(shares) / contributors
