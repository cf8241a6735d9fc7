"""What a coordinator makes of what nodes say of each other, and of the attempts that they have seen.

Adversary: as many nodes as may collude, which say anything. Nobody can tell a lie of theirs from an honest report. So
what fewer nodes say is not believed, and a claim that no coordinator can have caused is not either.
"""

from collections.abc import Collection
from typing import Final, Protocol, runtime_checkable

from protocols.errors import RemoteError
from secagg.aggregation.mean import SecureMean
from secagg.privacy.contributors import colluding_clients

LARGEST_ADVANCE: Final = 2**32
"""How far nodes may be ahead of a coordinator's folder: with one attempt each second, this takes 136 years."""


@runtime_checkable
class _StatesAdversarial(Protocol):
    """A plan that states the fraction of a cohort that may collude, such as `Averaging`."""

    @property
    def adversarial(self) -> float:
        """The fraction, in [0, 1)."""


def colluding_of(plan: object, mean: SecureMean) -> int | None:
    """Return how many clients of a mean may collude, at least 1; None if neither plan nor noise says so.

    Args:
        plan: What has planned the mean.
        mean: The mean.
    """
    known = []
    if isinstance(plan, _StatesAdversarial):
        known.append(colluding_clients(len(mean.clients), plan.adversarial))
    if mean.target is not None:
        known.append(max(1, mean.target.colluding))
    return max(known, default=None)


def left_out(error: RemoteError, colluding: int | None) -> frozenset[int]:
    """Return whom the next attempts leave out: the culprits, but not accusers of whom one at least is honest.

    If fewer accuse, or it is not known how many may collude, nobody can tell who is right, and all are left out. So
    clients that collude take at most as many honest ones with them as they are.
    """
    many = colluding is not None and len(error.accusers) > colluding
    return error.culprits - error.accusers if many else error.culprits


def later_attempt(seen: Collection[int], serial: int, colluding: int | None) -> int | None:
    """Return the last attempt after this one that nodes have certainly seen; None if there may be none.

    Args:
        seen: The serials that nodes say they have seen.
        serial: The serial of this attempt.
        colluding: How many nodes may lie; 1 is assumed if that is not known.
    """
    later = sorted(each for each in seen if each >= serial)
    certain = later[: max(0, len(later) - (1 if colluding is None else colluding))]
    return max((each for each in certain if each <= serial + LARGEST_ADVANCE), default=None)
