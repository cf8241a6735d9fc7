"""Running statistics in an update: they have a bound apart from the trained arrays' bound, in one sum and one event.

Batch normalisation keeps a moving mean and variance, which no optimizer moves. In one round they may change by
thousands, while weights change by less than one. Under a common bound almost nothing would be left for the weights, so
here each has its own. For a bound L on its whole contribution and a share s of the squared bound, a client contributes

    sqrt(1 - s) * trained    trained arrays, clipped to L as if there were no statistics, and
    sqrt(s) * L / (r sqrt(n)) * v    n entries of statistics, each v = clamp(change / max(1, |kept|), -r, r),

Their norms are at most sqrt(1 - s) L and sqrt(s) L, so at most L together: the sensitivity is the planned one. Trained
arrays keep their bound, and their noise grows by a factor of 1 / sqrt(1 - s). In one round an entry of the statistics
moves by at most the reach r, in units of its own kept magnitude, which is public. So it can grow geometrically.

The server moves kept statistics by exactly the mean change; its learning rate and momentum apply only to trained
arrays.

Statistics that every client keeps for itself (FedBN: Li et al., arXiv 2102.07623) are not offered. A global model would
then have no statistics of its own, so it could neither be evaluated nor saved with them.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

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
"""The largest rounding error and the most noise in an entry of the mean: standard deviations over max(1, |kept|).

