"""Committee members by replicated seeds that are killed while they agree on a sum, and homes that were restored."""

import shutil
import signal
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from protocols import Adversary, Secret
from protocols.seeds.messages import Proposal
from secagg.engines.base import RoundPlan, ServerSide
from secagg.engines.node.home import RECORD_NAME, Home
from secagg.engines.node.station import Station
from secagg.engines.server.channel import ChannelEngine
from secagg.engines.wire.parcel import Refusal, Reply, open_reply, open_request
from tests.support.direct_channel import DirectChannel
from tests.support.forked import run_code
from tests.support.seed_members import NOW
from tests.support.stations import COORDINATOR, WORK, Attempt, Cohort, training, update_of

pytestmark = pytest.mark.slow

SEEDS: Final = Cohort(protocol="seeds")
SIGNED: Final = Cohort(protocol="seeds", adversary=Adversary.MALICIOUS)
FOUR: Final = Cohort(protocol="seeds", adversary=Adversary.MALICIOUS, members=(2, 21, 22, 23))
"""A committee of which three members agree, so that one may be missing."""

MEMBER: Final = 21
AGREE: Final = 2

KILLED: Final = """
import os, signal, sys
from pathlib import Path
from secagg.engines.node.home import Home
from secagg.engines.node.station import Station

def killed(source, target):
    os.kill(os.getpid(), signal.SIGKILL)

home, parcel, now = sys.argv[1:]
station = Station(Home.open(home, wall_clock=lambda: float(now)))
os.replace = killed  # By which a reply is kept.
station.answer(Path(parcel).read_bytes(), None)
"""
"""A station that is killed when it has recorded what it says, and before it has kept its reply."""


def opened(path: Path) -> Home:
    return Home.open(path, wall_clock=lambda: NOW)


def said(home: Path, parcel: bytes) -> Reply:
    """Return what a station says that was started anew."""
    return open_reply(Station(opened(home)).answer(parcel, None), 10**7)


def agreeing(cohort: Cohort, folder: Path) -> tuple[Path, Attempt]:
    """Return a member's home and an attempt in which the member is to agree on the contributors."""
    home, attempt = cohort.make_home(folder, MEMBER).path, cohort.attempt(1)
    while attempt.step < AGREE:
        own = {MEMBER: said(home, attempt.parcel(MEMBER)).body} if MEMBER in attempt.requests else {}
        attempt.advance(attempt.replies(MEMBER) | own)
    return home, attempt


def kill(home: Path, parcel: bytes, folder: Path) -> None:
    """Let a process answer a parcel, and be killed between its record and its reply."""
    file = folder / "parcel"
    file.write_bytes(parcel)
    done = run_code(KILLED, str(home), str(file), str(NOW), cwd=folder)
    assert done.returncode == -signal.SIGKILL, done.stderr
    with opened(home).lock() as its:
        assert not its.openings.empty


@pytest.mark.parametrize("cohort", [SEEDS, SIGNED], ids=["curious", "malicious"])
def test_member_that_was_killed_after_its_record_signs_the_same_and_the_sum_is_opened(
    cohort: Cohort, tmp_path: Path
) -> None:
    """All three members must agree, so the sum is opened only if the member signs the proposal that it has recorded."""
    home, attempt = agreeing(cohort, tmp_path)
    for _ in range(2):
        kill(home, attempt.parcel(MEMBER), tmp_path)
    while attempt.requests:
        parcel = attempt.parcel(MEMBER)
        reply = said(home, parcel)
        assert reply.refusal is None
        assert said(home, parcel) == reply
        attempt.advance(attempt.replies(MEMBER) | {MEMBER: reply.body})
    assert attempt.is_exact(cohort.clients)


