"""Stations in sessions with a committee by replicated seeds: epochs, expiry, and a step that is asked again."""

import threading
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from msgspec.structs import replace as changed

from protocols import Adversary, Secret
from protocols.seeds.messages import Certificate, Proposal, SumShares
from secagg.commands.node_serve import forget_in_time
from secagg.engines.base import RoundPlan, RoundResult, ServerSide, Update
from secagg.engines.node.home import Home
from secagg.engines.node.home_error import HomeError
from secagg.engines.node.station import Station
from secagg.engines.server.channel import ChannelEngine
from secagg.engines.wire.offer import Offer
from secagg.engines.wire.parcel import Refusal, Reply, open_reply
from secagg.engines.wire.work import Work
from secagg.storage.key_files import PUBLIC_NAME
from secagg.storage.seed_keys import KEYS_NAME, write_seed_committee
from tests.support import committee_keys
from tests.support.direct_channel import DirectChannel
from tests.support.seed_members import ENDS, NOW
from tests.support.seed_world import seed_committee_of
from tests.support.stations import (
    COORDINATOR,
    MEMBERS,
    WORK,
    Attempt,
    Cohort,
    training,
    update_of,
    write_member_keys,
)

pytestmark = pytest.mark.slow

SEEDS: Final = Cohort(protocol="seeds")
SIGNED: Final = Cohort(protocol="seeds", adversary=Adversary.MALICIOUS)
CLIENT, BOTH, MEMBER = 5, 2, 21


