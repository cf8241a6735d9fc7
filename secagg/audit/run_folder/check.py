"""The result of one check of a run's folder, and the two reasons why a check may have no result."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class VarianceTest:
    """A two-sided chi-square test of a variance.

    Attributes:
        ratio: The variance that was found, over the planned one.
        p_value: The chance of a ratio at least as unlikely, if the plan holds.
        coordinates: The number of values that the variance was taken over.
        rounds: The number of rounds that they come from.
        level: The check rejects a p value below this level.
        detects: The standard deviation, as a multiple below 1 of the planned one, that the test rejects with
            probability 99%. It also rejects smaller ones.
    """

    ratio: float
    p_value: float
    coordinates: int
    rounds: int
    level: float
    detects: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCheck:
    """The result of one check. Of `found`, `untested` and `errored`, at most one has a text.

    Attributes:
        id: The check's name, such as "run.metrics.rounds".
        statement: What holds in the folder of a correct run, in one sentence.
        found: What was found instead, and where; empty if the statement holds or was not tested.
        untested: Why the statement was not tested; empty if it was.
        errored: The class of an undocumented error that ended the check; empty if there was none.
        shown: What a reader should know besides; often empty.
        test: The statistical test, if the check is one. All other checks are exact.
    """

    id: str
    statement: str
    found: str = ""
    untested: str = ""
    errored: str = ""
    shown: str = ""
    test: VarianceTest | None = None

    @property
    def tested(self) -> bool:
        """Whether the statement was tested."""
        return not self.untested and not self.errored

    @property
    def rejected(self) -> bool:
        """Whether something else was found than the statement says."""
        return bool(self.found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one check found; see `RunCheck`. Without arguments: the statement holds."""

    found: str = ""
    shown: str = ""
    test: VarianceTest | None = None


HOLDS = Verdict()


class Untested(Exception):
    """A statement that this folder gives no means to test; the text is the reason."""


class Unreadable(Exception):
    """A part of a folder that cannot be read.

    Args:
        part: The name of the part, such as "metrics.jsonl".
        found: What was found instead.
        owner: The check that reports it; other checks that need the part are not tested.
    """

    def __init__(self, part: str, found: str, *, owner: str) -> None:
        super().__init__(found)
        self.part = part
        self.found = found
        self.owner = owner
