"""The recorder: every engine's view in one file, a file that is added to only if its chain is whole, and no secret."""

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from protocols import PlainSum, SecAgg, Session, Transmission
from protocols.errors import TooFewSurvivors
from protocols.plain import PlainClient
from protocols.registry import available
from protocols.secure_sum import Finish
from protocols.session import Participant
from protocols.testing import ProtocolRun, attached_secrets
from protocols.testing.suite.reachable import windows
from secagg.audit.transcript.replay import replay
from secagg.engines.base import RoundPlan
from secagg.engines.memory import InMemory, simulate_mean
from secagg.engines.work import Work
from secagg.errors import ConfigurationError, TranscriptAltered, TranscriptError
from secagg.transcripts.reader import RecordedEnd, RecordedMessage, RecordedSession, TranscriptReader
from secagg.transcripts.recorder import Recorder
from secagg.transcripts.records import Kind
from tests.conformance.cohorts import IDS, setting
from tests.support.federation import devices, mean_for
from tests.support.transcripts import CASES, ask, flipped, frames, recording, rounds, send, simulated

SCENARIO = CASES["secagg"].scenario


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "transcript"


def read(file: Path) -> list[RecordedSession | RecordedMessage | RecordedEnd]:
    with TranscriptReader(file) as reader:
        return list(reader)


@pytest.mark.parametrize("name", CASES)
def test_recorded_messages_are_those_that_were_sent_in_order(name: str, file: Path) -> None:
    scenario, made = CASES[name].scenario, recording(name)
    file.write_bytes(made.data)
    begun, *messages, end = read(file)
    assert isinstance(begun, RecordedSession)
    assert (begun.protocol, begun.session) == (scenario.protocol, scenario.session)
    found = [
        (message.step, message.party, message.kind, message.data)
        for message in messages
        if isinstance(message, RecordedMessage)
    ]
    steps = [row.name for row in scenario.protocol.steps]
    assert found == [
        (
            steps.index(each.step),
            each.receiver if each.sender is None else each.sender,
            Kind.REQUEST if each.sender is None else Kind.REPLY,
            each.data,
        )
        for each in made.sent
    ]
    assert isinstance(end, RecordedEnd)
    assert end.result is not None
    assert end.result.total.tolist() == made.result.total.tolist()
    assert end.result.contributors == made.result.contributors
    if scenario.session.attached:
        assert end.result.attached == made.result.attached


@pytest.mark.parametrize("name", [name for name in CASES if not name.startswith("oneshot")])
def test_simulated_session_is_recorded(name: str, file: Path) -> None:
    scenario, drops = CASES[name]
    with Recorder.create(file) as recorder:
        result = simulated(recorder, scenario, drops)
    assert result.contributors == recording(name).result.contributors
    assert result.total.tolist() == recording(name).result.total.tolist()
    found = replay(file, head=recorder.head.hex())
    assert (found.sessions, found.messages, found.rejected) == (1, len(recording(name).sent), False)


class Misbehaving(PlainSum):
    """The plain protocol, of which one client sends a vector of another length."""

    def client_party(self, session: Session, participant: Participant) -> PlainClient:
        if participant.client == IDS[0]:
            participant = replace(participant, vector=participant.vector[:-1])
        return super().client_party(session, participant)


def test_simulated_reply_that_the_server_refuses_is_recorded_as_refused(file: Path) -> None:
    scenario = replace(CASES["plain"].scenario, protocol=Misbehaving())
    with Recorder.create(file) as recorder:
        result = simulated(recorder, scenario, {})
    assert result.contributors == tuple(sorted(IDS[1:3]))
    refused = [each.party for each in read(file) if isinstance(each, RecordedMessage) and each.kind is Kind.REFUSED]
    assert refused == [IDS[0]]
    assert not replay(file).rejected


def test_replies_that_the_server_refuses_are_recorded_as_refused(file: Path) -> None:
    """Repeated ones, and ones that are no message or too long."""
    run = ProtocolRun(SCENARIO)
    with Recorder.create(file) as recorder:
        recorder.begin(SCENARIO.protocol, SCENARIO.session)
        for _ in SCENARIO.protocol.steps:
            ask(run, recorder)
            replies = run.replies()
            for party, reply in replies.items():
                send(run, recorder, party, b"no message")
                send(run, recorder, party, reply)
                send(run, recorder, party, reply)
                send(run, recorder, party, bytes(10**6))
            run.progress = run.server.advance()
        assert isinstance(run.progress, Finish)
        recorder.end(run.progress)
    kinds = [each.kind for each in read(file) if isinstance(each, RecordedMessage)]
    assert kinds.count(Kind.REFUSED) == 3 * kinds.count(Kind.REPLY)
    assert file.stat().st_size < 10**6, "refused replies above any message's length are cut"
    assert not replay(file).rejected


