"""Figures of a ledger with a filter: how much of its limit is used, and what the whole of it means at other deltas.

The guarantee of such a ledger is its budget (`dp.ledger.filters`). The part of the limit that is used shows how far a
run has come, and is no guarantee.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Final

from dp.accounting.privacy_loss_accountant import LATTICE
from dp.accounting.quick import QuickTotal
from dp.accounting.renyi_order import renyi_budget
from dp.events import GaussianEvent, LatticeEvent, Observer, PrivacyEvent
from dp.figures import in_full, rounded_up
from dp.ledger.charges import EVERYBODY, FilteredCharges, charges_of
from dp.ledger.participation import Accounting
from dp.ledger.records import Budget, LedgerEntry
from dp.reporting.participation import cohort
from dp.reporting.spacing import evenly_spaced
from dp.reporting.wording import single

PROJECTED: Final = 40
_DOWN: Final = 1 - 2.0**-50


def has_filter(budget: Budget) -> bool:
    """Return whether a ledger with this budget has a filter."""
    return budget.accounting is not Accounting.FIXED


def method(budget: Budget, events: Iterable[PrivacyEvent]) -> str:
    """Return in words how a filter accounts.

    Args:
        budget: The budget, with a filter.
        events: The events of the releases.
    """
    limit = rounded_up(_charges(budget).rule.limit)
    whose = "for each client, " if budget.towards is Observer.SERVER else ""
    if budget.accounting is Accounting.RENYI_FILTER:
        return (
            f"Renyi filter at order {in_full(budget.order or 0.0)}, fixed when the ledger was made: {whose}"
            f"the divergences of releases add up to at most B = {limit} (docs/participation.md, Theorem C; "
            "converted by arXiv 2004.00010v4 Proposition 12)"
        )
    words = (
        f"Gaussian filter: {whose}the sum of 1/z^2 over releases stays at most mu^2 = {limit}, which is "
        "exact for this budget (docs/participation.md, Theorem B; arXiv 1805.06530v2 Theorem 8)"
    )
    return f"{words}, {LATTICE}" if any(isinstance(single(event), LatticeEvent) for event in events) else words


def parts_used(entries: Sequence[LedgerEntry], budget: Budget) -> dict[int, float]:
    """Return the part of the limit that is charged to the client with most, after each release that is accounted.

    Args:
        entries: All releases, in order.
        budget: Their budget, with a filter.

    Returns:
        The part, rounded up, by position.
    """
    charges, shown = _charges(budget), set(evenly_spaced(len(entries)))
    found: dict[int, float] = {}
    for position, entry in enumerate(entries):
        charges.add(entry.reservation.event, cohort(entry, budget) if budget.towards is Observer.SERVER else EVERYBODY)
        if position in shown:
            found[position] = charges.used(charges.worst())
    return found


def parts_projected(used: float, event: PrivacyEvent, *, further: int, budget: Budget) -> tuple[tuple[int, float], ...]:
    """Return the part of the limit that is charged after further releases, as pairs of their number and the part.

    Args:
        used: The part that is charged to the client with most.
        event: The event of each further release, all of which ask that client.
        further: The most further releases. The ledger admits them, so they use at most the limit.
        budget: The budget, with a filter.
    """
    rule = _charges(budget).rule
    each = rule.charge(event) / rule.limit
    return tuple((at + 1, min(1.0, used + (at + 1) * each)) for at in evenly_spaced(further, PROJECTED))


def budget_at(budget: Budget, deltas: Sequence[float]) -> dict[float, float]:
    """Return the epsilon that a filter guarantees at other deltas than that of its budget, by delta.

    Formal guarantees:
        All releases that the filter admits are together (epsilon, delta)-differentially private for each of the pairs,
        under relation and unit of the budget. The Gaussian filter keeps them post-processing of one release with
        Gaussian noise (Theorem B of docs/participation.md), and the Renyi filter bounds their divergence of one order
        (Theorem C).
    """
    limit = _charges(budget).rule.limit
    if budget.accounting is Accounting.GAUSSIAN_FILTER:
        whole = QuickTotal.of({whole_limit(budget): 1})
        return {at: whole.epsilon(at) for at in deltas}
    if budget.order is None:
        raise TypeError("budget: expected one with a filter, found none")
    of = {at: renyi_budget(budget.order, epsilon=budget.epsilon, delta=at) for at in deltas}
    return {at: max(0.0, budget.epsilon + (limit - admitted)) for at, admitted in of.items()}


def whole_limit(budget: Budget) -> GaussianEvent:
    """Return the release with Gaussian noise that uses the limit of a Gaussian filter up, its noise rounded down."""
    limit = _charges(budget).rule.limit
    return GaussianEvent(noise_multiplier=_DOWN / math.sqrt(limit), relation=budget.relation, unit=budget.unit)


def _charges(budget: Budget) -> FilteredCharges:
    found = charges_of(budget)
    if not isinstance(found, FilteredCharges):
        raise TypeError(f"budget: expected one with a filter, found {budget.accounting.value}")
    return found
