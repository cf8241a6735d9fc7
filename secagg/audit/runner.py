"""Runs checks: a second attempt for a statistical check whose first one rejects, one attempt for all others."""

import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from secagg.audit.attack import FALSE_ALARM, Attack, Inapplicable, Level, Plan, Result
from secagg.audit.finding import Attempt, Finding, Verdict
from secagg.audit.seeds import seed_of
from secagg.audit.subject import Subject
from secagg.interruption import Interrupted
from secagg.paths import escaped

Clock = Callable[[], float]


def findings(
    subjects: Iterable[Subject],
    attacks: Sequence[Attack[Any]],
    *,
    level: Level,
    master: bytes,
    within: Callable[[], bool] = lambda: True,
    clock: Clock = time.process_time,
) -> Iterator[Finding]:
    """Run each check on each subject that it can test, and yield what it found.

    A check that tests none of the subject's claims, or that is for another kind of subject, yields nothing.

    Args:
        subjects: What is audited.
        attacks: The checks.
        level: How long the audit may take.
        master: The master seed.
        within: Whether there is time for another check. A check for which there is none yields "not run".
        clock: A clock of CPU seconds.
    """
    for subject in subjects:
        for attack in attacks:
            if isinstance(subject, attack.subjects) and subject.claims_any(attack.tests):
                yield finding(subject, attack, level=level, master=master, within=within, clock=clock)


def finding(
    subject: Subject,
    attack: Attack[Any],
    *,
    level: Level,
    master: bytes,
    within: Callable[[], bool] = lambda: True,
    clock: Clock = time.process_time,
) -> Finding:
    """Run one check on one subject that it can test; the arguments are those of `findings`.

    An error that the subject or the check did not mean to raise yields "errored". An interruption is not caught. Texts
    of the result may hold what others have written, so characters that could control a terminal are escaped.
    """
    found = Finding(
        attack=attack.id,
        title=attack.title,
        layer=attack.layer,
        claims=tuple(claim.id for claim in subject.claims if claim.id in attack.tests),
        subject=subject.name,
        verdict=Verdict.NOT_RUN,
        alpha=FALSE_ALARM if attack.statistical else 0.0,
        evidence="There was no time left.",
    )
    if not within():
        return found
    attempts: list[Attempt] = []
    try:
        plan = attack.plan(subject, level)
        if isinstance(plan, Inapplicable):
            return replace(found, verdict=Verdict.NOT_APPLICABLE, evidence=escaped(plan.why))
        found = replace(found, trials=plan.trials, power=plan.power)
        result = _attempt(subject, attack, plan, master, attempts, clock)
        if attempts and attack.statistical and attack.repeatable and attempts[-1].rejects:
            result = _attempt(subject, attack, plan, master, attempts, clock)
        if isinstance(result, Inapplicable):
            return replace(
                found, verdict=Verdict.NOT_APPLICABLE, attempts=tuple(attempts), evidence=escaped(result.why)
            )
    except (KeyboardInterrupt, Interrupted):
        raise
    except BaseException as error:  # noqa: BLE001 - A subject of other people may raise anything, also an exit.
        return replace(found, verdict=Verdict.ERRORED, attempts=tuple(attempts), evidence=_where(error))
    rejects = attempts[-1].rejects
    return replace(
        found,
        verdict=Verdict.REJECTED if rejects else Verdict.NOT_REJECTED if attack.decides else Verdict.MEASURED,
        statistic=escaped(result.statistic),
        value=result.value,
        threshold=result.threshold,
        attempts=tuple(attempts),
        cpu_s=sum(attempt.cpu_s for attempt in attempts),
        evidence=escaped(result.evidence) if rejects else "",
        epsilon=result.epsilon,
        figures=result.figures,
    )


def _attempt(
    subject: Subject, attack: Attack[Any], plan: Plan, master: bytes, attempts: list[Attempt], clock: Clock
) -> Result | Inapplicable:
    seed = seed_of(master, subject=subject.name, attack=attack.id, attempt=len(attempts) + 1)
    begun = clock()
    result: Result | Inapplicable = attack.run(subject, plan, seed)
    if isinstance(result, Inapplicable):
        return result
    if attack.statistical != (result.p_value is not None):
        raise TypeError(f"{attack.id}: expected a p value if and only if the check is statistical")
    if result.p_value is not None and not 0 <= result.p_value <= 1:  # Also NaN, which no level is compared with.
        raise ValueError(f"{attack.id}: expected a p value in [0, 1], found another number")
    rejects = result.rejects
    if result.p_value is not None and not attack.repeatable:
        rejects = result.p_value < FALSE_ALARM
    if rejects and not attack.decides:
        raise TypeError(f"{attack.id}: expected no rejection from a measurement that decides nothing")
    attempts.append(
        Attempt(
            seed=seed.hex(),
            value=result.value,
            p_value=result.p_value,
            rejects=rejects,
            cpu_s=clock() - begun,
        )
    )
    return result


def _where(error: BaseException) -> str:
    """Return the kind of an error and the function in which it was raised, without its text, which may hold secrets."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" in {frames[-1].name}" if frames else ""
    return f"{type(error).__name__}{place}: an error that the subject does not document."