@pytest.mark.parametrize("name", CASES)
def test_transcript_holds_no_secret_of_any_client(name: str) -> None:
    """All that any party draws, and every secret that it holds between any two messages, also if it drops out."""
    scenario, made = CASES[name].scenario, recording(name)
    data = made.data
    assert {secret for secret in made.secrets if secret in data or secret.hex().encode() in data} <= made.revealed
    assert len(made.secrets - made.revealed) > len(scenario.session.clients) or name == "plain"
    for vector in scenario.inputs().values():
        shown = any(window in data for window in windows(vector, scenario.session.modulus))
        assert not (shown and scenario.protocol.protects)


def test_search_for_secrets_would_find_them(file: Path) -> None:
    """The plain protocol's inputs and the opened secrets are in the file, and so are revealed shares."""
    scenario, _ = CASES["plain"]
    made, data = recording("plain"), recording("plain").data
    for client, vector in scenario.inputs().items():
        shown = any(window in data for window in windows(vector, scenario.session.modulus))
        assert shown == (client in made.result.contributors)
    made = recording("secagg")
    opened = [attached_secrets(client, SCENARIO.session)[1].reveal() for client in made.result.contributors]
    assert all(secret in made.data for secret in opened)
    closed = [attached_secrets(client, SCENARIO.session)[0].reveal() for client in SCENARIO.session.clients]
    assert not any(secret in made.data for secret in closed)


def test_engine_in_memory_records_every_round(file: Path) -> None:
    federation = devices()
    mean = mean_for(federation)
    seen: list[Transmission] = []
    with Recorder.create(file) as recorder:
        engine = InMemory(federation, dropping=2, tap=seen.append, recorder=recorder)
        for number in (1, 2):
            weights = federation.model.get_weights()
            session = mean.session(os.urandom(16), context=b"%d" % number)
            engine.run(RoundPlan(mean=mean, session=session, work=Work("test", number, weights)))
    found = replay(file)
    assert (found.sessions, found.messages, found.rejected) == (2, len(seen), False)


def test_mean_of_plain_arrays_is_recorded(file: Path) -> None:
    federation = devices()
    mean = mean_for(federation)
    updates = {client: [np.zeros(shape) for shape in mean.encoding.shapes] for client in mean.clients}
    with Recorder.create(file) as recorder:
        simulate_mean(mean, updates, recorder=recorder)
        with pytest.raises(TooFewSurvivors):
            simulate_mean(mean, updates, recorder=recorder, drops={"mask_input": mean.clients[:4]})
    end = read(file)[-1]
    assert end == RecordedEnd(reason="TooFewSurvivors")
    found = replay(file, head=recorder.head.hex())
    assert (found.sessions, found.rejected) == (2, False)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes of files")
def test_only_the_owner_can_read_a_transcript(file: Path) -> None:
    Recorder.create(file).close()
    assert file.stat().st_mode & 0o777 == 0o600


def test_new_transcript_replaces_no_file(file: Path) -> None:
    file.write_bytes(b"something else")
    with pytest.raises(TranscriptError, match="expected no file before a new transcript"):
        Recorder.create(file)
    with pytest.raises(TranscriptError, match="expected a transcript, found another file"):
        Recorder.resume(file)
    assert file.read_bytes() == b"something else"
    with pytest.raises(TranscriptError, match="cannot be written"):
        Recorder.create(file / "below")


def resumed(file: Path) -> None:
    """Add a session to a transcript."""
    scenario = replace(SCENARIO, session=replace(SCENARIO.session, session_id=os.urandom(16)))
    with Recorder.resume(file) as recorder:
        simulated(recorder, scenario, {}, seed=os.urandom(16))


def test_resumed_recording_goes_on_from_the_head(file: Path) -> None:
    made = recording("secagg")
    file.write_bytes(made.data)
    resumed(file)
    assert file.read_bytes().startswith(made.data)
    found = replay(file, head=made.head.hex())
    assert (found.sessions, found.rejected) == (2, False)


