"""The self-test: every planted bug has to be rejected by the check that is meant for it."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from secagg.audit.attack import Level
from secagg.audit.finding import Finding, Verdict
from secagg.audit.planted.base import Planted
from secagg.audit.processes import Job, done
from secagg.audit.runner import findings
from secagg.audit.suite import ATTACKS, PLANTED


class Catch(StrEnum):
    """What became of a planted bug."""

    CAUGHT = "caught"
    CAUGHT_BY_OTHERS = "caught by another check only"
    ERRORED = "errored"
    NOT_CAUGHT = "not caught"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One planted bug and what became of it.

    Attributes:
        number: The number of the planted bug.
        bug: What is wrong with it.
        caught_by: The id of the check that is meant for it.
        catch: What became of it.
        rejected_by: The ids of all checks that rejected it.
        cpu_s: The CPU time of the check that is meant for it, in seconds.
    """

    number: int
    bug: str
    caught_by: str
    catch: Catch
    rejected_by: tuple[str, ...]
    cpu_s: float


class SelfTest(Job[int, Row]):
    """The planted bugs, by their positions in the list.

    Args:
        level: How long each check may take.
        master: The master seed, 32 bytes.
    """

    def __init__(self, *, level: Level, master: bytes) -> None:
        self._level, self._master = level, master

    def prepare(self) -> None:
        """Prepare nothing; see `Job`."""

    def run(self, item: int) -> Row:
        """Run every check that applies on one planted bug; see `Job`."""
        planted = PLANTED[item]
        return row(planted, tuple(findings([planted.subject()], ATTACKS, level=self._level, master=self._master)))

    def lost(self, item: int) -> Row:
        """Return a row that says "errored"; see `Job`."""
        return row(PLANTED[item], ())


def row(planted: Planted, found: tuple[Finding, ...]) -> Row:
    """Return what became of a planted bug, from what all checks have found."""
    rejected = tuple(each.attack for each in found if each.verdict is Verdict.REJECTED)
    meant = next((each for each in found if each.attack == planted.caught_by), None)
    if planted.caught_by in rejected:
        catch = Catch.CAUGHT
    elif meant is None or meant.verdict is Verdict.ERRORED:
        catch = Catch.ERRORED
    else:
        catch = Catch.CAUGHT_BY_OTHERS if rejected else Catch.NOT_CAUGHT
    return Row(
        number=planted.number,
        bug=planted.bug,
        caught_by=planted.caught_by,
        catch=catch,
        rejected_by=rejected,
        cpu_s=0.0 if meant is None else meant.cpu_s,
    )


def self_test(*, level: Level, master: bytes, observe: Callable[[int, int], None] = lambda *_: None) -> tuple[Row, ...]:
    """Run every check on every planted bug, and return a row for each, by their numbers.

    Args:
        level: How long each check may take.
        master: The master seed, 32 bytes.
        observe: Called after each planted bug with the number of those done and of all.
    """
    rows = []
    for _, found in done(SelfTest(level=level, master=master), range(len(PLANTED))):
        rows.append(found)
        observe(len(rows), len(PLANTED))
    return tuple(sorted(rows, key=lambda each: each.number))


def as_text(rows: tuple[Row, ...]) -> str:
    """Return the rows as a table for a terminal, with what is not caught in capitals."""
    width = max((len(each.bug) for each in rows), default=0)
    lines = [f"{'no.':>4}  {'planted bug':<{width}}  {'result':<6}  {'CPU s':>6}  check meant for it, and others"]
    for each in rows:
        others = [name for name in each.rejected_by if name != each.caught_by]
        result = "caught" if each.catch is Catch.CAUGHT else each.catch.upper()
        also = f", also {', '.join(others)}" if others else ""
        lines.append(f"{each.number:>4}  {each.bug:<{width}}  {result:<6}  {each.cpu_s:>6.2f}  {each.caught_by}{also}")
    missed = sum(each.catch is not Catch.CAUGHT for each in rows)
    lines += [
        "",
        f"{len(rows) - missed} of {len(rows)} planted bugs were rejected by the check that is meant for them.",
    ]
    return "\n".join(lines) + "\n"
