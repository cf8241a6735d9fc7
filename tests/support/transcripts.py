"""Recorded transcripts for tests: small sessions of every protocol with drops, and files altered with a chain rebuilt."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace as with_session
from functools import cache
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

from msgspec.structs import replace as with_fields

from protocols import Adversary, LightSecAgg, OneShot, PaillierSum, PlainSum, SecAgg, SecAggPlus, Transmission
from protocols.errors import RemoteError
from protocols.machine import Continue
from protocols.secure_sum import Finish
from protocols.testing import ProtocolRun, Scenario, repeatable_entropy
from secagg.transcripts.chain import GENESIS, FrameReader, framed
from secagg.transcripts.recorder import Recorder
from secagg.transcripts.records import Kind, MessageRecord, Record, decode, encode
from tests.conformance.cohorts import IDS, OPENINGS, setting

Records = list[Record]
Drops = Mapping[str, Sequence[int]]
Change = Callable[[Records], Iterable[Record]]


class Case(NamedTuple):
    """A scenario and who drops out in it, by step."""

    scenario: Scenario
    drops: Drops


MALICIOUS: Final = Adversary.MALICIOUS

CASES: Final[dict[str, Case]] = {
    "plain": Case(setting(PlainSum(), IDS[:3], 2), {"contribute": [IDS[1]]}),
    "secagg": Case(setting(SecAgg(), IDS[:4], 2, attached=OPENINGS), {"mask_input": [IDS[0]]}),
    "secagg-malicious": Case(
        setting(SecAgg(adversary=MALICIOUS), IDS[:5], 4),
        {"confirm_survivors": [IDS[2]]},
    ),
    "secagg-plus": Case(
        setting(SecAggPlus(neighbours=4, share_threshold=2), IDS[:7], 4),
        {"advertise_keys": [IDS[0]], "mask_input": [IDS[1]], "reveal_shares": [IDS[2]]},
    ),
    "secagg-plus-malicious": Case(
        setting(SecAggPlus(neighbours=4, share_threshold=4, adversary=MALICIOUS), IDS[:6], 4, attached=OPENINGS),
        {"mask_input": [IDS[5]]},
    ),
    "lightsecagg": Case(
        setting(LightSecAgg(privacy=1, responders=2), IDS[:4], 3),
        {"mask_input": [IDS[3]]},
    ),
    "paillier": Case(setting(PaillierSum(), IDS[:3], 2), {"encrypt_input": [IDS[0]], "open_sum": [22]}),
    "paillier-malicious": Case(
        setting(PaillierSum(adversary=MALICIOUS), IDS[:3], 2, committee=IDS[1:4]), {"open_sum": [IDS[3]]}
    ),
    "oneshot": Case(setting(OneShot(), IDS[:3], 2), {"encrypt_input": [IDS[0]]}),
    "oneshot-malicious": Case(setting(OneShot(adversary=MALICIOUS), IDS[:3], 2), {"encrypt_input": [IDS[2]]}),
}


class Recording(NamedTuple):
    """A recorded file, its head and the result of its session."""

    data: bytes
    head: bytes
    result: Finish


@cache
def recording(name: str) -> Recording:
    """Return the transcript of one session of a case, recorded by `simulate`."""
    scenario, drops = CASES[name]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "transcript"
        with Recorder.create(path) as recorder:
            with recorder.session(scenario.protocol, scenario.session) as tap:
                outcome = scenario.simulate(scenario.inputs(), drops=drops, tap=tap)
                result = Finish(outcome.total, outcome.contributors, outcome.attached)
                recorder.end(result)
            return Recording(path.read_bytes(), recorder.head, result)


def rounds(path: Path, sessions: Sequence[tuple[bytes, bytes]]) -> Recording:
    """Record several sessions of SecAgg, each with an id and a seed of the parties' entropy, into a new file."""
    scenario = setting(SecAgg(), IDS[:3], 2)
    with Recorder.create(path) as recorder:
        for session_id, seed in sessions:
            session = with_session(scenario.session, session_id=session_id)
            again = with_session(scenario, session=session)
            with recorder.session(again.protocol, session) as tap:
                outcome = again.simulate(again.inputs(), tap=tap, entropy=repeatable_entropy(seed))
                result = Finish(outcome.total, outcome.contributors, outcome.attached)
                recorder.end(result)
        return Recording(path.read_bytes(), recorder.head, result)


def drive(run: ProtocolRun, recorder: Recorder, drops: Drops, *, watch: Callable[[ProtocolRun], None]) -> Finish:
    """Run and record a session message by message, as a driver over a network does.

    `watch` is called before each step and between its replies.
    """
    scenario, gone = run.scenario, set[int]()
    recorder.begin(scenario.protocol, scenario.session)
    for row in scenario.protocol.steps:
        if not isinstance(run.progress, Continue):
            break
        gone |= set(drops.get(row.name, ()))
        requests = dict(run.progress.requests)
        for party, request in requests.items():
            recorder.message(Transmission(row.name, None, party, request))
        for party, request in requests.items():
            watch(run)
            if party not in gone:
                send(run, recorder, party, run.clients[party].handle(request))
                watch(run)
        run.progress = run.server.advance()
    if not isinstance(run.progress, Finish):
        raise LookupError("the session has more steps than its table")
    recorder.end(run.progress)
    return run.progress


def send(run: ProtocolRun, recorder: Recorder, party: int, reply: bytes) -> None:
    """Give the server a reply, and record it with whether it was refused."""
    step = str(run.server.step)
    try:
        run.server.receive(party, reply)
        refused = False
    except RemoteError:
        refused = True
    recorder.message(Transmission(step, party, None, reply, refused=refused))


def bodies(data: bytes) -> list[bytes]:
    """Return the bytes of every record of a whole file."""
    frames = FrameReader(BytesIO(data), len(data), name="file")
    found = []
    while (body := frames.next(len(data))) is not None:
        found.append(body)
    return found


def chained(parts: Iterable[bytes]) -> bytes:
    """Return a file of these records with a chain of its own."""
    data, head = b"", GENESIS
    for body in parts:
        frame, head = framed(head, body)
        data += frame
    return data


def rebuilt(data: bytes, change: Change) -> bytes:
    """Return a file whose records were changed, with its chain rebuilt."""
    return chained(map(encode, change([decode(body) for body in bodies(data)])))


def messages(records: Records, step: int, kind: Kind) -> list[int]:
    """Return the places of the messages of one step and kind."""
    return [
        place
        for place, record in enumerate(records)
        if isinstance(record, MessageRecord) and (record.step, record.kind) == (step, kind)
    ]


def with_data(records: Records, place: int, data: bytes) -> Records:
    """Return the records with other bytes in one message."""
    record = records[place]
    if not isinstance(record, MessageRecord):
        raise LookupError("not a message")
    return [*records[:place], with_fields(record, data=data), *records[place + 1 :]]


def flipped(data: bytes, at: int) -> bytes:
    """Return bytes with one bit changed."""
    place = at % len(data)
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
