import numpy as np
import pytest

from protocols import Client, LightSecAgg, PaillierSum, SecAgg, Server, TooFewSurvivors, Transmission
from secagg.audit.seeds import Tape
from secagg.audit.sums.inputs import exact_sum, random_inputs
from secagg.audit.sums.recorded import Watcher, record, replayed, tapes_of
from secagg.audit.sums.subject import SumSubject


def test_recorded_session_comes_to_the_exact_sum() -> None:
    cohort = SumSubject.suggested(SecAgg).cohort(5, length=7)
    inputs = random_inputs(cohort, b"inputs")
    recorded = record(cohort, inputs, tapes_of(b"seed"), drops={"mask_input": [2]})
    assert recorded.finish is not None
    assert recorded.finish.contributors == (1, 3, 4, 5)
    assert recorded.finish.total.tolist() == exact_sum(inputs, (1, 3, 4, 5), cohort.session.modulus)
    assert [each.step for each in recorded.replies(2)] == ["advertise_keys", "share_keys"]
    assert len(recorded.requests(2)) == 3
    assert {party: tape.position for party, tape in recorded.tapes.items()} == dict.fromkeys(range(1, 6), 128)


def test_too_many_dropouts_end_the_recording_with_the_error() -> None:
    cohort = SumSubject.suggested(SecAgg).cohort(5, length=7)
    with pytest.raises(TooFewSurvivors):
        record(cohort, random_inputs(cohort, b"inputs"), tapes_of(b"seed"), drops={"mask_input": [1, 2, 3]})


def test_party_alone_replies_as_it_did_and_otherwise_with_another_tape() -> None:
    cohort = SumSubject.suggested(LightSecAgg).cohort(4, length=7)
    recorded = record(cohort, random_inputs(cohort, b"inputs"), tapes_of(b"seed"))
    replies = [each.data for each in recorded.replies(3)]
    assert list(replayed(recorded, 3, tapes_of(b"seed")(3))) == replies
    assert next(replayed(recorded, 3, Tape(b"another seed"))) != replies[0]


def test_recording_stops_when_the_members_asked_for_have_answered() -> None:
    cohort = SumSubject.suggested(PaillierSum).cohort(3, length=2)
    inputs = {client: np.ones(2, dtype=np.uint64) for client in cohort.session.clients}
    recorded = record(cohort, inputs, tapes_of(b"seed"), members=0)
    assert recorded.finish is None
    assert recorded.active == (1, 2, 3)
    assert len(recorded.requests(cohort.session.committee_members[0])) == 1


class _Altering(Watcher):
    def __init__(self) -> None:
        self.order: list[str] = []

    def asked(self, client: Client, request: Transmission) -> None:
        self.order.append(f"{client.client} asked")
        super().asked(client, request)

    def received(self, server: Server, reply: Transmission) -> bytes:
        self.order.append(f"{reply.sender} received")
        data = super().received(server, reply)
        return data[:-1] if reply.sender == 1 else data

    def refused(self, error: Exception) -> None:
        self.order.append(type(error).__name__)

    def closing(self, server: Server) -> None:
        self.order.append(f"{server.step} closes")
        super().closing(server)


def test_watcher_is_told_in_order_and_may_alter_replies() -> None:
    cohort, watcher = SumSubject.suggested(SecAgg).cohort(3, length=2), _Altering()
    recorded = record(cohort, random_inputs(cohort, b"inputs"), tapes_of(b"seed"), watcher=watcher)
    assert recorded.finish is not None
    assert recorded.finish.contributors == (2, 3)
    assert watcher.order[:3] == ["1 asked", "1 received", "MalformedMessage"]
    assert watcher.order[7] == "advertise_keys closes"
