"""A second request of a step is refused, and otherwise gives one client's vector."""

import pytest

from protocols import LightSecAgg, PaillierSum, SecAgg
from protocols.plain import PlainSum
from secagg.audit.attack import Level
from secagg.audit.finding import Verdict
from secagg.audit.planted.attacks import AnsweringTwice
from secagg.audit.runner import finding
from secagg.audit.sums.attacks.second_request import SecondRequest
from secagg.audit.sums.subject import SumSubject


@pytest.mark.parametrize("kind", [SecAgg, LightSecAgg, PaillierSum])
def test_second_requests_are_refused(kind: type[SecAgg]) -> None:
    """The server sends a second request of a step; the order of steps must make clients refuse it."""
    found = finding(SumSubject.suggested(kind), SecondRequest(), level=Level.QUICK, master=b"master")
    assert found.verdict is Verdict.NOT_REJECTED


@pytest.mark.parametrize("subject", [AnsweringTwice.suggested(SecAgg), SumSubject.suggested(PlainSum)])
def test_two_sums_of_one_session_give_the_vector_of_one_client(subject: SumSubject) -> None:
    """The server gets two sums of one session from clients that allow it; their difference is a vector."""
    found = finding(subject, SecondRequest(), level=Level.QUICK, master=b"master")
    assert found.verdict is Verdict.REJECTED
    assert "Their difference is its vector" in found.evidence


def test_clients_that_answer_the_same_request_twice_are_rejected_even_if_no_vector_is_read() -> None:
    """The server repeats a request; a second answer must reject the client, even if it reveals nothing."""
    found = finding(AnsweringTwice.suggested(LightSecAgg), SecondRequest(), level=Level.QUICK, master=b"master")
    assert found.verdict is Verdict.REJECTED
