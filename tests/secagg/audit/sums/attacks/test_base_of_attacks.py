"""The parts that attacks share."""

import numpy as np
import pytest

from protocols import ParameterError, RemoteError, SecAgg
from secagg.audit.sums.attacks.base import LenientServer, enough, failed, succeeded, sum_of, unless_refused
from secagg.audit.sums.inputs import random_inputs
from secagg.audit.sums.stepwise import Stepwise
from secagg.audit.sums.subject import SumSubject


def test_refusals_are_none_and_other_errors_are_passed_on() -> None:
    """A party refuses an attack, or crashes; only the refusal may count as a failure of the attack."""

    def refuse() -> bytes:
        raise RemoteError("no")

    def crash() -> bytes:
        raise ZeroDivisionError

    assert unless_refused(lambda: b"yes") == b"yes"
    assert unless_refused(refuse) is None
    with pytest.raises(ZeroDivisionError):
        unless_refused(crash)


def test_lenient_server_goes_on_with_one_reply_as_far_as_its_party_does() -> None:
    """A server closes a step with one reply; what it lacks for a sum must stop it, and nothing before."""
    cohort = SumSubject.suggested(SecAgg).cohort(4, length=4)
    server = LenientServer(cohort.protocol, cohort.session)
    run = Stepwise(cohort, random_inputs(cohort, b"seed"), b"seed", server=server).to_step(2)
    run.deliver(run.replies([1, 2, 3]))
    run.server.receive(1, run.replies([1])[1])
    with pytest.raises(Exception, match="shares of client"):
        run.server.advance()


def test_sum_of_vectors_is_modular() -> None:
    """Attacks compare what they read with a sum, which must be reduced by the modulus."""
    vectors = {1: np.array([5], dtype=np.uint64), 2: np.array([6], dtype=np.uint64), 3: np.array([1], dtype=np.uint64)}
    assert sum_of(vectors, (1, 2), 8).tolist() == [3]


def test_only_success_of_an_attack_rejects() -> None:
    """An attack that succeeds must reject its subject, and one that fails must not."""
    assert succeeded("It was read.").rejects
    assert not failed().rejects


def test_all_clients_are_enough_without_a_committee() -> None:
    """An attack takes the least cohort of a subject, and a subject must refuse a smaller one."""
    cohort = SumSubject.suggested(SecAgg).cohort(3, length=4)
    assert enough(cohort) == [1, 2, 3]
    with pytest.raises(ParameterError):
        SumSubject.suggested(SecAgg).cohort(1, length=4)
