"""What several ledgers cost together: all of their releases composed, for each data set that they are about.

A guarantee covers the releases of one ledger. Somebody whose data are in two of them has what both cost together, as
after a second run on the same data. Ledgers are of the same data where the digests or the names that they recorded are
equal: a data set keeps its name where it is split anew. A ledger that recorded no digest counts as being of every one.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dp.accounting.guarantee import Guarantee, guarantee
from dp.errors import LedgerStale
from dp.events import PrivacyEvent
from dp.figures import in_full, rounded_up, rounded_up_within
from dp.ledger.description import Description
from dp.ledger.ledger import Ledger
from dp.ledger.records import Budget
from secagg.errors import ConfigurationError
from secagg.paths import escaped


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadLedger:
    """One ledger, as far as adding needs it.

    Attributes:
        path: The file.
        budget: Its own.
        spent: What its releases cost, at the delta of its own budget.
        events: Of its releases, with how often each was reserved.
        head: Digest of its last record.
    """

    path: Path
    budget: Budget
    spent: Guarantee
    events: Mapping[PrivacyEvent, int]
    head: str

    @property
    def description(self) -> Description:
        """What it says it is about."""
        return self.budget.description or Description()

    @property
    def releases(self) -> int:
        """How many were reserved."""
        return sum(self.events.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """What ledgers cost together.

    Attributes:
        data: Names of the data sets, as recorded.
        ledgers: Those added up.
        guarantee: Of all of their releases, at the least delta of the budgets that were given.
    """

    data: tuple[str, ...]
    ledgers: tuple[ReadLedger, ...]
    guarantee: Guarantee

    @property
    def in_words(self) -> str:
        """The sum in one sentence."""
        found = self.guarantee
        return (
            f"{_ledgers(len(self.ledgers))} together: epsilon {rounded_up(found.epsilon)} at delta "
            f"{in_full(found.delta)}, for one {found.unit.value}, relation {found.relation.value}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Together:
    """Ledgers added up.

    Attributes:
        ledgers: All that count, in the order given.
        copies: Files left out, since another one holds all of their records: pairs of the file and that other one.
        sums: One for each data set, the first ledger's first.
        everything: Of all ledgers; None where they are of one data set. It is somebody's cost only if that person's
            data are in all of the data sets.
    """

    ledgers: tuple[ReadLedger, ...]
    copies: tuple[tuple[Path, Path], ...]
    sums: tuple[Sum, ...]
    everything: Sum | None

    @property
    def notes(self) -> tuple[str, ...]:
        """What the figures rest on, as sentences."""
        deltas = sorted({ledger.budget.delta for ledger in self.ledgers})
        found = [f"All releases are composed at delta {in_full(deltas[0])}, the least of the ledgers' budgets."]
        if len(deltas) == 1:
            found = [f"All releases are composed at delta {in_full(deltas[0])}, that of every ledger's budget."]
        found += [
            f"{escaped(copy)} is not counted: {escaped(whole)} is the same ledger and holds every record of it."
            for copy, whole in self.copies
        ]
        unknown = [ledger for ledger in self.ledgers if ledger.description.data_digest is None]
        if unknown and len(self.ledgers) > 1:
            names = ", ".join(escaped(ledger.path) for ledger in unknown)
            found.append(f"These record no digest of their data and count as being of the same data: {names}.")
        if any(_differ_by_digest(each.ledgers) for each in self.sums):
            found.append(
                "Some data sets have one name and different digests, as after another split or a change. They count "
                "as the same."
            )
        if self.everything is not None:
            found.append(
                "The ledgers are of different data. Adding them up is only needed for people whose data are in more "
                "than one of the data sets; no digest tells whether there are any."
            )
        return tuple(found)

    def as_text(self) -> str:
        """Return it as lines for a terminal."""
        lines = ["Privacy budgets together", ""]
        for ledger in self.ledgers:
            about = ledger.description
            names = ", ".join(name for name in (about.run, about.data, about.organisation) if name)
            lines.append(f"{escaped(ledger.path)}{f' ({names})' if names else ''}")
            lines.append(
                f"    epsilon {rounded_up_within(ledger.spent.epsilon, ledger.budget.epsilon)} of "
                f"{in_full(ledger.budget.epsilon)} spent at delta {in_full(ledger.budget.delta)}, "
                f"{_releases(ledger.releases)}{_beyond(ledger)}"
            )
        lines.append("")
        for each in self.sums:
            lines.append(f"Data {' = '.join(each.data) or 'not recorded'}: {each.in_words}")
        if self.everything is not None:
            lines.append(f"All data: {self.everything.in_words}")
        return "\n".join([*lines, "", *self.notes]) + "\n"

    def as_json(self) -> str:
        """Return it as JSON; an epsilon without a finite bound is the text "infinite"."""
        found = {
            "schema": "secagg-budgets-together",
            "version": 1,
            "ledgers": [_ledger_document(ledger) for ledger in self.ledgers],
            "copies": [{"ledger": str(copy), "of": str(whole)} for copy, whole in self.copies],
            "by_data": [_sum_document(each) for each in self.sums],
            "everything": None if self.everything is None else _sum_document(self.everything),
            "notes": self.notes,
        }
        return json.dumps(found, indent=2)


def together(paths: Sequence[Path], *, planned: Mapping[PrivacyEvent, int] | None = None) -> Together:
    """Add up the ledgers in these files: what the releases of all of them cost, for each data set.

    For a run that begins beside older ledgers of its folder, give the new one first:
    `together([folder.ledger, *older], planned={event: rounds}).sums[0].in_words` says what the run's data will have
    cost in all. Without `planned` it says what they have cost so far.

    Args:
        paths: At least one. A ledger that is open for writing may be among them.
        planned: Releases that are still to come, with how often each; counted with the first ledger.

    Raises:
        ConfigurationError: There are no paths, or the ledgers count for different privacy units or under different
            relations, which no composition adds up.
        dp.errors.DpError: A ledger cannot be read.
        dp.errors.IncompatibleEvent: A planned release has another relation or unit.
    """
    if not paths:
        raise ConfigurationError("ledgers: expected at least one, found none")
    ledgers, copies = _without_copies([_read(path) for path in paths])
    _check_alike(ledgers)
    # The first ledger may be a copy of another one, which then stands for it.
    whole, standing_for = paths[0], dict(copies)
    while whole in standing_for:
        whole = standing_for.pop(whole)
    ledgers.sort(key=lambda ledger: ledger.path != whole)
    if planned:
        ledgers[0] = replace(ledgers[0], events=Counter(ledgers[0].events) + Counter(planned))
    delta = min(ledger.budget.delta for ledger in ledgers)
    sums = tuple(_sum(group, delta) for group in _by_data(ledgers))
    return Together(
        ledgers=tuple(ledgers),
        copies=tuple(copies),
        sums=sums,
        everything=None if len(sums) == 1 else _sum(ledgers, delta),
    )


def _read(path: Path) -> ReadLedger:
    with Ledger.open_to_read(path) as ledger:
        return ReadLedger(
            path=path,
            budget=ledger.budget,
            spent=ledger.spent(),
            events=Counter(entry.reservation.event for entry in ledger.entries()),
            head=ledger.head,
        )


def _without_copies(found: Sequence[ReadLedger]) -> tuple[list[ReadLedger], list[tuple[Path, Path]]]:
    """Leave out what another file holds wholly: a ledger that is named twice, or an earlier copy."""
    kept: list[ReadLedger] = []
    copies = []
    for position, ledger in enumerate(found):
        others = [*kept, *found[position + 1 :]]
        whole = next((other for other in others if _holds(other, ledger, before=other in kept)), None)
        if whole is None:
            kept.append(ledger)
        else:
            copies.append((ledger.path, whole.path))
    return kept, copies


def _holds(whole: ReadLedger, part: ReadLedger, *, before: bool) -> bool:
    """Return whether one ledger has all records of another; of two that are equal the first counts."""
    if whole.budget != part.budget or whole.releases < part.releases:
        return False
    if whole.head == part.head:
        return before
    with Ledger.open_to_read(whole.path) as ledger:
        try:
            ledger.records_after(part.head)
        except LedgerStale:
            return False
    return True


def _check_alike(ledgers: Sequence[ReadLedger]) -> None:
    first = ledgers[0]
    for other in ledgers[1:]:
        if (other.budget.unit, other.budget.relation) != (first.budget.unit, first.budget.relation):
            raise ConfigurationError(
                f"{other.path}: expected the unit {first.budget.unit.value} and the relation "
                f"{first.budget.relation.value} of {first.path}, found {other.budget.unit.value} and "
                f"{other.budget.relation.value}. No composition adds such guarantees up; report them one by one."
            )


def _by_data(ledgers: Sequence[ReadLedger]) -> list[list[ReadLedger]]:
    """The ledgers of each data set; those without a digest belong to every one."""
    known = [ledger for ledger in ledgers if ledger.description.data_digest is not None]
    unknown = [ledger for ledger in ledgers if ledger.description.data_digest is None]
    groups: list[list[ReadLedger]] = []
    for ledger in known:
        same = [group for group in groups if any(_same_data(ledger, other) for other in group)]
        groups = [group for group in groups if group not in same]
        groups.append([ledger, *(other for group in same for other in group)])
    found = [[ledger for ledger in ledgers if ledger in (*group, *unknown)] for group in groups or [[]]]
    return sorted(found, key=lambda group: ledgers.index(group[0]))


def _same_data(one: ReadLedger, other: ReadLedger) -> bool:
    names = {one.description.data, other.description.data}
    return one.description.data_digest == other.description.data_digest or (len(names) == 1 and None not in names)


def _differ_by_digest(ledgers: Sequence[ReadLedger]) -> bool:
    return len({ledger.description.data_digest for ledger in ledgers} - {None}) > 1


def _sum(ledgers: Sequence[ReadLedger], delta: float) -> Sum:
    events = Counter[PrivacyEvent]()
    for ledger in ledgers:
        events.update(ledger.events)
    budget = ledgers[0].budget
    return Sum(
        data=tuple(dict.fromkeys(ledger.description.data for ledger in ledgers if ledger.description.data)),
        ledgers=tuple(ledgers),
        guarantee=guarantee(events, delta=delta, relation=budget.relation, unit=budget.unit),
    )


def _ledger_document(ledger: ReadLedger) -> dict[str, Any]:
    about = ledger.description
    return {
        "ledger": str(ledger.path),
        "run": about.run,
        "data": about.data,
        "organisation": about.organisation,
        "opened_s": ledger.budget.time_s,
        "releases": ledger.releases,
        "epsilon_spent": _figure(ledger.spent.epsilon),
        "epsilon_budget": ledger.budget.epsilon,
        "delta": ledger.budget.delta,
        "within_budget": ledger.spent.epsilon <= ledger.budget.epsilon,
        "head": ledger.head,
    }


def _sum_document(each: Sum) -> dict[str, Any]:
    return {
        "data": each.data,
        "ledgers": [str(ledger.path) for ledger in each.ledgers],
        "epsilon": _figure(each.guarantee.epsilon),
        "delta": each.guarantee.delta,
        "unit": each.guarantee.unit.value,
        "relation": each.guarantee.relation.value,
        "accountant": each.guarantee.accountant,
    }


def _figure(epsilon: float) -> float | str:
    return "infinite" if epsilon == float("inf") else epsilon


def _beyond(ledger: ReadLedger) -> str:
    return "; BEYOND ITS BUDGET" if ledger.spent.epsilon > ledger.budget.epsilon else ""


def _ledgers(count: int) -> str:
    return f"{count} ledger" if count == 1 else f"{count} ledgers"


def _releases(count: int) -> str:
    return f"{count:,} release" if count == 1 else f"{count:,} releases"
