"""Frames in sessions whose steps are asked more than once: batches, and committee members that are asked once more."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from protocols import Adversary
from protocols.errors import RefusedFrame, RemoteError
from protocols.frames import HEADER_BYTES
from protocols.machine import Client, Continue, Server
from protocols.secure_sum import Finish
from protocols.session import Vector
from protocols.testing.scenario import Scenario
from secagg.storage.frame_inbox import FrameInbox
from tests.support.framed_run import all_frames, machines, sum_of
from tests.support.seed_world import CLIENTS, MEMBERS, seed_scenario

LENGTH = 700_000  # Two frames of 16 bits.
SIX = (*CLIENTS, 11)
FIRST, SECOND = SIX[:3], SIX[3:]


class Framed:
    """A session with batches, in which the replies to the first step have two frames."""

    def __init__(self, folder: Path, *, both: bool = False) -> None:
        clients = (*SIX[:5], MEMBERS[0]) if both else SIX
        self.scenario: Scenario = seed_scenario(3, 1, Adversary.MALICIOUS, clients=clients, length=LENGTH, batches=True)
        self.inputs: Mapping[int, Vector] = self.scenario.inputs()
        self.parties: dict[int, Client] = machines(self.scenario, self.inputs, folder)
        self.server = Server(self.scenario.protocol, self.scenario.session)
        self.inbox = FrameInbox(self.server, folder)
        self.messages = self.replies(self.server.start())

    def replies(self, progress: Continue) -> dict[int, list[bytes]]:
        return {party: list(self.parties[party].frames(request)) for party, request in progress.requests.items()}

    def send(self, replies: Mapping[int, list[bytes]]) -> None:
        for party, frames in replies.items():
            all_frames(self.inbox, party, "", frames)

    def advance(self) -> Continue:
        progress = self.server.advance()
        assert isinstance(progress, Continue)
        return progress

    def finish(self) -> tuple[int, ...]:
        """Go through all further steps, and return the contributors, after checking the sum."""
        progress: Continue | Finish = self.server.advance()
        while isinstance(progress, Continue):
            self.send(self.replies(progress))
            progress = self.server.advance()
        expected = sum_of(self.inputs, progress.contributors, self.scenario.session.modulus)
        assert progress.total.tolist() == expected.tolist()
        return progress.contributors


def test_frames_of_a_late_reply_go_on_in_later_steps_and_count_for_the_next_batch(tmp_path: Path) -> None:
    """One client stops after a frame, and goes on in the next step. One begins then. One goes on in the next batch."""
    framed = Framed(tmp_path)
    messages, inbox = framed.messages, framed.inbox
    framed.send({client: messages[client] for client in FIRST})
    halting, late, last = SECOND
    assert not inbox.add(halting, messages[halting][0])
    assert not inbox.add(last, messages[last][0])
    replies = framed.replies(framed.advance())
    assert inbox.add(halting, messages[halting][1])
    framed.send({late: messages[late]})
    with pytest.raises(RemoteError, match="was not asked in this step"):
        inbox.add(late, messages[late][0])
    framed.send(replies)
    assert framed.finish() == tuple(sorted(FIRST))
    progress = framed.server.next_batch()
    assert set(progress.requests) == {last}
    assert inbox.add(last, messages[last][1])
    assert framed.finish() == tuple(sorted(SECOND))


def test_late_frame_that_is_refused_ends_its_reply_in_this_turn_and_may_come_again_in_the_next_one(
    tmp_path: Path,
) -> None:
    framed = Framed(tmp_path)
    messages, inbox, late = framed.messages, framed.inbox, SECOND[0]
    framed.send({client: messages[client] for client in FIRST})
    framed.send(framed.replies(framed.advance()))
    assert not inbox.add(late, messages[late][0])
    wrong = messages[late][1][: HEADER_BYTES - 1] + b"\0" + messages[late][1][HEADER_BYTES:]
    for frame, text in ((wrong, "the hash of all frames"), (messages[late][1], "after one that was refused")):
        with pytest.raises(RefusedFrame, match=text):
            inbox.add(late, frame)
    assert framed.finish() == tuple(sorted(FIRST))
    framed.server.next_batch()
    framed.send({client: messages[client] for client in SECOND})
    assert framed.finish() == tuple(sorted(SECOND))


def test_party_that_is_late_as_a_client_sends_that_reply_in_frames_before_its_answer_as_a_member(
    tmp_path: Path,
) -> None:
    framed = Framed(tmp_path, both=True)
    both, messages = MEMBERS[0], framed.messages
    framed.send({client: messages[client] for client in FIRST})
    replies = framed.replies(framed.advance())
    assert both in replies
    framed.send({both: messages[both]})
    framed.send(replies)
    assert framed.finish() == tuple(sorted(FIRST))
    framed.server.next_batch()
    framed.send({client: messages[client] for client in SIX[3:5]})
    assert set(framed.finish()) == {*SIX[3:5], both}


def test_member_whose_frames_were_refused_may_answer_when_it_is_asked_once_more(tmp_path: Path) -> None:
    """The claims of the other members decide nothing, so the silent member is asked once more."""
    framed = Framed(tmp_path)
    framed.send({client: framed.messages[client] for client in FIRST})
    for _ in range(2):
        framed.send(framed.replies(framed.advance()))
    replies = framed.replies(framed.advance())
    silent = MEMBERS[2]
    with pytest.raises(RefusedFrame):
        framed.inbox.add(silent, replies[silent][0][:-1])
    with pytest.raises(RefusedFrame, match="after one that was refused"):
        framed.inbox.add(silent, replies[silent][0])
    framed.send({member: replies[member] for member in MEMBERS[:2]})
    progress = framed.advance()
    assert set(progress.requests) == {silent}
    again = framed.replies(progress)
    assert again == {silent: replies[silent]}
    framed.send(again)
    assert framed.finish() == tuple(sorted(FIRST))
