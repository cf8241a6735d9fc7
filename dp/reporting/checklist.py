"""A report's guarantee as pairs of a heading and a text, in the order of a published checklist.

Source: Ponomareva et al., "How to DP-fy ML", arXiv 2303.00654, section 5.3: the setting and who is trusted, the data
accesses covered, what is released, the unit, the adjacency, the mechanism, and the accounting; its assumptions are
`dp.reporting.assumptions`.
"""

import datetime
from typing import Final

from dp.events import NeighbouringRelation
from dp.figures import in_full, rounded_down, rounded_up
from dp.reporting.report import BudgetReport, Facts
from dp.reporting.wording import RELATIONS, UNAMPLIFIED, UNITS, more_releases
from dp.version import SOFTWARE, VERSION

_COUNTS: Final = {2: "Two", 3: "Three", 4: "Four"}
_ACCESSES: Final = (
    "only the releases listed here. Not covered: the choice of hyperparameters, evaluation, early stopping, and any "
    "other use of the same data, such as a second run"
)
_RELEASED: Final = {
    NeighbouringRelation.ZERO_OUT: "every listed sum, and so every intermediate model, and who contributed to each sum",
    NeighbouringRelation.ADD_OR_REMOVE_ONE: "every listed sum, and so every intermediate model",
}
_AS_IF: Final = ", computed as if no condition had failed"


def facts(report: BudgetReport) -> Facts:
    """Return what the guarantee says, what it covers, against whom it holds, and how it was computed."""
    return (
        *_amounts(report),
        *report.further,
        *_terms(report),
        *_accounting(report),
        *_record(report),
        *_origin(report),
    )


def when(time_s: float) -> str:
    """Return a time in words, in UTC."""
    return datetime.datetime.fromtimestamp(time_s, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _amounts(report: BudgetReport) -> Facts:
    budget, spent = report.budget, report.spent
    beyond = "BEYOND THE BUDGET: " if report.overspent else ""
    found = [
        (
            "Epsilon spent",
            f"{beyond}{report.shown(spent.epsilon)} of {in_full(budget.epsilon)}, computed from the reserved noise",
        )
    ]
    if report.realised_noise:
        found.append(("At the noise realised", _at_the_noise_realised(report)))
    if report.unamplified is not None:
        found.append(
            (
                "Without amplification",
                f"epsilon {report.shown(report.unamplified.epsilon)}"
                + (_AS_IF if report.failed else f": {UNAMPLIFIED[budget.unit]}"),
            )
        )
    left = f"epsilon {rounded_down(max(0.0, budget.epsilon - spent.epsilon), of=budget.epsilon)}"
    if report.remaining_releases is not None:
        left += f"; {more_releases(report.remaining_releases)}"
    found.append(("What remains", left))
    return tuple(found)


def _at_the_noise_realised(report: BudgetReport) -> str:
    spent, realised = report.shown(report.spent.epsilon), report.shown(report.realised.epsilon)
    figure = f"epsilon {realised}, computed from the noise that was actually in the releases"
    if report.realised.epsilon > report.spent.epsilon:
        return f"{figure}. This is more than the {spent} that the budget is charged with. Do not state {spent}"
    if report.stated_epsilon is None:
        return f"for information: {figure}. State no figure as the guarantee: {report.headline}"
    return f"for information: {figure}. State {spent} as the guarantee; the budget is charged with that"


def _terms(report: BudgetReport) -> Facts:
    budget = report.budget
    mechanisms = "; ".join(f"{_releases(count)}: {words}" for words, count in report.mechanisms)
    return (
        (
            "Delta",
            f"{in_full(budget.delta)} (must be below {1 / budget.population:.3g}, one over the population of "
            f"{budget.population})",
        ),
        ("Setting and trust", report.setting),
        ("Data accesses covered", _ACCESSES),
        ("What is released", _RELEASED[budget.relation]),
        ("Privacy unit", f"{budget.unit.value}: {UNITS[budget.unit]}"),
        ("Relation", f"{budget.relation.value}: {RELATIONS[budget.relation]}"),
        ("Colluding clients", report.colluders),
        ("Mechanism", mechanisms or "none yet"),
    )


def _accounting(report: BudgetReport) -> Facts:
    spent = report.spent
    found = [("Accountant", spent.accountant)]
    count = len(spent.bounds)
    if count > 1:
        figures = ", ".join(f"{bound.title} {report.shown(bound.epsilon)}" for bound in reversed(spent.bounds))
        found.append(
            (
                f"{_COUNTS.get(count, count)} accountants",
                f"{figures}; the {'smaller' if count == 2 else 'smallest'} figure counts",
            )
        )
    found += [note for bound in spent.bounds for note in bound.notes]
    if report.continuous_epsilon is not None:
        continuous = (
            f"for comparison: epsilon {rounded_up(report.continuous_epsilon)} for continuous Gaussian noise of the "
            "same noise multiplier. The accountant of Gaussian noise is tighter than that of integer noise"
        )
        found.append(("Continuous Gaussian", continuous))
    return tuple(found)


def _record(report: BudgetReport) -> Facts:
    uncommitted = ", ".join(str(number) for number in report.uncommitted[:_LISTED])
    if len(report.uncommitted) > _LISTED:
        uncommitted += f" and {len(report.uncommitted) - _LISTED} more"
    excesses = [release.excess for release in report.releases if release.excess is not None]
    noise = "not recorded"
    if excesses:
        noise = f"{_range(min(excesses), max(excesses))}, over {_releases(len(excesses))}"
    return (
        ("Noise realised", noise),
        (
            "Uncommitted",
            f"{uncommitted} (reserved but not completed; counted as spent)"
            if uncommitted
            else "none (no release was reserved but not completed)",
        ),
        ("Ledger head", report.head),
    )


def _origin(report: BudgetReport) -> Facts:
    """Return what the ledger is about, in the words of its maker, and which software made ledger and report."""
    budget, about = report.budget, report.about
    last = report.releases[-1].time_s if report.releases else None
    return (
        *((heading, f"{name} ({whose})") for heading, name, whose in about.names),
        ("Ledger opened", when(budget.time_s)),
        ("Last release reserved", "none yet" if last is None else when(last)),
        ("Software of the ledger", budget.software or "not recorded"),
        ("Software of this report", f"{SOFTWARE} {VERSION}"),
    )


def _range(least: float, most: float) -> str:
    """Return in words by how much noise differs from what was promised, given the least and the greatest excess."""
    low, high = round(100 * least, 2), round(100 * most, 2)
    if low == high == 0:
        return "as promised"
    if low < 0 < high:
        return f"{-low:.2f}% less to {high:.2f}% more than was promised"
    nearer, further = sorted((abs(low), abs(high)))
    figures = f"{nearer:.2f}%" if nearer == further else f"{nearer:.2f}% to {further:.2f}%"
    return f"{figures} {'less' if low < 0 else 'more'} than was promised"


def _releases(count: int) -> str:
    return f"{count:,} release" if count == 1 else f"{count:,} releases"


_LISTED: Final = 20