def test_member_that_was_killed_after_its_record_signs_nothing_else(tmp_path: Path) -> None:
    """The coordinator proposes other contributors to the new process: two sums would show the update of client 11.

    The record of openings must refuse the second proposal, in the session's next step and in any later process.
    """
    home, attempt = agreeing(SEEDS, tmp_path)
    agreed = attempt.parcel(MEMBER)
    kill(home, agreed, tmp_path)
    smaller = attempt.codec.encode(AGREE, Proposal((2, 5, 7), (1, 1, 1)))
    assert said(home, attempt.parcel(MEMBER, body=smaller)).refusal is Refusal.ANSWERED
    assert said(home, agreed).refusal is Refusal.ANSWERED


class Kept:
    """A copy of the record of a home, as a backup has it."""

    def __init__(self, home: Path, copy: Path) -> None:
        self._record, self._copy = home / RECORD_NAME, copy
        shutil.copytree(self._record, copy)

    def restore(self) -> None:
        """Put the copy in the place of the record."""
        shutil.rmtree(self._record)
        shutil.copytree(self._copy, self._record)


@pytest.mark.parametrize("reboots", [False, True], ids=["the live session stays", "the system was started again"])
def test_member_whose_record_was_restored_during_a_session_refuses_it(tmp_path: Path, reboots: bool) -> None:
    """A copy is older than the session, or it has the session's first step and not what the member has agreed to.

    The coordinator proposes other contributors: two sums would show the update of client 11. It also sends again what
    the member has answered, and asks for the opening.
    """
    home, attempt, parcels = SEEDS.make_home(tmp_path, MEMBER), SEEDS.attempt(1), list[bytes]()
    older = Kept(home.path, tmp_path / "older")
    attempt.advance(attempt.replies())
    while attempt.step <= AGREE:
        parcels.append(attempt.parcel(MEMBER))
        attempt.advance(attempt.replies(MEMBER) | {MEMBER: said(home.path, parcels[-1]).body})
        if attempt.step == AGREE:
            newer = Kept(home.path, tmp_path / "newer")
    other = attempt.parcel(MEMBER, step=AGREE, body=attempt.codec.encode(AGREE, Proposal((2, 5, 7), (1, 1, 1))))
    opening = attempt.parcel(MEMBER)
    cases = {older: [other, opening], newer: [other]}
    if reboots:  # A record that is older than the session knows nothing of it: such a member counts as corrupt.
        shutil.rmtree(home.live)
        cases = {newer: [other, opening, *parcels]}
    for kept, requests in cases.items():
        for parcel in requests:
            kept.restore()
            assert said(home.path, parcel).refusal is Refusal.ANSWERED
            with opened(home.path).lock() as its:
                assert its.openings.empty


def test_round_goes_on_without_a_member_whose_record_was_restored(tmp_path: Path) -> None:
    stations = {party: Station(FOUR.make_home(tmp_path, party)) for party in FOUR.parties}
    home = tmp_path / f"home-{MEMBER}"
    kept, attempt = Kept(home, tmp_path / "older"), FOUR.attempt(1)

    def answer(party: int, parcel: bytes) -> bytes:
        its = opened(tmp_path / f"home-{party}")
        request = open_request(parcel, coordinator=its.coordinator, receiver=party, limits=its.policy.limits())
        if (party, request.step) == (MEMBER, AGREE):
            kept.restore()
        return stations[party].answer(parcel, training(party) if party in FOUR.clients else None)

    channel = DirectChannel({party: partial(answer, party) for party in FOUR.parties})
    side = ServerSide(identity=COORDINATOR, sealing=Secret(bytes(32)), keep=lambda _: None)
    plan = RoundPlan(mean=attempt.mean, session=attempt.session, work=WORK, serial=1, server=side)
    result = ChannelEngine(channel, clock=channel.clock, step_s=10.0).run(plan)
    assert result.refused["agree"] == {Refusal.ANSWERED: 1}
    assert result.contributors == tuple(sorted(FOUR.clients))
    assert result.total is not None
    decoded = attempt.mean.decode(result.total, contributors=4, rotation=attempt.mean.rotation(attempt.session))
    expected = np.mean([update_of(client)[0] for client in FOUR.clients], axis=0)
    np.testing.assert_allclose(decoded.mean[0], expected, atol=1e-3)
