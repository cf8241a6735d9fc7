"""What follows from all findings of an audit."""

import pytest

from secagg.audit.attack import Attack
from secagg.audit.audit import EXIT_INCOMPLETE, EXIT_REJECTED, Outcome
from secagg.audit.finding import Verdict
from tests.support.audit_checks import Crashing, Exact, Given, Inapt, Statistical, audited

GOOD, BAD = Exact(rejected=False), Exact(rejected=True)


@pytest.mark.parametrize(
    ("attacks", "outcome", "code"),
    [
        ([GOOD], Outcome.NOT_REJECTED, 0),
        ([GOOD, Inapt()], Outcome.NOT_REJECTED, 0),
        ([GOOD, BAD], Outcome.REJECTED, EXIT_REJECTED),
        ([BAD, Crashing()], Outcome.REJECTED, EXIT_REJECTED),
        ([GOOD, Crashing()], Outcome.INCOMPLETE, EXIT_INCOMPLETE),
        ([Inapt()], Outcome.INCOMPLETE, EXIT_INCOMPLETE),
        ([], Outcome.INCOMPLETE, EXIT_INCOMPLETE),
    ],
)
def test_one_rejection_decides_and_nothing_tested_is_incomplete(
    attacks: list[Attack[Given]], outcome: Outcome, code: int
) -> None:
    audit = audited(*attacks)
    assert (audit.outcome, audit.exit_code) == (outcome, code)


def test_union_bound_counts_the_statistical_checks_alone() -> None:
    audit = audited(GOOD, Statistical(0.5, 0.5), Inapt(), subjects=[Given("one"), Given("two")])
    assert audit.statistical_checks == 2
    assert audit.chance_of_any_false_rejection == pytest.approx(2e-6)


def test_everything_that_was_not_tested_is_listed_with_its_reason() -> None:
    audit = audited(GOOD, Crashing(), Inapt(), limits=("A folder shows no costs.",))
    assert [(each.subject, each.what) for each in audit.untested] == [
        ("given", "attack.crashing"),
        ("given", "replay.inapt"),
        ("given", "C-03"),
        ("", "protocol"),
    ]
    assert all(each.why.endswith(".") for each in audit.untested)


def test_verdict_on_a_claim_is_the_worst_of_its_checks() -> None:
    audit = audited(GOOD, BAD, Statistical(0.5))
    assert audit.verdict_on("C-01") is Verdict.REJECTED
    assert audit.verdict_on("C-03") is Verdict.NOT_REJECTED
    assert audit.verdict_on("C-30") is Verdict.NOT_APPLICABLE
    assert [claim.id for claim in audit.claims] == ["C-01", "C-03"]
    assert [claim.id for claim in audited(GOOD, subjects=[Given("one"), Given("two")]).claims] == ["C-01", "C-03"]
