"""Attacks on a node, each tried on the station as it is, and on a variant without the rule, where it succeeds."""

import contextlib
import threading
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from protocols import Identity, Secret
from protocols.errors import TooFewSurvivors
from secagg.engines.base import Update
from secagg.engines.node.home_lock import HomeLock
from secagg.engines.node.station import Station
from secagg.engines.wire.parcel import Limits, Refusal, Reply, Request, open_reply, open_request
from secagg.engines.wire.work import Work
from tests.support.stations import ARRAYS, CLIENTS, WORK, Attempt, Cohort, training

ME: Final = 5
COHORT: Final = Cohort()
DEAD: Final = Work(WORK.run, WORK.round, [np.zeros_like(array) for array in ARRAYS], WORK.settings)
STRANGER: Final = Identity(Secret(bytes(32)))
TEXT: Final = "Alice, HIV positive"


def reply_of(station: Station, parcel: bytes, train: Any = None) -> Reply:
    return open_reply(station.answer(parcel, train), 10**7)


def by_weights(work: Work) -> Update:
    """Return an update that is a tenth of the weights, so none of dead weights."""
    return Update([0.1 * array for array in work.arrays])


# Dead weights to all but one node.


def sum_of(attempt: Attempt, stations: Mapping[int, Station], works: Mapping[int, Work]) -> list[Any]:
    """Return the sum of the updates of the nodes that answer; each trains on what it was sent."""
    while attempt.requests:
        replies = dict[int, bytes]()
        for node, station in stations.items():
            changes = {"work": works[node].to_bytes()} if attempt.step == 0 else {}
            if node in attempt.requests:
                reply = reply_of(station, attempt.parcel(node, **changes), by_weights)
                replies |= {} if reply.refusal else {node: reply.body}
        attempt.advance(replies)
    finish: Any = attempt.progress
    contributors = len(finish.contributors)
    decoded = attempt.mean.decode(
        finish.total,
        contributors=contributors,
        rotation=attempt.mean.rotation(attempt.session),
        attached=finish.attached,
    )
    return [contributors * array for array in decoded.mean]


@pytest.mark.parametrize("rule", [True, False])
def test_dead_weights_to_all_but_one_node(rule: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the rule, the sessions' context is opaque, and the sum is the victim's update."""
    if not rule:
        monkeypatch.setattr(Work, "digest", lambda _: bytes(32))
    stations = {node: Station(COHORT.make_home(tmp_path, node)) for node in CLIENTS}
    works = dict.fromkeys(CLIENTS, DEAD) | {ME: WORK}
    summed = partial(sum_of, Cohort().attempt(1), stations, works)
    if rule:
        with pytest.raises(TooFewSurvivors):
            summed()
        return
    for found, array in zip(summed(), ARRAYS, strict=True):
        np.testing.assert_allclose(found, 0.1 * array, atol=1e-3)


# An old offer again, and one that no node has seen.


@pytest.mark.parametrize("rule", [True, False])
def test_offers_of_earlier_serials(rule: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the rule, the node trains again for an old offer, and an older one closes the live session."""
    calls = []

    def train(work: Work) -> Update:
        calls.append(work)
        update: Update = training(ME)(work)
        return update

    station = Station(COHORT.make_home(tmp_path, ME))
    old, live = COHORT.attempt(1), COHORT.attempt(2)
    assert reply_of(station, old.parcel(ME), train).refusal is None
    replies = live.replies(ME)
    live.advance(replies | {ME: reply_of(station, live.parcel(ME), train).body})
    if not rule:
        monkeypatch.setattr("secagg.engines.node.station.serial_of", lambda _: -1)
    for parcel in (old.parcel(ME), COHORT.attempt(1, seed=b"unseen").parcel(ME)):
        assert (reply_of(station, parcel, train).refusal is Refusal.OLD) is rule
    monkeypatch.undo()
    assert len(calls) == (2 if rule else 4)
    assert (reply_of(station, live.parcel(ME)).refusal is None) is rule


# A stranger's offer.


@pytest.mark.parametrize("rule", [True, False])
def test_offer_of_a_stranger(rule: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the coordinator's key, the stranger spends the budget and closes the live session."""
    cohort = Cohort(private=True)
    home = cohort.make_home(tmp_path, ME)
    station, live = Station(home), cohort.attempt(1)
    live.advance(live.replies(ME) | {ME: reply_of(station, live.parcel(ME), training(ME)).body})

    def opened(parcel: bytes, *, coordinator: bytes, receiver: int, limits: Limits) -> Request:
        return open_request(parcel, coordinator=STRANGER.public, receiver=receiver, limits=limits)

    foreign = cohort.attempt(2)
    parcel = Request(
        serial=2,
        step=0,
        receiver=ME,
        offer=foreign.offer,
        work=foreign.work.to_bytes(),
        body=foreign.requests[ME],
    ).seal(STRANGER)
    if not rule:
        monkeypatch.setattr("secagg.engines.node.station.open_request", opened)
    assert reply_of(station, parcel, training(ME)).refusal is (Refusal.STRANGER if rule else None)
    monkeypatch.undo()
    with home.lock(), home.ledger() as ledger:
        assert len(ledger.entries()) == (1 if rule else 2)
    assert (reply_of(station, live.parcel(ME)).refusal is None) is rule


# The text of an error of training.


def talkative(attempt: Attempt, train: Any) -> bytes:
    """Return the reply of a node without the closed list of codes, which tells the server the error, as engines do."""
    try:
        train(attempt.work)
    except Exception as error:  # noqa: BLE001  # That is the variant.
        return Reply(serial=1, step=0, sender=ME, body=f"{type(error).__name__}: {error}".encode()).to_bytes()
    return b""


@pytest.mark.parametrize("rule", [True, False])
def test_text_of_an_error_with_a_record_of_the_data(rule: bool, tmp_path: Path) -> None:
    """The training fails with an error that quotes the data; the closed list of codes must keep it from the server."""

    def fail(_: Work) -> Update:
        raise ValueError(TEXT)

    attempt = COHORT.attempt(1)
    station = Station(COHORT.make_home(tmp_path, ME))
    view = station.answer(attempt.parcel(ME), fail) if rule else talkative(attempt, fail)
    assert (TEXT.encode() not in view) is rule


# One home, two threads.


@contextlib.contextmanager
def unheld(*_: object, **__: object) -> Iterator[None]:
    """Stand for a lock that keeps nobody out."""
    yield


@pytest.mark.parametrize("rule", [True, False])
def test_two_threads_with_one_home(rule: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the lock, both train for one parcel, and one of them is answered."""
    if not rule:
        monkeypatch.setattr(HomeLock, "held", unheld)
    station, attempt = Station(COHORT.make_home(tmp_path, ME)), COHORT.attempt(1)
    parcel, begun, go_on = attempt.parcel(ME), threading.Event(), threading.Event()
    calls, replies = list[str](), list[Reply]()

    def train(work: Work) -> Update:
        calls.append(threading.current_thread().name)
        begun.set()
        if len(calls) == 1:
            go_on.wait()
        update: Update = training(ME)(work)
        return update

    first = threading.Thread(target=lambda: replies.append(reply_of(station, parcel, train)))
    first.start()
    begun.wait()
    second = threading.Thread(target=lambda: replies.append(reply_of(station, parcel, train)))
    second.start()
    if not rule:
        second.join()
    go_on.set()
    first.join()
    second.join()
    assert len(calls) == (1 if rule else 2)
    assert [reply.refusal is None for reply in replies] == [True, rule]