@pytest.mark.parametrize("cut", [1, 39, 41, 700])
def test_record_that_a_crash_left_unfinished_is_cut_off(cut: int, file: Path) -> None:
    whole = recording("secagg").data
    data = whole[:-cut]
    file.write_bytes(data)
    resumed(file)
    kept = b""
    for frame in frames(whole):
        if len(kept + frame) > len(data):
            break
        kept += frame
    assert file.read_bytes().startswith(kept)
    found = replay(file)
    assert (found.sessions, found.rejected) == (2, False)
    assert any("its recording ends before its result" in why for check in found.checks for why in check.not_tested)


def test_recording_that_was_interrupted_before_its_first_record_begins_again(file: Path) -> None:
    for data in (b"", recording("secagg").data[:20]):
        file.write_bytes(data)
        resumed(file)
        assert replay(file).sessions == 1


def test_altered_transcript_is_not_added_to(file: Path) -> None:
    data = flipped(recording("secagg").data, 3000)
    file.write_bytes(data)
    with pytest.raises(TranscriptAltered):
        Recorder.resume(file)
    assert file.read_bytes() == data


def test_second_writer_is_refused(file: Path) -> None:
    one = Recorder.create(file)
    other = Recorder.resume(file)
    other.begin(SCENARIO.protocol, SCENARIO.session)
    with pytest.raises(TranscriptError, match="expected to be the only writer"):
        one.begin(SCENARIO.protocol, SCENARIO.session)
    with pytest.raises(TranscriptError, match="found it closed"):
        one.begin(SCENARIO.protocol, SCENARIO.session)
    other.close()
    assert len(read(file)) == 1


@pytest.mark.parametrize(
    "use",
    [
        lambda recorder: recorder.message(Transmission("advertise_keys", None, IDS[0], b"")),
        lambda recorder: recorder.end(recording("secagg").result),
        lambda recorder: recorder.withhold(TooFewSurvivors("")),
    ],
)
def test_record_outside_a_session_is_refused(use: Callable[[Recorder], None], file: Path) -> None:
    with Recorder.create(file) as recorder:
        with pytest.raises(TranscriptError, match="Call `begin` first"):
            use(recorder)
        recorder.begin(SCENARIO.protocol, SCENARIO.session)
        recorder.withhold(TooFewSurvivors(""))
        with pytest.raises(TranscriptError, match="Call `begin` first"):
            use(recorder)


def test_result_of_another_session_is_refused(file: Path) -> None:
    result = recording("secagg").result
    with Recorder.create(file) as recorder:
        recorder.begin(SCENARIO.protocol, SCENARIO.session)
        for bad in (
            replace(result, total=result.total[:-1]),
            replace(result, total=result.total + np.uint64(SCENARIO.session.modulus)),
            replace(result, contributors=(-1,)),
        ):
            with pytest.raises(TranscriptError, match="expected a sum of 40 coordinates"):
                recorder.end(bad)
        recorder.end(result)


def test_message_of_another_protocol_is_refused(file: Path) -> None:
    with Recorder.create(file) as recorder:
        recorder.begin(SCENARIO.protocol, SCENARIO.session)
        with pytest.raises(TranscriptError, match="contribute"):
            recorder.message(Transmission("contribute", None, IDS[0], b""))
        with pytest.raises(TranscriptError, match="between a party and the server"):
            recorder.message(Transmission("advertise_keys", None, None, b""))


def test_session_that_an_error_of_a_client_ends_stays_without_a_result(file: Path) -> None:
    scenario = setting(SecAgg(), IDS[:3], 2)
    with Recorder.create(file) as recorder:
        with (
            pytest.raises(ConfigurationError, match="of the driver"),
            recorder.session(scenario.protocol, scenario.session),
        ):
            raise ConfigurationError("of the driver")
        assert len(read(file)) == 1
    resumed(file)
    assert replay(file).sessions == 2


def test_head_is_that_of_the_last_record(file: Path) -> None:
    head = rounds(file, [(b"the first session", b"1"), (b"the second session", b"2")])
    assert file.read_bytes().endswith(head)


def test_cases_cover_every_protocol_and_both_servers() -> None:
    protocols = [case.scenario.protocol for case in CASES.values()]
    found = {(protocol.name, getattr(protocol, "adversary", None)) for protocol in protocols}
    assert {protocol.name for protocol in protocols} == set(available())
    assert found >= {
        (protocol.name, each)
        for protocol in protocols
        if len(protocol.adversaries) > 1
        for each in protocol.adversaries
    }
