"""The report of a ledger: its records, accounted again, with their cost after each release and at other deltas."""

from collections import Counter
from typing import Final

from dp.accounting.guarantee import Guarantee, guarantee
from dp.events import PrivacyEvent
from dp.ledger.description import Description
from dp.ledger.ledger import Ledger
from dp.ledger.records import LedgerEntry
from dp.reporting.about import About
from dp.reporting.assumptions import Assumption, assumptions
from dp.reporting.collusion import colluders, updates_hidden
from dp.reporting.report import AtDelta, BudgetReport, ReportedRelease
from dp.reporting.spending import epsilons_after, epsilons_at, projected
from dp.reporting.wording import (
    in_words,
    sampling_rate,
    setting,
    trusts,
    with_continuous_noise,
    without_amplification,
)

DELTA_EXPONENTS: Final = tuple(-1 - step / 4 for step in range(45))  # 1e-1 down to 1e-12
PROJECTED_TIMES: Final = 3


def budget_report(ledger: Ledger) -> BudgetReport:
    """Return the report of an open ledger."""
    budget, entries = ledger.budget, ledger.entries()
    reserved = [entry.reservation.event for entry in entries]
    realised = [_realised(entry) for entry in entries]
    trusted, hidden = trusts(entries), _hidden(entries)
    sampled = any(sampling_rate(event) is not None for event in reserved)
    unsampled = [without_amplification(event) for event in reserved] if sampled else []

    def account(events: list[PrivacyEvent]) -> Guarantee:
        return guarantee(Counter(events), delta=budget.delta, relation=budget.relation, unit=budget.unit)

    def after(events: list[PrivacyEvent], whole: Guarantee) -> dict[int, float]:
        return epsilons_after(events, delta=budget.delta, total=whole.epsilon)

    spent = account(reserved)
    as_realised = spent if realised == reserved else account(realised)
    unamplified = account(unsampled) if sampled else None
    continuous = Counter(with_continuous_noise(event) for event in reserved)
    left = ledger.remaining(reserved[-1]) if reserved else None
    further = 0 if left is None else min(left, PROJECTED_TIMES * len(reserved))
    promised = after(reserved, spent)
    return BudgetReport(
        budget=budget,
        spent=spent,
        realised=as_realised,
        unamplified=unamplified,
        continuous_epsilon=None
        if continuous == Counter(reserved)
        else guarantee(continuous, delta=budget.delta, relation=budget.relation, unit=budget.unit).epsilon,
        remaining_releases=left,
        projection=projected(reserved, reserved[-1], further=further, budget=budget) if further else (),
        releases=_releases(
            entries,
            promised,
            promised if realised == reserved else after(realised, as_realised),
            after(unsampled, unamplified) if unamplified is not None else {},
        ),
        epsilon_by_delta=_profile(reserved, unsampled, spent),
        setting=setting(reserved, trusted, hidden=hidden),
        colluders=colluders(entries),
        assumptions=conditions(ledger, spent),
        head=ledger.head,
        about=About(recorded=budget.description or Description()),
    )


def conditions(ledger: Ledger, spent: Guarantee) -> tuple[Assumption, ...]:
    """Return the conditions of the guarantee of an open ledger: the failed, then the verified, then the declared ones.

    Args:
        ledger: The ledger.
        spent: The guarantee of all its releases together.
    """
    budget, entries = ledger.budget, ledger.entries()
    return assumptions(
        (entry.reservation.event for entry in entries),
        trusts(entries),
        budget.relation,
        within=spent.epsilon <= budget.epsilon,
        supported=not ledger.unsupported_realised(),
        hidden=_hidden(entries),
    )


def _hidden(entries: tuple[LedgerEntry, ...]) -> tuple[bool, ...]:
    return tuple(updates_hidden((entry,)) for entry in entries)


def _realised(entry: LedgerEntry) -> PrivacyEvent:
    commitment = entry.commitment
    return entry.reservation.event if commitment is None or commitment.realised is None else commitment.realised


def _releases(
    entries: tuple[LedgerEntry, ...],
    reserved: dict[int, float],
    realised: dict[int, float],
    unamplified: dict[int, float],
) -> tuple[ReportedRelease, ...]:
    found = []
    for position, entry in enumerate(entries):
        reservation, commitment = entry.reservation, entry.commitment
        known = commitment is not None and commitment.realised is not None
        found.append(
            ReportedRelease(
                number=reservation.number,
                label=reservation.label,
                mechanism=in_words(reservation.event),
                noise_multiplier=reservation.event.noise_multiplier,
                realised_noise_multiplier=_realised(entry).noise_multiplier if known else None,
                sampling_rate=sampling_rate(reservation.event),
                epsilon_after=reserved.get(position),
                realised_epsilon_after=realised.get(position),
                unamplified_epsilon_after=unamplified.get(position),
                contributors=commitment.contributors if commitment else None,
                details=dict(commitment.details) if commitment else {},
                time_s=reservation.time_s,
            )
        )
    return tuple(found)


def _profile(reserved: list[PrivacyEvent], unsampled: list[PrivacyEvent], spent: Guarantee) -> tuple[AtDelta, ...]:
    deltas = [10.0**exponent for exponent in DELTA_EXPONENTS]
    amplified = epsilons_at(reserved, deltas)
    unamplified = epsilons_at(unsampled, deltas) if unsampled else {}
    return tuple(
        AtDelta(
            delta=delta,
            epsilon=min(epsilon, spent.epsilon) if delta >= spent.delta else epsilon,
            unamplified=unamplified.get(delta),
        )
        for delta, epsilon in amplified.items()
    )
