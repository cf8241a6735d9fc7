"""Quick figures of the cost of releases while more are added: the least bound of all accountants.

If Gaussian noise is sampled, its losses are on a coarser grid here than in a guarantee.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from dp.accounting import accountants
from dp.accounting.accountant import Composition
from dp.events import PrivacyEvent, single_release_counts


@dataclass(frozen=True, slots=True, kw_only=True)
class QuickTotal:
    """Releases as composed by every accountant."""

    compositions: tuple[Composition, ...]

    @classmethod
    def of(cls, events: Mapping[PrivacyEvent, int]) -> Self:
        """Return the total of events, given how often each took place."""
        releases = single_release_counts(events)
        return cls(compositions=tuple(each.composed(releases) for each in accountants.ACCOUNTANTS))

    def plus(self, events: Mapping[PrivacyEvent, int]) -> "QuickTotal":
        """Return the total with further events."""
        releases = single_release_counts(events)
        return QuickTotal(compositions=tuple(each.plus(releases) for each in self.compositions))

    @property
    def takes_long(self) -> bool:
        """Whether a figure takes more than a few milliseconds."""
        return any(each.takes_long for each in self.compositions)

    def epsilon(self, delta: float) -> float:
        """Return the least bound of all accountants."""
        return _least(self.compositions, delta)

    def first_epsilon(self, delta: float) -> float:
        """Return the least bound of the accountants that take milliseconds."""
        return _least((each for each in self.compositions if not each.takes_long), delta)


def _least(compositions: Iterable[Composition], delta: float) -> float:
    return min(each.epsilon(delta) for each in compositions)
