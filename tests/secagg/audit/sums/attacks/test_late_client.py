"""A late client's vector is read if vectors have no masks of their own, and not otherwise."""

import numpy as np
import pytest

from examples.audit_toy import ToySum
from protocols import LightSecAgg, PaillierSum, SecAgg
from protocols.plain import PlainSum
from secagg.audit.attack import Inapplicable, Level
from secagg.audit.finding import Verdict
from secagg.audit.planted.attacks import NoOwnMasks
from secagg.audit.runner import finding
from secagg.audit.sums.attacks.late_client import LateClient, read_late_vector
from secagg.audit.sums.inputs import random_inputs
from secagg.audit.sums.subject import SumSubject
from secagg.audit.sums.view import carrier_of


@pytest.mark.parametrize(
    ("subject", "verdict"),
    [
        (SumSubject.suggested(SecAgg), Verdict.NOT_REJECTED),
        (SumSubject.suggested(LightSecAgg), Verdict.NOT_REJECTED),
        (SumSubject.suggested(PaillierSum), Verdict.NOT_APPLICABLE),
        (SumSubject.suggested(PlainSum), Verdict.REJECTED),
        (SumSubject.suggested(NoOwnMasks), Verdict.REJECTED),
        (SumSubject.of(ToySum()), Verdict.REJECTED),
    ],
)
def test_late_client_is_read_only_without_masks_of_single_clients(subject: SumSubject, verdict: Verdict) -> None:
    """The server calls a client dropped and then takes its vector; the client's own mask must hide it."""
    assert finding(subject, LateClient(), level=Level.QUICK, master=b"master").verdict is verdict


def test_vector_that_is_read_is_that_of_the_late_client() -> None:
    """The same attack without masks of single clients must read the very vector of the late client."""
    subject = SumSubject.of(ToySum())
    carrier = carrier_of(subject)
    assert not isinstance(carrier, Inapplicable)
    cohort = subject.cohort(4, length=8)
    inputs = random_inputs(cohort, b"seed")
    for late in cohort.session.clients:
        read = read_late_vector(cohort, inputs, late, carrier, b"seed")
        assert read is not None
        assert np.array_equal(read, inputs[late])
