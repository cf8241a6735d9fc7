"""An audit from the target's text to its result."""

import pytest

from secagg.audit.attack import Level
from secagg.audit.audit import Outcome
from secagg.audit.finding import Verdict
from secagg.audit.run import LIMIT_S, AuditJob, Work, check_selection, planned, run_audit, selected
from secagg.audit.suite import ATTACKS
from secagg.audit.targets import target_of
from secagg.errors import ConfigurationError
from tests.support.audit_checks import MASTER


def test_audit_runs_the_selected_checks_and_tells_of_each() -> None:
    told = []
    audit = run_audit(
        None, level=Level.QUICK, master=MASTER, only="account.ledger", observe=lambda *each: told.append(each)
    )
    assert {finding.attack for finding in audit.findings} == {
        attack.id for attack in ATTACKS if attack.id.startswith("account.ledger.")
    }
    assert audit.outcome is Outcome.NOT_REJECTED
    assert [done for _, done, _ in told] == list(range(1, len(audit.findings) + 1))
    assert {of for *_, of in told} == {len(audit.findings)}


def test_audit_is_repeated_with_its_seed() -> None:
    one, two = (run_audit(None, level=Level.QUICK, master=MASTER, only="account.training.order") for _ in range(2))
    assert [attempt.seed for finding in one.findings for attempt in finding.attempts] == [
        attempt.seed for finding in two.findings for attempt in finding.attempts
    ]


def test_checks_for_which_there_is_no_time_are_not_run() -> None:
    audit = run_audit(None, level=Level.QUICK, master=MASTER, only="account.ledger", limit_s=0.0)
    assert {finding.verdict for finding in audit.findings} == {Verdict.NOT_RUN}
    assert (audit.outcome, audit.exit_code) == (Outcome.INCOMPLETE, 4)


def test_shortest_checks_begin_first() -> None:
    target = target_of(None)
    work = planned(target, Level.QUICK, "account")
    costs = [ATTACKS[each.attack].plan(target.subjects[each.subject], Level.QUICK).cpu_s for each in work]  # type: ignore[union-attr]
    assert costs == sorted(costs)


def test_check_whose_process_ended_is_errored() -> None:
    job = AuditJob(None, level=Level.QUICK, master=MASTER, deadline_s=0.0)
    (work, *_) = planned(target_of(None), Level.QUICK, "account.ledger.crash")
    assert job.lost(work).verdict is Verdict.ERRORED
    assert isinstance(work, Work)


def test_subject_is_found_by_its_name_wherever_a_process_has_it() -> None:
    job = AuditJob(None, level=Level.QUICK, master=MASTER, deadline_s=0.0)
    job.prepare()
    (work, *_) = planned(target_of(None), Level.QUICK, "account.ledger.crash")
    moved = Work(subject=10**6, name=work.name, attack=work.attack)
    assert job.run(moved).subject == work.name
    with pytest.raises(ConfigurationError, match="expected a subject named 'nobody' in every process"):
        job.run(Work(subject=work.subject, name="nobody", attack=work.attack))


@pytest.mark.parametrize(
    ("only", "runs"), [(None, True), ("view", True), ("view.uniform", True), ("view.uni", False), ("attack", False)]
)
def test_selection_is_by_whole_parts(only: str | None, runs: bool) -> None:
    assert selected("view.uniform", only) is runs


def test_selection_of_nothing_is_refused_with_a_suggestion() -> None:
    with pytest.raises(ConfigurationError, match=r"did you mean account\.ledger\.crash\?"):
        check_selection("account.ledger.crahs")
    assert LIMIT_S == {Level.QUICK: 60.0, Level.FULL: 900.0}
