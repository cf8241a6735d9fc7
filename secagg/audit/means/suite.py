"""All checks of means, and the means that the toolkit ships."""

from dataclasses import replace
from typing import Any, Final

from dp.events import Trust
from dp.noise.distributed import LatticeNoise
from protocols import SecAgg
from secagg.aggregation.mean import SecureMean, Target
from secagg.aggregation.weighting import Weighting
from secagg.audit.attack import Attack
from secagg.audit.means.count import CountVariance
from secagg.audit.means.freshness import ClientCorrelation, RoundCorrelation
from secagg.audit.means.noise import ReleaseVariance, ShareVariance
from secagg.audit.means.released import RELEASED
from secagg.audit.means.rounding import ROUNDING
from secagg.audit.means.sensitivity import SENSITIVITY
from secagg.audit.means.subject import MeanSubject, Setting, Wish, claims_of
from secagg.audit.means.weights import WEIGHTS
from secagg.audit.subject import Subject
from secagg.privacy.clipping import ClippingKind, choose_clip, planned

ATTACKS: Final[tuple[Attack[Any], ...]] = (
    ReleaseVariance(),
    ShareVariance(),
    RoundCorrelation(),
    ClientCorrelation(),
    CountVariance(),
    *SENSITIVITY,
    *ROUNDING,
    *RELEASED,
    *WEIGHTS,
)
"""All checks of means."""

TARGET: Final = Target(epsilon=8.0, delta=1e-3, releases=10, colluding=1)
"""A guarantee that small cohorts can keep with little noise."""
CLIP_L2: Final = 1.0
ARRAYS: Final = 4
"""The number of arrays of an update."""


def mean_subject(
    name: str,
    *,
    target: Target | None = TARGET,
    weighting: Weighting = Weighting.UNIFORM,
    clipping: ClippingKind = ClippingKind.GLOBAL,
    modulus_bits: int = 18,
) -> MeanSubject:
    """Return a mean as it is planned for training, in cohorts of any size."""

    def planner(wish: Wish) -> Setting:
        clip = choose_clip(
            clipping,
            clip_l2=CLIP_L2,
            quantile=0.5,
            arrays=ARRAYS,
            contributors=wish.minimum_contributors,
            noise_multiplier=None,
        )
        adapts, weighted = clipping is ClippingKind.ADAPTIVE, weighting is Weighting.WEIGHTED
        shapes, l2 = planned(clip, shapes=shapes_of(wish.dimension - adapts - weighted), clip_l2=CLIP_L2)
        mean = SecureMean.plan(
            protocol=SecAgg(),
            clients=range(1, wish.clients + 1),
            minimum_contributors=wish.minimum_contributors,
            shapes=shapes,
            clip_l2=l2,
            modulus_bits=modulus_bits,
            weighting=weighting,
            max_weight=20.0 if weighted else 1.0,
            target=target,
        )
        return Setting(mean=mean, clip=clip)

    sample = planner(Wish(clients=4, minimum_contributors=3, dimension=16)).mean
    return MeanSubject(planner, name=name, claims=claims_of(sample))


def shapes_of(entries: int) -> tuple[tuple[int, ...], ...]:
    """Return the shapes of an update's arrays with this number of entries in all."""
    each = entries // ARRAYS
    return ((each,),) * (ARRAYS - 1) + ((entries - (ARRAYS - 1) * each,),)


def shipped() -> tuple[Subject, ...]:
    """Return the toolkit's own means: each kind of noise, trust, weighting and clipping."""
    skellam = replace(TARGET, mechanism=LatticeNoise.SKELLAM)
    return (
        mean_subject("mean-discrete-gaussian"),
        mean_subject("mean-skellam", target=skellam),
        mean_subject("mean-noise-removal", target=replace(skellam, noise_removal=True)),
        mean_subject("mean-local", target=replace(TARGET, trust=Trust.LOCAL)),
        mean_subject("mean-central", target=replace(TARGET, trust=Trust.CENTRAL)),
        mean_subject("mean-weighted", weighting=Weighting.WEIGHTED),
        mean_subject("mean-per-layer-clip", clipping=ClippingKind.PER_LAYER),
        mean_subject("mean-adaptive-clip", clipping=ClippingKind.ADAPTIVE),
        mean_subject("mean-without-noise", target=None),
    )
