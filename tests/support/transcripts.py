"""Recorded transcripts for tests: small sessions of every protocol with drops, and files that were altered."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace as with_session
from functools import cache
from io import BytesIO
from itertools import accumulate, pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

from msgspec.structs import replace as with_fields

from protocols import (
    Adversary,
    Continue,
    LightSecAgg,
    OneShot,
    PaillierSum,
    PlainSum,
    SecAgg,
    SecAggPlus,
    SeedSum,
    Transmission,
)
from protocols.crypto.entropy import Entropy
from protocols.errors import RemoteError
from protocols.secure_sum import Finish
from protocols.testing import ProtocolRun, Scenario, derived_of, repeatable_entropy, state_of
from protocols.testing.suite.reachable import outliving, secrets_in
from secagg.transcripts.chain import FRAME_BYTES, GENESIS, FrameReader, framed
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
    "seeds": Case(setting(SeedSum(), IDS[:3], 2), {"mask_input": [IDS[0]]}),
    "seeds-malicious": Case(  # The last step is asked again, for the sum that a member does not send.
        setting(SeedSum(adversary=MALICIOUS), IDS[:3], 2, committee=(21, 22, 23, 24)),
        {"mask_input": [IDS[2]], "open_sum": [22]},
    ),
    "oneshot-malicious": Case(setting(OneShot(adversary=MALICIOUS), IDS[:3], 2), {"encrypt_input": [IDS[2]]}),
}


class Recording(NamedTuple):
    """A recorded file with one session.

    Attributes:
        data: The file.
        head: Its head.
        result: The session's result.
        sent: The session's messages.
        secrets: All that its parties drew, and every secret that they held between any two messages.
        revealed: Those of the secrets that the protocol reveals to the server: shares, and attached secrets.
    """

    data: bytes
    head: bytes
    result: Finish
    sent: tuple[Transmission, ...]
    secrets: frozenset[bytes]
    revealed: frozenset[bytes]


@cache
def recording(name: str) -> Recording:
    """Return the transcript of one session of a case, recorded message by message, as a driver over a network does."""
    scenario, drops = CASES[name]
    run, canaries = ProtocolRun(scenario), Canaries(scenario)
    run.clients = {
        party: scenario.client(
            party, run.inputs.get(party), canaries.entropy(party), run.records[party], run.openings[party]
        )
        for party in scenario.parties
    }
    with TemporaryDirectory() as folder:
        path = Path(folder) / "transcript"
        with Recorder.create(path) as recorder:
            sent, result = _drive(run, recorder, drops, canaries.watch)
        opened = {each.reveal() for secrets in result.attached.values() for each in secrets if each is not None}
        revealed = canaries.revealed(result.contributors) | opened
        return Recording(
            path.read_bytes(), recorder.head, result, tuple(sent), frozenset(canaries.secrets), frozenset(revealed)
        )


class Canaries:
    """What the parties of a run keep secret: what they draw, and every secret that they hold."""

    def __init__(self, scenario: Scenario) -> None:
        self.secrets = outliving(scenario)
        self._shares = set[tuple[int, int, bytes]]()
        self._opened: Callable[[int], list[int]] = lambda _: []

    def entropy(self, party: int) -> Entropy:
        """Return a party's entropy, which notes all long values that are drawn."""
        entropy = repeatable_entropy(b"canary %d" % party)

        def draw(size: int) -> bytes:
            drawn = entropy(size)
            if size >= 16:
                self.secrets.add(drawn)
            return drawn

        return draw

    def watch(self, run: ProtocolRun) -> None:
        """Note every secret that a party holds now, and by owner and index the shares among them."""
        self.secrets |= secrets_in(list(run.clients.values()))
        for machine in run.clients.values():
            if not machine.closed and hasattr(state_of(machine), "shares"):
                self._opened = derived_of(machine).opened_secrets
                for owner, shares in state_of(machine).shares.items():
                    self._shares |= {(owner, index, share.reveal()) for index, share in enumerate(shares)}

    def revealed(self, survivors: tuple[int, ...]) -> set[bytes]:
        """Return the shares that pairwise masking reveals: of a survivor's seed, or of the key of one that dropped."""
        of_survivor = {0, *(2 + index for index in self._opened(len(survivors)))}
        return {share for owner, index, share in self._shares if index in (of_survivor if owner in survivors else {1})}


def simulated(recorder: Recorder, scenario: Scenario, drops: Drops, *, seed: bytes = b"simulation") -> Finish:
    """Record one session that `simulate` runs."""
    with recorder.session(scenario.protocol, scenario.session) as tap:
        outcome = scenario.simulate(scenario.inputs(), drops=drops, tap=tap, entropy=repeatable_entropy(seed))
        result = Finish(outcome.total, outcome.contributors, outcome.attached)
        recorder.end(result)
    return result


def rounds(path: Path, sessions: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Record several sessions of SecAgg, each with an id and a seed of the parties' entropy; return the head."""
    scenario = setting(SecAgg(), IDS[:3], 2)
    with Recorder.create(path) as recorder:
        for session_id, seed in sessions:
            session = with_session(scenario.session, session_id=session_id)
            simulated(recorder, with_session(scenario, session=session), {}, seed=seed)
        return recorder.head


def _drive(
    run: ProtocolRun, recorder: Recorder, drops: Drops, watch: Callable[[ProtocolRun], None]
) -> tuple[list[Transmission], Finish]:
    """Run and record a session: in each step all requests first, then the replies."""
    scenario, gone, sent = run.scenario, set[int](), list[Transmission]()
    recorder.begin(scenario.protocol, scenario.session)
    while isinstance(run.progress, Continue):
        gone |= set(drops.get(run.progress.step, ()))
        sent += (asked := ask(run, recorder))
        for party, request in ((each.receiver, each.data) for each in asked):
            watch(run)
            if party is not None and party not in gone:
                sent.append(send(run, recorder, party, run.clients[party].handle(request)))
                watch(run)
        run.progress = run.server.advance()
    recorder.end(run.progress)
    return sent, run.progress


def ask(run: ProtocolRun, recorder: Recorder) -> list[Transmission]:
    """Record all requests of the open step."""
    step = str(run.server.step)
    asked = [Transmission(step, None, party, request) for party, request in run.requests.items()]
    for message in asked:
        recorder.message(message)
    return asked


def send(run: ProtocolRun, recorder: Recorder, party: int, reply: bytes) -> Transmission:
    """Give the server a reply, and record it with whether it was refused."""
    step = str(run.server.step)
    try:
        run.server.receive(party, reply)
        refused = False
    except RemoteError:
        refused = True
    message = Transmission(step, party, None, reply, refused=refused)
    recorder.message(message)
    return message


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


def frames(data: bytes) -> list[bytes]:
    """Return every record of a whole file with its frame."""
    starts = list(accumulate((FRAME_BYTES + len(body) for body in bodies(data)), initial=0))
    return [data[one:other] for one, other in pairwise(starts)]


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
