"""What a check found, with all that is needed to repeat it."""

from dataclasses import dataclass
from enum import StrEnum

from secagg.audit.attack import Layer
from secagg.audit.epsilon.rows import EpsilonRow


class Verdict(StrEnum):
    """The outcome of a check.

    `MEASURED` stands for a measurement that decides nothing, such as a lower bound on epsilon. `ERRORED` stands for a
    subject or check that ended with an error that nobody documented: the claim was neither rejected nor tested.
    """

    NOT_REJECTED = "not rejected"
    REJECTED = "rejected"
    MEASURED = "measured"
    NOT_APPLICABLE = "not applicable"
    NOT_RUN = "not run"
    ERRORED = "errored"

    @property
    def tested(self) -> bool:
        """Whether a claim was tested: the check was carried out to its end, and could have rejected the claim."""
        return self in (Verdict.NOT_REJECTED, Verdict.REJECTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt of a check.

    Attributes:
        seed: The seed of the attempt, 64 hexadecimal digits.
        value: The value of the statistic; None if it is no number.
        p_value: The p value; None for an exact check.
        rejects: Whether this attempt rejects.
        cpu_s: The CPU time in seconds.
    """

    seed: str
    value: float | None
    p_value: float | None
    rejects: bool
    cpu_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a check found about a subject.

    Attributes:
        attack: The id of the check.
        title: What the check does, a sentence without a full stop.
        layer: What the check looks at.
        claims: The ids of the claims that it tests and that the subject makes.
        subject: The name of the subject.
        verdict: The outcome.
        statistic: What was computed; empty if nothing was.
        value: The value of the statistic in the deciding attempt; None if it is no number.
        threshold: The value from which on the check rejects; None if there is none.
        trials: The number of samples, sessions or cases of one attempt.
        alpha: The chance that the check rejects a correct subject, at most; 0 for an exact check.
        power: What the check rejects with 99% probability; None for an exact check.
        attempts: All attempts, in order.
        cpu_s: The CPU time of all attempts, in seconds.
        evidence: For a rejection, the smallest input that shows it. For all other verdicts but "not rejected", the
            reason.
        epsilon: Lower bounds on epsilon that the deciding attempt measured.
        figures: Further measured numbers by name.
    """

    attack: str
    title: str
    layer: Layer
    claims: tuple[str, ...]
    subject: str
    verdict: Verdict
    statistic: str = ""
    value: float | None = None
    threshold: float | None = None
    trials: int = 0
    alpha: float = 0.0
    power: str | None = None
    attempts: tuple[Attempt, ...] = ()
    cpu_s: float = 0.0
    evidence: str = ""
    epsilon: tuple[EpsilonRow, ...] = ()
    figures: tuple[tuple[str, float], ...] = ()
