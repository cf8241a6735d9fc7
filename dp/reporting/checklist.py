"""A report's guarantee as pairs of a heading and a text, in the order of a published checklist.

Source: Ponomareva et al., "How to DP-fy ML", arXiv 2303.00654, section 5.3: the setting and who is trusted, the data
accesses covered, what is released, the unit, the adjacency, the mechanism, and the accounting; its assumptions are
`dp.reporting.assumptions`.
"""

import datetime
from typing import Final

from dp.accounting.guarantee import Guarantee
from dp.accounting.privacy_loss_accountant import LATTICE
from dp.events import NeighbouringRelation, Observer
from dp.figures import in_full, used_in_percent
from dp.ledger.participation import Accounting
from dp.ledger.records import Budget
from dp.reporting.observers import HEADINGS
from dp.reporting.report import BudgetReport, Facts
from dp.reporting.wording import RELATIONS, UNAMPLIFIED, UNITS, more_releases
from dp.version import SOFTWARE, VERSION

_COUNTS: Final = {2: "Two", 3: "Three", 4: "Four"}
_ACCESSES: Final = (
    "only the releases listed here. Not covered: the choice of hyperparameters, evaluation on private data and "
    "decisions that rest on it, and any other use of the same data, such as a second run"
)
_RELEASED: Final = {
    NeighbouringRelation.ZERO_OUT: "every listed sum, and so every intermediate model, and who contributed to each sum",
    NeighbouringRelation.ADD_OR_REMOVE_ONE: "every listed sum, and so every intermediate model",
}
_AS_IF: Final = ", computed as if no condition had failed"
_STOPPING: Final = (
    "If results decided when to stop, or that more releases followed, state this figure and not the epsilon spent. "
    "Stopping early because of the results does not make the guarantee better"
)
_NO_GUARANTEE: Final = "This is no guarantee. Stopping early because of the results does not make the guarantee better"
_NO_GUARANTEE_BY_COUNT: Final = f"{_NO_GUARANTEE}, and neither does a client's count that stayed below the others"
_FILE: Final = (
    "it holds who was asked for each release, and this report does not. Anyone who gets the file learns who took part, "
    "as the server does. Publishing it ends any statement with amplification"
)
_NOT_FOR_READERS: Final = (
    "do not give it to readers: it says how many clients were asked and contributed, which the statement towards "
    "readers needs kept secret. Publish that statement alone"
)
_EARLIER: Final = (
    "integer noise used to be accounted by Renyi DP alone, so an earlier report of the same releases may state a "
    "larger epsilon. Releases and noise are the same; only the account is more exact"
)


def facts(report: BudgetReport) -> Facts:
    """Return what the guarantee says, what it covers, against whom it holds, and how it was computed."""
    return (
        *_amounts(report),
        *report.further,
        *_observers(report),
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
    beyond, as_if = "BEYOND THE BUDGET: " if report.overspent else "", _AS_IF if report.failed else ""
    if report.claims_budget:
        shown = report.shown(spent.epsilon)
        advice = "" if report.failed else f". State {shown} as the guarantee, whatever part of the budget is used"
        found = [
            ("Epsilon", f"{beyond}{shown}, the budget{as_if}. {_why_budget(budget)}{advice}"),
            ("Used so far", _used(report)),
        ]
    else:
        charged = f"{beyond}{report.shown(spent.epsilon)} of {in_full(budget.epsilon)}"
        found = [("Epsilon spent", f"{charged}, computed from the reserved noise")]
        if report.releases and report.stated_epsilon is not None:
            found.append(("After a look at results", f"epsilon {in_full(budget.epsilon)}, the budget. {_STOPPING}"))
    if report.realised is not None and report.realised_noise:
        found.append(("At the noise realised", _at_the_noise_realised(report, report.realised)))
    if report.unamplified is not None:
        found.append(
            (
                "Without amplification",
                f"epsilon {report.shown(report.unamplified.epsilon)}"
                + (_AS_IF if report.failed else f": {UNAMPLIFIED[budget.unit]}"),
            )
        )
    left = report.left
    if report.remaining_releases is not None:
        left += f"; {more_releases(report.remaining_releases, everybody=budget.towards is Observer.SERVER)}"
    if report.participation is not None and report.participation.cap is not None:
        left += f"; {report.participation.eligible:,} of {report.participation.clients:,} clients are below the cap"
    found.append(("What remains", left))
    return tuple(found)


def _why_budget(budget: Budget) -> str:
    """Return why the guarantee is the budget, as a sentence."""
    # Towards readers, clients are drawn independently of everything.
    chosen = ["who is asked"] if budget.towards is Observer.SERVER else []
    free = [*chosen, "when to stop"]
    if budget.accounting is not Accounting.FIXED:
        free = ["the noise", *chosen, "the number of releases"]
    words = f"{', '.join(free[:-1])}{' and ' if free[1:] else ''}{free[-1]}"
    return f"{words[0].upper()}{words[1:]} may depend on earlier releases"


def _used(report: BudgetReport) -> str:
    budget, spent = report.budget, report.spent
    no_guarantee = _NO_GUARANTEE_BY_COUNT if budget.towards is Observer.SERVER else _NO_GUARANTEE
    whose = ", charged to the client that was charged most" if budget.towards is Observer.SERVER else ""
    if spent.used is not None:
        return f"{used_in_percent(spent.used)} of the budget{whose}. {no_guarantee}"
    return (
        f"epsilon {report.shown(spent.least_bound)} of {in_full(budget.epsilon)}{whose}, as if all of that had been "
        f"fixed beforehand. {no_guarantee}"
    )


def _at_the_noise_realised(report: BudgetReport, realised: Guarantee) -> str:
    spent, shown = report.shown(report.spent.epsilon), report.shown(realised.epsilon)
    figure = f"epsilon {shown}, computed from the noise that was actually in the releases"
    if realised.epsilon > report.spent.epsilon:
        return f"{figure}. This is more than the {spent} that the budget is charged with. Do not state {spent}"
    if report.stated_epsilon is None:
        return f"for information: {figure}. State no figure as the guarantee: {report.headline}"
    return f"for information: {figure}. State {spent} as the guarantee; the budget is charged with that"


def _observers(report: BudgetReport) -> Facts:
    """Return the statements towards both observers, and what a report and a ledger say of who took part."""
    if report.participation is None:
        return ()
    as_if = _AS_IF if report.failed else ""
    return (
        *(
            (
                HEADINGS[each.observer],
                f"epsilon {report.shown(each.guarantee.epsilon)} at delta {in_full(each.guarantee.delta)}, for one "
                f"{each.guarantee.unit.value}, relation {each.guarantee.relation.value}"
                f"{' (enforced by this ledger)' if each.enforced else ''}{as_if}. "
                f"{each.text.removesuffix('.')}",
            )
            for each in report.statements
        ),
        ("Participation", report.participation.in_words),
        ("Ledger file", _FILE),
        *((("This report", _NOT_FOR_READERS),) if report.budget.towards is Observer.READERS else ()),
    )


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
    found = [("Accountant", report.accountant)]
    if spent.used is not None:  # The bounds of other accountants are of no use to a filter.
        return tuple(found)
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
    if report.budget.participation is None and LATTICE in report.accountant:
        found.append(("Earlier reports", _EARLIER))
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
