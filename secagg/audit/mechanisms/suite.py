"""All checks of mechanisms, and the mechanisms that the toolkit ships."""

from typing import Any, Final

from dp.noise.distributed import DistributedDiscreteGaussian, DistributedSkellam
from dp.noise.removal import RemovableSkellam
from secagg.audit.attack import Attack, Level
from secagg.audit.mechanisms.moments import DrawCorrelation, Fit, RoundedVariance, Variance
from secagg.audit.mechanisms.replay import DrawReplay
from secagg.audit.mechanisms.sampling import SAMPLING, SamplingSubject, poisson_samples
from secagg.audit.mechanisms.step import STEPS, StepSubject, clipped_noisy_sum, step_of_query, step_of_training
from secagg.audit.mechanisms.subject import MechanismSubject
from secagg.audit.mechanisms.twin import ExactTwin, gaussian_twin, skellam_twin
from secagg.audit.subject import Subject
from secagg.models.tensorflow import load_tensorflow_privacy

ATTACKS: Final[tuple[Attack[Any], ...]] = (
    Variance(),
    RoundedVariance(),
    Fit(),
    DrawCorrelation(),
    DrawReplay(),
    ExactTwin(),
    *SAMPLING,
    *STEPS,
)
"""All checks of mechanisms."""

SIGMAS: Final = (2.0, 10.0, 100.0)
VARIANCES: Final = (0.25, 1.0, 400.0)


def gaussian_subject(sigma: float) -> MechanismSubject:
    """Return the discrete Gaussian noise of one client."""
    mechanism = DistributedDiscreteGaussian(local_sigma=sigma, minimum_contributors=10, l2_sensitivity=1.0, dimension=1)
    return MechanismSubject.of(mechanism, name=f"discrete-gaussian-{sigma:g}", twin=gaussian_twin(sigma))


def skellam_subject(variance: float) -> MechanismSubject:
    """Return the Skellam noise of one client."""
    mechanism = DistributedSkellam(local_variance=variance, minimum_contributors=10, l2_sensitivity=1.0, dimension=1)
    return MechanismSubject.of(mechanism, name=f"skellam-{variance:g}", twin=skellam_twin(variance))


def removable_subject() -> MechanismSubject:
    """Return the noise of one client of ten, of which any three may drop out."""
    mechanism = RemovableSkellam(
        target_variance=200.0, clients=10, tolerance=3, colluding=1, l2_sensitivity=1.0, dimension=1
    )
    return MechanismSubject.of(mechanism, name="removable-skellam")


def shipped() -> tuple[Subject, ...]:
    """Return the toolkit's own mechanisms, each at widths where its samplers differ."""
    return (
        *(gaussian_subject(sigma) for sigma in SIGMAS),
        *(skellam_subject(variance) for variance in VARIANCES),
        removable_subject(),
        SamplingSubject(poisson_samples, name="poisson-samples"),
        StepSubject(step_of_query(clipped_noisy_sum), name="clipped-noisy-sum"),
        StepSubject(
            step_of_training, name="training-step", load=load_tensorflow_privacy, finite=True, levels=(Level.FULL,)
        ),
    )
