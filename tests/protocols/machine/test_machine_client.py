"""The client's machine and its record of openings: when it is made, what it holds, and what follows if it refuses."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

import pytest

from protocols import (
    Adversary,
    Client,
    LightSecAgg,
    MemoryOpenings,
    MemoryRecord,
    OrderError,
    PaillierSum,
    ParameterError,
    ParticipationRefused,
    ProtocolError,
    SecAgg,
    SessionReused,
    UnsafeOpening,
)
from protocols.pairwise.messages import Survivors, encode_clients
from protocols.replay import NO_IDENTITY, client_key
from protocols.testing import SNAPSHOT_KEY, ProtocolRun, Scenario, fixed_identity, repeatable_entropy
from protocols.testing.suite.openings import check_nothing_is_left
from tests.conformance.cohorts import IDS, setting

CURIOUS: Final = setting(SecAgg(), IDS[:4], 3, context=b"round 1")
SIGNED: Final = setting(SecAgg(adversary=Adversary.MALICIOUS), IDS[:4], 3, context=b"round 1")
CODED: Final = setting(LightSecAgg(privacy=1, responders=2), IDS[:4], 3, context=b"round 1")
OPENED: Final = setting(PaillierSum(), IDS[:3], 2, committee=(IDS[0], 21, 22))
EACH: Final = pytest.mark.parametrize("scenario", [CURIOUS, SIGNED, CODED], ids=lambda each: each.label)
FIRST: Final = IDS[0]


@dataclass(slots=True)
class Diary:
    """The records of sessions and of openings of one client, in the order in which they were made.

    Attributes:
        entries: What was recorded: the number of a step, or what an opening was recorded with.
        failing: What the record of openings raises; None if it takes everything.
    """

    entries: list[int | dict[str, Any]] = field(default_factory=list)
    failing: Exception | None = None

    @property
    def sessions(self) -> "Diary.Sessions":
        """The record of sessions."""
        return Diary.Sessions(self.entries.append)

    @property
    def openings(self) -> "Diary.Openings":
        """The record of openings."""
        return Diary.Openings(self)

    @dataclass(frozen=True, slots=True)
    class Sessions:
        """A record of sessions."""

        note: Callable[[int], None]

        def record(
            self,
            identity: bytes,
            session_id: bytes,
            number: int,
            *,
            vector: bool = False,
            cap: int | None = None,
            context: bytes = b"",
            committee: bytes = b"",
        ) -> None:
            """See `SessionRecord.record`."""
            self.note(number)

    @dataclass(frozen=True, slots=True)
    class Openings:
        """A record of openings."""

        diary: "Diary"

        def record(self, **opening: Any) -> None:
            """See `OpeningRecord.record`."""
            if self.diary.failing is not None:
                raise self.diary.failing
            self.diary.entries.append(opening)


def answering(scenario: Scenario, diary: Diary) -> tuple[ProtocolRun, Client]:
    """Return a run in which the first client keeps a diary, before the step that reveals, and that client's machine."""
    run = ProtocolRun(scenario)
    machine = scenario.client(
        FIRST, run.inputs[FIRST], repeatable_entropy(b"run%d" % FIRST), diary.sessions, diary.openings
    )
    run.clients[FIRST] = machine
    return run.to_step(len(scenario.protocol.steps) - 1), machine


@EACH
def test_opening_is_recorded_after_the_step_and_once(scenario: Scenario) -> None:
    diary = Diary()
    run, machine = answering(scenario, diary)
    steps = list(range(len(scenario.protocol.steps) - 1))
    assert diary.entries == steps
    machine.handle(run.requests[FIRST])
    *before, opening = diary.entries
    assert before == [*steps, len(steps)]
    assert opening == {
        "key": client_key(FIRST, fixed_identity(FIRST).public if scenario.session.roster else None),
        "session_id": scenario.session.session_id,
        "context": b"round 1",
        "contributors": tuple(sorted(scenario.session.clients)),
        "minimum": 3,
    }


@EACH
@pytest.mark.parametrize("error", [UnsafeOpening("no"), SessionReused("no"), OSError("the disk is full")])
def test_client_whose_opening_is_not_recorded_reveals_nothing(scenario: Scenario, error: Exception) -> None:
    run, machine = answering(scenario, Diary(failing=error))
    with pytest.raises(type(error)) as caught:
        machine.handle(run.requests[FIRST])
    assert caught.value is error
    assert machine.closed
    check_nothing_is_left(machine, caught.value, run, len(scenario.protocol.steps) - 1)
    with pytest.raises(OrderError):
        machine.handle(run.requests[FIRST])


