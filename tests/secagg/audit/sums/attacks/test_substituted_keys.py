"""Keys of the server, of another session or with altered signatures are refused, if signatures are checked."""

import numpy as np
import pytest

from protocols import Adversary, PaillierSum, SecAgg, SecAggPlus, SecureSum
from secagg.audit.attack import Level
from secagg.audit.finding import Verdict
from secagg.audit.planted.attacks import UncheckedSignatures
from secagg.audit.runner import finding
from secagg.audit.sums.attacks.substituted_keys import FakeClient, SubstitutedKeys, read_vector
from secagg.audit.sums.inputs import random_inputs
from secagg.audit.sums.stepwise import Stepwise
from secagg.audit.sums.subject import SumSubject


@pytest.mark.parametrize(
    ("kind", "verdict"),
    [
        (SecAgg, Verdict.NOT_REJECTED),
        (SecAggPlus, Verdict.NOT_REJECTED),
        (PaillierSum, Verdict.NOT_APPLICABLE),
        (UncheckedSignatures, Verdict.REJECTED),
    ],
)
def test_keys_that_others_did_not_sign_are_rejected(kind: type[SecureSum], verdict: Verdict) -> None:
    """The server puts in keys that nobody signed; a client that takes them is rejected."""
    subject = SumSubject.suggested(kind, adversary=Adversary.MALICIOUS)
    assert finding(subject, SubstitutedKeys(), level=Level.QUICK, master=b"master").verdict is verdict


@pytest.mark.parametrize(("kind", "is_read"), [(SecAgg, False), (UncheckedSignatures, True)])
def test_server_that_plays_all_others_reads_the_vector_only_without_signatures(
    kind: type[SecureSum], *, is_read: bool
) -> None:
    """The server plays all other clients; signatures over the keys must stop it."""
    cohort = SumSubject.suggested(kind, adversary=Adversary.MALICIOUS).cohort(4, length=8)
    inputs = random_inputs(cohort, b"seed")
    fakes = {client: FakeClient.of(b"seed", client) for client in (1, 3, 4)}
    read = read_vector(cohort, Stepwise(cohort, inputs, b"seed"), 2, fakes)
    assert (read is not None) is is_read
    assert read is None or np.array_equal(read, inputs[2])
