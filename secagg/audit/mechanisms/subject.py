"""A mechanism as a subject: how it draws noise, and the law that it claims."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final, Self

import numpy as np
from numpy.typing import NDArray

from dp.noise.discrete_gaussian import Bits
from dp.noise.distributed import DistributedDiscreteGaussian, DistributedSkellam, LatticeMechanism
from dp.noise.removal import RemovableSkellam
from protocols.crypto.entropy import Entropy
from secagg.audit.claims import Claim, claimed
from secagg.audit.mechanisms.law import DiscreteGaussianLaw, Law, SkellamLaw
from secagg.audit.subject import Subject

Draw = Callable[[int, Entropy], NDArray[np.int64]]
"""Returns this number of independent values, with all randomness from the source."""
OnBits = Callable[[int, Bits], NDArray[np.int64]]
"""Returns this number of values, read from a source of uniform words."""

PIECE: Final = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Twin:
    """A slow and exact computation of the same values from the same words.

    Attributes:
        sampler: The subject's own function of the words, which `draw` applies to the words of a keystream.
        exact: The exact one.
        borders: Queues of words at which a sampler is most likely to decide wrongly. The first array is returned by the
            first reading of words, the second by the second, and so on.
    """

    sampler: OnBits
    exact: OnBits
    borders: Callable[[], Sequence[tuple[NDArray[np.uint64], ...]]]


class MechanismSubject(Subject):
    """A source of integer noise that is audited.

    Args:
        draw: Draws noise.
        law: The law that each value is claimed to have, independently of all others.
        name: The name in reports.
        claims: What the mechanism claims.
        twin: An exact computation of the same values; None if there is none.
    """

    kind: ClassVar[str] = "mechanism"

    def __init__(
        self,
        draw: Draw,
        law: Law,
        *,
        name: str,
        claims: Sequence[Claim] | None = None,
        twin: Twin | None = None,
    ) -> None:
        self.name = name
        self.claims = claimed("C-11", "C-15", "C-16") if claims is None else tuple(claims)
        self.draw = draw
        self.law = law
        self.twin = twin

    @classmethod
    def of(cls, mechanism: LatticeMechanism | RemovableSkellam, *, name: str, twin: Twin | None = None) -> Self:
        """Return the noise that one client adds under a planned mechanism, with the law that the accounting assumes."""

        def drawn(size: int, entropy: Entropy) -> NDArray[np.int64]:
            if isinstance(mechanism, RemovableSkellam):
                return replace(mechanism, dimension=size).draw(entropy)[0]
            return replace(mechanism, dimension=size).share(entropy)

        return cls(drawn, share_law(mechanism), name=name, twin=twin)

    def pieces(self, count: int, entropy: Entropy) -> Iterator[NDArray[np.int64]]:
        """Yield this number of values, a piece at a time."""
        for start in range(0, count, PIECE):
            yield self.draw(min(PIECE, count - start), entropy)


def share_law(mechanism: LatticeMechanism | RemovableSkellam) -> Law:
    """Return the law of one client's noise, by the event of a sum that the mechanism accounts for."""
    match mechanism:
        case DistributedDiscreteGaussian():
            return DiscreteGaussianLaw(mechanism.event.local_sigma)
        case DistributedSkellam():
            return SkellamLaw(mechanism.event.variance / mechanism.event.contributors)
        case RemovableSkellam():
            return SkellamLaw(float(sum(mechanism.variances)))