@EACH
def test_request_that_is_refused_is_not_recorded(scenario: Scenario) -> None:
    """A server that alters a byte of its request must not fill the record with sets for which nothing was revealed."""
    run, machine = answering(scenario, Diary())
    kept, request, answered = machine.snapshot(SNAPSHOT_KEY), run.requests[FIRST], 0
    for position in range(len(request)):
        diary = Diary()
        again = scenario.restored(FIRST, kept, repeatable_entropy(b"again"), diary.sessions, diary.openings)
        altered = request[:position] + bytes([request[position] ^ 4]) + request[position + 1 :]
        try:
            again.handle(altered)
            answered += 1
        except ProtocolError:
            assert not any(isinstance(entry, dict) for entry in diary.entries)
            continue
        assert isinstance(diary.entries[-1], dict)
        assert len(diary.entries[-1]["contributors"]) == 3
    assert answered == (1 if scenario is CURIOUS else 0)  # A bit of the survivors' bitmap was one of these.


def test_client_with_a_minimum_of_its_own_records_the_greater_one() -> None:
    """Its terms refuse a session of a smaller threshold, so the greater one is the threshold."""
    diary = Diary()
    own = SIGNED.terms(FIRST, diary.sessions)
    assert own is not None
    run = ProtocolRun(SIGNED)
    machine = Client(
        SIGNED.protocol,
        SIGNED.session,
        FIRST,
        run.inputs[FIRST],
        entropy=repeatable_entropy(b"run%d" % FIRST),
        terms=replace(own, minimum_contributors=2),
        openings=diary.openings,
    )
    run.clients[FIRST] = machine
    run.to_step(4)
    machine.handle(run.requests[FIRST])
    assert isinstance(diary.entries[-1], dict)
    assert diary.entries[-1]["minimum"] == SIGNED.session.threshold == 3


@EACH
def test_client_with_two_identities_has_one_record(scenario: Scenario) -> None:
    """A party that is two clients of a session reveals as both, and compares the sets of both."""
    run, record, second = ProtocolRun(scenario), MemoryOpenings(), IDS[1]
    for client in (FIRST, second):
        vector, entropy = run.inputs[client], repeatable_entropy(b"run%d" % client)
        run.clients[client] = scenario.client(client, vector, entropy, run.records[client], record)
    outcome = run.finish()
    assert run.is_exact(outcome)
    later = replace(scenario, session=replace(scenario.session, session_id=b"an attempt after it"))
    again = ProtocolRun(later, openings=dict.fromkeys(scenario.session.clients, record))
    for _ in range(len(scenario.protocol.steps) - 1):
        again.deliver({c: again.clients[c].handle(r) for c, r in again.requests.items() if c != FIRST})
    with pytest.raises(UnsafeOpening):
        again.clients[second].handle(again.requests[second])


def test_member_of_a_committee_records_its_opening_in_the_keyholders_record() -> None:
    """It is a client too, and its client's step reveals nothing."""
    record = MemoryOpenings()
    run = ProtocolRun(OPENED)
    party = IDS[0]
    run.clients[party] = OPENED.client(party, run.inputs[party], repeatable_entropy(b"both"), openings=record)
    run.to_step(1)
    assert vars(record) == vars(MemoryOpenings())
    run.clients[party].handle(run.requests[party])
    keyholder = OPENED.keyholder(party, record)
    assert keyholder is not None
    with pytest.raises(SessionReused):
        record.record(
            key=keyholder.fingerprint,
            session_id=OPENED.session.session_id,
            context=b"",
            contributors=tuple(sorted(IDS[:3])),
            minimum=2,
        )


def test_record_of_another_kind_or_of_another_owner_is_refused() -> None:
    def join(scenario: Scenario, openings: object, **given: Any) -> Client:
        vector = scenario.inputs()[FIRST]
        return Client(scenario.protocol, scenario.session, FIRST, vector, entropy=bytes, openings=openings, **given)  # type: ignore[arg-type]  # that is the test

    for wrong in ("record", 7, object(), {}):
        with pytest.raises(ParameterError, match="openings: expected an OpeningRecord or None"):
            join(CURIOUS, wrong)
    assert join(CURIOUS, MemoryOpenings()).step == "advertise_keys"
    own = MemoryOpenings()
    keyholder = OPENED.keyholder(FIRST, own)
    with pytest.raises(ParameterError, match="openings: expected the record of the party's own Keyholder"):
        join(OPENED, MemoryOpenings(), keyholder=keyholder)
    for same in (own, None):
        machine = join(OPENED, same, keyholder=keyholder)
    kept = machine.snapshot(SNAPSHOT_KEY)
    for openings, error in ((own, None), (MemoryOpenings(), "own Keyholder"), (3, "OpeningRecord or None")):
        restored = (OPENED.protocol, OPENED.session, kept)
        brought: dict[str, Any] = {"key": SNAPSHOT_KEY, "entropy": bytes, "keyholder": keyholder, "openings": openings}
        if error is None:
            assert Client.restore(*restored, **brought).step == "encrypt_input"
            continue
        with pytest.raises(ParameterError, match=error):
            Client.restore(*restored, **brought)


