"""Caps on participation: who is counted, when, and who may be asked again."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dp.errors import (
    BudgetExceeded,
    IncompatibleEvent,
    IncompatibleLedger,
    InvalidParameter,
    InvalidReservation,
    ParticipationExceeded,
)
from dp.events import DistributedDiscreteGaussianEvent, GaussianEvent, Observer, RepeatedEvent
from dp.ledger.participation import Accounting
from tests.support.cohorts import EITHER, EVENT, SAMPLED, CohortLedger, recount
from tests.support.ledgers import create

SHARES = DistributedDiscreteGaussianEvent(local_sigma=9.0, contributors=3, l2_sensitivity=10.0, dimension=4)


@pytest.mark.parametrize("clients", [1, 2, 9, 64, 65, 100_000])
def test_every_client_may_be_asked_as_often_as_the_cap_says(clients: int) -> None:
    cohort = list(range(0, clients, max(1, clients // 7)))
    stored = CohortLedger(clients, cap=2, delta=1e-9)
    with stored.open() as ledger:
        for number in (1, 2):
            assert ledger.remaining(EVENT, participants=cohort) == 3 - number
            assert set(ledger.eligible()) == set(range(clients))
            assert ledger.reserve(EVENT, "round", participants=cohort) == number
        assert ledger.remaining(EVENT, participants=cohort) == 0
        assert set(ledger.eligible()) == set(range(clients)) - set(cohort)
        before = (ledger.head, ledger.entries())
        with pytest.raises(ParticipationExceeded, match=rf"fewer than 2 .* found {len(cohort)} that were asked in 2"):
            ledger.reserve(EVENT, "round", participants=cohort)
        assert (ledger.head, ledger.entries()) == before
        counts = ledger.rounds_by_client()
        assert counts.dtype == np.uint32
        assert not counts.flags.writeable
    with stored.open() as again:
        assert (again.rounds_by_client() == counts).all()
        assert Counter({one: int(count) for one, count in enumerate(counts) if count}) == recount(stored.records.bodies)
        assert again.rounds_of(cohort[-1]) == 2
        with pytest.raises(ParticipationExceeded):
            again.reserve(EVENT, "round", participants=[cohort[-1]])


def test_refusal_above_the_cap_names_five_clients_at_most() -> None:
    with CohortLedger(20, cap=1).open() as ledger:
        ledger.reserve(EVENT, "round 1", participants=range(3, 12))
        with pytest.raises(ParticipationExceeded) as caught:
            ledger.reserve(EVENT, "round 2", participants=range(20))
    assert str(caught.value) == (
        "round 2: expected clients that were asked in fewer than 1 reservations, the cap, found 9 that were asked in 1 "
        "(the first: 3, 4, 5, 6, 7). Ask clients of `Ledger.eligible`."
    )


def test_one_client_above_the_cap_refuses_the_whole_cohort() -> None:
    with CohortLedger(9, cap=1).open() as ledger:
        ledger.reserve(EVENT, "round 1", participants=[4])
        with pytest.raises(ParticipationExceeded, match=r"found 1 .*the first: 4\)"):
            ledger.reserve(EVENT, "round 2", participants=[1, 2, 3, 4])
        assert [ledger.rounds_of(one) for one in range(9)] == [0, 0, 0, 0, 1, 0, 0, 0, 0]


def test_whoever_was_asked_is_counted_whatever_became_of_the_release() -> None:
    """A round fails, clients drop out, or nothing is committed: nothing is given back."""
    stored = CohortLedger(9, cap=2)
    with stored.open() as ledger:
        ledger.reserve(EVENT, "failed", participants=[0, 1, 2])
        number = ledger.reserve(EVENT, "with drop-outs", participants=[1, 2, 3])
        ledger.commit(number, contributors=[3])
        expected = [1, 2, 2, 1, 0, 0, 0, 0, 0]
        assert ledger.rounds_by_client().tolist() == expected
        spent = [ledger.spent(client).least_bound for client in range(9)]
        assert spent[1] == spent[2] > spent[0] == spent[3] > spent[4] == 0.0
    with stored.open() as again:
        assert again.rounds_by_client().tolist() == expected
        with pytest.raises(ParticipationExceeded):
            again.reserve(EVENT, "a retry of the round", participants=[1])


def test_commitment_keeps_who_is_missing() -> None:
    stored = CohortLedger(9)
    with stored.open() as ledger:
        number = ledger.reserve(EVENT, "round 1", participants=[8, 2, 5])
        ledger.commit(number, contributors=iter([5, 2]), realised=EVENT)
        number = ledger.reserve(EVENT, "round 2", participants=[8, 2, 5])
        ledger.commit(number, contributors=np.array([2, 8, 5]))
        entries = ledger.entries()
    with stored.read() as again:
        assert again.entries() == entries
    assert [entry.commitment and entry.commitment.contributors for entry in entries] == [2, 3]
    assert [entry.commitment and entry.commitment.missing for entry in entries] == ["dCQ==", None]
    assert b'"missing"' not in stored.records.bodies[-1]


@pytest.mark.parametrize(
    ("contributors", "error", "match"),
    [
        ([2, 6], InvalidReservation, r"found 1 that were not \(the first: 6\)\. Do not release"),
        ([2, 2, 5], InvalidParameter, "client 2 more than once"),
        ([2, 9], InvalidParameter, "numbered 0 to 8"),
        (3, InvalidParameter, "contributors: expected the numbers of clients, found int"),
        ([2, 5], InvalidReservation, "at least 3 contributors, whose noise was reserved, found 2"),
        ([], InvalidReservation, "at least 3 contributors"),
    ],
)
def test_commit_refuses_contributors_that_were_not_asked(contributors: Any, error: type[Exception], match: str) -> None:
    with CohortLedger(9).open() as ledger:
        number = ledger.reserve(SHARES, "round", participants=[8, 2, 5])
        with pytest.raises(error, match=match):
            ledger.commit(number, contributors=contributors)
        assert ledger.entries()[0].commitment is None


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({}, IncompatibleLedger, "participants: expected the clients that the release asks"),
        ({"participants": []}, InvalidParameter, "at least 1 client"),
        ({"participants": [0, 0]}, InvalidParameter, "more than once"),
        ({"participants": [9]}, InvalidParameter, "numbered 0 to 8"),
        ({"participants": [0, 1]}, InvalidParameter, "at least 3, whose noise the event counts on, found 2"),
        ({"participants": [0, 1, 2], "contributors": 4}, InvalidParameter, "at most the 3 clients that are asked"),
        ({"participants": [0, 1, 2], "contributors": 2}, InvalidParameter, "at least 3, whose noise"),
    ],
)
def test_reserve_refuses_participants(options: dict[str, Any], error: type[Exception], match: str) -> None:
    with CohortLedger(9).open() as ledger:
        with pytest.raises(error, match=match):
            ledger.reserve(SHARES, "round", **options)
        assert ledger.entries() == ()
        assert ledger.reserve(SHARES, "round", participants=[0, 1, 2, 3], contributors=3) == 1


def test_check_counts_with_the_clients_of_the_population() -> None:
    with CohortLedger(9).open() as ledger:
        ledger.check(SHARES, label="round", contributors=9)
        with pytest.raises(InvalidParameter, match="at most the population 9"):
            ledger.check(SHARES, label="round", contributors=10)
        with pytest.raises(InvalidParameter, match="at least 3, whose noise"):
            ledger.check(SHARES, label="round", contributors=2)


def test_ledger_without_participation_takes_no_participants(path: Path) -> None:
    with create(path) as ledger:
        with pytest.raises(IncompatibleLedger, match="participants: expected none"):
            ledger.reserve(EVENT, "round", participants=[0])
        with pytest.raises(IncompatibleLedger, match="participants: expected none"):
            ledger.remaining(EVENT, participants=[0])
        number = ledger.reserve(EVENT, "round")
        with pytest.raises(InvalidParameter, match="contributors: expected an integer"):
            ledger.commit(number, contributors=[0])
        for call in (ledger.rounds_of, ledger.spent, ledger.charged, ledger.left):
            with pytest.raises(IncompatibleLedger, match="expected a ledger with participation"):
                call(0)
        for nothing in (ledger.eligible, ledger.rounds_by_client):
            with pytest.raises(IncompatibleLedger, match="expected a ledger with participation"):
                nothing()


@pytest.mark.parametrize("client", [-1, 9, 1.0, True, None, "0"])
def test_client_that_is_none_is_refused(client: Any) -> None:
    with CohortLedger(9).open() as ledger:
        with pytest.raises(InvalidParameter, match="client"):
            ledger.rounds_of(client)
        for one in (client,) if client is not None else ():
            with pytest.raises(InvalidParameter, match="client"):
                ledger.spent(one)


def test_order_of_checks_is_event_and_clients_then_cap_then_budget() -> None:
    dear = GaussianEvent(noise_multiplier=0.01)
    other = GaussianEvent(noise_multiplier=4.0, relation=EITHER)
    with CohortLedger(9, cap=1, accounting=Accounting.GAUSSIAN_FILTER).open() as ledger:
        ledger.reserve(EVENT, "round", participants=[0])
        with pytest.raises(IncompatibleEvent):
            ledger.reserve(other, "round", participants=[77])
        with pytest.raises(InvalidParameter, match="numbered"):
            ledger.reserve(dear, "round", participants=[0, 77])
        with pytest.raises(ParticipationExceeded):
            ledger.reserve(dear, "round", participants=[0, 1])
        with pytest.raises(BudgetExceeded):
            ledger.reserve(dear, "round", participants=[1])
        assert len(ledger.entries()) == 1


def test_without_a_cap_everybody_is_eligible() -> None:
    with CohortLedger(4).open() as ledger:
        ledger.reserve(EVENT, "round", participants=[1, 2])
        assert ledger.eligible() == (0, 1, 2, 3)


def test_ledger_towards_readers_counts_and_charges_everybody_for_every_draw() -> None:
    stored = CohortLedger(9, towards=Observer.READERS, relation=EITHER)
    with stored.open() as ledger:
        ledger.commit(ledger.reserve(SAMPLED, "round 1", participants=[1, 4]), contributors=[4], realised=SAMPLED)
        # A draw may be empty; to leave the round out would depend on the draw.
        ledger.commit(ledger.reserve(SAMPLED, "round 2", participants=[]), contributors=[], realised=SAMPLED)
        assert ledger.rounds_by_client().tolist() == [0, 1, 0, 0, 1, 0, 0, 0, 0]
        assert {ledger.spent(client).least_bound for client in range(9)} == {ledger.spent().least_bound}
        once = CohortLedger(9, towards=Observer.READERS, relation=EITHER)
        with once.open() as other:
            other.reserve(SAMPLED, "round", participants=range(9))
            assert other.spent().least_bound < ledger.spent().least_bound
        entries = ledger.entries()
    with stored.read() as again:
        assert again.entries() == entries


@pytest.mark.parametrize(
    "event",
    [
        SAMPLED.event,
        RepeatedEvent(times=2, event=SAMPLED),
        type(SAMPLED)(
            sampling_rate=0.1,
            event=DistributedDiscreteGaussianEvent(
                local_sigma=9.0, contributors=3, l2_sensitivity=10.0, dimension=4, relation=EITHER
            ),
        ),
    ],
)
def test_ledger_towards_readers_takes_only_one_draw_with_the_noise_of_one_party(event: Any) -> None:
    """With shares of noise that the drawn clients bring, the noise tells who was drawn."""
    ledger = CohortLedger(9, towards=Observer.READERS, relation=EITHER).open()
    with pytest.raises(IncompatibleEvent, match="Poisson-sampled event with the noise of one party"):
        ledger.reserve(event, "round", participants=[1, 2, 3])
