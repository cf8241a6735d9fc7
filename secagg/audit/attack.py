"""A check: an adversary with a statistic and a rule of decision, all fixed before the subject is run.

The division into subject, observation, attack and finding follows DP-Auditorium (Kong et al., arXiv 2307.05608).
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Generic, TypeVar

from secagg.audit.epsilon.rows import EpsilonRow
from secagg.audit.subject import Subject

S = TypeVar("S", bound=Subject)

LEVEL_OF_ATTEMPT: Final = 1e-3
"""The chance that one attempt of a statistical check rejects a correct subject, at most.

Some p values are approximations. The module that computes one says how good it is: at the sizes used, the chance is at
most 2% above this number.
"""
FALSE_ALARM: Final = LEVEL_OF_ATTEMPT**2
"""The chance that a statistical check rejects a correct subject, at most: both of its attempts have to reject."""


class Level(StrEnum):
    """How long an audit may take."""

    QUICK = "quick"
    FULL = "full"


class Layer(StrEnum):
    """What a check looks at."""

    INVARIANT = "invariant"
    REPLAY = "replay"
    VIEW = "view"
    ATTACK = "attack"
    MECHANISM = "mechanism"
    EPSILON = "epsilon"
    ACCOUNT = "account"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a check is going to do; nothing of it depends on what the subject answers.

    Attributes:
        trials: The number of samples, sessions or cases of one attempt.
        power: What a statistical check rejects with 99% probability, such as "noise at 0.99 times the planned
            deviation"; None for an exact check.
        cpu_s: The estimated CPU time of one attempt, in seconds.
        details: Whatever else the check has fixed, for `Attack.run` alone.
    """

    trials: int
    power: str | None = None
    cpu_s: float = 0.1
    details: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inapplicable:
    """The answer of a check that cannot test a subject.

    Attributes:
        why: The reason, a sentence that the report prints.
    """

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one attempt of a check came to.

    Attributes:
        statistic: What was computed, in a few words.
        value: Its value; None if it is no number.
        threshold: The value from which on the check rejects; None if there is none.
        p_value: The p value of a statistical check, at least the chance of such a statistic if the subject is correct;
            None for an exact check.
        rejected: For an exact check, whether it rejects; a statistical check leaves it out.
        evidence: If the check rejects: the smallest input that shows it, in words and without secrets of a real run.
        epsilon: Lower bounds on epsilon that the attempt measured.
        figures: Further measured numbers by name, such as points of a curve.
    """

    statistic: str
    value: float | None = None
    threshold: float | None = None
    p_value: float | None = None
    rejected: bool = False
    evidence: str = ""
    epsilon: tuple[EpsilonRow, ...] = ()
    figures: tuple[tuple[str, float], ...] = ()

    @property
    def rejects(self) -> bool:
        """Whether this attempt rejects the claim, if another attempt can be made."""
        return self.rejected if self.p_value is None else self.p_value < LEVEL_OF_ATTEMPT


class Attack(ABC, Generic[S]):
    """A check of one or more claims.

    An exact check has no error rate: it finds a counterexample or none. Its results have no p value, and it makes one
    attempt. A statistical check rejects only if two attempts with fresh randomness do; each has the level 1e-3.

    The author of a check states its attributes in the class, or sets them when the check is made.

    Attributes:
        id: The name, such as "view.uniform.harmonic": the layer, what is looked at, and how.
        title: What is done, a sentence without a full stop.
        layer: What the check looks at.
        tests: The ids of the claims that the check can reject.
        subjects: The class of the subjects that the check can test.
        statistical: Whether its results have p values.
        repeatable: Whether a second attempt can have fresh randomness. If not, as for a run that has ended, a
            statistical check makes one attempt, whose level is 1e-6.
        decides: Whether it can reject. A measurement that cannot reject anything is reported apart from the checks.
    """

    id: str
    title: str
    layer: Layer
    tests: tuple[str, ...]
    subjects: type[Subject]
    statistical: bool = False
    repeatable: bool = True
    decides: bool = True

    @abstractmethod
    def plan(self, subject: S, level: Level) -> Plan | Inapplicable:
        """Return sample sizes and cost, or why this subject cannot be tested.

        Nothing of the plan depends on what the attempts will show. A check may run a small session to find out how the
        subject's messages look.
        """

    @abstractmethod
    def run(self, subject: S, plan: Plan, seed: bytes) -> Result | Inapplicable:
        """Make one attempt. All randomness of the attempt, and of a subject that takes it, comes from the seed.

        A check that finds out only now that it cannot test the subject returns the reason.
        """


def checked_that(statement: str) -> str:
    """Return the title of a check that compares something with a statement, which ends with a full stop."""
    return f"It is checked that {statement[0].lower()}{statement[1:].rstrip('.')}"
