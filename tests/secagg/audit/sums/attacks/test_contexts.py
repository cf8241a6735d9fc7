"""No sum contains a client that was told another context than the others."""

import pytest

from protocols import Adversary, LightSecAgg, PaillierSum, SecAgg, SecureSum
from protocols.plain import PlainSum
from secagg.audit.attack import Level
from secagg.audit.claims import claimed
from secagg.audit.finding import Verdict
from secagg.audit.planted.attacks import UnboundContext
from secagg.audit.runner import finding
from secagg.audit.sums.attacks.contexts import TwoContexts
from secagg.audit.sums.subject import SumSubject


@pytest.mark.parametrize("kind", [SecAgg, LightSecAgg, PaillierSum])
def test_clients_with_two_contexts_are_not_summed(kind: type[SecureSum]) -> None:
    """The server tells clients two contexts; the digest must stop their sum."""
    found = finding(SumSubject.suggested(kind), TwoContexts(), level=Level.QUICK, master=b"master")
    assert found.verdict is Verdict.NOT_REJECTED


@pytest.mark.parametrize("kind", [SecAgg, PaillierSum])
def test_server_that_replaces_the_digest_gets_no_sum_either(kind: type[SecureSum]) -> None:
    """The server puts in the digest that each client expects; keys and signatures must still stop the sum."""
    subject = SumSubject.suggested(kind, adversary=Adversary.MALICIOUS)
    found = finding(subject, TwoContexts(), level=Level.QUICK, master=b"master")
    assert found.verdict is Verdict.NOT_REJECTED
    assert found.trials == 2


def test_context_that_no_message_contains_is_rejected() -> None:
    """The same attack on a digest without the context succeeds, and rejects it."""
    found = finding(SumSubject.suggested(UnboundContext), TwoContexts(), level=Level.QUICK, master=b"master")
    assert found.verdict is Verdict.REJECTED


def test_digest_that_protects_nothing_by_itself_is_rejected_if_a_malicious_server_is_named() -> None:
    """In a plain sum only the envelope has the digest, so a server that replaces it sums over both contexts."""
    subject = SumSubject.suggested(PlainSum)
    subject.claims = claimed("C-05", "C-06")
    found = finding(subject, TwoContexts(), level=Level.QUICK, master=b"master")
    assert found.verdict is Verdict.REJECTED
