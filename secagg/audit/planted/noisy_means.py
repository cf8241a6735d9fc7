"""Planted bugs of the noise of secure means."""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dp.events import PrivacyEvent
from dp.noise.discrete_gaussian import discrete_gaussian
from dp.noise.distributed import DistributedDiscreteGaussian, LatticeNoise
from dp.noise.removal import RemovableSkellam
from protocols import Opening, Secret, Session
from protocols.crypto.entropy import Entropy
from secagg.aggregation.contribution import Contribution
from secagg.aggregation.encoding import Decoded
from secagg.aggregation.mean import SecureMean, Target
from secagg.aggregation.residues import centred, reduced
from secagg.aggregation.rotation import Rotation
from secagg.audit.means.subject import MeanSubject
from secagg.audit.means.suite import TARGET, mean_subject
from secagg.audit.planted.altered import altered, as_kind
from secagg.audit.planted.base import Planted
from secagg.privacy.clipping import ClippingKind
from secagg.privacy.noise import Noise


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

    def for_client(self, client: int | None, rotation: Rotation) -> SecureMean:
        """Return the mean that a client's part is computed by."""
        return self

    def changed(self, part: Contribution) -> Contribution:
        """Return the part that is sent."""
        return part


@dataclass(frozen=True, kw_only=True)
class _ShareMissing(_MeanWithOwnContribution):
    """The second client adds no noise."""

    def for_client(self, client: int | None, rotation: Rotation) -> SecureMean:
        """Return the mean, without noise for one client."""
        return replace(self, noise=None, target=None) if client == self.clients[1] else self


@dataclass(frozen=True, kw_only=True)
class _NoiseOfTheFirstRound(_MeanWithOwnContribution):
    """Every client uses the noise of its first round in all others."""

    kept: dict[int | None, _Remembered] = field(default_factory=dict)

    def for_client(self, client: int | None, rotation: Rotation) -> SecureMean:
        """Return the mean with the client's remembered noise."""
        return replace(self, noise=self.kept.setdefault(client, as_kind(_Remembered, self.noise, drawn=[])))


@dataclass(frozen=True, kw_only=True)
class _NoiseOfTheFirstClient(_MeanWithOwnContribution):
    """All clients of a round add the same noise."""

    kept: dict[Rotation, _Remembered] = field(default_factory=dict)

    def for_client(self, client: int | None, rotation: Rotation) -> SecureMean:
        """Return the mean with the round's remembered noise."""
        return replace(self, noise=self.kept.setdefault(rotation, as_kind(_Remembered, self.noise, drawn=[])))


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
        return as_kind(Target, self, colluding=0).calibrate(
            l2_sensitivity=l2_sensitivity,
            dimension=dimension,
            clients=clients,
            minimum_contributors=minimum_contributors,
        )

    def realised(self, noise: Noise, *, clients: int, contributors: int) -> PrivacyEvent:
        """Return a release with the noise of all contributors."""
        return as_kind(Target, self, colluding=0).realised(noise, clients=clients, contributors=contributors)


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
        overwrite: bool = False,
    ) -> Decoded:
        """Return the mean with floating-point noise."""
        right = SecureMean.decode(
            self,
            total,
            contributors=contributors,
            rotation=rotation,
            attached=attached,
            entropy=entropy,
            overwrite=overwrite,
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
        overwrite: bool = False,
    ) -> Decoded:
        """Return the mean with the exact count in the place of the noisy one."""
        right = SecureMean.decode(
            self,
            total,
            contributors=contributors,
            rotation=rotation,
            attached=attached,
            entropy=entropy,
            overwrite=overwrite,
        )
        return replace(right, mean=[*right.mean[:-1], np.array([np.mean(self.counts[rotation])])])


def _noised(kind: type[Any]) -> Callable[[SecureMean], SecureMean]:
    return lambda mean: replace(mean, noise=as_kind(kind, mean.noise))


def _meant(kind: type[SecureMean]) -> Callable[[SecureMean], SecureMean]:
    return lambda mean: as_kind(kind, mean)


def _too_much(mean: SecureMean) -> SecureMean:
    return as_kind(_OpensTooMuch, mean, noise=as_kind(_RemovesTooMuch, mean.noise))


_REMOVAL: Final = replace(TARGET, mechanism=LatticeNoise.SKELLAM, noise_removal=True)


def _planted(number: int, bug: str, claim: str, caught_by: str, subject: Callable[[], MeanSubject]) -> Planted:
    return Planted(number=number, bug=bug, claim=claim, caught_by=caught_by, subject=subject)


PLANTED_NOISE: Final[tuple[Planted, ...]] = (
    _planted(
        3,
        "noise shares of sigma / n in the place of sigma / sqrt(n)",
        "C-14",
        "mechanism.release.variance",
        lambda: altered("share-over-count", _noised(_ShareOverCount)),
    ),
    _planted(
        5,
        "one client's noise share missing",
        "C-14",
        "mechanism.shares.variance",
        lambda: altered("share-missing", _meant(_ShareMissing)),
    ),
    _planted(
        6,
        "noise shares of colluding clients that are counted",
        "C-14",
        "mechanism.release.variance",
        lambda: mean_subject("colluding-counted", target=as_kind(_CountsColluding, TARGET)),
    ),
    _planted(
        7,
        "noise removal that removes too much",
        "C-14",
        "mechanism.release.variance",
        lambda: altered("removes-too-much", _too_much, target=_REMOVAL),
    ),
    _planted(
        8,
        "noise that is used again in the next round",
        "C-16",
        "mechanism.rounds.correlation",
        lambda: altered("noise-of-first-round", _meant(_NoiseOfTheFirstRound)),
    ),
    _planted(
        9,
        "noise that all clients share",
        "C-16",
        "mechanism.release.variance",
        lambda: altered("noise-of-first-client", _meant(_NoiseOfTheFirstClient)),
    ),
    _planted(
        13,
        "floating-point noise that is added after decoding",
        "C-21",
        "invariant.granularity",
        lambda: altered("noise-after-decoding", _meant(_NoiseAfterDecoding)),
    ),
    _planted(
        19,
        "a clip after the noise",
        "C-14",
        "mechanism.shares.variance",
        lambda: altered("clip-after-noise", _meant(_ClipAfterNoise)),
    ),
    _planted(
        24,
        "the count of an adaptive clip without noise",
        "C-14",
        "mechanism.count.variance",
        lambda: altered("exact-count", _meant(_ExactCount), clipping=ClippingKind.ADAPTIVE),
    ),
)
"""The planted bugs 3, 5 to 9, 13, 19 and 24."""
