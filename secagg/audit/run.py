"""Runs an audit of a target that a person has named, in several processes and within a time limit."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from secagg.audit.attack import Attack, Inapplicable, Level, Plan
from secagg.audit.audit import Audit, Target
from secagg.audit.finding import Finding, Verdict
from secagg.audit.processes import Job, done
from secagg.audit.runner import finding
from secagg.audit.subject import Subject
from secagg.audit.suite import ATTACKS
from secagg.audit.targets import target_of
from secagg.errors import ConfigurationError
from secagg.interruption import Interrupted
from secagg.suggestions import did_you_mean

LIMIT_S: Final = {Level.QUICK: 60.0, Level.FULL: 900.0}
"""The wall-clock time after which no further check begins, by level, in seconds."""

Observer = Callable[[Finding, int, int], None]
"""Called after each check: what it found, how many checks have ended, and how many there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One check on one subject, by the subject's name and the check's number, so that another process can find them.

    Attributes:
        subject: The place of the subject in the report.
        name: The name of the subject.
        attack: The number of the check in `ATTACKS`.
    """

    subject: int
    name: str
    attack: int


class AuditJob(Job[Work, Finding]):
    """The checks of an audit.

    Args:
        text: What a person has named as the target; None for everything that the toolkit ships.
        level: How long the audit may take.
        master: The master seed, 32 bytes.
        deadline_s: The time of `time.monotonic` after which no further check begins.
    """

    def __init__(self, text: str | None, *, level: Level, master: bytes, deadline_s: float) -> None:
        self._text, self._level, self._master, self._deadline_s = text, level, master, deadline_s
        self._target: Target | None = None

    def prepare(self) -> None:
        """Make the target's subjects; see `Job`."""
        self._target = target_of(self._text)

    def run(self, item: Work) -> Finding:
        """Run one check on one subject; see `Job`."""
        return self._finding(item, within=lambda: time.monotonic() < self._deadline_s)

    def lost(self, item: Work) -> Finding:
        """Return the finding "errored"; see `Job`."""
        if self._target is None:
            self.prepare()
        return replace(
            self._finding(item, within=lambda: False),
            verdict=Verdict.ERRORED,
            evidence="A process of the audit ended by itself. Run the checks one by one with --only to find which.",
        )

    def _finding(self, item: Work, *, within: Callable[[], bool]) -> Finding:
        if self._target is None:
            raise LookupError("target: expected a prepared job, found one without its target")
        subject = next((each for each in self._target.subjects if each.name == item.name), None)
        if subject is None:  # What a factory makes may depend on the process.
            raise ConfigurationError(
                f"target: expected a subject named {item.name!r} in every process of the audit, found one without it. "
                "Return the same subjects from each call."
            )
        attack = ATTACKS[item.attack]
        return finding(subject, attack, level=self._level, master=self._master, within=within)


def run_audit(
    text: str | None,
    *,
    level: Level,
    master: bytes,
    only: str | None = None,
    observe: Observer = lambda *_: None,
    limit_s: float | None = None,
) -> Audit:
    """Audit a target.

    Args:
        text: What a person has named as the target; None for everything that the toolkit ships.
        level: How long the audit may take.
        master: The master seed, 32 bytes.
        only: The id of a check, or its first parts such as "view" or "view.uniform"; None for all.
        observe: Called after each check.
        limit_s: The time after which no further check begins; None for that of the level.

    Raises:
        ConfigurationError: The target is nothing that can be audited, or there is no check named `only`.
    """
    check_selection(only)
    started_s, deadline_s = time.time(), time.monotonic() + (LIMIT_S[level] if limit_s is None else limit_s)
    target = target_of(text)
    work = planned(target, level, only)
    found: dict[Work, Finding] = {}
    for each, result in done(AuditJob(text, level=level, master=master, deadline_s=deadline_s), work):
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


def planned(target: Target, level: Level, only: str | None = None) -> list[Work]:
    """Return all checks that can test a claim of a subject, the shortest first, so that a time limit leaves out few."""
    costs = {
        Work(subject=at, name=subject.name, attack=number): _cost(subject, attack, level)
        for at, subject in enumerate(target.subjects)
        for number, attack in enumerate(ATTACKS)
        if isinstance(subject, attack.subjects) and subject.claims_any(attack.tests) and selected(attack.id, only)
    }
    return sorted(costs, key=lambda work: costs[work])


def selected(attack: str, only: str | None) -> bool:
    """Return whether a check is one of those that a person has asked for."""
    return only is None or attack == only or attack.startswith(f"{only}.")


def check_selection(only: str | None) -> None:
    """Raise `ConfigurationError` unless there is a check with this id, or with these first parts of its id."""
    ids = [attack.id for attack in ATTACKS]
    if only is None or any(selected(attack, only) for attack in ids):
        return
    parts = {attack.rsplit(".", count)[0] for attack in ids for count in range(attack.count(".") + 1)}
    layers = ", ".join(dict.fromkeys(attack.partition(".")[0] for attack in ids))
    raise ConfigurationError(
        f"--only: expected the id of a check, or its first parts (those of all checks begin with {layers}), found "
        f"{only!r}{did_you_mean(only, parts)}"
    )


def _cost(subject: Subject, attack: Attack[Any], level: Level) -> float:
    try:
        plan: Plan | Inapplicable = attack.plan(subject, level)
    except (KeyboardInterrupt, Interrupted):
        raise
    except BaseException:  # noqa: BLE001 - The check itself will report it.
        return 0.0
    return plan.cpu_s if isinstance(plan, Plan) else 0.0
