"""An audit in several processes: each makes the subjects anew from the target's text, and runs checks by number."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from typing import Any, Final

from secagg.audit.attack import Attack, Inapplicable, Level, Plan
from secagg.audit.audit import Audit, Target
from secagg.audit.finding import Finding, Verdict
from secagg.audit.runner import finding
from secagg.audit.subject import Subject
from secagg.audit.suite import ATTACKS
from secagg.audit.targets import target_of

LIMIT_S: Final = {Level.QUICK: 60.0, Level.FULL: 900.0}
"""The wall-clock time after which no further check begins, by level, in seconds."""
_MOST_PROCESSES: Final = 8

Observer = Callable[[Finding, int, int], None]
"""Called after each check: what it found, how many checks have ended, and how many there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One check on one subject, by their numbers, so that another process can find them."""

    subject: int
    attack: int


def run_audit(
    text: str | None,
    *,
    level: Level,
    master: bytes,
    only: str | None = None,
    observe: Observer = lambda *_: None,
    processes: int | None = None,
    limit_s: float | None = None,
) -> Audit:
    """Audit a target, with as many processes as there are processors.

    Args:
        text: What a person has named as the target; None for everything that the toolkit ships.
        level: How long the audit may take.
        master: The master seed, 32 bytes.
        only: The id of a check, or its first parts such as "view" or "view.uniform"; None for all.
        observe: Called after each check.
        processes: The number of processes; None for the number of processors, at most 8.
        limit_s: The time after which no further check begins; None for that of the level.

    Raises:
        ConfigurationError: The target is nothing that can be audited.
    """
    started_s, deadline = time.time(), time.monotonic() + (LIMIT_S[level] if limit_s is None else limit_s)
    target = target_of(text)
    work = planned(target, level, only)
    count = min(processes or len(os.sched_getaffinity(0)), _MOST_PROCESSES, max(1, len(work)))
    job = _Job(text=text, level=level, master=master, deadline=deadline)
    found: dict[Work, Finding] = {}
    for each, result in _alone(job, target, work) if count == 1 else _together(job, target, work, count):
        found[each] = result
        observe(result, len(found), len(work))
    ordered = sorted(found, key=lambda each: (each.subject, each.attack))
    return Audit(
        target=target,
        level=level,
        master_seed=master,
        started_s=started_s,
        cpu_s=sum(each.cpu_s for each in found.values()),
        findings=tuple(found[each] for each in ordered),
    )


def planned(target: Target, level: Level, only: str | None) -> list[Work]:
    """Return all checks that can test a claim of a subject, the longest first."""
    costs = {
        Work(subject=at, attack=number): _cost(subject, attack, level)
        for at, subject in enumerate(target.subjects)
        for number, attack in enumerate(ATTACKS)
        if isinstance(subject, attack.subjects) and subject.claims_any(attack.tests) and selected(attack.id, only)
    }
    return sorted(costs, key=lambda work: -costs[work])


def selected(attack: str, only: str | None) -> bool:
    """Return whether a check is one of those that a person has asked for."""
    return only is None or attack == only or attack.startswith(f"{only}.")


def _cost(subject: Subject, attack: Attack[Any], level: Level) -> float:
    try:
        plan: Plan | Inapplicable = attack.plan(subject, level)
    except Exception:  # noqa: BLE001 - The run will report it.
        return 0.0
    return plan.cpu_s if isinstance(plan, Plan) else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    text: str | None
    level: Level
    master: bytes
    deadline: float

    def run(self, target: Target, work: Work) -> Finding:
        return finding(
            target.subjects[work.subject],
            ATTACKS[work.attack],
            level=self.level,
            master=self.master,
            within=lambda: time.monotonic() < self.deadline,
        )


def _alone(job: _Job, target: Target, work: list[Work]) -> Iterator[tuple[Work, Finding]]:
    for each in work:
        yield each, job.run(target, each)


def _together(job: _Job, target: Target, work: list[Work], count: int) -> Iterator[tuple[Work, Finding]]:
    pool = ProcessPoolExecutor(
        count, mp_context=multiprocessing.get_context("spawn"), initializer=_begin, initargs=(job,)
    )
    try:
        pending: dict[Future[Finding], Work] = {pool.submit(_work, each): each for each in work}
        for future in as_completed(pending):
            yield pending[future], _result(future, job, target, pending[future])
    except BaseException:
        for process in multiprocessing.active_children():
            process.terminate()
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _result(future: Future[Finding], job: _Job, target: Target, work: Work) -> Finding:
    """Return what a process has found. If the process has ended on the way, the checks that it was given errored."""
    try:
        return future.result()
    except BrokenProcessPool:
        subject, attack = target.subjects[work.subject], ATTACKS[work.attack]
        unrun = finding(subject, attack, level=job.level, master=job.master, within=lambda: False)
        return replace(
            unrun,
            verdict=Verdict.ERRORED,
            evidence="A process of the audit ended by itself. Run the checks one by one with --only to find which.",
        )


_STATE: dict[str, Any] = {}


def _begin(job: _Job) -> None:
    """Prepare a process, which an interruption ends at once and silently."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _STATE["job"] = job
    _STATE["target"] = target_of(job.text)


def _work(work: Work) -> Finding:
    found: Finding = _STATE["job"].run(_STATE["target"], work)
    return found
