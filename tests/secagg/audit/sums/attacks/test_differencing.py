"""A committee opens no two sums that differ in one client: not after a restart, in a session or under a new key."""

from typing import Final

import pytest

from protocols import Finish, PaillierSum, SecAgg
from secagg.audit.attack import Level
from secagg.audit.finding import Verdict
from secagg.audit.planted.attacks import ForgetfulMembers
from secagg.audit.runner import finding
from secagg.audit.sums.attacks.differencing import Differencing, rotated, second_sum, seconds
from secagg.audit.sums.inputs import random_inputs
from secagg.audit.sums.stepwise import Stepwise
from secagg.audit.sums.subject import SumSubject

FORGETFUL: Final = SumSubject.suggested(ForgetfulMembers)


@pytest.mark.parametrize("way", [1, 2])
def test_members_that_forget_open_a_second_sum_in_another_session_and_under_another_key(way: int) -> None:
    """The server restarts members that keep no record; the second sum opens, which rejects them."""
    cohort = FORGETFUL.cohort(10, length=8, context=b"round 1")
    inputs = random_inputs(cohort, b"seed")
    first = Stepwise(cohort, inputs, b"seed").to_step(1)
    second = list(seconds(FORGETFUL, cohort))[way]
    outcome = second_sum(second.cohort, inputs, b"seed", first, without=1)
    assert isinstance(outcome, Finish)
    assert 1 not in outcome.contributors


def test_rotated_key_is_another_key_of_the_same_members() -> None:
    """The attack takes a new key of the same members; it must be another key, and no other committee."""
    cohort = SumSubject.suggested(PaillierSum).cohort(3, length=4)
    other = rotated(cohort)
    assert cohort.session.committee is not None
    assert other.session.committee is not None
    assert other.session.committee.members == cohort.session.committee.members
    assert other.session.committee.key.fingerprint != cohort.session.committee.key.fingerprint
    with pytest.raises(LookupError, match="expected a session with one"):
        rotated(SumSubject.suggested(SecAgg).cohort(3, length=4))


def test_sums_without_a_committee_say_why_differences_are_not_tested() -> None:
    """The attack meets a protocol without a committee; it must say that it does not apply."""
    found = finding(SumSubject.suggested(SecAgg), Differencing(), level=Level.QUICK, master=b"master")
    assert found.verdict is Verdict.NOT_APPLICABLE
    assert "Only noise in the sums limits that" in found.evidence
