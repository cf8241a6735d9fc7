"""What a planned mean promises of its noise, and the noise that is found in a round of it."""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from dp.events import DistributedDiscreteGaussianEvent, SkellamEvent, Trust
from dp.noise.removal import RemovableSkellam
from dp.noise.skellam import skellam
from protocols import Secret
from secagg.aggregation.mean import SecureMean
from secagg.aggregation.residues import centred
from secagg.audit.attack import Inapplicable
from secagg.audit.means.subject import Round, Setting
from secagg.audit.mechanisms.law import DiscreteGaussianLaw, Moments
from secagg.audit.mechanisms.subject import share_law
from secagg.privacy.noise import surplus


def clients_add_noise(mean: SecureMean) -> bool:
    """Return whether every client adds noise."""
    return mean.noise is not None and mean.target is not None and mean.target.trust is not Trust.CENTRAL


def noise_of_client(mean: SecureMean) -> Moments:
    """Return the moments of one client's noise in each coordinate.

    Raises:
        TypeError: The mean has no noise.
    """
    if mean.noise is None:
        raise TypeError("mean: expected one with noise, found one without")
    return share_law(mean.noise).moments


def noise_of_release(mean: SecureMean, contributors: int) -> Moments:
    """Return the moments of the noise that a released sum promises, without that of colluding clients.

    They are those of the event that goes into the ledger.

    Raises:
        TypeError: The mean has no noise.
    """
    event = mean.realised(contributors)
    match event:
        case DistributedDiscreteGaussianEvent():
            return DiscreteGaussianLaw(event.local_sigma).moments.times(event.contributors)
        case SkellamEvent():
            return Moments(variance=event.variance, fourth=event.variance)
        case _:
            raise TypeError("mean: expected one with noise on a lattice, found another")


def not_seen(setting: Setting) -> Inapplicable | None:
    """Return why the noise in a release cannot be told apart from the rest; None if it can."""
    mean = setting.mean
    if mean.noise is None:
        return Inapplicable(why="The mean has no noise.")
    if not clients_add_noise(mean) and not setting.is_released_on_the_grid:
        return Inapplicable(
            why="The server adds the noise and releases a quotient or a part of the coordinates, from which the noise "
            "cannot be recovered."
        )
    return None


def colluding_of(made: Round) -> tuple[int, ...]:
    """Return the contributors whose noise the promise does not count.

    If the noise of one client is enough, these are all contributors but one.
    """
    target = made.setting.mean.target
    if target is None or target.trust is Trust.CENTRAL:
        return ()
    count = len(made.contributors) - 1 if target.trust is Trust.LOCAL else target.colluding
    return made.contributors[:count]


def known_steps(made: Round) -> NDArray[np.int64]:
    """Return the part of the sum that the promise does not count as noise.

    It is what honest clients encoded, and what colluding clients sent, less what was removed of their noise.
    """
    colluding = colluding_of(made)
    known = np.zeros(made.setting.mean.encoding.length, dtype=np.int64)
    for client in made.contributors:
        known += made.sent[client] - _removed(made, client) if client in colluding else made.bare[client]
    return known


def residual(made: Round) -> NDArray[np.int64]:
    """Return the noise in a release on which the promise relies: what is released, less what is known.

    It is taken from the released mean if that shows every coordinate, and from the server's sum otherwise.
    """
    if made.setting.is_released_on_the_grid:
        return np.rint(made.released_steps).astype(np.int64) - known_steps(made)
    mean, outcome = made.setting.mean, made.outcome
    total = centred(outcome.total, mean.encoding.modulus) - known_steps(made)
    excess = surplus(mean.noise, outcome.attached, dropped=len(mean.clients) - len(made.contributors))
    return total if excess is None else total - excess


def _removed(made: Round, client: int) -> NDArray[np.int64]:
    """Return the part of a client's noise that is removed from the sum, from the seeds that the client attached."""
    mean = made.setting.mean
    removed = np.zeros(mean.encoding.length, dtype=np.int64)
    if isinstance(mean.noise, RemovableSkellam):
        dropped = len(mean.clients) - len(made.contributors)
        for component in range(dropped + 1, mean.noise.tolerance + 1):
            seed = made.attached[client][component - 1]
            removed += skellam(mean.noise.variances[component], removed.size, partial(_revealed, seed))
    return removed


def _revealed(seed: Secret, size: int) -> bytes:
    """Return the bytes of a seed, as a source of randomness that is read once."""
    return seed.reveal()[:size]
