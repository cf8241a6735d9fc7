"""Privacy filters: what each event is charged, and how much may be charged in all.

A filter admits a release if, for each client that it asks, the charges so far and that of the release add up to at most
the filter's limit. Noise, cohorts and the number of releases may then depend on earlier releases, and the guarantee is
the budget. `docs/participation.md` has the theorems and their proofs.

- The Gaussian filter (Theorem B) charges 1/z^2 for an event with noise multiplier z, or that of the Gaussian noise that
  dominates it. The limit is mu^2, with mu from the budget by the exact curve (`dp.accounting.gaussian_curve`).
- The Renyi filter (Theorem C) charges a bound on the divergence D_a at one order a, which was fixed beforehand. The
  limit is B(a) (`dp.accounting.renyi_order`).

Charges are whole numbers of units, of which the limit has 2**160. Each charge is rounded up once, and sums are exact.
"""

import functools
import math
from abc import ABC, abstractmethod
from fractions import Fraction
from typing import Final

from dp.accounting.gaussian_curve import largest_mu
from dp.accounting.lattice import dominating_gaussian, no_gaussian_reason
from dp.accounting.renyi_order import divergence_at, renyi_budget
from dp.errors import IncompatibleEvent
from dp.events import GaussianEvent, PrivacyEvent, decompose
from dp.ledger.participation import Accounting

UNITS: Final = 1 << 160
"""The limit of every filter, in units."""


class Filter(ABC):
    """A way to charge events, and the limit of the charges.

    Attributes:
        limit: The most that may be charged to one client: mu^2, or B(a), rounded down.
    """

    def __init__(self, limit: float) -> None:
        self.limit: Final = limit
        self._units_of = functools.lru_cache(maxsize=4096)(self._charge_in_units)

    def units(self, event: PrivacyEvent) -> int:
        """Return the charge of an event in units, rounded up; above the limit if it is infinite.

        Raises:
            IncompatibleEvent: The filter cannot take the event; the message says why.
        """
        self.check(event)
        return self._units_of(event)

    @abstractmethod
    def check(self, event: PrivacyEvent) -> None:
        """Refuse an event that the filter cannot take.

        Raises:
            IncompatibleEvent: The filter cannot take the event; the message says why.
        """

    @abstractmethod
    def _charge(self, event: PrivacyEvent) -> Fraction | None:
        """Return the charge of an event, rounded up; None if it is infinite."""

    def charge(self, event: PrivacyEvent) -> float:
        """Return the charge of an event, in the unit of the limit, rounded up; possibly infinite."""
        charge = self._charge(event)
        return math.inf if charge is None else rounded_up(charge)

    def _charge_in_units(self, event: PrivacyEvent) -> int:
        charge = self._charge(event)
        return UNITS + 1 if charge is None else math.ceil(charge * UNITS / Fraction(self.limit))


class GaussianFilter(Filter):
    """The filter by the sum of 1/z^2.

    Formal guarantees:
        Releases without sampling whose charges add up to at most the limit are together (epsilon,
        delta)-differentially private, under the events' relation for one of their units (Theorem B). They may be chosen
        from earlier releases. Integer noise counts as the Gaussian noise that dominates it.
    """

    def __init__(self, *, epsilon: float, delta: float) -> None:
        square = Fraction(largest_mu(epsilon, delta)) ** 2
        limit = float(square)
        super().__init__(limit if limit <= square else math.nextafter(limit, 0))

    def check(self, event: PrivacyEvent) -> None:
        """See `Filter.check`."""
        reason = _no_gaussian(event)
        if reason is None:
            return
        raise IncompatibleEvent(
            "event: expected a release without sampling whose noise Gaussian noise dominates, as the accounting "
            f"{Accounting.GAUSSIAN_FILTER.value} needs, found {reason}. Make a ledger with the accounting "
            f"{Accounting.RENYI_FILTER.value}."
        )

    def _charge(self, event: PrivacyEvent) -> Fraction | None:
        times, _, noisy = decompose(event)
        gaussian = dominating_gaussian(noisy)
        return None if gaussian is None else times / Fraction(gaussian.noise_multiplier) ** 2


class RenyiFilter(Filter):
    """The filter by the sum of Renyi divergences of one order, at which B(a) is above 0.

    Formal guarantees:
        Releases whose charges add up to at most the limit are together (epsilon, delta)-differentially private, under
        the events' relation for one of their units (Theorem C). They may be chosen from earlier releases, but the order
        may not.
    """

    def __init__(self, *, epsilon: float, delta: float, order: float) -> None:
        self._order = order
        super().__init__(renyi_budget(order, epsilon=epsilon, delta=delta))

    def check(self, event: PrivacyEvent) -> None:
        """Accept every event; one without a finite divergence at the order is never within the budget."""

    def _charge(self, event: PrivacyEvent) -> Fraction | None:
        divergence = divergence_at(event, self._order)
        return Fraction(divergence) if math.isfinite(divergence) else None


def filter_of(accounting: Accounting, *, epsilon: float, delta: float, order: float | None) -> Filter | None:
    """Return the filter of a ledger's budget, None if it has none; only a Renyi filter has an order."""
    if accounting is Accounting.GAUSSIAN_FILTER:
        return GaussianFilter(epsilon=epsilon, delta=delta)
    return None if order is None else RenyiFilter(epsilon=epsilon, delta=delta, order=order)


def rounded_up(exact: Fraction) -> float:
    """Return the least float that is not below a number."""
    nearest = float(exact)
    return nearest if nearest >= exact else math.nextafter(nearest, math.inf)


def _no_gaussian(event: PrivacyEvent) -> str | None:
    """Return why the Gaussian filter cannot take an event, as a phrase, or None if it can."""
    _, rate, noisy = decompose(event)
    if rate < 1:
        return "a sampled release, which no single Gaussian event describes"
    if isinstance(noisy, GaussianEvent) or dominating_gaussian(noisy) is not None:
        return None
    return f"one with {no_gaussian_reason(noisy)}, for which no such noise is known"
