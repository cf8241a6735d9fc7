"""Every protocol: a client counts from the step that sends its vector, and sends nothing of it at its cap."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar, Final

import pytest

from protocols import (
    Adversary,
    LightSecAgg,
    MemoryRecord,
    OneShot,
    PaillierSum,
    ParameterError,
    PlainSum,
    ProtocolError,
    SecAgg,
    SecAggPlus,
    SecureSum,
    SeedSum,
    available,
)
from protocols.codec import Message
from protocols.machine import Client
from protocols.secure_sum import Role
from protocols.testing.scenario import Scenario
from protocols.testing.suite.participation import ParticipationTests
from tests.conformance.cohorts import IDS, OPENINGS, setting

SMALL: Final = (
    setting(PlainSum(), IDS[:3], 2),
    setting(SecAgg(), IDS[:3], 2),
    setting(SecAgg(adversary=Adversary.MALICIOUS), IDS[:4], 3, attached=OPENINGS),
    setting(SecAggPlus(neighbours=2, share_threshold=2), IDS[:4], 3),
    setting(SecAggPlus(neighbours=4, share_threshold=4, adversary=Adversary.MALICIOUS), IDS[:6], 5),
    setting(LightSecAgg(privacy=1, responders=2), IDS[:4], 3),
    setting(PaillierSum(), IDS[:3], 2),
    setting(PaillierSum(adversary=Adversary.MALICIOUS), IDS[:3], 2, committee=(IDS[0], 9, IDS[1])),
    setting(OneShot(), IDS[:3], 2),
    setting(SeedSum(), IDS[:3], 2),
    setting(SeedSum(adversary=Adversary.MALICIOUS), IDS[:3], 2, committee=(IDS[0], 9, IDS[1], 22)),
    setting(OneShot(adversary=Adversary.MALICIOUS), IDS[:3], 2, committee=(IDS[0], 9, IDS[1])),
)


class TestParticipation(ParticipationTests):
    scenarios: ClassVar = SMALL

    def test_suite_looks_at_every_registered_protocol_and_every_server(self) -> None:
        assert {kind.name for kind in self.kinds()} == set(available())
        tried = {(each.protocol.name, each.session.roster is not None) for each in self.scenarios}
        assert {(kind.name, True) for kind in self.kinds() if Adversary.MALICIOUS in kind.adversaries} <= tried
        assert {(kind.name, False) for kind in self.kinds()} <= tried


@pytest.mark.parametrize(
    ("kind", "parameters", "step"),
    [
        (SecAgg, {}, "advertise_keys"),
        (SecAgg, {}, "share_keys"),
        (SecAgg, {}, "reveal_shares"),
        (LightSecAgg, {"privacy": 1, "responders": 2}, "share_masks"),
        (LightSecAgg, {"privacy": 1, "responders": 2}, "aggregate_shares"),
    ],
)
def test_suite_rejects_a_protocol_that_names_another_step(
    kind: type[SecureSum], parameters: dict[str, int], step: str
) -> None:
    rows = tuple(replace(row, sends_vector=row.name == step) for row in kind(**parameters).steps)
    scenario = setting(type("Other", (kind,), {"steps": rows})(**parameters), IDS[:4], 3)
    with pytest.raises(AssertionError):
        ParticipationTests().test_declared_step_is_the_first_whose_reply_depends_on_the_vector(scenario)


@pytest.mark.parametrize("name", ["none", "two", "of the committee"])
def test_protocol_that_does_not_name_one_step_of_its_clients_runs_no_session(name: str) -> None:
    protocol, session = PaillierSum(), setting(PaillierSum(), IDS[:3], 2).session
    rows = {
        "none": tuple(replace(row, sends_vector=False) for row in protocol.steps),
        "two": (protocol.steps[0], replace(protocol.steps[0], name="again"), protocol.steps[1]),
        "of the committee": tuple(replace(row, sends_vector=row.role is Role.COMMITTEE) for row in protocol.steps),
    }[name]

    class Other(PaillierSum):
        steps = rows  # type: ignore[assignment]  # Any rows.

    with pytest.raises(ParameterError, match="expected exactly one step with `sends_vector`"):
        Other().validate(session)


# Wrong machines and records, which the suite must reject.

Record = Callable[..., None]


def recording_afterwards(patch: pytest.MonkeyPatch) -> None:
    """The machine records the step when the party has made its reply."""

    def answered(machine: Client, number: int, party: Any, request: bytes) -> Message:
        row = machine._steps[number]
        answer: Message = row.answer(party, machine._codec.decode(number, row.request, request))
        if row.role is Role.CLIENT:
            machine._record_step(number, vector=row.sends_vector)
        return answer

    patch.setattr(Client, "_answer", answered)


def changed(patch: pytest.MonkeyPatch, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    record: Record = MemoryRecord.record

    def recorded(self: MemoryRecord, *row: Any, **named: Any) -> None:
        record(self, *row, **change(named))

    patch.setattr(MemoryRecord, "record", recorded)


MUTANTS: Final[dict[str, Callable[[pytest.MonkeyPatch], None]]] = {
    "the record is written after the reply": recording_afterwards,
    "the cap is compared with > in place of >=": lambda patch: changed(
        patch, lambda named: named | {"cap": named["cap"] and named["cap"] + 1}
    ),
    "no cap is compared": lambda patch: changed(patch, lambda named: named | {"cap": None}),
    "every step counts": lambda patch: changed(patch, lambda named: named | {"vector": True}),
    "no step counts": lambda patch: changed(patch, lambda named: named | {"vector": False}),
    "only the session's own steps are compared": lambda patch: changed(
        patch, lambda named: named | ({} if named["vector"] else {"cap": None})
    ),
}


@pytest.mark.parametrize("mutant", MUTANTS)
@pytest.mark.parametrize("scenario", [SMALL[1], SMALL[2]], ids=lambda each: each.label)
def test_suite_rejects_a_machine_or_a_record_that_counts_otherwise(
    scenario: Scenario, mutant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = ParticipationTests()
    tests = (
        suite.test_client_counts_from_the_step_that_sends_its_vector_and_once,
        suite.test_vector_is_not_sent_before_it_is_counted,
        suite.test_client_at_its_cap_sends_nothing,
        suite.test_client_that_reaches_its_cap_meanwhile_does_not_send_its_vector,
    )
    MUTANTS[mutant](monkeypatch)
    rejected = 0
    for test in tests:
        try:
            test(scenario)
        except (AssertionError, ProtocolError, pytest.fail.Exception):
            rejected += 1
    assert rejected
