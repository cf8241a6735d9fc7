"""Planted bugs of secure means: their noise, sensitivity, rounding, weights and range."""

import math
import os
import struct
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dp.clipping.clip import clip_l2_per_layer
from dp.events import PrivacyEvent
from dp.noise.discrete_gaussian import discrete_gaussian
from dp.noise.distributed import DistributedDiscreteGaussian, LatticeNoise
from dp.noise.removal import RemovableSkellam
from protocols import Opening, Secret, Session, Transmission
from protocols.crypto.entropy import Entropy
from secagg.aggregation import encoding as encoding_module
from secagg.aggregation.encoding import Decoded, Encoding, Weighting
from secagg.aggregation.mean import Contribution, SecureMean, Target
from secagg.aggregation.residues import centred, reduced
from secagg.aggregation.rotation import Rotation
from secagg.audit.claims import claimed
from secagg.audit.means.subject import ADD_OR_REMOVE, REPLACE, MeanSubject, Round, Setting
from secagg.audit.means.suite import TARGET, mean_subject
from secagg.audit.planted.base import Planted
from secagg.audit.planted.patch import replaced
from secagg.privacy.clipping import ClippingKind
from secagg.privacy.noise import Noise

T = TypeVar("T")


def _values(of: Any) -> dict[str, Any]:
    return {each.name: getattr(of, each.name) for each in fields(of)}


def _as(kind: type[T], of: Any, **changes: Any) -> T:
    """Return an object of a subclass with the same fields."""
    return kind(**_values(of) | changes)


def _altered(name: str, change: Callable[[SecureMean], SecureMean], **options: Any) -> MeanSubject:
    """Return a mean of the toolkit that is changed after it was planned."""
    right = mean_subject(name, **options)

    def planner(wish: Any) -> Setting:
        setting = right.setting(wish)
        return replace(setting, mean=change(setting.mean))

    return MeanSubject(planner, name=name, claims=right.claims)


# Noise: 3, 5, 6, 7, 8, 9, 13, 19, 24.


@dataclass(frozen=True, kw_only=True)
class _ShareOverCount(DistributedDiscreteGaussian):
    """Noise shares of sigma / n in the place of sigma / sqrt(n)."""

    def share(self, entropy: Entropy = os.urandom) -> NDArray[np.int64]:
        """Draw a noise share that is too small."""
        return discrete_gaussian(self.local_sigma / math.sqrt(self.minimum_contributors), self.dimension, entropy)


@dataclass(frozen=True, kw_only=True)
class _Remembered(DistributedDiscreteGaussian):
    """Noise that is drawn once."""

    drawn: list[NDArray[np.int64]] = field(default_factory=list)

    def share(self, entropy: Entropy = os.urandom) -> NDArray[np.int64]:
        """Draw at the first call, and return the same again at all others."""
        if not self.drawn:
            self.drawn.append(DistributedDiscreteGaussian.share(self, entropy))
        return self.drawn[0].copy()