@EACH
def test_client_without_a_record_reveals_as_it_did_before(scenario: Scenario) -> None:
    """The same bytes as with one, also for a second set of survivors."""
    run = ProtocolRun(scenario)
    for client in scenario.session.clients:
        entropy = repeatable_entropy(b"run%d" % client)
        run.clients[client] = scenario.client(client, run.inputs[client], entropy, run.records[client])
    recording, last = ProtocolRun(scenario), len(scenario.protocol.steps) - 1
    for _ in range(last):
        replies = run.replies()
        assert replies == recording.replies()
        run.deliver(replies)
        recording.deliver(replies)
    assert run.requests == recording.requests
    assert run.replies() == recording.replies()


def test_older_snapshot_without_a_roster_reveals_for_one_set_only() -> None:
    """The server restores a curious session's client from before it revealed, and names other survivors.

    The record of openings must refuse (SessionReused). Without it, the client reveals for both sets, and thereby shares
    of both secrets of the client that is in one of them.
    """
    run = ProtocolRun(CURIOUS).to_step(3)
    kept, survivors = run.clients[FIRST].snapshot(SNAPSHOT_KEY), run.requests[FIRST]
    alive = set(CURIOUS.session.clients) - {IDS[3]}
    fewer = CURIOUS.codec.encode(3, Survivors(encode_clients(alive, CURIOUS.session)))
    run.clients[FIRST].handle(survivors)
    with pytest.raises(SessionReused):
        CURIOUS.restored(FIRST, kept, repeatable_entropy(b"later"), openings=run.openings[FIRST]).handle(fewer)
    replies = [CURIOUS.restored(FIRST, kept, repeatable_entropy(b"later")).handle(each) for each in (survivors, fewer)]
    assert len(set(replies)) == 2


# The record of the sessions of a client without an identity.


def curious(number: int, clients: tuple[int, ...] = IDS[:4]) -> Scenario:
    """Return a session without a roster, of these clients."""
    scenario = setting(SecAgg(), clients, 3, context=b"round 1")
    return replace(scenario, session=replace(scenario.session, session_id=b"session number %02d" % number))


def test_client_without_an_identity_counts_whatever_id_it_has() -> None:
    """A server that gives a client another id in each session does not get past its cap."""
    record = MemoryRecord()
    for number, client in enumerate(IDS[:3]):
        scenario = curious(number)
        run = ProtocolRun(scenario)
        run.clients[client] = scenario.client(
            client, run.inputs[client], repeatable_entropy(b"x"), record, run.openings[client], cap=2
        )
        if number == 2:
            with pytest.raises(ParticipationRefused):
                run.replies()
            assert run.clients[client].closed
            break
        run.finish()
        assert record.participations(NO_IDENTITY) == number + 1


def test_two_clients_of_one_session_without_identities_need_two_records() -> None:
    scenario, record = curious(1), MemoryRecord()
    run = ProtocolRun(scenario)
    machines = [
        scenario.client(client, run.inputs[client], repeatable_entropy(b"x"), record)
        for client in scenario.session.clients
    ]
    machines[0].handle(run.requests[IDS[0]])
    with pytest.raises(SessionReused):
        machines[1].handle(run.requests[IDS[1]])


def test_record_of_a_client_without_an_identity_keeps_it_from_answering_twice() -> None:
    """Restored from before a step, a client without a roster answers it again; with a record it does not."""
    scenario = curious(1)
    run = ProtocolRun(scenario).to_step(2)
    kept, request = run.clients[FIRST].snapshot(SNAPSHOT_KEY), run.requests[FIRST]
    run.clients[FIRST].handle(request)
    for record, refused in ((run.records[FIRST], True), (None, False)):
        machine = scenario.restored(FIRST, kept, repeatable_entropy(b"later"), record)
        if not refused:
            machine.handle(request)
            continue
        with pytest.raises(SessionReused):
            machine.handle(request)
    assert run.records[FIRST].participations(NO_IDENTITY) == 1