class Time:
    """A clock that tests set."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def said(station: Station, parcel: bytes, party: int, train: Any = None) -> Reply:
    is_client = party in SEEDS.clients
    return open_reply(station.answer(parcel, (train or training(party)) if is_client else None), 10**7)


def untouched(home: Home) -> bool:
    """Return whether a home has recorded no session."""
    with home.lock():
        return home.sessions.empty and home.sessions.participations(home.identity.public) == 0 and home.openings.empty


@pytest.mark.parametrize("cohort", [SEEDS, SIGNED], ids=["curious", "malicious"])
def test_new_epoch_is_accepted_by_homes_with_the_file_of_the_last_one(cohort: Cohort, tmp_path: Path) -> None:
    later = replace(cohort, epoch=1, _offers={})
    homes = {party: later.make_home(tmp_path, party) for party in later.parties}
    assert all(home.committee_key == seed_committee_of(3, 1, 3) for home in homes.values())
    stations = {party: Station(home) for party, home in homes.items()}
    attempt = later.attempt(1)
    while attempt.requests:
        parcels = {party: attempt.parcel(party) for party in attempt.requests}
        attempt.advance({party: said(stations[party], parcel, party).body for party, parcel in parcels.items()})
    assert attempt.is_exact(later.clients)


@pytest.mark.parametrize("cohort", [SEEDS, SIGNED], ids=["curious", "malicious"])
@pytest.mark.parametrize("now", [ENDS, ENDS + 1, NOW - 10 * 86_400, float("nan")])
def test_expired_session_is_refused_before_anything_is_counted(cohort: Cohort, now: float, tmp_path: Path) -> None:
    late = replace(cohort, wall_clock=Time(now), _offers={})
    home = late.make_home(tmp_path, CLIENT)
    attempt, trained = cohort.attempt(1), list[Work]()
    reply = said(Station(home), attempt.parcel(CLIENT), CLIENT, lambda work: trained.append(work))
    assert reply.refusal is Refusal.EXPIRED
    assert not trained
    assert untouched(home)


@pytest.mark.parametrize("cohort", [SEEDS, SIGNED], ids=["curious", "malicious"])
def test_session_that_expires_while_the_node_trains_is_not_counted(cohort: Cohort, tmp_path: Path) -> None:
    clock = Time()
    home = replace(cohort, wall_clock=clock, _offers={}).make_home(tmp_path, CLIENT)

    def train(work: Work) -> Update:
        clock.now = ENDS
        return Update(update_of(CLIENT))

    assert said(Station(home), cohort.attempt(1).parcel(CLIENT), CLIENT, train).refusal is Refusal.EXPIRED
    assert untouched(home)


def test_member_refuses_a_later_step_once_the_session_has_expired(tmp_path: Path) -> None:
    clock = Time()
    home = replace(SEEDS, wall_clock=clock, _offers={}).make_home(tmp_path, MEMBER)
    station, attempt = Station(home), SEEDS.attempt(1)
    attempt.advance(attempt.replies())
    attempt.advance(attempt.replies(MEMBER) | {MEMBER: said(station, attempt.parcel(MEMBER), MEMBER).body})
    clock.now = ENDS
    assert said(station, attempt.parcel(MEMBER), MEMBER).refusal is Refusal.EXPIRED
    with home.lock():
        assert home.openings.empty


@pytest.mark.parametrize("how", ["method", "process", "another parcel"])
def test_member_forgets_its_seeds_once_the_session_has_expired(how: str, tmp_path: Path) -> None:
    """Somebody takes the home after the expiry: what the live folder holds of the session must be gone."""
    clock = Time()
    home = replace(SEEDS, wall_clock=clock, _offers={}).make_home(tmp_path, MEMBER)
    station, attempt, kept = Station(home), SEEDS.attempt(1), home.live / "session"
    attempt.advance(attempt.replies())
    parcel = attempt.parcel(MEMBER)
    attempt.advance(attempt.replies(MEMBER) | {MEMBER: said(station, parcel, MEMBER).body})
    ended = threading.Event()
    ended.set()
    forget_in_time(station, ended)
    assert kept.exists()
    clock.now = ENDS
    if how == "method":
        station.forget_expired()
        station.forget_expired()
    elif how == "process":
        forget_in_time(station, ended)
    else:
        assert said(station, attempt.parcel(MEMBER, body=b"damaged"), MEMBER).refusal is not None
    assert not kept.exists()
    assert said(station, attempt.parcel(MEMBER), MEMBER).refusal is Refusal.ANSWERED


def with_offer(attempt: Attempt, party: int, **changes: Any) -> bytes:
    """Return the parcel of a party with an offer that says something else."""
    offer = changed(Offer.from_bytes(attempt.offer), **changes)
    return attempt.parcel(party, offer=offer.to_bytes())


def test_other_committee_is_malformed_and_swapped_members_are_refused(tmp_path: Path) -> None:
    other = replace(seed_committee_of(3, 1, 3), certificates=seed_committee_of(3, 1, 3).certificates[::-1])
    for party in (CLIENT, BOTH):
        home = SEEDS.make_home(tmp_path, party)
        parcel = with_offer(SEEDS.attempt(1), party, epoch=other.to_bytes())
        assert said(Station(home), parcel, party).refusal is Refusal.MALFORMED
        assert untouched(home)
    home = Home.open(tmp_path / f"home-{BOTH}", wall_clock=Time())
    parcel = with_offer(SEEDS.attempt(2), BOTH, members=(MEMBERS[1], MEMBERS[0], MEMBERS[2]))
    assert said(Station(home), parcel, BOTH).refusal is Refusal.POLICY
    assert untouched(home)


def test_member_without_the_key_of_an_epoch_says_so_and_takes_part_once_it_has_it(tmp_path: Path) -> None:
    later = replace(SEEDS, epoch=1, _offers={})
    home = later.make_home(tmp_path, BOTH)
    (home.path / KEYS_NAME).unlink()
    write_member_keys(home.path, MEMBERS.index(BOTH), epochs=1)
    station, attempt = Station(home), later.attempt(1)
    assert said(station, attempt.parcel(BOTH), BOTH).refusal is Refusal.UNAVAILABLE
    assert untouched(home)
    (home.path / KEYS_NAME).unlink()
    write_member_keys(home.path, MEMBERS.index(BOTH))
    assert said(station, attempt.parcel(BOTH), BOTH).refusal is None


@pytest.mark.parametrize("restarts", [False, True], ids=["one process", "a new process each time"])
def test_member_answers_the_last_step_again_for_the_same_root_and_no_other_step(restarts: bool, tmp_path: Path) -> None:
    path = SEEDS.make_home(tmp_path, MEMBER).path
    kept = Station(Home.open(path, wall_clock=Time()))

    def station() -> Station:
        return Station(Home.open(path, wall_clock=Time())) if restarts else kept

    attempt, codec = SEEDS.attempt(1), SEEDS.attempt(1).codec
    while attempt.step < 3:
        own = {MEMBER: said(station(), attempt.parcel(MEMBER), MEMBER).body} if MEMBER in attempt.requests else {}
        if attempt.step == 2:
            agreed = attempt.parcel(MEMBER)
            assert said(station(), agreed, MEMBER).body == own[MEMBER]  # The same parcel has the same reply.
            smaller = codec.encode(2, Proposal((2, 5, 7), (1, 1, 1)))
            assert said(station(), attempt.parcel(MEMBER, body=smaller), MEMBER).refusal is Refusal.ANSWERED
        attempt.advance(attempt.replies(MEMBER) | own)
    asked = codec.decode(3, Certificate, attempt.requests[MEMBER])
    replies = []
    for sets in ((), (0,), (0, 2), (2,)):
        body = codec.encode(3, Certificate(asked.signers, asked.signatures, sets))
        reply = said(station(), attempt.parcel(MEMBER, body=body), MEMBER)
        assert reply.refusal is None
        replies.append(codec.decode(3, SumShares, reply.body))
    assert len({(bytes(each.claims), bytes(each.signature)) for each in replies}) == 1
    assert bytes(replies[2].sums) == bytes(replies[1].sums) + bytes(replies[3].sums)
    assert said(station(), agreed, MEMBER).refusal is Refusal.ANSWERED
    few = codec.encode(3, Certificate(asked.signers[:2], asked.signatures[:128], (0,)))
    assert said(station(), attempt.parcel(MEMBER, body=few), MEMBER).refusal is Refusal.MALFORMED


class Crash(Exception):
    """The end of the coordinator's process."""


