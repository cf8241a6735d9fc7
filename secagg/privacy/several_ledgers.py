"""The joint cost of several ledgers: for each data set, all releases on it composed.

A guarantee covers the releases of one ledger. If a person's data are in two ledgers, for example after a second run on
the same data, the costs of both ledgers add up for that person. Ledgers count as being about the same data if their
recorded digests or names are equal: a data set that is split again keeps its name. A ledger without a recorded digest
counts as being about every data set.

What a ledger adds to a sum:

- If it claims what was spent: its releases. If its releases ask some of the clients, these are the releases that asked
  the client that was charged most. This bounds every client of every population, so the sum holds whether the ledgers
  number the same clients alike or not.
- If it claims its budget, and there is at least one release: all that it may ever admit, because results of one ledger
  may decide on releases of another one. Behind a Gaussian filter, that is one release with Gaussian noise that uses the
  filter's limit up, so the mu^2 of several such ledgers add up (Theorem B of docs/participation.md). For every other
  budget, epsilon is added to epsilon and delta to delta.

The sum is a guarantee only if results of no ledger decided whether there are further ledgers, or on the releases of a
ledger that claims what was spent.

Ledgers may be used at the same time: what composes one after the other composes interleaved as well (Vadhan, Zhang,
arXiv 2207.08335).
"""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dp.accounting.guarantee import Guarantee, guarantee
from dp.errors import LedgerStale
from dp.events import Observer, PrivacyEvent
from dp.figures import in_full, rounded_up
from dp.ledger.ledger import Ledger
from dp.reporting.text import wrapped
from secagg.errors import ConfigurationError
from secagg.paths import escaped
from secagg.privacy.read_ledger import ReadLedger


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """The joint cost of several ledgers.

    Attributes:
        data: Names of the data sets, as recorded.
        ledgers: The ledgers that are added up.
        guarantee: The guarantee of all releases that are composed, at the least delta of the given ledgers' budgets.
    """

    data: tuple[str, ...]
    ledgers: tuple[ReadLedger, ...]
    guarantee: Guarantee

    @property
    def epsilon(self) -> float:
        """The epsilon of the composed releases, and those of the budgets that are added to it."""
        return math.fsum((self.guarantee.epsilon, *(each.spent.epsilon for each in self.ledgers if each.is_added)))

    @property
    def delta(self) -> float:
        """The delta of the composed releases, and those of the budgets that are added to it; below 1."""
        added = [each.budget.delta for each in self.ledgers if each.is_added]
        composed = len(added) < len(self.ledgers) or not added
        return math.fsum((*added, *((self.guarantee.delta,) if composed else ())))

    @property
    def accountant(self) -> str:
        """How the sum was computed, in words."""
        added = sum(each.is_added for each in self.ledgers)
        return self.guarantee.accountant + (f"; the budgets of {_ledgers(added)} added" if added else "")

    @property
    def in_words(self) -> str:
        """The sum in one sentence."""
        found = self.guarantee
        readers = any(each.budget.towards is Observer.READERS for each in self.ledgers)
        return (
            f"{_ledgers(len(self.ledgers))} together: epsilon {rounded_up(self.epsilon)} at delta "
            f"{in_full(self.delta)}, for one {found.unit.value}, relation {found.relation.value}"
            f"{', towards readers only' if readers else ''}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Together:
    """Several ledgers and their joint costs.

    Attributes:
        ledgers: All ledgers that count, in the order given. Only the first one may come from a later place: if the
            first given file is a copy, the file of which it is a copy comes first.
        copies: Files that are not counted, since another file holds all of their records: pairs of the file and that
            other file.
        sums: One sum for each data set, that of the first ledger first.
        everything: The sum of all ledgers; None if they are about one data set. It is a person's cost only if that
            person's data are in all of the data sets.
    """

    ledgers: tuple[ReadLedger, ...]
    copies: tuple[tuple[Path, Path], ...]
    sums: tuple[Sum, ...]
    everything: Sum | None

    @property
    def notes(self) -> tuple[str, ...]:
        """What the figures assume, as sentences."""
        deltas = sorted({ledger.budget.delta for ledger in self.ledgers})
        found = [f"All releases are composed at delta {in_full(deltas[0])}, the least of the ledgers' budgets."]
        if len(deltas) == 1:
            found = [f"All releases are composed at delta {in_full(deltas[0])}, that of every ledger's budget."]
        found += [
            f"{escaped(copy)} is not counted: {escaped(whole)} is the same ledger and holds every record of it."
            for copy, whole in self.copies
        ]
        found += [
            f"A condition of the guarantee of {escaped(ledger.path)} FAILED: {' '.join(ledger.failed)} So no sum that "
            "includes this ledger is a guarantee."
            for ledger in self.ledgers
            if ledger.failed
        ]
        whole = [ledger for ledger in self.ledgers if ledger.counts_whole]
        if whole:
            found.append(f"These count with their whole budget, whatever part of it is used: {_names(whole)}.")
        if any(ledger.is_added for ledger in whole):
            added = _names([ledger for ledger in whole if ledger.is_added])
            found.append(f"Of these, the epsilon and the delta are added to those of all other releases: {added}.")
        if any(ledger.budget.participation is not None and not ledger.counts_whole for ledger in self.ledgers):
            found.append("A ledger that counts clients counts with the releases of the client that was charged most.")
        unknown = [ledger for ledger in self.ledgers if ledger.description.data_digest is None]
        if unknown and len(self.ledgers) > 1:
            found.append(
                f"These record no digest of their data and count as being of the same data: {_names(unknown)}."
            )
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

    def as_text(self, *, width: int | None = None) -> str:
        """Return it as lines for a terminal, wrapped at a number of columns, at least 60; None: one line each."""
        lines = ["Privacy budgets together", ""]
        for ledger in self.ledgers:
            about = ledger.description
            names = ", ".join(name for name in (about.run, about.data, about.organisation) if name)
            lines += wrapped(f"{escaped(ledger.path)}{f' ({names})' if names else ''}", width)
            lines += wrapped(ledger.in_words, width, first="    ")
        lines.append("")
        for each in self.sums:
            lines += wrapped(f"Data {' = '.join(each.data) or 'not recorded'}: {each.in_words}", width)
        if self.everything is not None:
            lines += wrapped(f"All data: {self.everything.in_words}", width)
        lines.append("")
        for note in self.notes:
            lines += wrapped(note, width)
        return "\n".join(lines) + "\n"

    def as_json(self) -> str:
        """Return it as JSON; an epsilon without a finite bound is the text "infinite"."""
        found = {
            "schema": "secagg-budgets-together",
            "version": 2,
            "ledgers": [_ledger_document(ledger) for ledger in self.ledgers],
            "copies": [{"ledger": str(copy), "of": str(whole)} for copy, whole in self.copies],
            "by_data": [_sum_document(each) for each in self.sums],
            "everything": None if self.everything is None else _sum_document(self.everything),
            "notes": self.notes,
        }
        return json.dumps(found, indent=2)


def together(paths: Sequence[Path], *, planned: Mapping[PrivacyEvent, int] | None = None) -> Together:
    """Return the joint cost of the ledgers in these files, for each data set.

    For a run that begins beside older ledgers of its folder, give the new ledger first:
    `together([folder.ledger, *older], planned={event: rounds}).sums[0].in_words` states the total cost for the run's
    data after the run. Without `planned` it states the cost so far.

    Args:
        paths: At least one path. A ledger that is open for writing may be among them.
        planned: Releases that are still to come, with the number of each; counted with the first ledger.

    Raises:
        ConfigurationError: There are no paths, or the ledgers have different privacy units or neighbouring
            relations, for which there is no composition.
        dp.errors.DpError: A ledger cannot be read.
        dp.errors.IncompatibleEvent: A planned release has another neighbouring relation or unit.
    """
    if not paths:
        raise ConfigurationError("ledgers: expected at least one, found none")
    ledgers, copies = _without_copies([ReadLedger.of(path) for path in paths])
    _check_alike(ledgers)
    # The first ledger may be a copy of another one, which then takes its place.
    whole, standing_for = paths[0], dict(copies)
    while whole in standing_for:
        whole = standing_for.pop(whole)
    ledgers.sort(key=lambda ledger: ledger.path != whole)
    if planned:
        ledgers[0] = ledgers[0].with_planned(planned)
    delta = min(ledger.budget.delta for ledger in ledgers)
    sums = tuple(_sum(group, delta) for group in _by_data(ledgers))
    return Together(
        ledgers=tuple(ledgers),
        copies=tuple(copies),
        sums=sums,
        everything=None if len(sums) == 1 else _sum(ledgers, delta),
    )


def _without_copies(found: Sequence[ReadLedger]) -> tuple[list[ReadLedger], list[tuple[Path, Path]]]:
    """Return the ledgers that count, and the copies: ledgers that are named twice, and earlier copies."""
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
    """Return whether one ledger has all records of another; of two equal ledgers, only the first counts as whole."""
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
    """Return the ledgers of each data set; ledgers without a digest belong to every data set."""
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
        "epsilon": _figure(ledger.spent.epsilon),
        "claim": ledger.spent.claim.value,
        "used": ledger.spent.used,
        "counts_whole": ledger.counts_whole,
        "is_added": ledger.is_added,
        "epsilon_budget": ledger.budget.epsilon,
        "delta": ledger.budget.delta,
        "within_budget": ledger.spent.epsilon <= ledger.budget.epsilon,
        "head": ledger.head,
    }


def _sum_document(each: Sum) -> dict[str, Any]:
    return {
        "data": each.data,
        "ledgers": [str(ledger.path) for ledger in each.ledgers],
        "epsilon": _figure(each.epsilon),
        "delta": each.delta,
        "unit": each.guarantee.unit.value,
        "relation": each.guarantee.relation.value,
        "accountant": each.accountant,
    }


def _figure(epsilon: float) -> float | str:
    return "infinite" if epsilon == float("inf") else epsilon


def _ledgers(count: int) -> str:
    return f"{count} ledger" if count == 1 else f"{count} ledgers"


def _names(ledgers: Sequence[ReadLedger]) -> str:
    return ", ".join(escaped(ledger.path) for ledger in ledgers)
