"""A station: the order of its checks and writes, what it refuses, and what it leaves behind."""

import hashlib
import logging
import os
import resource
import shutil
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pytest

from protocols import Adversary, Identity, Secret
from secagg.engines.base import Update
from secagg.engines.node.failure_log import FailureLog
from secagg.engines.node.home import Home
from secagg.engines.node.station import Station, Train
from secagg.engines.wire.offer import Offer
from secagg.engines.wire.parcel import Refusal, Reply, Request, open_reply
from secagg.engines.wire.work import Work
from tests.support.stations import ARRAYS, COORDINATOR, KINDS, WORK, Attempt, Cohort, identity_of, training, update_of

pytestmark = pytest.mark.slow

ROOT: Final = Path(__file__).parents[4]
ME: Final = 5
BOTH: Final = 2
MEMBER: Final = 21
CURIOUS: Final = Cohort()
PRIVATE: Final = Cohort(private=True)


class Trained:
    """A training that counts its calls."""

    def __init__(self, party: int = ME) -> None:
        self.calls = 0
        self._train = training(party)

    def __call__(self, work: Work) -> Update:
        self.calls += 1
        update: Update = self._train(work)
        return update


def reply_of(data: bytes) -> Reply:
    return open_reply(data, 10**7)


def ask(station: Station, parcel: bytes, train: Train | None = None) -> Reply:
    return reply_of(station.answer(parcel, train))


def refused(station: Station, parcel: bytes, train: Train | None = None) -> Refusal | None:
    return ask(station, parcel, train).refusal


def step(attempt: Attempt, station: Station, party: int = ME, train: Train | None = None) -> bytes:
    """Run one step with a station, and return the parcel that it got."""
    replies = attempt.replies(party)
    parcel = b""
    if party in attempt.requests:
        parcel = attempt.parcel(party)
        reply = ask(station, parcel, train or training(party))
        assert reply.refusal is None
        assert (reply.serial, reply.step, reply.sender) == (attempt.serial, attempt.step, party)
        replies[party] = reply.body
    attempt.advance(replies)
    return parcel


def finish(attempt: Attempt, station: Station, party: int = ME) -> None:
    while attempt.requests:
        step(attempt, station, party)
    assert attempt.is_exact(attempt.cohort.clients)


