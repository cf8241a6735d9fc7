"""Whole sessions in frames, from files to a file; and clients that break the rules of frames, who are left out."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from protocols import Adversary, PlainSum, SecAggPlus, SecureSum
from protocols.errors import OrderError, ParameterError, RefusedFrame, RemoteError
from protocols.frames import HEADER_BYTES, cut
from protocols.lightsecagg import LightSecAgg
from protocols.machine import Continue, Server
from protocols.secure_sum import Finish
from protocols.seeds.pads import PadKind
from protocols.testing.repeatable import SNAPSHOT_KEY, repeatable_entropy
from protocols.testing.scenario import CLIENTS, Scenario
from secagg.storage.frame_inbox import FrameInbox
from secagg.storage.vector_files import SumFile
from tests.support.framed_run import all_frames, machines, run, sum_of
from tests.support.repeatable_boxes import repeatable_boxes as repeatable_boxes
from tests.support.seed_world import CLIENTS as SEED_CLIENTS
from tests.support.seed_world import seed_scenario

pytestmark = pytest.mark.slow

LENGTH = 700_000  # Two frames of 16 bits.
CURIOUS, MALICIOUS = Adversary.CURIOUS, Adversary.MALICIOUS


def pairwise(adversary: Adversary, length: int = LENGTH) -> Scenario:
    return Scenario.of(
        SecAggPlus(neighbours=6, share_threshold=5, adversary=adversary),
        threshold=6,
        length=length,
        identified=adversary is MALICIOUS,
        unchecked=("packed",),
    )


def scenarios(length: int = LENGTH) -> dict[str, Scenario]:
    return {
        "plain": Scenario.of(PlainSum(), threshold=3, length=length),
        "secagg-plus": pairwise(CURIOUS, length),
        "secagg-plus malicious": pairwise(MALICIOUS, length),
        "seeds": seed_scenario(3, 1, CURIOUS, length=length),
        "seeds malicious": seed_scenario(3, 1, MALICIOUS, length=length),
    }


ALL = tuple(scenarios(5))
CHEATS: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "stops in the middle": lambda frames: frames[:1],
    "out of order": lambda frames: frames[::-1],
    "twice": lambda frames: [frames[0], *frames],
    "truncated": lambda frames: [frames[0], frames[1][:-1]],
    "wrong hash": lambda frames: [frames[0][: HEADER_BYTES - 1] + b"\0" + frames[0][HEADER_BYTES:], *frames[1:]],
    "another session": lambda frames: [frames[0][:4] + bytes(32) + frames[0][36:], *frames[1:]],
}


@pytest.mark.parametrize("name", ALL)
def test_sum_in_frames_from_files_to_a_file(name: str, tmp_path: Path) -> None:
    scenario = scenarios()[name]
    session, inputs = scenario.session, scenario.inputs()
    with SumFile(tmp_path / "sum", session) as total:
        server = Server(scenario.protocol, session, total=total.array)
        finish = run(scenario, machines(scenario, inputs, tmp_path), server, tmp_path)
        assert finish.total is total.array
        total.complete()
    assert finish.contributors == tuple(sorted(session.clients))
    expected = sum_of(inputs, finish.contributors, session.modulus)
    assert np.array_equal(np.fromfile(tmp_path / "sum", dtype=expected.dtype), expected)
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("cheat", CHEATS)
def test_client_that_breaks_the_rules_of_frames_is_not_in_the_sum_and_the_round_goes_on(
    name: str, cheat: str, tmp_path: Path
) -> None:
    scenario = scenarios()[name]
    session, inputs, cheater = scenario.session, scenario.inputs(), CLIENTS[3]
    step = next(str(row.name) for row in scenario.protocol.steps if row.sends_vector)

    def send(inbox: FrameInbox, sender: int, at: str, frames: list[bytes]) -> None:
        if (sender, at) != (cheater, step):
            all_frames(inbox, sender, at, frames)
            return
        sent = CHEATS[cheat](frames)
        assert len(frames) == 2
        if cheat == "stops in the middle":
            assert not inbox.add(sender, sent[0])
            return
        with pytest.raises(RefusedFrame):
            [inbox.add(sender, frame) for frame in sent]
        for frame in frames:
            with pytest.raises(RefusedFrame, match="after one that was refused"):
                inbox.add(sender, frame)

    server = Server(scenario.protocol, session)
    finish = run(scenario, machines(scenario, inputs, tmp_path), server, tmp_path, send)
    assert finish.contributors == tuple(sorted(set(session.clients) - {cheater}))
    assert finish.total.dtype == np.uint64
    assert np.array_equal(finish.total, sum_of(inputs, finish.contributors, session.modulus))


@pytest.mark.parametrize("adversary", [CURIOUS, MALICIOUS])
@pytest.mark.parametrize(("bits", "length"), [(21, 1_000_001), (17, 2), (9, 40), (9, 1)])
def test_sum_of_lanes_in_frames_from_files_to_a_file(
    adversary: Adversary, bits: int, length: int, tmp_path: Path
) -> None:
    """A file has one word for each entry. The words that entries share are in it until the sum is known."""
    plain = pairwise(adversary)
    protocol, session = plain.protocol.with_headroom(), replace(plain.session, modulus=2**bits, length=length)
    scenario = replace(plain, protocol=protocol, session=session)
    generator, most = np.random.default_rng(bits), 2 ** (bits - 1) // len(CLIENTS)
    integers = {client: generator.integers(-most, most, length) for client in CLIENTS}
    inputs = {client: row.astype(np.uint64) % np.uint64(2**bits) for client, row in integers.items()}
    with SumFile(tmp_path / "sum", session) as total:
        server = Server(protocol, session, total=total.array)
        finish = run(scenario, machines(scenario, inputs, tmp_path), server, tmp_path)
        assert finish.total is total.array
        total.complete()
    expected = sum_of(inputs, finish.contributors, session.modulus)
    assert np.array_equal(np.fromfile(tmp_path / "sum", dtype=expected.dtype), expected)


@pytest.mark.parametrize("adversary", [CURIOUS, MALICIOUS])
def test_weighted_sum_in_frames_from_files_to_a_file(adversary: Adversary, tmp_path: Path) -> None:
    scenario = seed_scenario(3, 1, adversary, clients=(*SEED_CLIENTS, 11), length=LENGTH, weights=(1, 4))
    session, inputs = scenario.session, scenario.inputs()
    weights = {client: 4 if place % 2 else 1 for place, client in enumerate(session.clients)}
    with SumFile(tmp_path / "sum", session) as total:
        server = Server(scenario.protocol, session, total=total.array)

        def send(inbox: FrameInbox, sender: int, step: str, frames: list[bytes]) -> None:
            if step == "mask_input":
                server.weigh(weights)
            all_frames(inbox, sender, step, frames)

        finish = run(scenario, machines(scenario, inputs, tmp_path), server, tmp_path, send)
        assert finish.total is total.array
    assert finish.weights == weights
    weighted = {client: row * np.uint64(weights[client]) for client, row in inputs.items()}
    assert np.array_equal(finish.total, sum_of(weighted, finish.contributors, session.modulus))


def test_session_with_batches_does_not_put_its_sums_into_an_array() -> None:
    scenario = seed_scenario(batches=True, length=5)
    with pytest.raises(ParameterError, match="total: expected None, since a session with batches has several sums"):
        Server(scenario.protocol, scenario.session, total=np.zeros(5, dtype=np.uint16))


def test_frame_after_the_last_one_of_its_reply_is_refused(tmp_path: Path) -> None:
    scenario = scenarios(5)["plain"]
    server = Server(scenario.protocol, scenario.session)
    started = server.start()
    client, inputs = CLIENTS[0], scenario.inputs()
    frames = list(machines(scenario, inputs, tmp_path)[client].frames(started.requests[client]))
    with FrameInbox(server, tmp_path) as inbox:
        assert inbox.add(client, frames[0])
        with pytest.raises(RemoteError, match="has answered this step already"):
            inbox.add(client, frames[0])


def test_frame_of_a_party_that_was_not_asked_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    scenario = scenarios(5)["plain"]
    server = Server(scenario.protocol, scenario.session)
    server.start()
    with FrameInbox(server, tmp_path / "missing") as inbox, pytest.raises(RemoteError, match="was not asked"):
        inbox.add(12345, b"frame")


def test_client_cannot_spool_a_reply_that_is_as_long_as_a_members_openings(tmp_path: Path) -> None:
    """A client sends frames of zeros, of a reply as long as six openings of a member, to fill the server's disk.

    The reader must refuse the frame with which the reply is longer than any message of a client.
    """
    scenario = seed_scenario(5, 2, CURIOUS, length=LENGTH)
    protocol, session, client = scenario.protocol, scenario.session, SEED_CLIENTS[0]
    server = Server(protocol, session)
    server.start()
    most = protocol.reply_limit(session, 0)
    assert protocol.message_limit(session) > 6 * LENGTH * 2
    assert most < LENGTH * 2 + 2**15
    frames = cut([bytes(6 * LENGTH * 2)], digest=protocol.digest(session), sender=client, step=0)
    with FrameInbox(server, tmp_path) as inbox:
        assert not inbox.add(client, next(frames))
        with pytest.raises(RefusedFrame, match="expected a reply that ends within the next") as caught:
            inbox.add(client, next(frames))
    assert caught.value.culprits == {client}


@pytest.mark.parametrize("damaged", [False, True])
def test_member_whose_frames_are_late_can_answer_when_it_is_asked_once_more(damaged: bool, tmp_path: Path) -> None:
    """A network holds back all frames of an honest member but the first one, until the server asks it once more.

    The late frames must not stop the reply to the second request. Frames that are no part of a reply still do.
    """
    scenario = seed_scenario(3, 1, CURIOUS, length=LENGTH)
    clients, server = machines(scenario, scenario.inputs(), tmp_path), Server(scenario.protocol, scenario.session)
    progress: Continue | Finish = server.start()
    slow, late = scenario.session.committee_members[0], list[bytes]()
    with FrameInbox(server, tmp_path) as inbox:
        while isinstance(progress, Continue) and not late:
            for party, request in progress.requests.items():
                frames = list(clients[party].frames(request))
                if progress.step == "open_sum" and party == slow:
                    assert not inbox.add(party, frames[0])
                    late = frames[1:]
                else:
                    all_frames(inbox, party, progress.step, frames)
            progress = server.advance()
        assert isinstance(progress, Continue)
        assert set(progress.requests) == {slow}
        again = list(clients[slow].frames(progress.requests[slow]))
        if damaged:
            with pytest.raises(RefusedFrame, match="expected number 0, found number 1"):
                inbox.add(slow, late[0][:-1] + bytes([late[0][-1] ^ 1]))
            with pytest.raises(RefusedFrame, match="after one that was refused"):
                inbox.add(slow, again[0])
            return
        assert [inbox.add(slow, frame) for frame in late] == [False] * len(late)
        all_frames(inbox, slow, "open_sum", again)
        finish = server.advance()
    assert isinstance(finish, Finish)
    assert finish.verified
    inputs = scenario.inputs()
    assert np.array_equal(finish.total, sum_of(inputs, finish.contributors, scenario.session.modulus))


def test_frames_of_a_step_that_is_over_are_refused(tmp_path: Path) -> None:
    scenario = scenarios()["seeds"]
    clients, server = machines(scenario, scenario.inputs(), tmp_path), Server(scenario.protocol, scenario.session)
    progress: Continue | Finish = server.start()
    assert isinstance(progress, Continue)
    replies = {client: list(clients[client].frames(request)) for client, request in progress.requests.items()}
    with FrameInbox(server, tmp_path) as inbox:
        late, *others = replies
        for client in others:
            all_frames(inbox, client, "mask_input", replies[client])
        assert not inbox.add(late, replies[late][0])
        server.advance()
        with pytest.raises(RemoteError, match="was not asked in this step"):
            inbox.add(late, replies[late][1])


@pytest.mark.parametrize("name", ALL)
def test_frames_of_an_array_are_the_reply_in_one_piece(name: str, tmp_path: Path) -> None:
    scenario = scenarios(500)[name]
    inputs, first = scenario.inputs(), Server(scenario.protocol, scenario.session)
    whole, framed = (
        {
            party: scenario.client(party, inputs.get(party), repeatable_entropy(b"same %d" % party))
            for party in scenario.parties
        }
        for _ in range(2)
    )
    progress: Continue | Finish = first.start()
    while isinstance(progress, Continue):
        for party, request in progress.requests.items():
            reply = whole[party].handle(request)
            frames = list(framed[party].frames(request))
            assert b"".join(frame[HEADER_BYTES:] for frame in frames) == reply
            first.receive(party, reply)
        progress = first.advance()
    assert all(machine.step == framed[party].step for party, machine in whole.items())


def test_lattice_pads_are_sent_in_frames_too(tmp_path: Path) -> None:
    scenario = seed_scenario(3, 1, MALICIOUS, pads=PadKind.LATTICE, length=500)
    inputs = scenario.inputs()
    finish = run(scenario, machines(scenario, inputs, tmp_path), Server(scenario.protocol, scenario.session), tmp_path)
    assert np.array_equal(finish.total, sum_of(inputs, finish.contributors, scenario.session.modulus))


def test_sum_of_lattice_pads_is_not_put_into_an_array(tmp_path: Path) -> None:
    scenario = seed_scenario(3, 1, MALICIOUS, pads=PadKind.LATTICE, length=500)
    with pytest.raises(ParameterError, match="total: expected None, since lattice pads are not added up in words of"):
        Server(scenario.protocol, scenario.session, total=np.zeros(500, dtype=np.uint16))


def test_array_of_another_shape_or_type_or_that_cannot_be_written_is_refused() -> None:
    scenario = pairwise(CURIOUS, 5)
    locked = np.zeros(5, dtype=np.uint16)
    locked.flags.writeable = False
    for wrong in (np.zeros(4, np.uint16), np.zeros(5, np.uint32), np.zeros((5, 1), np.uint16), locked):
        with pytest.raises(ParameterError, match="total: expected a writeable, contiguous array of shape"):
            Server(scenario.protocol, scenario.session, total=wrong)
    with pytest.raises(ParameterError, match="not writeable or not contiguous"):
        Server(scenario.protocol, scenario.session, total=np.zeros(10, np.uint16)[::2])


def light() -> tuple[SecureSum, Scenario]:
    protocol, threshold = LightSecAgg.suggest(clients=8, adversarial=0.1, dropout=0.125)
    return protocol, Scenario.of(protocol, threshold=threshold, length=40)


def test_protocol_that_reads_whole_vectors_says_so(tmp_path: Path) -> None:
    _, scenario = light()
    with pytest.raises(ParameterError, match=r"vector: expected an array, since lightsecagg does not read vectors"):
        machines(scenario, scenario.inputs(), tmp_path)
    with pytest.raises(ParameterError, match="total: expected None, since lightsecagg does not add"):
        Server(scenario.protocol, scenario.session, total=np.zeros(40, dtype=np.uint32))


def test_reply_of_any_protocol_can_be_sent_in_frames(tmp_path: Path) -> None:
    _, scenario = light()
    inputs = scenario.inputs()
    clients = {
        party: scenario.client(party, inputs[party], repeatable_entropy(b"light %d" % party))
        for party in scenario.parties
    }
    finish = run(scenario, clients, Server(scenario.protocol, scenario.session), tmp_path)
    assert finish.contributors == tuple(sorted(scenario.session.clients))


def test_client_with_a_reader_answers_with_its_vector_in_frames_only(tmp_path: Path) -> None:
    scenario = scenarios(5)["plain"]
    client = machines(scenario, scenario.inputs(), tmp_path)[CLIENTS[0]]
    request = Server(scenario.protocol, scenario.session).start().requests[CLIENTS[0]]
    with pytest.raises(OrderError, match="vector: expected an array for a reply in one piece"):
        client.handle(request)
    assert client.closed


def test_client_whose_frames_are_not_read_to_the_end_is_closed(tmp_path: Path) -> None:
    scenario = scenarios()["secagg-plus"]
    clients, server = machines(scenario, scenario.inputs(), tmp_path), Server(scenario.protocol, scenario.session)
    client = CLIENTS[0]
    request = server.start().requests[client]
    frames = clients[client].frames(request)
    with pytest.raises(OrderError, match="this client has closed"):
        clients[client].frames(request)
    assert clients[client].closed
    frames.close()  # type: ignore[attr-defined]  # It is a generator.
    assert clients[client].closed


def test_client_that_is_closed_while_its_frames_are_read_stays_closed_and_drops_its_party(tmp_path: Path) -> None:
    scenario = scenarios()["secagg-plus"]
    clients, server = machines(scenario, scenario.inputs(), tmp_path), Server(scenario.protocol, scenario.session)
    client, progress = CLIENTS[0], server.start()
    for _ in range(2):
        for party, request in progress.requests.items():
            server.receive(party, clients[party].handle(request))
        following = server.advance()
        assert isinstance(following, Continue)
        progress = following
    party, frames = clients[client]._party, clients[client].frames(progress.requests[client])
    next(frames)
    clients[client].close()
    with pytest.raises(OrderError, match="closed before its frames were read"):
        next(frames)
    assert clients[client].closed
    assert not vars(party)


def test_snapshot_is_refused_before_a_read_vector_is_sent_and_of_a_sum_in_an_array(tmp_path: Path) -> None:
    scenario = scenarios(40)["secagg-plus"]
    client = machines(scenario, scenario.inputs(), tmp_path)[CLIENTS[0]]
    with pytest.raises(OrderError, match="Take a snapshot after it has sent it"):
        client.snapshot(SNAPSHOT_KEY)
    with SumFile(tmp_path / "sum", scenario.session) as total:
        server = Server(scenario.protocol, scenario.session, total=total.array)
        server.start()
        with pytest.raises(OrderError, match="which a snapshot does not hold"):
            server.snapshot(SNAPSHOT_KEY, entropy=repeatable_entropy(b"snapshot"))


def test_file_of_a_vector_that_becomes_shorter_closes_the_client(tmp_path: Path) -> None:
    scenario = scenarios()["plain"]
    client = CLIENTS[0]
    machine = machines(scenario, scenario.inputs(), tmp_path)[client]
    frames = machine.frames(Server(scenario.protocol, scenario.session).start().requests[client])
    with (tmp_path / f"input-{client}").open("r+b") as file:
        file.truncate(10)
    with pytest.raises(ValueError, match="to stay as it was, found a change"):
        list(frames)
    assert machine.closed


def test_reply_that_cannot_be_spooled_is_dropped_and_may_be_sent_again(tmp_path: Path) -> None:
    scenario = scenarios(5)["plain"]
    server, client = Server(scenario.protocol, scenario.session), CLIENTS[0]
    frames = list(machines(scenario, scenario.inputs(), tmp_path)[client].frames(server.start().requests[client]))
    with FrameInbox(server, tmp_path / "nowhere") as inbox, pytest.raises(OSError, match="No such file"):
        inbox.add(client, frames[0])
    with FrameInbox(server, tmp_path) as inbox:
        assert inbox.add(client, frames[0])
