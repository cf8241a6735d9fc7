"""Earlier ledgers beside a run's own, as an overwritten run leaves them, and what all of them cost together."""

from pathlib import Path
from typing import Final

from dp.errors import DpError
from dp.reporting.assumptions import NOTHING_ELSE, ONLY_LEDGER
from dp.reporting.report import BudgetReport
from secagg.errors import SecaggError
from secagg.paths import escaped
from secagg.privacy.several_ledgers import Together, together

PATTERN: Final = "ledger*.sqlite"
"""Of the names of a run's ledger and of those that earlier runs have left in its folder."""


def beside(ledger: Path) -> tuple[Path, ...]:
    """Return the other ledgers of a run's folder, by name; none where the file is not named as a run's ledger is."""
    if not ledger.match(PATTERN):
        return ()
    return tuple(sorted(path for path in ledger.parent.glob(PATTERN) if path.name != ledger.name and path.is_file()))


def with_earlier(report: BudgetReport, ledger: Path) -> BudgetReport:
    """Return the report of a ledger with what it and earlier ledgers of its folder cost together.

    Where there are some of the same data, or some that cannot be added up, the assumptions that this ledger is the
    only one and that nothing else was released have failed.

    Args:
        report: The report of the ledger.
        ledger: The file.
    """
    others = beside(ledger)
    if not others:
        return report
    try:
        found = together([ledger, *others])
    except (DpError, SecaggError) as error:
        names = ", ".join(escaped(other.name) for other in others)
        reason = (
            f"This folder also holds {names}, which could not be added up: {escaped(error).rstrip('.')}. What they "
            "cost comes on top of this figure for everyone whose data are in them too."
        )
        return report.refuted({ONLY_LEDGER: reason, NOTHING_ELSE: reason}, further=(("Other ledgers", reason),))
    newer = next((whole for copy, whole in found.copies if copy == ledger), None)
    if newer is not None:
        reason = f"{escaped(newer.name)} in the same folder holds every record of this ledger and more."
        return report.refuted({ONLY_LEDGER: reason, NOTHING_ELSE: reason})
    return _with_sum(report, ledger, found)


def _with_sum(report: BudgetReport, ledger: Path, found: Together) -> BudgetReport:
    same, *different = found.sums
    facts: list[tuple[str, str]] = []
    reasons: dict[str, str] = {}
    earlier = [each for each in same.ledgers if each.path != ledger and each.releases]
    if earlier:
        names = ", ".join(escaped(each.path.name) for each in earlier)
        unknown = any(each.description.data_digest is None for each in same.ledgers)
        counted = " (ledgers without a digest are counted as if they were about the same data)" if unknown else ""
        facts.append(("With earlier ledgers", f"{same.in_words}. Earlier ledgers of the same data: {names}{counted}"))
        reason = f"In the same folder there are earlier ledgers of the same data: {names}. See 'With earlier ledgers'."
        reasons = {ONLY_LEDGER: reason, NOTHING_ELSE: reason}
    others = [escaped(each.path.name) for group in different for each in group.ledgers if each not in same.ledgers]
    if others:
        facts.append(
            (
                "Ledgers of other data",
                f"{', '.join(others)}; adding them up is only needed for people whose data are in both",
            )
        )
    return report.refuted(reasons, further=tuple(facts))