def files(*folders: Path) -> dict[str, tuple[int, bytes]]:
    """Return the contents of all files in folders, and when each was changed."""
    return {
        str(path): (path.stat().st_mtime_ns, path.read_bytes())
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def reservations(home: Home) -> list[str]:
    with home.lock(), home.ledger() as ledger:
        return [entry.reservation.label for entry in ledger.entries()]


@pytest.fixture
def cohort() -> Cohort:
    return CURIOUS


with_and_without_a_roster = pytest.mark.parametrize(
    "cohort", [CURIOUS, Cohort(adversary=Adversary.MALICIOUS)], ids=["curious", "malicious"]
)


@pytest.fixture
def home(tmp_path: Path, cohort: Cohort) -> Home:
    return cohort.make_home(tmp_path, ME)


@pytest.fixture
def station(home: Home) -> Station:
    return Station(home)


# Whole sessions.


@pytest.mark.parametrize(
    ("protocol", "adversary", "party"),
    [
        *((protocol, adversary, ME) for protocol, adversary in KINDS if "secagg" in protocol),
        ("paillier", Adversary.CURIOUS, MEMBER),
        ("paillier", Adversary.MALICIOUS, BOTH),
        ("oneshot", Adversary.MALICIOUS, BOTH),
        ("seeds", Adversary.CURIOUS, MEMBER),
        ("seeds", Adversary.MALICIOUS, BOTH),
    ],
)
def test_station_answers_every_step_of_every_protocol(
    tmp_path: Path, protocol: str, adversary: Adversary, party: int
) -> None:
    cohort = Cohort(protocol=protocol, adversary=adversary)
    home = cohort.make_home(tmp_path, party)
    finish(cohort.attempt(1), Station(home), party)
    second = cohort.attempt(2)
    step(second, Station(Home.open(home.path, wall_clock=home.now)), party)


@pytest.mark.parametrize("cohort", [PRIVATE, Cohort(weighting="weighted")], ids=["noise", "weight"])
def test_station_contributes_noise_and_weight(tmp_path: Path, cohort: Cohort) -> None:
    finish(cohort.attempt(1), Station(cohort.make_home(tmp_path, ME)))


def test_station_goes_on_in_another_process(home: Home, cohort: Cohort) -> None:
    attempt = cohort.attempt(1)
    while attempt.requests:
        step(attempt, Station(home.path))
    assert attempt.is_exact(cohort.clients)


# What is refused before any file is touched.


@dataclass(frozen=True)
class Bad:
    """A parcel that fails the first check, and the code that its sender learns."""

    code: Refusal
    make: Callable[[Attempt, bytes], Any]


STRANGER: Final = Identity(Secret(bytes(32)))
BAD: Final = {
    "empty": Bad(Refusal.MALFORMED, lambda attempt, parcel: b""),
    "no bytes": Bad(Refusal.MALFORMED, lambda attempt, parcel: "parcel"),
    "nothing": Bad(Refusal.MALFORMED, lambda attempt, parcel: None),
    "cut": Bad(Refusal.MALFORMED, lambda attempt, parcel: parcel[:-1]),
    "longer": Bad(Refusal.MALFORMED, lambda attempt, parcel: parcel + b"x"),
    "too long": Bad(Refusal.MALFORMED, lambda attempt, parcel: bytes(2**26)),
    "work too long": Bad(Refusal.MALFORMED, lambda attempt, parcel: attempt.parcel(ME, work=bytes(2**21))),
    "offer too long": Bad(Refusal.MALFORMED, lambda attempt, parcel: attempt.parcel(ME, offer=bytes(2**20 + 1))),
    "flipped bit": Bad(Refusal.STRANGER, lambda attempt, parcel: parcel[:-1] + bytes([parcel[-1] ^ 1])),
    "stranger": Bad(
        Refusal.STRANGER,
        lambda attempt, parcel: Request(
            serial=99, step=0, receiver=ME, offer=attempt.offer, work=b"", body=attempt.requests[ME]
        ).seal(STRANGER),
    ),
    "for another": Bad(Refusal.NOT_FOR_ME, lambda attempt, parcel: attempt.parcel(7)),
}


@pytest.mark.parametrize("begun", [False, True])
def test_parcel_that_fails_the_first_check_changes_nothing(home: Home, cohort: Cohort, begun: bool) -> None:
    station, attempt, train = Station(home), cohort.attempt(1), Trained()
    if begun:
        step(attempt, station)
    before = files(home.path, home.live)
    for bad in BAD.values():
        reply = ask(station, bad.make(attempt, attempt.parcel(ME)), train)
        assert (reply.refusal, reply.serial, reply.step) == (bad.code, 0, 0)
    assert files(home.path, home.live) == before
    assert train.calls == 0
    finish(attempt, station)


def test_flipped_bits_change_nothing(tmp_path: Path) -> None:
    home = CURIOUS.make_home(tmp_path, ME)
    station, attempt = Station(home), CURIOUS.attempt(1)
    step(attempt, station)
    before, parcel = files(home.path, home.live), attempt.parcel(ME)
    for at in range(0, len(parcel), 23):
        damaged = bytearray(parcel)
        damaged[at] ^= 1 << at % 8
        assert refused(station, bytes(damaged)) in (Refusal.MALFORMED, Refusal.STRANGER)
    assert files(home.path, home.live) == before
    finish(attempt, station)


def test_signed_nonsense_raises_nothing(tmp_path: Path) -> None:
    """A coordinator that sends anything gets a refusal for all of it, and a live session goes on."""
    home = CURIOUS.make_home(tmp_path, ME)
    station, attempt, train = Station(home), CURIOUS.attempt(1), Trained()
    step(attempt, station)
    draw = np.random.default_rng(3)
    other = CURIOUS.attempt(2)
    offers = (b"", attempt.offer, other.offer, b"nonsense")
    works = (b"", attempt.work.to_bytes(), b"nonsense")
    bodies = (b"", other.requests[ME], b"nonsense", attempt.requests[ME][:20], attempt.requests[ME])
    for _ in range(60):
        parcel = Request(
            serial=int(draw.integers(4)),
            step=int(draw.integers(6)),
            receiver=ME,
            offer=offers[draw.integers(4)],
            work=works[draw.integers(3)],
            body=bodies[draw.integers(5)],
        )
        if parcel.body in (other.requests[ME], attempt.requests[ME]) and parcel.step < 2:
            continue  # That may be a good parcel.
        assert refused(station, parcel.seal(COORDINATOR), train) is not None
    assert train.calls == 0
    finish(attempt, station)


# What is answered once.


@with_and_without_a_roster
def test_kept_reply_is_returned_byte_for_byte(home: Home, cohort: Cohort) -> None:
    station, attempt, train = Station(home), cohort.attempt(1), Trained()
    while attempt.requests:
        parcel, replies = attempt.parcel(ME), attempt.replies(ME)
        first = station.answer(parcel, train)
        before = files(home.path, home.live)
        assert station.answer(parcel, train) == Station(home.path).answer(parcel, train) == first
        assert files(home.path, home.live) == before
        attempt.advance(replies | {ME: reply_of(first).body})
    assert train.calls == 1
    assert attempt.is_exact(cohort.clients)


@with_and_without_a_roster
def test_step_that_was_answered_is_refused_for_any_other_parcel(home: Home, cohort: Cohort) -> None:
    station, attempt, train = Station(home), cohort.attempt(1), Trained()
    parcels = []
    while attempt.requests:
        fork = attempt.fork()
        parcels.append(step(attempt, station, train=train))
        before = files(home.live)
        for parcel in parcels[:-1]:
            assert refused(station, parcel, train) is Refusal.ANSWERED
        assert refused(station, fork.parcel(ME, offer=attempt.offer, work=b""), train) is Refusal.ANSWERED
        assert files(home.live) == before
    assert train.calls == 1
    assert attempt.is_exact(cohort.clients)


@with_and_without_a_roster
def test_second_survivor_set_is_refused(home: Home, cohort: Cohort) -> None:
    """The server asks again in the step that reveals, as if one client had dropped out."""
    station, attempt = Station(home), cohort.attempt(1)
    names = [row.name for row in attempt.mean.protocol.steps]
    while attempt.step < names.index("mask_input"):
        step(attempt, station)
    replies = attempt.replies(ME) | {ME: ask(station, attempt.parcel(ME)).body}
    fork = attempt.fork()
    attempt.advance(replies)
    fork.advance({client: reply for client, reply in replies.items() if client != 7})
    step(attempt, station)
    assert refused(station, fork.parcel(ME)) is Refusal.ANSWERED
    finish(attempt, station)


@with_and_without_a_roster
@pytest.mark.parametrize("answered", [1, 3])
def test_power_cut_makes_the_node_drop_out(home: Home, cohort: Cohort, answered: int) -> None:
    station, attempt, train = Station(home), cohort.attempt(1), Trained()
    parcels = [step(attempt, station) for _ in range(answered)]
    shutil.rmtree(home.live)
    station = Station(home.path)
    for parcel in (*parcels, attempt.parcel(ME), attempt.parcel(ME, offer=attempt.offer)):
        assert refused(station, parcel, train) is Refusal.ANSWERED
    assert train.calls == 0
    finish(cohort.attempt(2), station)


@pytest.mark.parametrize("name", ["session", "key"])
def test_damaged_live_file_makes_the_node_drop_out(home: Home, cohort: Cohort, name: str) -> None:
    station, attempt = Station(home), cohort.attempt(1)
    parcel = step(attempt, station)
    (home.live / name).write_bytes(bytes(90))
    assert refused(station, parcel) is Refusal.ANSWERED
    assert refused(station, attempt.parcel(ME)) is Refusal.ANSWERED
    finish(cohort.attempt(2), station)


@with_and_without_a_roster
def test_older_live_file_answers_no_step_again(home: Home, cohort: Cohort, tmp_path: Path) -> None:
    """A node that is restored from an older snapshot has its record, with a roster and without one."""
    station, attempt = Station(home), cohort.attempt(1)
    step(attempt, station)
    shutil.copytree(home.live, tmp_path / "older")
    parcel, fork = attempt.parcel(ME), attempt.fork()
    step(attempt, station)
    shutil.rmtree(home.live)
    shutil.copytree(tmp_path / "older", home.live)
    assert refused(station, fork.parcel(ME, offer=attempt.offer)) is Refusal.ANSWERED
    assert refused(station, parcel) is Refusal.ANSWERED
    assert refused(station, attempt.parcel(ME)) is not None
    finish(cohort.attempt(2), station)


@with_and_without_a_roster
def test_home_restored_from_a_backup_continues_no_session(home: Home, cohort: Cohort, tmp_path: Path) -> None:
    station, attempt = Station(home), cohort.attempt(1)
    shutil.copytree(home.path / "record", tmp_path / "backup")
    parcels = [step(attempt, station), step(attempt, station)]
    shutil.rmtree(home.path / "record")
    shutil.copytree(tmp_path / "backup", home.path / "record")
    station = Station(home.path)
    for parcel in (parcels[0], attempt.parcel(ME)):
        assert refused(station, parcel) is Refusal.ANSWERED


# Serials.


@with_and_without_a_roster
def test_new_session_ends_the_earlier_one(home: Home, cohort: Cohort) -> None:
    station, first, second = Station(home), cohort.attempt(1), cohort.attempt(2)
    opening = step(first, station)
    step(second, station)
    train = Trained()
    for parcel in (opening, first.parcel(ME), cohort.attempt(0).parcel(ME), cohort.attempt(1, seed=b"x").parcel(ME)):
        reply = ask(station, parcel, train)
        assert (reply.refusal, reply.last) == (Refusal.OLD, 2)
    assert train.calls == 0
    finish(second, station)


def test_another_session_of_the_last_serial_is_old(home: Home, cohort: Cohort) -> None:
    station, attempt = Station(home), cohort.attempt(7)
    step(attempt, station)
    reply = ask(station, cohort.attempt(7, seed=b"another").parcel(ME), training(ME))
    assert (reply.refusal, reply.last) == (Refusal.OLD, 7)
    finish(attempt, station)


def test_serials_survive_everything_but_the_home(home: Home, cohort: Cohort) -> None:
    finish(cohort.attempt(2**40), Station(home))
    shutil.rmtree(home.live)
    reply = ask(Station(home.path), cohort.attempt(2**40 - 1).parcel(ME), training(ME))
    assert (reply.refusal, reply.last) == (Refusal.OLD, 2**40)


def test_first_request_without_an_offer_is_malformed(home: Home, cohort: Cohort) -> None:
    station, attempt = Station(home), cohort.attempt(1)
    assert refused(station, attempt.parcel(ME, offer=b""), training(ME)) is Refusal.MALFORMED
    assert refused(station, attempt.parcel(ME, serial=2), training(ME)) is Refusal.MALFORMED
    finish(attempt, station)
    assert refused(station, attempt_parcel_of(cohort, 3), training(ME)) is Refusal.MALFORMED


def attempt_parcel_of(cohort: Cohort, serial: int) -> bytes:
    return cohort.attempt(serial).parcel(ME, offer=b"", work=b"")


# What is offered.


def test_other_work_is_refused_before_training(home: Home, cohort: Cohort) -> None:
    station, attempt, train = Station(home), cohort.attempt(1), Trained()
    dead = Work(WORK.run, WORK.round, [np.zeros_like(array) for array in ARRAYS], WORK.settings)
    assert refused(station, attempt.parcel(ME, work=dead.to_bytes()), train) is Refusal.OTHER_INPUTS
    assert refused(station, attempt.parcel(ME, work=b""), train) is Refusal.MALFORMED
    assert refused(station, attempt.parcel(ME, work=WORK.to_bytes()[:-1]), train) is Refusal.MALFORMED
    assert train.calls == 0
    finish(attempt, station)


@pytest.mark.parametrize(
    "changes",
    [
        {"largest_clip": 0.5},
        {"most_coordinates": 3},
        {"least_contributors": 4},
        {"most_clients": 3},
        {"weighting": ["weighted"]},
        {"protocols": ["oneshot"]},
        {"adversarial": 0.6},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_policy_is_checked_before_anything_is_done(
    tmp_path: Path, changes: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    home = CURIOUS.make_home(tmp_path, ME, **changes)
    before, train = files(home.path, home.live), Trained()
    parcel = CURIOUS.attempt(1).parcel(ME, work=b"not decoded")
    assert refused(Station(home), parcel, train) is Refusal.POLICY
    assert (files(home.path, home.live), train.calls) == (before, 0)
    assert "policy: " in caplog.text


def test_session_of_others_is_refused(home: Home, cohort: Cohort) -> None:
    others = Cohort(adversary=cohort.adversary, clients=(2, 11, 7, 21)).attempt(1)
    parcel = others.parcel(2, receiver=ME)
    assert refused(Station(home), parcel, training(ME)) is Refusal.NOT_FOR_ME


def test_request_of_another_step_or_session_is_refused_before_training(home: Home, cohort: Cohort) -> None:
    station, attempt, train = Station(home), cohort.attempt(1), Trained()
    for parcel in (
        attempt.parcel(ME, step=1),
        attempt.parcel(ME, step=400),
        attempt.parcel(ME, body=cohort.attempt(2).requests[ME]),
        attempt.parcel(ME, body=b""),
    ):
        assert refused(station, parcel, train) is Refusal.MALFORMED
    assert train.calls == 0
    finish(attempt, station)


def test_request_of_another_step_leaves_the_live_session(home: Home, cohort: Cohort) -> None:
    station, attempt = Station(home), cohort.attempt(1)
    step(attempt, station)
    for parcel in (attempt.parcel(ME, step=2), attempt.parcel(ME, step=400), attempt.parcel(ME, body=b"")):
        assert refused(station, parcel) is Refusal.MALFORMED
    finish(attempt, station)


def test_broken_message_of_the_coordinator_ends_the_session(home: Home, cohort: Cohort) -> None:
    """A machine closes after its first error, and is kept no longer."""
    station, attempt = Station(home), cohort.attempt(1)
    step(attempt, station)
    assert refused(station, attempt.parcel(ME, body=attempt.requests[ME] + b"x")) is Refusal.MALFORMED
    assert not (home.live / "session").exists()
    assert refused(station, attempt.parcel(ME)) is Refusal.ANSWERED
    finish(cohort.attempt(2), station)


def test_client_without_training_is_refused(home: Home, cohort: Cohort) -> None:
    station, attempt = Station(home), cohort.attempt(1)
    assert refused(station, attempt.parcel(ME), None) is Refusal.POLICY
    finish(attempt, station)


# Committees.


@pytest.mark.parametrize("adversary", [Adversary.CURIOUS, Adversary.MALICIOUS])
def test_member_that_is_no_client_records_its_session(tmp_path: Path, adversary: Adversary) -> None:
    cohort = Cohort(protocol="paillier", adversary=adversary)
    home = cohort.make_home(tmp_path, MEMBER)
    station, attempt = Station(home), cohort.attempt(4)
    attempt.advance(attempt.replies())
    assert MEMBER in attempt.requests
    fork = attempt.fork()
    parcel = attempt.parcel(MEMBER)
    first = station.answer(parcel, None)
    assert reply_of(first).refusal is None
    assert station.answer(parcel, None) == first
    shutil.rmtree(home.live)
    assert refused(station, fork.parcel(MEMBER)) is Refusal.ANSWERED
    old = cohort.attempt(3)
    old.advance(old.replies())
    reply = ask(station, old.parcel(MEMBER))
    assert (reply.refusal, reply.last) == (Refusal.OLD, 4)


def test_member_opens_no_two_sums_that_differ_in_few_clients(tmp_path: Path) -> None:
    cohort = Cohort(protocol="paillier")
    station = Station(cohort.make_home(tmp_path, MEMBER))
    refusals = []
    for serial, gone in ((1, None), (2, 7), (3, None)):
        attempt = cohort.attempt(serial)
        attempt.advance({client: reply for client, reply in attempt.replies().items() if client != gone})
        refusals.append(refused(station, attempt.parcel(MEMBER)))
    assert refusals == [None, Refusal.POLICY, None]


@pytest.mark.parametrize("protocol", ["secagg", "lightsecagg"])
def test_client_reveals_no_two_sums_that_differ_in_few_clients(tmp_path: Path, protocol: str) -> None:
    cohort = Cohort(protocol=protocol)
    station = Station(cohort.make_home(tmp_path, ME))
    refusals = []
    for serial, gone in ((1, None), (2, 7), (3, None)):
        attempt = cohort.attempt(serial)
        for number in range(3):
            replies = attempt.replies(ME) | {ME: ask(station, attempt.parcel(ME), training(ME)).body}
            if number == 2 and gone is not None:
                del replies[gone]
            attempt.advance(replies)
        refusals.append(refused(station, attempt.parcel(ME)))
    assert refusals == [None, Refusal.POLICY, None]


@pytest.mark.parametrize("other", [None, "member-3.key"])
def test_member_without_its_own_key_share_is_refused(tmp_path: Path, other: str | None) -> None:
    cohort = Cohort(protocol="paillier")
    home = cohort.make_home(tmp_path, MEMBER)
    next(home.path.glob("member-*.key")).unlink()
    if other is not None:
        shutil.copy(tmp_path / "committee" / other, home.path)
    attempt = cohort.attempt(1)
    attempt.advance(attempt.replies())
    assert refused(Station(home.path), attempt.parcel(MEMBER)) is Refusal.POLICY


def test_party_that_is_both_may_be_asked_as_a_member_only_once_it_is_a_client(tmp_path: Path) -> None:
    cohort = Cohort(protocol="paillier")
    station, attempt = Station(cohort.make_home(tmp_path, BOTH)), cohort.attempt(1)
    fork = cohort.attempt(1)
    fork.advance(fork.replies(BOTH))
    late = fork.parcel(BOTH, offer=attempt.offer, work=attempt.work.to_bytes())
    assert refused(station, late, training(BOTH)) is Refusal.MALFORMED
    step(attempt, station, BOTH)
    reply = ask(station, attempt.parcel(BOTH, offer=attempt.offer))  # An offer that is known already changes nothing.
    attempt.advance(attempt.replies(BOTH) | {BOTH: reply.body})
    assert attempt.is_exact(cohort.clients)


# The node's ledger, and training.


@pytest.fixture
def private(tmp_path: Path) -> tuple[Cohort, Home]:
    return PRIVATE, PRIVATE.make_home(tmp_path, ME)


def test_session_is_reserved_once_under_its_id_and_its_offer(private: tuple[Cohort, Home]) -> None:
    cohort, home = private
    station = Station(home)
    for serial in (1, 2):
        finish(cohort.attempt(serial), station)
    attempts = [cohort.attempt(serial) for serial in (1, 2)]
    digests = [hashlib.sha256(home.identity.public + attempt.offer).hexdigest() for attempt in attempts]
    ids = [attempt.session.session_id.hex() for attempt in attempts]
    assert reservations(home) == [f"session {each} {digest}" for each, digest in zip(ids, digests, strict=True)]


def test_broken_first_request_reserves_and_trains_nothing(private: tuple[Cohort, Home]) -> None:
    cohort, home = private
    station, attempt, train = Station(home), cohort.attempt(1), Trained()
    body = attempt.requests[ME]
    for broken in (body + b"x", body[:-1], body[:-1] + b"\xc0"):
        assert refused(station, attempt.parcel(ME, body=broken), train) is Refusal.MALFORMED
    assert (train.calls, reservations(home)) == (0, [])
    finish(attempt, station)


def with_less_noise(attempt: Attempt) -> Attempt:
    """Return the session of the same id with a thousandth of the noise."""
    offer = Offer.from_bytes(attempt.offer)
    assert offer.scale is not None
    mean, session = msgspec.structs.replace(offer, scale=offer.scale * 1e-3).build(attempt.cohort.roster, None)
    cohort = Cohort(private=True)
    cohort.__dict__["mean"] = mean
    return Attempt(cohort=cohort, mean=mean, session=session, serial=attempt.serial, work=attempt.work)


def test_reservation_of_one_offer_pays_for_no_other_of_the_same_id(private: tuple[Cohort, Home]) -> None:
    def killed(work: Work) -> Update:
        raise SystemExit(137)

    cohort, home = private
    station, attempt, train = Station(home), cohort.attempt(1), Trained()
    with pytest.raises(SystemExit):
        station.answer(attempt.parcel(ME), killed)
    other = with_less_noise(attempt)
    assert other.session.session_id == attempt.session.session_id
    assert refused(station, other.parcel(ME), train) is Refusal.BUDGET
    assert (train.calls, len(reservations(home))) == (0, 1)
    finish(attempt, station)


def test_homes_with_one_ledger_pay_one_reservation_each(tmp_path: Path) -> None:
    one = PRIVATE.make_home(tmp_path, ME)
    with one.lock():
        pass
    other = PRIVATE.make_home(tmp_path, 7, ledger=str(one.path / "record" / "ledger.db"))
    attempt = PRIVATE.attempt(1)
    for home in (one, other):
        assert refused(Station(home), attempt.parcel(home.node), training(home.node)) is None
    assert len(reservations(one)) == 2


def test_training_that_is_interrupted_is_repeated_under_its_reservation(private: tuple[Cohort, Home]) -> None:
    cohort, home = private
    station, attempt = Station(home), cohort.attempt(1)

    def killed(work: Work) -> Update:
        raise SystemExit(137)

    for _ in range(2):
        with pytest.raises(SystemExit):
            station.answer(attempt.parcel(ME), killed)
    finish(attempt, station)
    assert len(reservations(home)) == 1


def test_session_beyond_the_budget_is_refused_before_training(tmp_path: Path) -> None:
    cohort, train = PRIVATE, Trained()
    home = cohort.make_home(tmp_path, ME, epsilon=0.5)
    reply = ask(Station(home), cohort.attempt(1).parcel(ME), train)
    assert (reply.refusal, train.calls, reservations(home)) == (Refusal.BUDGET, 0, [])


def fail(work: Work) -> Update:
    raise RuntimeError("row 17 of the data")


FAILURES: Final[dict[str, Train]] = {
    "error": fail,
    "no update": lambda work: None,  # type: ignore[return-value, dict-item]  # That is the test.
    "other shapes": lambda work: Update([np.zeros(2)]),
    "nan": lambda work: Update([np.full(3, np.nan), np.zeros((1, 1))]),
    "no numbers": lambda work: Update([np.array(["a", "b", "c"]), np.zeros((1, 1))]),
}


@pytest.mark.parametrize("name", FAILURES)
def test_failed_training_is_refused_and_says_nothing(
    home: Home, cohort: Cohort, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    station, attempt = Station(home), cohort.attempt(1)
    before = files(home.path)
    reply = station.answer(attempt.parcel(ME), FAILURES[name])
    assert reply == Reply(serial=1, step=0, sender=ME, refusal=Refusal.FAILED).to_bytes()
    assert files(home.path) == before
    assert "row 17" not in caplog.text
    finish(attempt, station)  # The same parcel is answered as if it were new.


@pytest.mark.parametrize("name", FAILURES)
def test_failed_training_contributes_zeros_where_nodes_add_noise(
    private: tuple[Cohort, Home], name: str, caplog: pytest.LogCaptureFixture
) -> None:
    cohort, home = private
    station, attempt = Station(home), cohort.attempt(1)
    with caplog.at_level(logging.DEBUG):
        step(attempt, station, train=FAILURES[name])
    assert not [record for record in caplog.records if "fail" in record.getMessage()]
    (line,) = home.failures.lines()
    assert line.startswith("serial 1: ")
    assert "row 17" not in line
    while attempt.requests:
        step(attempt, station)
    assert attempt.is_exact(cohort.clients)  # Up to the noise, in which one update is lost.
    finish(cohort.attempt(2), station)
    assert len(home.failures.lines()) == 1


@pytest.mark.parametrize("name", ["error", "nan"])
def test_failed_training_cannot_be_told_by_what_the_node_sends_or_by_its_record(
    private: tuple[Cohort, Home], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that fails and one that does not: the same steps, lengths, reservations and participations.

    A full disk in the place of the note changes nothing either.
    """
    cohort, home = private
    other = cohort.make_home(home.path.parent / "other", ME)
    monkeypatch.setattr(home, "failures", FailureLog(home.path / "no" / "folder"))
    seen = []
    for each, train in ((home, FAILURES[name]), (other, None)):
        station, attempt = Station(each), cohort.attempt(1)
        lengths = []
        while attempt.requests:
            replies = attempt.replies(ME)
            replies[ME] = ask(station, attempt.parcel(ME), train or training(ME)).body
            lengths.append(len(replies[ME]))
            attempt.advance(replies)
        seen.append((lengths, len(reservations(each)), counted(each)))
    assert seen[0] == seen[1]
    assert seen[0][2] == 1


def test_failed_training_of_an_exact_sum_is_noted_nowhere(home: Home, cohort: Cohort) -> None:
    refused(Station(home), cohort.attempt(1).parcel(ME), fail)
    assert home.failures.lines() == ()


def test_weighted_update_without_examples_has_failed(tmp_path: Path) -> None:
    cohort = Cohort(weighting="weighted")
    station = Station(cohort.make_home(tmp_path, ME))
    assert refused(station, cohort.attempt(1).parcel(ME), lambda work: Update(update_of(ME))) is Refusal.FAILED


class Record:
    """A record of the data."""


@pytest.mark.parametrize("kind", [RuntimeError, BaseException])
@pytest.mark.parametrize("private", [False, True])
def test_error_of_training_is_forgotten(
    tmp_path: Path, private: bool, kind: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    """Its text reaches neither reply nor log, and an error that outlives the call keeps no data alive."""
    cohort = PRIVATE if private else CURIOUS
    station = Station(cohort.make_home(tmp_path, ME))
    errors: list[BaseException] = []
    records: list[weakref.ref[Record]] = []

    def train(work: Work) -> Update:
        record = Record()
        records.append(weakref.ref(record))
        try:
            raise ValueError("Alice, HIV positive")
        except ValueError as cause:
            errors.append(kind("Alice, HIV positive"))
            raise errors[0] from cause

    with caplog.at_level(logging.DEBUG):
        reply = station.answer(cohort.attempt(1).parcel(ME), train)
    assert b"Alice" not in reply
    assert "Alice" not in caplog.text
    assert (reply_of(reply).refusal is None) is private
    assert errors[0].__traceback__ is not None
    assert records[0]() is None


def test_interruption_of_training_passes_and_the_same_parcel_works(home: Home, cohort: Cohort) -> None:
    station, attempt = Station(home), cohort.attempt(1)
    records: list[weakref.ref[Record]] = []
    before = files(home.path)
    for kind in (KeyboardInterrupt, SystemExit):

        def train(work: Work, kind: type[BaseException] = kind) -> Update:
            record = Record()
            records.append(weakref.ref(record))
            raise kind

        with pytest.raises(kind) as caught:
            station.answer(attempt.parcel(ME), train)
        assert caught.value.__traceback__ is not None
        assert records[-1]() is None
        assert files(home.path) == before
        with home.lock(0.0):  # It is free.
            pass
    finish(attempt, station)


@pytest.mark.parametrize("case", ["reply", "refusal"])
def test_interruption_while_a_step_is_answered_waits_for_its_end(tmp_path: Path, case: str) -> None:
    """In a process of its own, since the process that runs the tests would take the signal for its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.interrupted_station", case, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stdout) == (0, {"reply": "none\n", "refusal": "answered\n"}[case]), done.stderr


# Files that cannot be used.


@pytest.mark.parametrize("name", ["sessions.db", "openings.db", "ledger.db"])
@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"nonsense" * 99)])
def test_damaged_record_is_unavailable(
    private: tuple[Cohort, Home], name: str, damage: Callable[[Path], object]
) -> None:
    cohort, home = private
    finish(cohort.attempt(1), Station(home))
    damage(home.path / "record" / name)
    attempt, train = cohort.attempt(2), Trained()
    before = files(home.live)
    for station in (Station(home), Station(home.path)):
        assert refused(station, attempt.parcel(ME), train) is Refusal.UNAVAILABLE
    assert train.calls == 0
    assert files(home.live) == before


def test_live_folder_that_cannot_be_written_is_unavailable_before_training(home: Home, cohort: Cohort) -> None:
    station, attempt, train = Station(home), cohort.attempt(1), Trained()
    shutil.rmtree(home.live)
    home.live.write_bytes(b"a file")
    before = files(home.path)
    assert refused(station, attempt.parcel(ME), train) is Refusal.UNAVAILABLE
    assert (files(home.path), train.calls) == (before, 0)
    home.live.unlink()
    finish(attempt, station)


@pytest.fixture
def full_disk() -> Iterator[Callable[[int], None]]:
    """A function that limits the size of every file, as a full disk would; 0 lets nothing be written."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(size: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))

    yield limit
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_full_disk_is_unavailable_and_nothing_is_said(
    home: Home, cohort: Cohort, full_disk: Callable[[int], None]
) -> None:
    station, attempt = Station(home), cohort.attempt(1)
    parcel = attempt.parcel(ME)
    full_disk(0)
    for _ in range(2):
        assert refused(station, parcel, training(ME)) is Refusal.UNAVAILABLE
    full_disk(resource.RLIM_INFINITY)
    finish(attempt, station)  # Nothing was recorded, so the same parcel works.


def test_full_live_folder_makes_the_node_drop_out(home: Home, cohort: Cohort, monkeypatch: pytest.MonkeyPatch) -> None:
    station, attempt = Station(home), cohort.attempt(1)
    step(attempt, station)
    parcel = attempt.parcel(ME)

    def full(source: object, target: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        assert refused(station, parcel) is Refusal.UNAVAILABLE
    assert refused(station, parcel) is Refusal.ANSWERED
    finish(cohort.attempt(2), station)


# One home, several threads.


def test_second_thread_is_told_busy_after_five_seconds_of_the_clock(tmp_path: Path) -> None:
    home, attempt = CURIOUS.make_home(tmp_path, ME), CURIOUS.attempt(1)
    begun, go_on = threading.Event(), threading.Event()
    replies = []

    def train(work: Work) -> Update:
        begun.set()
        go_on.wait()
        update: Update = training(ME)(work)
        return update

    first = threading.Thread(target=lambda: replies.append(ask(Station(home), attempt.parcel(ME), train)))
    first.start()
    begun.wait()
    seconds = iter(range(100))
    second = Station(home.path, clock=lambda: float(next(seconds)))
    assert refused(second, attempt.parcel(ME), train) is Refusal.BUSY
    assert next(seconds) == 6  # It was read at 0 s, and at last at 5 s.
    go_on.set()
    first.join()
    assert replies[0].refusal is None
    assert ask(Station(home), attempt.parcel(ME)) == replies[0]


def test_threads_with_one_parcel_get_one_answer(tmp_path: Path) -> None:
    home, attempt, train = CURIOUS.make_home(tmp_path, ME), CURIOUS.attempt(1), Trained()
    station, parcel = Station(home), attempt.parcel(ME)
    replies: list[bytes] = []
    threads = [threading.Thread(target=lambda: replies.append(station.answer(parcel, train))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(replies)) == 1
    assert reply_of(replies[0]).refusal is None
    assert train.calls == 1


# What the node tells its operator.


def test_log_names_the_code_and_the_rule_and_no_secret(
    home: Home, cohort: Cohort, caplog: pytest.LogCaptureFixture
) -> None:
    station, attempt = Station(home), cohort.attempt(1)
    with caplog.at_level(logging.DEBUG):
        finish(attempt, station)
        refused(station, cohort.attempt(1, seed=b"x").parcel(ME))
    assert f"node {ME} refuses step 0 of serial 1: old: " in caplog.text
    assert identity_of(ME).secret.reveal().hex() not in caplog.text
    assert identity_of(ME).secret.reveal() not in b"".join(repr(each).encode() for each in vars(station).values())


# The node's own cap on the sessions that its update is sent in.


def counted(home: Home) -> int:
    with home.lock():
        return home.sessions.participations(home.identity.public)


@pytest.mark.parametrize(
    "cohort",
    [CURIOUS, Cohort(adversary=Adversary.MALICIOUS), Cohort(protocol="paillier"), PRIVATE],
    ids=["curious", "malicious", "one message", "private"],
)
def test_node_at_its_cap_refuses_before_it_trains_or_reserves(tmp_path: Path, cohort: Cohort) -> None:
    home = cohort.make_home(tmp_path, ME, cap=2)
    station, train = Station(home), Trained()
    for serial in (1, 2):
        finish(cohort.attempt(serial), station)
        assert counted(home) == serial
    before = files(home.path)
    assert refused(station, cohort.attempt(3).parcel(ME), train) is Refusal.POLICY
    assert (train.calls, files(home.path), counted(home)) == (0, before, 2)
    raised = cohort.policy(tmp_path / "live", cap=3)
    (home.path / "policy.toml").write_text(raised)
    finish(cohort.attempt(3), Station(home.path))
    assert counted(Home.open(home.path)) == 3


def test_session_counts_from_the_step_that_sends_the_update(home: Home, cohort: Cohort) -> None:
    station, attempt, counts = Station(home), cohort.attempt(1), []
    while attempt.requests:
        step(attempt, station)
        counts.append(counted(home))
    assert counts == [0, 0, 1, 1]
    step(cohort.attempt(2), station)  # It ends before anything is sent, and does not count.
    assert counted(home) == 1


def test_member_that_is_no_client_never_counts(tmp_path: Path) -> None:
    cohort = Cohort(protocol="paillier")
    home = cohort.make_home(tmp_path, MEMBER, cap=1)
    for serial in (1, 2):
        attempt = cohort.attempt(serial)
        attempt.advance(attempt.replies())
        assert refused(Station(home), attempt.parcel(home.node)) is None
    assert counted(home) == 0


def test_cap_is_named_in_the_log_and_not_in_the_reply(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cohort = Cohort()
    home = cohort.make_home(tmp_path, ME, cap=1)
    station = Station(home)
    finish(cohort.attempt(1), station)
    with caplog.at_level(logging.WARNING):
        reply = station.answer(cohort.attempt(2).parcel(ME), training(ME))
    assert reply == Reply(serial=2, step=0, sender=ME, refusal=Refusal.POLICY).to_bytes()
    assert "policy: cap: expected fewer than 1 sessions that count, found 1" in caplog.text
