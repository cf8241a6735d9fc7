"""Planted bugs of secure means: their noise, sensitivity, rounding, weights and range."""

import math
import struct
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dp.clipping.clip import clip_l2_per_layer
from protocols import Transmission
from secagg.aggregation import encoding as encoding_module
from secagg.aggregation.encoding import Encoding
from secagg.aggregation.mean import SecureMean, Target
from secagg.aggregation.rotation import Rotation
from secagg.aggregation.weighting import Weighting
from secagg.audit.claims import claimed
from secagg.audit.means.subject import ADD_OR_REMOVE, REPLACE, MeanSubject, Round, Setting
from secagg.audit.means.suite import TARGET, mean_subject
from secagg.audit.planted.altered import altered, as_kind
from secagg.audit.planted.base import Planted
from secagg.audit.planted.noisy_means import PLANTED_NOISE
from secagg.audit.planted.patch import replaced
from secagg.privacy.noise import Noise

# Sensitivity: 17, 18, 22, 23, 30.


class _WithoutInflation(Target):
    """A guarantee whose noise is sized for the norm before rounding."""

    def calibrate(self, *, l2_sensitivity: float, dimension: int, clients: int, minimum_contributors: int) -> Noise:
        """Return noise that is too small by what rounding adds to the norm."""
        # The norm n of `Encoding.l2_sensitivity`: its square is n^2 + n + length / 4 + sqrt(length) / 2.
        added = dimension / 4 + math.sqrt(dimension) / 2
        return super().calibrate(
            l2_sensitivity=math.sqrt(l2_sensitivity**2 - added + 1 / 4) - 1 / 2,
            dimension=dimension,
            clients=clients,
            minimum_contributors=minimum_contributors,
        )


class _WithoutWeight(Target):
    """A guarantee whose noise is sized for the update, without the coordinate of the weight."""

    def calibrate(self, *, l2_sensitivity: float, dimension: int, clients: int, minimum_contributors: int) -> Noise:
        """Return noise that is too small by a factor of the square root of 2."""
        return super().calibrate(
            l2_sensitivity=l2_sensitivity / math.sqrt(2),
            dimension=dimension,
            clients=clients,
            minimum_contributors=minimum_contributors,
        )


@dataclass(frozen=True, kw_only=True)
class _EveryArrayAtTheClip(Encoding):
    """An encoding that clips every array to the bound of the whole update."""

    def encode(
        self, arrays: Sequence[ArrayLike], *, weight: float | None, rotation: Rotation, entropy: Callable[[int], bytes]
    ) -> NDArray[np.int64]:
        """Return one client's integers, whose norm may be too large."""
        update = [np.asarray(array, dtype=np.float64) for array in arrays]
        clipped = clip_l2_per_layer(update, bounds=[self.clip_l2] * len(update)).arrays
        wide = as_kind(Encoding, self, clip_l2=self.clip_l2 * math.sqrt(len(update)))
        return wide.encode(clipped, weight=weight, rotation=rotation, entropy=entropy)


def _claiming(relation: str, name: str) -> MeanSubject:
    """Return a mean that claims another relation than that for which its noise is sized."""
    right = mean_subject(name)
    return MeanSubject(right.setting, name=name, claims=claimed(*(c.id for c in right.claims), relation=relation))


# Rounding, weights and range: 21, 25, 26, 39, 60.


@dataclass(frozen=True, kw_only=True)
class _AnyWeight(Encoding):
    """An encoding that accepts every weight."""

    def checked_weight(self, weight: float | None) -> float | None:
        """Return a client's weight as it is."""
        return None if weight is None else weight / self.max_weight


@dataclass(frozen=True, kw_only=True)
class _RoundingDown(Encoding):
    """An encoding that always rounds down."""

    def encode(
        self, arrays: Sequence[ArrayLike], *, weight: float | None, rotation: Rotation, entropy: Callable[[int], bytes]
    ) -> NDArray[np.int64]:
        """Return one client's integers, all rounded down."""
        with replaced(encoding_module, "round_at_random", _down):
            return Encoding.encode(self, arrays, weight=weight, rotation=rotation, entropy=entropy)


def _down(scaled: NDArray[np.float64], *, l2_bound: float, entropy: Callable[[int], bytes]) -> NDArray[np.int64]:  # noqa: ARG001 - the signature of the rounding
    entropy(32)
    return np.floor(scaled).astype(np.int64)


@dataclass(frozen=True, kw_only=True)
class _FixedCoins(Encoding):
    """An encoding whose coins are the same in every round."""

    def encode(
        self, arrays: Sequence[ArrayLike], *, weight: float | None, rotation: Rotation, entropy: Callable[[int], bytes]
    ) -> NDArray[np.int64]:
        """Return one client's integers, rounded by public coins."""
        return Encoding.encode(
            self, arrays, weight=weight, rotation=rotation, entropy=lambda size: bytes(len(entropy(size)))
        )


