"""Sizes of messages do not depend on inputs, and replies are randomised; variants for which this is not so."""

import zlib
from dataclasses import dataclass

import pytest

from protocols import Adversary, LightSecAgg, PaillierSum, SecAgg, SecureSum
from protocols.codec import Invitation
from protocols.plain import PlainClient, PlainInput, PlainSum
from secagg.audit.attack import Level
from secagg.audit.finding import Verdict
from secagg.audit.planted.attacks import RepeatedMasks
from secagg.audit.planted.steps import Steps, with_answers
from secagg.audit.runner import finding
from secagg.audit.sums.attacks.base import sum_of
from secagg.audit.sums.exposure import FreshReplies, MessageSizes, pairs_of_inputs
from secagg.audit.sums.subject import SumSubject


def compressed(party: PlainClient, invitation: Invitation) -> PlainInput:
    return PlainInput(memoryview(zlib.compress(party.contribute(invitation).packed)))


@dataclass(frozen=True)
class CompressedSum(PlainSum):
    """Sums in the clear, of vectors that clients compress."""

    @property
    def steps(self) -> Steps:  # type: ignore[override]  # A class attribute there.
        return with_answers(PlainSum.steps, {"contribute": compressed})


@pytest.mark.parametrize("kind", [SecAgg, LightSecAgg, PaillierSum])
def test_sizes_and_replies_of_protocols_are_not_rejected(kind: type[SecureSum]) -> None:
    for check in (MessageSizes(), FreshReplies()):
        found = finding(SumSubject.suggested(kind), check, level=Level.QUICK, master=b"master")
        assert found.verdict is Verdict.NOT_REJECTED, check.id


def test_messages_whose_length_depends_on_the_vector_are_rejected() -> None:
    found = finding(SumSubject.suggested(CompressedSum), MessageSizes(), level=Level.QUICK, master=b"master")
    assert found.verdict is Verdict.REJECTED
    assert "bytes to party" in found.evidence


@pytest.mark.parametrize("kind", [PlainSum, RepeatedMasks])
def test_replies_that_repeat_are_rejected(kind: type[SecureSum]) -> None:
    found = finding(SumSubject.suggested(kind), FreshReplies(), level=Level.QUICK, master=b"master")
    assert found.verdict is Verdict.REJECTED
    assert "Both clients have the same vector" in found.evidence


def test_pairs_of_inputs_have_the_same_sum() -> None:
    cohort = SumSubject.suggested(SecAgg, adversary=Adversary.MALICIOUS).cohort(3, length=9)
    for one, other in pairs_of_inputs(cohort, b"seed"):
        sums = [sum_of(inputs, cohort.session.clients, cohort.session.modulus).tolist() for inputs in (one, other)]
        assert sums[0] == sums[1]
        assert any(one[client].tolist() != other[client].tolist() for client in cohort.session.clients)
