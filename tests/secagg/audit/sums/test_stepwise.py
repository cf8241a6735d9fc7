"""A sum that is driven step by step, forked, and asked again."""

import numpy as np
import pytest

from protocols import Adversary, Finish, MemoryRecord, SecAgg, Server, SessionReused, TooFewSurvivors
from protocols.pairwise.messages import AdvertisedKeys
from secagg.audit.seeds import Tape
from secagg.audit.sums.attacks.base import sum_of
from secagg.audit.sums.inputs import random_inputs
from secagg.audit.sums.stepwise import SNAPSHOT_KEY, Stepwise, client_steps, restored
from secagg.audit.sums.subject import SumSubject

SUBJECT = SumSubject.suggested(SecAgg)
COHORT = SUBJECT.cohort(4, length=5)
INPUTS = random_inputs(COHORT, b"inputs")
EVERYONE = COHORT.session.clients


def exact(*clients: int) -> list[int]:
    return [int(entry) for entry in sum_of(INPUTS, clients, COHORT.session.modulus)]


def test_honest_run_ends_with_the_exact_sum() -> None:
    outcome = Stepwise(COHORT, INPUTS, b"seed").finish()
    assert outcome.total.tolist() == exact(*EVERYONE)


def test_equal_seeds_give_equal_messages_and_other_labels_others() -> None:
    one, same, other = (Stepwise(COHORT, INPUTS, b"seed", label=label).replies() for label in ("a", "a", "b"))
    assert one == same
    assert all(one[client] != other[client] for client in EVERYONE)


def test_fork_goes_on_with_another_set_of_replies() -> None:
    run = Stepwise(COHORT, INPUTS, b"seed").to_step(2)
    replies = run.replies()
    fork = run.fork()
    fork.deliver({client: reply for client, reply in replies.items() if client != 1})
    assert fork.finish().total.tolist() == exact(2, 3, 4)
    assert run.number == 2
    assert type(run.fork(Server).server) is Server


def test_machines_that_are_asked_on_trial_leave_the_run_alone() -> None:
    run = Stepwise(COHORT, INPUTS, b"seed").to_step(1)
    assert run.answer_to(1, run.requests[1]) is not None
    assert run.answer_to(1, run.requests[2]) is None
    assert not run.would_take(1, b"")
    reply = run.answer_to(1, run.requests[1])
    assert reply is not None
    assert run.would_take(1, reply)
    assert run.finish().total.tolist() == exact(*EVERYONE)


def test_messages_are_decoded_by_their_step() -> None:
    run = Stepwise(COHORT, INPUTS, b"seed")
    assert isinstance(run.body(0, run.replies()[1]), AdvertisedKeys)
    assert list(client_steps(COHORT)) == [0, 1, 2, 3]


def test_run_with_too_few_parties_ends_without_a_sum() -> None:
    with pytest.raises(TooFewSurvivors):
        Stepwise(COHORT, INPUTS, b"seed").finish([1, 2])


def test_restored_machine_heeds_its_record_only_if_it_has_one() -> None:
    cohort = SumSubject.suggested(SecAgg, adversary=Adversary.MALICIOUS).cohort(3, length=5)
    run = Stepwise(cohort, random_inputs(cohort, b"inputs"), b"seed").to_step(1)
    kept, request = run.clients[1].snapshot(SNAPSHOT_KEY), run.requests[1]
    assert run.answer_to(1, request) is not None
    with pytest.raises(SessionReused):
        restored(cohort, 1, kept, Tape(b"again"), MemoryRecord()).handle(request)
    assert isinstance(run.finish(), Finish)


def test_requests_of_a_finished_run_are_refused() -> None:
    run = Stepwise(COHORT, INPUTS, b"seed")
    run.finish()
    with pytest.raises(LookupError, match="expected an open step"):
        _ = run.requests
    assert run.number == len(COHORT.protocol.steps)
    assert np.array_equal(INPUTS[1], random_inputs(COHORT, b"inputs")[1])
