"""How many times larger rounding to integers makes the noise of a mean."""

import math

from dp.accounting.lattice import dominating_gaussian
from dp.events import Trust
from dp.noise.removal import RemovableSkellam
from secagg.aggregation.encoding import Encoding
from secagg.privacy.noise import Noise, NoiseTerms


def rounding_factor(encoding: Encoding, noise: Noise, terms: NoiseTerms, *, clients: int) -> float:
    """Return the standard deviation of the noise with rounding, over that of the noise alone; above 1.

    Both are deviations of a coordinate of the sum of the whole cohort, and both give the same guarantee:

    - The noise alone is continuous Gaussian noise on vectors that are not rounded. Their sensitivity is
      `encoding.norm_bound`. The noise multiplier is that of the Gaussian noise that dominates `noise`
      (`dp.accounting.lattice`); if none is known, that of `noise`.
    - The noise with rounding is `noise`, whose sensitivity is `encoding.l2_sensitivity` steps, together with the error
      of rounding. If a vector is rounded once, the error has a variance of at most a quarter of a squared step for
      each client. Rounding again, until the norm is within its bound, is not counted.

    If clients drop out, the factor is no larger. It does not depend on the unit of the updates: while an adaptive clip
    changes, and the grid with it, the factor stays.

    Args:
        encoding: The encoding, with the grid of the noise.
        noise: The noise of the mean.
        terms: Who adds the noise.
        clients: The number of clients in the cohort; if they are drawn in secret, the expected number.
    """
    gaussian = dominating_gaussian(noise.event)
    multiplier = noise.noise_multiplier if gaussian is None else gaussian.noise_multiplier
    root = math.sqrt(_counted(noise, terms, clients=clients))
    alone = multiplier * encoding.norm_bound / encoding.granularity * root
    return math.hypot(noise.central_sigma * root, math.sqrt(clients) / 2) / alone


def _counted(noise: Noise, terms: NoiseTerms, *, clients: int) -> float:
    """Return the variance of all noise in the sum of the cohort, over that of the noise which is relied on."""
    if isinstance(noise, RemovableSkellam):  # Each sum keeps the same noise, with the part that colluding clients know.
        return noise.minimum_contributors / (noise.minimum_contributors - noise.colluding)
    return 1.0 if terms.trust is Trust.CENTRAL else clients / noise.minimum_contributors