@dataclass(frozen=True, kw_only=True)
class _MeanWithOwnContribution(SecureMean):
    """A mean whose contributions differ; without noise they do not, so that an audit sees the same integers."""

    def contribution(
        self,
        arrays: Sequence[ArrayLike],
        *,
        rotation: Rotation,
        weight: float | None = None,
        client: int | None = None,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> Contribution:
        """Return a client's part."""
        right = self if self.noise is None else self.for_client(client, rotation)
        part = SecureMean.contribution(right, arrays, rotation=rotation, weight=weight, client=client, entropy=entropy)
        return part if self.noise is None else self.changed(part)

    def for_client(self, client: int | None, rotation: Rotation) -> SecureMean:  # noqa: ARG002 - for subclasses
        """Return the mean that a client's part is computed by."""
        return self

    def changed(self, part: Contribution) -> Contribution:
        """Return the part that is sent."""
        return part


@dataclass(frozen=True, kw_only=True)
class _ShareMissing(_MeanWithOwnContribution):
    """The second client adds no noise."""

    def for_client(self, client: int | None, rotation: Rotation) -> SecureMean:  # noqa: ARG002 - one client only
        """Return the mean, without noise for one client."""
        return replace(self, noise=None, target=None) if client == self.clients[1] else self


@dataclass(frozen=True, kw_only=True)
class _NoiseOfTheFirstRound(_MeanWithOwnContribution):
    """Every client uses the noise of its first round in all others."""

    kept: dict[int | None, _Remembered] = field(default_factory=dict)

    def for_client(self, client: int | None, rotation: Rotation) -> SecureMean:  # noqa: ARG002 - in all rounds
        """Return the mean with the client's remembered noise."""
        return replace(self, noise=self.kept.setdefault(client, _as(_Remembered, self.noise, drawn=[])))


@dataclass(frozen=True, kw_only=True)
class _NoiseOfTheFirstClient(_MeanWithOwnContribution):
    """All clients of a round add the same noise."""

    kept: dict[Rotation, _Remembered] = field(default_factory=dict)

    def for_client(self, client: int | None, rotation: Rotation) -> SecureMean:  # noqa: ARG002 - for all clients
        """Return the mean with the round's remembered noise."""
        return replace(self, noise=self.kept.setdefault(rotation, _as(_Remembered, self.noise, drawn=[])))


@dataclass(frozen=True, kw_only=True)
class _ClipAfterNoise(_MeanWithOwnContribution):
    """The integers are clipped to the sensitivity once more, with the noise in them."""

    def changed(self, part: Contribution) -> Contribution:
        """Return the clipped part."""
        integers = centred(part.vector, self.encoding.modulus).astype(np.float64)
        factor = min(1.0, self.encoding.l2_sensitivity / math.sqrt(float(integers @ integers)))
        return replace(part, vector=reduced(np.rint(factor * integers).astype(np.int64), self.encoding.modulus))


class _CountsColluding(Target):
    """A guarantee that counts the noise shares of colluding clients."""

    def calibrate(self, *, l2_sensitivity: float, dimension: int, clients: int, minimum_contributors: int) -> Noise:
        """Return noise that is sized for all contributors."""
        return _as(Target, self, colluding=0).calibrate(
            l2_sensitivity=l2_sensitivity,
            dimension=dimension,
            clients=clients,
            minimum_contributors=minimum_contributors,
        )

    def realised(self, noise: Noise, *, clients: int, contributors: int) -> PrivacyEvent:
        """Return a release with the noise of all contributors."""
        return _as(Target, self, colluding=0).realised(noise, clients=clients, contributors=contributors)


@dataclass(frozen=True, kw_only=True)
class _RemovesTooMuch(RemovableSkellam):
    """Removal that begins one component too early."""

    def removed(self, dropped: int) -> range:
        """Return the components to remove."""
        right = RemovableSkellam.removed(self, dropped)
        return range(max(right.start - 1, 1), right.stop)


@dataclass(frozen=True, kw_only=True)
class _OpensTooMuch(SecureMean):
    """A mean whose seeds are opened after one dropout more than they should be."""

    def session(self, session_id: bytes, *, context: bytes = b"") -> Session:
        """Return the session with the wrong rules."""
        right = SecureMean.session(self, session_id, context=context)
        rules = tuple(Opening(least_dropped=0, most_dropped=rule.most_dropped + 1) for rule in right.attached)
        return replace(right, attached=rules)


@dataclass(frozen=True, kw_only=True)
class _NoiseAfterDecoding(SecureMean):
    """A mean to which normal noise is added after decoding."""

    def decode(
        self,
        total: NDArray[np.uint64],
        *,
        contributors: int,
        rotation: Rotation,
        attached: Mapping[int, Sequence[Secret | None]] | None = None,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> Decoded:
        """Return the mean with floating-point noise."""
        right = SecureMean.decode(
            self, total, contributors=contributors, rotation=rotation, attached=attached, entropy=entropy
        )
        generator = np.random.Generator(np.random.PCG64(int.from_bytes(entropy(32), "little")))
        size = self.encoding.clip_l2 / contributors
        noised = [array + size * generator.standard_normal(array.shape) for array in right.mean]
        return replace(right, mean=noised)


@dataclass(frozen=True, kw_only=True)
class _ExactCount(SecureMean):
    """A mean whose counts travel beside the sum, without noise."""

    counts: dict[Rotation, list[float]] = field(default_factory=dict)

    def contribution(
        self,
        arrays: Sequence[ArrayLike],
        *,
        rotation: Rotation,
        weight: float | None = None,
        client: int | None = None,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> Contribution:
        """Return a client's part, and tell its count."""
        self.counts.setdefault(rotation, []).append(float(np.asarray(arrays[-1])[0]))
        return SecureMean.contribution(self, arrays, rotation=rotation, weight=weight, client=client, entropy=entropy)

    def decode(
        self,
        total: NDArray[np.uint64],
        *,
        contributors: int,
        rotation: Rotation,
        attached: Mapping[int, Sequence[Secret | None]] | None = None,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> Decoded:
        """Return the mean with the exact count in the place of the noisy one."""
        right = SecureMean.decode(
            self, total, contributors=contributors, rotation=rotation, attached=attached, entropy=entropy
        )
        return replace(right, mean=[*right.mean[:-1], np.array([np.mean(self.counts[rotation])])])


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
        wide = _as(Encoding, self, clip_l2=self.clip_l2 * math.sqrt(len(update)))
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
    if target is None:
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
    return lambda mean: replace(mean, encoding=_as(kind, mean.encoding))


def _noised(kind: type[Any]) -> Callable[[SecureMean], SecureMean]:
    return lambda mean: replace(mean, noise=_as(kind, mean.noise))


def _meant(kind: type[SecureMean]) -> Callable[[SecureMean], SecureMean]:
    return lambda mean: _as(kind, mean)


def _too_much(mean: SecureMean) -> SecureMean:
    return _as(_OpensTooMuch, mean, noise=_as(_RemovesTooMuch, mean.noise))


_REMOVAL: Final = replace(TARGET, mechanism=LatticeNoise.SKELLAM, noise_removal=True)
_WEIGHTED: Final = Weighting.WEIGHTED


def _planted(number: int, bug: str, claim: str, caught_by: str, subject: Callable[[], MeanSubject]) -> Planted:
    return Planted(number=number, bug=bug, claim=claim, caught_by=caught_by, subject=subject)


PLANTED: Final[tuple[Planted, ...]] = (
    _planted(
        3,
        "noise shares of sigma / n in the place of sigma / sqrt(n)",
        "C-14",
        "mechanism.release.variance",
        lambda: _altered("share-over-count", _noised(_ShareOverCount)),
    ),
    _planted(
        5,
        "one client's noise share missing",
        "C-14",
        "mechanism.shares.variance",
        lambda: _altered("share-missing", _meant(_ShareMissing)),
    ),
    _planted(
        6,
        "noise shares of colluding clients that are counted",
        "C-14",
        "mechanism.release.variance",
        lambda: mean_subject("colluding-counted", target=_as(_CountsColluding, TARGET)),
    ),
    _planted(
        7,
        "noise removal that removes too much",
        "C-14",
        "mechanism.release.variance",
        lambda: _altered("removes-too-much", _too_much, target=_REMOVAL),
    ),
    _planted(
        8,
        "noise that is used again in the next round",
        "C-16",
        "mechanism.rounds.correlation",
        lambda: _altered("noise-of-first-round", _meant(_NoiseOfTheFirstRound)),
    ),
    _planted(
        9,
        "noise that all clients share",
        "C-16",
        "mechanism.release.variance",
        lambda: _altered("noise-of-first-client", _meant(_NoiseOfTheFirstClient)),
    ),
    _planted(
        13,
        "floating-point noise that is added after decoding",
        "C-21",
        "invariant.granularity",
        lambda: _altered("noise-after-decoding", _meant(_NoiseAfterDecoding)),
    ),
    _planted(
        17,
        "a sensitivity without what rounding adds to the norm",
        "C-17",
        "invariant.norm",
        lambda: mean_subject("rounding-left-out", target=_as(_WithoutInflation, TARGET)),
    ),
    _planted(
        18,
        "a clip of every array that poses as a clip of the whole",
        "C-18",
        "invariant.norm",
        lambda: _altered("every-array-at-the-clip", _encoded(_EveryArrayAtTheClip)),
    ),
    _planted(
        19,
        "a clip after the noise",
        "C-14",
        "mechanism.shares.variance",
        lambda: _altered("clip-after-noise", _meant(_ClipAfterNoise)),
    ),
    _planted(
        21,
        "weights that clients choose",
        "C-19",
        "invariant.weights.limit",
        lambda: _altered("any-weight", _encoded(_AnyWeight), weighting=_WEIGHTED),
    ),
    _planted(
        22,
        "a sensitivity without the weights",
        "C-17",
        "invariant.norm",
        lambda: mean_subject("weights-left-out", target=_as(_WithoutWeight, TARGET), weighting=_WEIGHTED),
    ),
    _planted(
        23,
        "a division by the contributors where add-or-remove-one is claimed",
        "C-17",
        "invariant.mean.change",
        lambda: _claiming(ADD_OR_REMOVE, "claims-add-or-remove"),
    ),
    _planted(
        24,
        "the count of an adaptive clip without noise",
        "C-14",
        "mechanism.count.variance",
        lambda: _altered("exact-count", _meant(_ExactCount), clipping=ClippingKind.ADAPTIVE),
    ),
    _planted(
        25,
        "rounding that is always down",
        "C-20",
        "mechanism.rounding.bias",
        lambda: _altered("rounding-down", _encoded(_RoundingDown)),
    ),
    _planted(
        26,
        "rounding by fixed coins",
        "C-20",
        "replay.rounding",
        lambda: _altered("fixed-coins", _encoded(_FixedCoins)),
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
        lambda: _altered("no-room-for-noise", _without_room),
    ),
    _planted(60, "weights in the clear", "C-19", "invariant.weights.hidden", _tells_weights),
)
"""The planted bugs 3, 5 to 9, 13, 17 to 19, 21 to 26, 30, 39 and 60."""
