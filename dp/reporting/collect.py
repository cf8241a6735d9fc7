"""The report of a ledger: its records, accounted again, with their cost after each release and at other deltas."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from dp.accounting.guarantee import Claim, Guarantee
from dp.events import Observer, PrivacyEvent
from dp.ledger.charges import guarantee_of
from dp.ledger.description import Description
from dp.ledger.ledger import Ledger
from dp.ledger.records import Budget, LedgerEntry
from dp.reporting.about import About
from dp.reporting.assumptions import Assumption, assumptions
from dp.reporting.collusion import colluders, updates_hidden
from dp.reporting.filters import budget_at, has_filter, method, parts_projected, parts_used
from dp.reporting.observers import statements
from dp.reporting.participation import (
    ReportedParticipation,
    charged_events,
    cohort,
    realised_event,
    realised_events,
)
from dp.reporting.report import AtDelta, BudgetReport, ReportedRelease
from dp.reporting.spending import epsilons_after, epsilons_at, event_counts, projected
from dp.reporting.wording import in_words, sampling_rate, setting, trusts, without_amplification

DELTAS: Final = tuple(10.0 ** (-1 - step / 4) for step in range(45))  # 1e-1 down to 1e-12
PROJECTED_TIMES: Final = 3


def budget_report(ledger: Ledger) -> BudgetReport:
    """Return the report of an open ledger."""
    budget, entries, spent = ledger.budget, ledger.entries(), ledger.spent()
    reserved = [entry.reservation.event for entry in entries]
    trusted, hidden = trusts(entries), _hidden(entries)
    asked = [len(cohort(entry, budget)) for entry in entries] if budget.participation is not None else []
    left = ledger.remaining(reserved[-1]) if reserved else None
    figures = _filtered(entries, budget) if has_filter(budget) else _composed(entries, budget, spent)
    return BudgetReport(
        budget=budget,
        spent=spent,
        realised=figures.realised,
        unamplified=figures.unamplified,
        statements=statements(ledger, spent, trusted=frozenset(trusted)),
        participation=ReportedParticipation.of(ledger, asked),
        accountant=method(budget, reserved) if has_filter(budget) else spent.accountant,
        remaining_releases=left,
        projection=_projection(entries, budget, spent, further=min(left or 0, PROJECTED_TIMES * len(reserved))),
        releases=_releases(entries, figures, asked),
        epsilon_by_delta=figures.profile,
        setting=setting(reserved, trusted, hidden=hidden),
        colluders=colluders(entries),
        assumptions=conditions(ledger, spent),
        head=ledger.head,
        about=About(recorded=budget.description or Description()),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Figures:
    """Figures of a ledger's releases by position, and of all of them; see `BudgetReport` and `ReportedRelease`."""

    realised: Guarantee | None = None
    unamplified: Guarantee | None = None
    after: Mapping[int, float] = field(default_factory=dict)
    realised_after: Mapping[int, float] = field(default_factory=dict)
    unamplified_after: Mapping[int, float] = field(default_factory=dict)
    used_after: Mapping[int, float] = field(default_factory=dict)
    profile: tuple[AtDelta, ...] = ()


def _filtered(entries: Sequence[LedgerEntry], budget: Budget) -> _Figures:
    profile = budget_at(budget, DELTAS)
    # Rounding may put a figure just above the budget at the same delta or a larger one.
    return _Figures(
        used_after=parts_used(entries, budget),
        profile=tuple(
            AtDelta(delta=at, epsilon=min(epsilon, budget.epsilon) if at >= budget.delta else epsilon, unamplified=None)
            for at, epsilon in profile.items()
        ),
    )


def _composed(entries: Sequence[LedgerEntry], budget: Budget, spent: Guarantee) -> _Figures:
    def account(events: Sequence[PrivacyEvent | None]) -> Guarantee:
        return guarantee_of(event_counts(events), budget)

    def after(events: Sequence[PrivacyEvent | None], whole: Guarantee) -> dict[int, float]:
        return epsilons_after(events, delta=budget.delta, total=whole.least_bound)

    charged = charged_events(entries, budget)
    promised = after(charged, spent)
    if spent.claim is Claim.BUDGET:
        return _Figures(after=promised)
    found = realised_events(entries, budget)
    same = list(found) == [entry.reservation.event for entry in entries] and budget.participation is None
    realised = spent if same else account(found)
    # Towards readers, a statement of its own says what holds without amplification.
    sampled = any(event is not None and sampling_rate(event) is not None for event in charged)
    shown = sampled and budget.towards is not Observer.READERS
    unsampled = [None if event is None else without_amplification(event) for event in charged] if shown else []
    unamplified = account(unsampled) if shown else None
    return _Figures(
        realised=realised,
        unamplified=unamplified,
        after=promised,
        realised_after=promised if same else after(found, realised),
        unamplified_after={} if unamplified is None else after(unsampled, unamplified),
        profile=_profile(event_counts(charged), event_counts(unsampled), spent),
    )


def _projection(
    entries: Sequence[LedgerEntry], budget: Budget, spent: Guarantee, *, further: int
) -> tuple[tuple[int, float], ...]:
    if not further:
        return ()
    event = entries[-1].reservation.event
    if spent.used is not None:
        return parts_projected(spent.used, event, further=further, budget=budget)
    return projected(event_counts(charged_events(entries, budget)), event, further=further, budget=budget)


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
        budget,
        within=spent.epsilon <= budget.epsilon,
        supported=not ledger.unsupported_realised(),
        hidden=_hidden(entries),
    )


def _hidden(entries: tuple[LedgerEntry, ...]) -> tuple[bool, ...]:
    return tuple(updates_hidden((entry,)) for entry in entries)


def _releases(entries: Sequence[LedgerEntry], figures: _Figures, asked: Sequence[int]) -> tuple[ReportedRelease, ...]:
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
                realised_noise_multiplier=realised_event(entry).noise_multiplier if known else None,
                sampling_rate=sampling_rate(reservation.event),
                epsilon_after=figures.after.get(position),
                realised_epsilon_after=figures.realised_after.get(position),
                unamplified_epsilon_after=figures.unamplified_after.get(position),
                used_after=figures.used_after.get(position),
                asked=asked[position] if asked else None,
                contributors=commitment.contributors if commitment else None,
                details=dict(commitment.details) if commitment else {},
                time_s=reservation.time_s,
            )
        )
    return tuple(found)


def _profile(charged: Counter[PrivacyEvent], unsampled: Counter[PrivacyEvent], spent: Guarantee) -> tuple[AtDelta, ...]:
    amplified = epsilons_at(charged, DELTAS)
    unamplified = epsilons_at(unsampled, DELTAS) if unsampled else {}
    return tuple(
        AtDelta(
            delta=delta,
            epsilon=min(epsilon, spent.epsilon) if delta >= spent.delta else epsilon,
            unamplified=unamplified.get(delta),
        )
        for delta, epsilon in amplified.items()
    )