Evaluation divides by a moving standard deviation. If the mean is hundreds of times as large as that deviation, rounding
must still be small compared with the deviation. Noise accumulates over rounds; with 3% a round it stays a fraction of
the kept value.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedStatistics:
    """Running statistics that take part in averaging, under a bound of their own.

    Attributes:
        share: The statistics' share of the squared bound on a client's contribution, in [1e-9, 1 - 1e-9].
        reach: How far an entry may move in a round, in [1e-9, 1e6]. The unit is the kept entry's magnitude, or 1 if
            that is larger. None takes the largest reach at which rounding moves an entry by at most about 0.03% of
            that unit, and noise by at most about 3%.

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
        roles: The role of each array of the model.
        l2: Bound on the l2 norm of a client's contribution.
        share: The statistics' share of the squared bound, see `SharedStatistics`.
        reach: The reach of the statistics, see `SharedStatistics`.
        entries: The number of entries of all statistics together; if 0, a contribution is the clipped update.
    """

    roles: tuple[ArrayRole, ...]
    l2: float
    share: float
    reach: float
    entries: int

    @property
    def factor(self) -> float:
        """The factor by which the trained arrays of a contribution are multiplied."""
        return math.sqrt(1 - self.share) if self.entries else 1.0

    def check(self, clip: Clip) -> None:
        """Check that a clip fits the arrays.

        Raises:
            ConfigurationError: The clip has bounds for another number of arrays.
        """
        travelling, trained = len(self._travelling), self.roles.count(ArrayRole.TRAINED)
        if isinstance(clip, PerLayerClip) and len(clip.bounds) not in (trained, travelling):
            raise ConfigurationError(
                f"bounds of a per-layer clip: expected one for each of {trained} trained arrays, found "
                f"{len(clip.bounds)}. Statistics have a bound of their own, and fixed arrays do not travel."
            )

    def prepare(self, clip: Clip, update: Sequence[NDArray[Any]], weights: Sequence[NDArray[Any]]) -> Arrays:
        """Return what a client contributes.

        Args:
            clip: The clip of the round.
            update: One array for each array of the model that travels.
            weights: The global weights, all arrays.

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
        return [*merged, *scaled]  # An adaptive clip's count may follow the model's arrays.

    def after(self, clip: Clip, mean: Arrays, weights: Sequence[NDArray[Any]]) -> tuple[Arrays, Clip]:
        """Return the mean update, for each array that travels, and the next round's clip.

        Args:
            clip: The clip of the round.
            mean: The mean of the clients' contributions.
            weights: The global weights, all arrays.
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

    def in_words(self, mean: SecureMean) -> str:
        """Describe the statistics' share of the bound, their reach and their noise; the text depends on no data."""
        _, noise = relative_errors(mean, share=self.share, reach=self.reach, entries=self.entries)
        noised = f", with noise of about {noise:.2g} times" if noise else ""
        return (
            f"{self.entries:,} entries of running statistics, such as batch normalisation's, are averaged too. They "
            f"take {self.share:.0%} of the squared bound on an update, and a round moves each by at most "
            f"{self.reach:.2g} times its magnitude{noised}"
        )

    def _of_trained(self, clip: Clip) -> Clip:
        """Return the clip of the trained arrays; the bounds of a per-layer clip for statistics are not used."""
        if not isinstance(clip, PerLayerClip) or len(clip.bounds) != len(self._travelling):
            return clip
        bounds = zip(clip.bounds, self._travelling, strict=True)
        return PerLayerClip(tuple(bound for bound, role in bounds if not role.is_statistic))

    @property
    def _travelling(self) -> list[ArrayRole]:
        return [role for role in self.roles if role.travels]

    @property
    def _unit(self) -> float:
        """The value in a contribution for a change by one unit, which is the kept magnitude, or 1 if that is larger."""
        return math.sqrt(self.share) * self.l2 / (self.reach * math.sqrt(self.entries))

    def _statistics(self, arrays: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        return [array for array, role in zip(arrays, self._travelling, strict=True) if role.is_statistic]

    def _scales(self, weights: Sequence[NDArray[Any]]) -> Arrays:
        kept = [np.abs(kept_array(array, role)) for array, role in zip(weights, self.roles, strict=True)]
        return [np.maximum(1.0, array) for array, role in zip(kept, self.roles, strict=True) if role.is_statistic]


SHARED: Final = SharedStatistics()

WHOLE: Final = UpdateParts(roles=(), l2=1.0, share=SHARED.share, reach=1.0, entries=0)
"""The parts of updates without statistics: a contribution is the clipped update as a whole."""


def divide_updates(
    arrays: ModelArrays, statistics: SharedStatistics | None, *, l2: float, mean: SecureMean | None
) -> UpdateParts:
    """Return how trained arrays and running statistics share what a client contributes.

    Args:
        arrays: The arrays of the model.
        statistics: How running statistics take part in averaging; None refuses a model that keeps any.
        l2: Bound on the l2 norm of a client's contribution.
        mean: The secure mean that carries the contributions; None for a mean in the clear.

    Raises:
        ModelError: The model keeps statistics, and `statistics` is None.

    Warns:
        UserWarning: Statistics get noise, or their reach is below 1.
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
    """Return an array of the global model as its layers read it: a variance that noise made negative counts as 0."""
    kept = np.asarray(array, dtype=np.float64)
    return np.asarray(np.maximum(kept, 0.0)) if role is ArrayRole.VARIANCE else kept


def chosen_reach(statistics: SharedStatistics, *, mean: SecureMean | None, entries: int) -> float:
    """Return how far an entry of the statistics may move in a round; see `SharedStatistics`.

    Args:
        statistics: The user's choice.
        mean: The secure mean that carries them; None for a mean in the clear.
        entries: The number of entries of all statistics together.
    """
    if statistics.reach is not None or mean is None or not entries:
        return statistics.reach or _LARGEST_REACH
    # Both are for a reach of 1 and grow in proportion to it.
    rounding, noise = relative_errors(mean, share=statistics.share, reach=1.0, entries=entries)
    return min(_LARGEST_REACH, _ROUNDING / rounding, _NOISE / noise if noise else math.inf)


def relative_errors(mean: SecureMean, *, share: float, reach: float, entries: int) -> tuple[float, float]:
    """Estimate the standard deviations of rounding and of noise in an entry of the mean, in units of its magnitude.

    Args:
        mean: The secure mean that carries them; the estimate assumes the least number of contributors.
        share: The statistics' share of the squared bound.
        reach: The reach of the statistics.
        entries: The number of entries of all statistics together.
    """
    encoding, contributors = mean.encoding, mean.minimum_contributors
    step = encoding.granularity * reach * math.sqrt(entries / share) / encoding.clip_l2
    rounding = step / 2 / math.sqrt(contributors)
    if mean.noise is None or mean.target is None:
        return rounding, 0.0
    shares = contributors if mean.target.trust is Trust.LOCAL else 1
    return rounding, mean.noise.noise_multiplier * encoding.l2_sensitivity * step * math.sqrt(shares) / contributors
