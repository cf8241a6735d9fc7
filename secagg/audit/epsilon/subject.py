"""A planned mean as a subject: single releases of it, with what colluding clients sent subtracted."""

from collections.abc import Callable
from typing import ClassVar, Final, Self

import numpy as np
from numpy.typing import NDArray

from dp.events import LatticeEvent, Trust
from dp.noise.removal import RemovableSkellam
from protocols import SecureSum, simulate
from secagg.aggregation.mean import SecureMean
from secagg.aggregation.weighting import Weighting
from secagg.audit.claims import Claim, claimed
from secagg.audit.epsilon.exact import LEAST_VARIANCE
from secagg.audit.subject import Subject
from secagg.engines.base import RoundPlan
from secagg.engines.client import contribute
from secagg.privacy.contributors import shares_relied_on
from secagg.privacy.noise import Target

DELTA: Final = 1e-5
Flat = NDArray[np.float64]


class ReleaseSubject(Subject):
    """A mean with noise, of which an audit makes as many single releases as it likes.

    The first client is the one that is protected. The guarantee counts the noise shares of as many clients as it relies
    on, which are the first ones; all others collude. What they send is known to the adversary and is subtracted, their
    noise included.

    Args:
        mean: A mean with a target.
        name: The name in reports.
    """

    kind: ClassVar[str] = "mean"

    def __init__(self, mean: SecureMean, *, name: str) -> None:
        self.mean = mean
        self.name = name
        target = mean.target
        self.claims: tuple[Claim, ...] = ()
        if isinstance(target, Target):
            self.claims = claimed("C-24", epsilon=target.epsilon, delta=target.delta, relation="zero-out")

    @classmethod
    def planned(
        cls,
        protocol: SecureSum,
        *,
        name: str,
        epsilon: float,
        clients: int = 2,
        colluding: int | None = None,
        dimension: int | None = None,
    ) -> Self:
        """Return a subject whose mean makes one release with this epsilon at delta 1e-5.

        Args:
            protocol: The secure sum.
            name: The name in reports.
            epsilon: The epsilon of the release.
            clients: The number of clients.
            colluding: How many of them collude; None for all but one.
            dimension: The number of coordinates; None for at least 4, and one for each client.
        """
        others = clients - 1 if colluding is None else colluding
        target = Target(epsilon=epsilon, delta=DELTA, releases=1, colluding=others)
        return cls.keeping(target, protocol, name=name, clients=clients, dimension=dimension)

    @classmethod
    def keeping(
        cls, target: Target, protocol: SecureSum, *, name: str, clients: int = 2, dimension: int | None = None
    ) -> Self:
        """Return a subject whose mean keeps a target; the other arguments are those of `planned`."""
        mean = SecureMean.plan(
            protocol=protocol,
            clients=range(1, clients + 1),
            minimum_contributors=clients,
            shapes=[(max(clients, 4) if dimension is None else dimension,)],
            clip_l2=1.0,
            target=target,
        )
        return cls(mean, name=name)

    @property
    def unsupported_reason(self) -> str | None:
        """Why single releases of this mean cannot be audited, a sentence; None if they can."""
        mean = self.mean
        if mean.noise is None or not isinstance(mean.target, Target):
            return "The mean has no noise, and claims no epsilon."
        if mean.encoding.weighting is not Weighting.UNIFORM:
            return "A weighted mean is a quotient of noisy sums, in which a client's part is not a sum of its own."
        if isinstance(mean.noise, RemovableSkellam):
            return "Noise that is removed again depends on the seeds of all clients, which this attack does not follow."
        if mean.roster is not None or mean.committee is not None:
            return "The attack runs sessions without a roster and without a committee."
        if (self.event.noise_multiplier * self.event.l2_sensitivity) ** 2 < LEAST_VARIANCE:
            return f"The exact epsilon is known for noise of a variance of at least {LEAST_VARIANCE:g} squared steps."
        return None

    @property
    def target(self) -> Target:
        """The target of the mean."""
        if not isinstance(self.mean.target, Target):
            raise TypeError("mean: expected one with a target")
        return self.mean.target

    @property
    def event(self) -> LatticeEvent:
        """What the ledger is told of one release with the least number of contributors."""
        noise = self.mean.noise
        if noise is None or isinstance(noise, RemovableSkellam):
            raise TypeError("noise: expected the noise of a mean, and none that is removed")
        return noise.event

    @property
    def colluding(self) -> tuple[int, ...]:
        """The clients that collude: all but the first ones, on whose noise shares the guarantee relies."""
        mean, target = self.mean, self.target
        relied = shares_relied_on(mean.minimum_contributors, colluding=target.colluding, trust=target.trust)
        return mean.clients[1 if target.trust is Trust.CENTRAL else relied :]

    def release(self, update: Flat, entropy: Callable[[int], bytes], *, others: Flat | None = None) -> Flat:
        """Return one released sum less what colluding clients sent, in the update's units, as one flat array.

        Args:
            update: The first client's update, shape `(dimension,)`.
            entropy: The randomness of all parties.
            others: The update of every other client; None for zeros.
        """
        return self.released(lambda client: update if client == self.mean.clients[0] else others, entropy)

    def released(
        self,
        update_of: Callable[[int], Flat | None],
        entropy: Callable[[int], bytes],
        *,
        subtracting: bool = True,
    ) -> Flat:
        """Return one released sum, in the update's units, as one flat array.

        Args:
            update_of: Returns a client's update, shape `(dimension,)`; None for zeros.
            entropy: The randomness of all parties.
            subtracting: Whether what colluding clients sent is subtracted.
        """
        mean = self.mean
        plan = RoundPlan(mean=mean, session=mean.session(entropy(16)))
        zeros = np.zeros(self.dimension)
        sent = {
            client: contribute(
                plan, self._shaped(zeros if (given := update_of(client)) is None else given), entropy=entropy
            )
            for client in mean.clients
        }
        outcome = simulate(
            mean.protocol, plan.session, {client: part.vector for client, part in sent.items()}, entropy=entropy
        )
        decoded = mean.decode(outcome.total, contributors=len(mean.clients), rotation=plan.rotation, entropy=entropy)
        total = len(mean.clients) * _flat(decoded.mean)
        for client in self.colluding if subtracting else ():
            total -= _flat(mean.encoding.decode(sent[client].vector, contributors=1, rotation=plan.rotation).mean)
        return total

    @property
    def dimension(self) -> int:
        """The number of entries of an update."""
        return self.mean.encoding.dimension

    def _shaped(self, update: Flat) -> list[Flat]:
        shapes = self.mean.encoding.shapes
        ends = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]
        return [part.reshape(shape) for part, shape in zip(np.split(update, ends), shapes, strict=True)]


def _flat(arrays: list[Flat]) -> Flat:
    return np.concatenate([array.reshape(-1) for array in arrays])
