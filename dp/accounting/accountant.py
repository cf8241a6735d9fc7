"""The interface of an accountant: a method that bounds the epsilon of releases for a delta.

Accountants take single releases: how often each event took place, with repeated events taken apart. Several accountants
may bound the same releases; the least bound counts (`dp.accounting.guarantee`).
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

from dp.events import PrivacyEvent

Releases = Mapping[PrivacyEvent, int]
"""How often each single release took place, at least once; none of the events is repeated."""

QUICK_POINTS: Final = 10_000
"""The most points of a discretised distribution that a quick figure uses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """An upper bound on epsilon by one accountant.

    Attributes:
        accountant: The accountant's name in files.
        title: The accountant's name in sentences.
        epsilon: At least 0, possibly infinite.
        method: How it was computed, in words.
        notes: Further remarks for a report, as pairs of a heading and a text.
    """

    accountant: str
    title: str
    epsilon: float
    method: str
    notes: tuple[tuple[str, str], ...] = ()


class Composition(ABC):
    """Releases as composed by one accountant, for quick figures while further releases are added."""

    @abstractmethod
    def plus(self, releases: Releases) -> "Composition":
        """Return the composition with further releases."""

    @abstractmethod
    def epsilon(self, delta: float) -> float:
        """Return a quick upper bound on epsilon, infinite if the accountant does not support the releases."""

    @property
    @abstractmethod
    def takes_long(self) -> bool:
        """Whether a figure takes more than a few milliseconds."""


class Accountant(ABC):
    """A method that bounds the epsilon of releases.

    Attributes:
        name: Its name in files.
        title: Its name in sentences.
    """

    name: ClassVar[str]
    title: ClassVar[str]

    @abstractmethod
    def unsupported_reason(self, releases: Releases, delta: float) -> str | None:
        """Return why this accountant cannot bound these releases, as a phrase, or None if it can.

        Args:
            releases: How often each took place; may be empty.
            delta: Strictly between 0 and 1.
        """

    @abstractmethod
    def epsilon(self, releases: Releases, delta: float) -> Bound:
        """Return a bound on the cost of releases for which `unsupported_reason` returns None.

        Args:
            releases: How often each took place.
            delta: Strictly between 0 and 1.

        Formal guarantees:
            If every release is what its event says, all of them together are (epsilon, `delta`)-differentially private
            under the events' relation for one of their units. What is asked of the data may depend on earlier releases;
            the events may not.
        """

    def quick_epsilon(self, releases: Releases, delta: float, *, points: int = QUICK_POINTS) -> float:  # noqa: ARG002
        """Return a bound with the guarantees of `epsilon` that takes less time and may be slightly greater.

        Args:
            releases: As for `epsilon`.
            delta: As for `epsilon`.
            points: The most points of a discretised distribution, for accountants that discretise.
        """
        return self.epsilon(releases, delta).epsilon

    def takes_long(self, releases: Releases) -> bool:  # noqa: ARG002
        """Return whether a quick figure of these releases takes more than a few milliseconds."""
        return False

    def composed(self, releases: Releases) -> Composition:
        """Return the composition of releases, for quick figures."""
        return _Counted(self, Counter(releases))


class _Counted(Composition):
    """Releases that an accountant composes anew for every figure."""

    def __init__(self, accountant: Accountant, releases: Counter[PrivacyEvent]) -> None:
        self._accountant = accountant
        self._releases = releases

    def plus(self, releases: Releases) -> Composition:
        return _Counted(self._accountant, self._releases + Counter(releases))

    def epsilon(self, delta: float) -> float:
        if self._accountant.unsupported_reason(self._releases, delta) is not None:
            return float("inf")
        return self._accountant.quick_epsilon(self._releases, delta)

    @property
    def takes_long(self) -> bool:
        return self._accountant.takes_long(self._releases)