class Carrier:
    """A channel to stations that ends the coordinator when it carries a message after an opening was kept.

    Args:
        cohort: The cohort.
        folder: The folder of the homes.
        openings: How many openings are kept before the crash.
        left: How many parcels after the last of them still arrive.
    """

    def __init__(self, cohort: Cohort, folder: Path, openings: int, left: int) -> None:
        self.kept: list[bytes] = []
        self._cohort, self._openings, self._left = cohort, openings, left
        self._stations = {party: Station(cohort.make_home(folder, party)) for party in cohort.parties}
        self._crashed = False

    def run(self, plan: RoundPlan) -> RoundResult:
        channel = DirectChannel({party: partial(self._answer, party) for party in self._cohort.parties})
        return ChannelEngine(channel, clock=channel.clock, step_s=10.0).run(plan)

    def _answer(self, party: int, parcel: bytes) -> bytes:
        if len(self.kept) == self._openings and not self._crashed:
            self._crashed = self._left == 0
            self._left -= 1
            if self._crashed:
                raise Crash
        return self._stations[party].answer(parcel, training(party) if party in self._cohort.clients else None)


@pytest.mark.parametrize("cohort", [SEEDS, SIGNED], ids=["curious", "malicious"])
@pytest.mark.parametrize("openings", [1, 2], ids=["agree", "open_sum"])
@pytest.mark.parametrize("left", [0, 2])
def test_coordinator_goes_on_from_the_opening_that_it_kept_last(
    cohort: Cohort, openings: int, left: int, tmp_path: Path
) -> None:
    """It ends before any request of a step has left, or after most of them."""
    carrier, attempt = Carrier(cohort, tmp_path, openings, left), cohort.attempt(1)
    side = ServerSide(identity=COORDINATOR, sealing=Secret(bytes(32)), keep=carrier.kept.append)
    plan = RoundPlan(mean=attempt.mean, session=attempt.session, work=WORK, serial=1, server=side)
    with pytest.raises(Crash):
        carrier.run(plan)
    assert len(carrier.kept) == openings
    result = carrier.run(replace(plan, server=replace(side, opening=carrier.kept[-1])))
    assert len(carrier.kept) == 2
    assert result.total is not None
    assert result.contributors == tuple(sorted(cohort.clients))
    decoded = attempt.mean.decode(result.total, contributors=4, rotation=attempt.mean.rotation(attempt.session))
    expected = np.mean([update_of(client)[0] for client in cohort.clients], axis=0)
    np.testing.assert_allclose(decoded.mean[0], expected, atol=1e-3)


def test_home_tells_the_kind_of_committee_by_its_file(tmp_path: Path) -> None:
    home = SEEDS.make_home(tmp_path, MEMBER)
    assert home.committee_key == SEEDS.key
    assert home.share is None
    share = home.share_of(seed_committee_of(3, 1, 3, epoch=1))
    assert share is not None
    assert share.index == 2
    assert SEEDS.make_home(tmp_path, CLIENT).share_of(SEEDS.key) is None


def test_home_whose_committee_and_keys_do_not_fit_is_refused(tmp_path: Path) -> None:
    path = SEEDS.make_home(tmp_path, MEMBER).path
    (path / PUBLIC_NAME).rename(tmp_path / "kept")
    with pytest.raises(HomeError, match=r"by replicated seeds beside member\.key, found none"):
        Home.open(path)
    other = replace(seed_committee_of(4, 1, 3), certificates=seed_committee_of(4, 1, 3).certificates[2:], quorum=2)
    write_seed_committee(path / PUBLIC_NAME, other)
    with pytest.raises(HomeError, match="expected the identity of a member of the committee"):
        Home.open(path)
    dealt = Cohort(protocol="oneshot").make_home(tmp_path / "dealt", MEMBER).path
    write_member_keys(dealt, 1)
    with pytest.raises(HomeError, match="found another kind of committee"):
        Home.open(dealt)
    (dealt / KEYS_NAME).unlink()
    (dealt / PUBLIC_NAME).unlink()
    write_seed_committee(dealt / PUBLIC_NAME, seed_committee_of(3, 1, 3))
    with pytest.raises(HomeError, match=r"expected member\.key of a member.*found member-2\.key"):
        Home.open(dealt)
    assert committee_keys.threshold_key().pin != SEEDS.key.pin
