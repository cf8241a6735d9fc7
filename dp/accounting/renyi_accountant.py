"""The accountant by Renyi DP: divergences add up, and their sum is converted to epsilon. It supports every release.

`dp.accounting.renyi` bounds the divergences of each release. Composition adds the curves (Mironov, arXiv 1702.07476v3,
Proposition 1), even if later releases are chosen adaptively. dp-accounting converts the sum to epsilon: arXiv
2004.00010v4, Proposition 12, with epsilon = 0 if delta already covers the Kullback-Leibler divergence.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from dp.accounting.accountant import Accountant, Bound, Composition, Releases
from dp.accounting.renyi import HIGHEST_AMPLIFIED_ORDER, ORDERS, renyi_divergences, subsampling_bound
from dp.events import PrivacyEvent, SkellamEvent, decompose

METHOD: Final = "Renyi DP (converted by arXiv 2004.00010v4 Proposition 12)"


@dataclass(frozen=True, slots=True, kw_only=True)
class RenyiBound(Bound):
    """A bound by Renyi DP.

    Attributes:
        order: The Renyi order that gave `epsilon`.
        order_at_edge: Whether `epsilon` is above 0 and that order is an end of the grid, or is at or above the last
            order at which the sampling of a release is accounted for. Orders outside could then give a smaller epsilon.
            The guarantee holds nevertheless.
        infinite_orders: The number of orders of the grid without a finite bound.
        subsampling: The bounds on sampled divergences on which `epsilon` rests, as texts; empty without sampling.
    """

    order: float
    order_at_edge: bool
    infinite_orders: int
    subsampling: tuple[str, ...]


class RenyiAccountant(Accountant):
    """The accountant by Renyi DP."""

    name: ClassVar = "rdp"
    title: ClassVar = "Renyi"

    def unsupported_reason(self, releases: Releases, delta: float) -> str | None:  # noqa: ARG002
        """Return None: every event has a bound on its Renyi divergences."""
        return None

    def epsilon(self, releases: Releases, delta: float) -> RenyiBound:
        """Return the bound of any releases, even of none, in milliseconds."""
        total = composed_divergences(releases)
        epsilon, order = renyi_epsilon(total, delta)
        bounds = {bound.value for event in releases if (bound := subsampling_bound(event)) is not None}
        subsampling = tuple(sorted(bounds))
        at_edge = epsilon > 0 and (
            order in (ORDERS[0], ORDERS[-1]) or (bool(bounds) and order >= HIGHEST_AMPLIFIED_ORDER)
        )
        infinite_orders = int(np.isinf(total).sum())
        words = _orders(releases, order, at_edge=at_edge, infinite_orders=infinite_orders)
        return RenyiBound(
            accountant=self.name,
            title=self.title,
            epsilon=epsilon,
            method=METHOD,
            notes=(
                *((("Sampling bound", "; ".join(subsampling)),) if subsampling else ()),
                ("Renyi orders", words if releases else "none yet"),
            ),
            order=order,
            order_at_edge=at_edge,
            infinite_orders=infinite_orders,
            subsampling=subsampling,
        )

    def composed(self, releases: Releases) -> Composition:
        """Return the composition of releases, to which further releases can be added without composing all again."""
        return _Divergences(composed_divergences(releases))


class _Divergences(Composition):
    """The sum of the divergences of releases."""

    def __init__(self, total: NDArray[np.float64]) -> None:
        self._total = total

    def plus(self, releases: Releases) -> Composition:
        return _Divergences(self._total + composed_divergences(releases))

    def epsilon(self, delta: float) -> float:
        return renyi_epsilon(self._total, delta)[0]

    @property
    def takes_long(self) -> bool:
        return False


def composed_divergences(releases: Mapping[PrivacyEvent, int]) -> NDArray[np.float64]:
    """Return the divergences of all releases together, at the orders of `dp.accounting.renyi.ORDERS`.

    Args:
        releases: How often each release took place.

    Returns:
        Shape `(len(ORDERS),)`, float64.
    """
    total = np.zeros(len(ORDERS))
    for event, times in releases.items():
        total += _rounded_up(times) * renyi_divergences(event)
    return total


def renyi_epsilon(divergences: NDArray[np.float64], delta: float) -> tuple[float, float]:
    """Return the epsilon of composed divergences, and the Renyi order that gives it.

    Source: arXiv 2004.00010v4, Proposition 12, as implemented by dp-accounting.

    Args:
        divergences: The divergences at the orders of `dp.accounting.renyi.ORDERS`; shape `(len(ORDERS),)`, float64.
        delta: Strictly between 0 and 1.
    """
    import dp_accounting.rdp

    epsilon, order = dp_accounting.rdp.compute_epsilon(ORDERS, divergences.tolist(), delta)
    return float(epsilon), float(order)


def _rounded_up(count: int) -> float:
    """Return the least float64 that is not below `count`; numpy cannot multiply by an integer of 2**64 or more."""
    nearest = float(count)
    return nearest if nearest >= count else math.nextafter(nearest, math.inf)


def _orders(releases: Releases, order: float, *, at_edge: bool, infinite_orders: int) -> str:
    words = f"best {order:.4g}"
    if at_edge:
        words += ", an end of the grid: an order beyond it could give a smaller epsilon"
    if infinite_orders:
        words += f"; {infinite_orders} orders of the grid without a finite bound"
    if any(isinstance(decompose(event)[2], SkellamEvent) for event in releases):
        words += (
            "; the bound on Skellam noise is for integer orders, with chords between them. A part of its extra cost "
            "over continuous Gaussian noise comes from this bound and not from the noise"
        )
    return words