def _without_room(mean: SecureMean) -> SecureMean:
    """Return a mean whose grid has no room for the noise."""
    right, target = mean.encoding, mean.target
    if not isinstance(target, Target):
        return mean
    encoding = Encoding.fit(
        shapes=right.shapes,
        clip_l2=right.clip_l2,
        clients=right.clients,
        modulus_bits=right.modulus_bits,
        modulus=mean.protocol.modulus,
    )
    noise = target.calibrate(
        l2_sensitivity=encoding.l2_sensitivity,
        dimension=encoding.length,
        clients=len(mean.clients),
        minimum_contributors=mean.minimum_contributors,
    )
    return replace(mean, encoding=encoding, noise=noise)


class _TellsWeights(MeanSubject):
    """A mean whose clients tell the server their weights beside their vectors."""

    def observe(
        self,
        setting: Setting,
        updates: Mapping[int, Sequence[NDArray[Any]]],
        seed: bytes,
        *,
        weights: Mapping[int, float] | None = None,
        dropping: Collection[int] = (),
        context: bytes = b"",
        tap: Callable[[Transmission], None] | None = None,
    ) -> Round:
        """Run one round, with one message more of each client."""
        made = super().observe(setting, updates, seed, weights=weights, dropping=dropping, context=context, tap=tap)
        for client, weight in (weights or {}).items():
            if tap is not None:
                tap(Transmission("weigh", client, None, struct.pack("<d", weight)))
        return made


def _tells_weights() -> MeanSubject:
    right = mean_subject("weights-in-the-clear", weighting=Weighting.WEIGHTED)
    return _TellsWeights(right.setting, name=right.name, claims=right.claims)


def _encoded(kind: type[Encoding]) -> Callable[[SecureMean], SecureMean]:
    return lambda mean: replace(mean, encoding=as_kind(kind, mean.encoding))


_WEIGHTED: Final = Weighting.WEIGHTED


def _planted(number: int, bug: str, claim: str, caught_by: str, subject: Callable[[], MeanSubject]) -> Planted:
    return Planted(number=number, bug=bug, claim=claim, caught_by=caught_by, subject=subject)


PLANTED: Final[tuple[Planted, ...]] = (
    *PLANTED_NOISE,
    _planted(
        17,
        "a sensitivity without what rounding adds to the norm",
        "C-17",
        "invariant.norm",
        lambda: mean_subject("rounding-left-out", target=as_kind(_WithoutInflation, TARGET)),
    ),
    _planted(
        18,
        "a clip of every array that poses as a clip of the whole",
        "C-18",
        "invariant.norm",
        lambda: altered("every-array-at-the-clip", _encoded(_EveryArrayAtTheClip)),
    ),
    _planted(
        21,
        "weights that clients choose",
        "C-19",
        "invariant.weights.limit",
        lambda: altered("any-weight", _encoded(_AnyWeight), weighting=_WEIGHTED),
    ),
    _planted(
        22,
        "a sensitivity without the weights",
        "C-17",
        "invariant.norm",
        lambda: mean_subject("weights-left-out", target=as_kind(_WithoutWeight, TARGET), weighting=_WEIGHTED),
    ),
    _planted(
        23,
        "a division by the contributors where add-or-remove-one is claimed",
        "C-17",
        "invariant.mean.change",
        lambda: _claiming(ADD_OR_REMOVE, "claims-add-or-remove"),
    ),
    _planted(
        25,
        "rounding that is always down",
        "C-20",
        "mechanism.rounding.bias",
        lambda: altered("rounding-down", _encoded(_RoundingDown)),
    ),
    _planted(
        26,
        "rounding by fixed coins",
        "C-20",
        "replay.rounding",
        lambda: altered("fixed-coins", _encoded(_FixedCoins)),
    ),
    _planted(
        30,
        "a sensitivity of zero-out where replace-one is claimed, off by a factor of 2",
        "C-17",
        "invariant.neighbours",
        lambda: _claiming(REPLACE, "claims-replace-one"),
    ),
    _planted(
        39,
        "a grid without room for the noise, so that sums wrap around",
        "C-22",
        "invariant.wrap",
        lambda: altered("no-room-for-noise", _without_room),
    ),
    _planted(60, "weights in the clear", "C-19", "invariant.weights.hidden", _tells_weights),
)
"""The planted bugs 3, 5 to 9, 13, 17 to 19, 21 to 26, 30, 39 and 60."""
