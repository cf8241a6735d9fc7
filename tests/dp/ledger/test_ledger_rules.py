"""What a ledger counts and keeps, and which budgets, reservations and commitments it refuses, over every log."""

import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dp.accounting.guarantee import guarantee
from dp.calibration.least_noise import calibrate_noise
from dp.errors import (
    BudgetExceeded,
    IncompatibleEvent,
    InvalidParameter,
    InvalidReservation,
    LedgerLocked,
    LedgerStale,
    LedgerUnavailable,
)
from dp.events import DistributedDiscreteGaussianEvent, GaussianEvent, NeighbouringRelation
from dp.noise.distributed import DistributedDiscreteGaussian
from tests.support.ledgers import EVENT, FileLocation, LedgerLocation, MemoryLocation


@pytest.fixture(params=["file", "memory"])
def location(request: pytest.FixtureRequest, path: Path) -> LedgerLocation:
    return FileLocation(path) if request.param == "file" else MemoryLocation()


@pytest.fixture
def another(location: LedgerLocation, path: Path) -> LedgerLocation:
    return FileLocation(path.with_suffix(".2")) if isinstance(location, FileLocation) else MemoryLocation()


def test_ledger_enforces_the_budget_it_was_calibrated_for(location: LedgerLocation) -> None:
    mechanism = calibrate_noise(
        DistributedDiscreteGaussian,
        epsilon=2.0,
        delta=1e-3,
        releases=12,
        l2_sensitivity=100.0,
        dimension=650,
        minimum_contributors=100,
    )
    with location.create(epsilon=2.0) as ledger:
        for release in range(12):
            assert ledger.remaining(mechanism.event) == 12 - release
            assert ledger.reserve(mechanism.event, f"round {release}") == release + 1
        before = ledger.spent()
        with pytest.raises(BudgetExceeded, match=r"round 12: would bring epsilon to 2\.\d+ of 2"):
            ledger.reserve(mechanism.event, "round 12")
        assert ledger.spent() == before
        assert ledger.spent().epsilon == pytest.approx(2.0, rel=1e-3)
        assert len(ledger.entries()) == 12


def test_ledger_keeps_everything_across_openings(location: LedgerLocation) -> None:
    gaussian = GaussianEvent(noise_multiplier=30.0)
    with location.create() as ledger:
        ledger.commit(ledger.reserve(EVENT, "first"), contributors=120, details={"accuracy": 0.5, "n": 3, "by": "é"})
        ledger.reserve(gaussian, "second")
    with location.open(clock=lambda: 2000.0) as ledger:
        ledger.commit(2, contributors=7)
        head, spent, entries = ledger.head, ledger.spent(), ledger.entries()
    with location.read() as ledger:
        assert (ledger.head, ledger.spent(), ledger.entries()) == (head, spent, entries)
        assert (ledger.budget.epsilon, ledger.budget.delta, ledger.budget.population) == (8.0, 1e-3, 300)
        first, second = ledger.entries()
        assert first.reservation.event == EVENT
        assert first.commitment is not None
        assert first.commitment.details == {"accuracy": 0.5, "n": 3, "by": "é"}
        assert second.reservation.event == gaussian
        assert second.commitment is not None
        assert second.commitment.time_s == 2000.0
        assert [first.reservation.time_s, first.commitment.time_s, second.reservation.time_s] == [1001, 1002, 1003]
    assert spent == guarantee({EVENT: 1, gaussian: 1}, delta=1e-3)


def test_uncommitted_reservations_count_as_spent(location: LedgerLocation) -> None:
    with location.create() as ledger:
        ledger.reserve(EVENT, "a")
    with location.open() as ledger:
        assert ledger.spent() == guarantee({EVENT: 1}, delta=1e-3)
        assert ledger.entries()[0].commitment is None


def test_remaining_is_how_many_fit(location: LedgerLocation) -> None:
    with location.create() as ledger:
        count = ledger.remaining(EVENT)
        assert guarantee({EVENT: count}, delta=1e-3).epsilon <= 8.0 < guarantee({EVENT: count + 1}, delta=1e-3).epsilon
        assert ledger.remaining(GaussianEvent(noise_multiplier=0.01)) == 0
        assert ledger.remaining(GaussianEvent(noise_multiplier=1e12)) == 2**40


def test_closed_ledger_refuses(location: LedgerLocation) -> None:
    ledger = location.create()
    ledger.close()
    ledger.close()
    with pytest.raises(LedgerUnavailable, match="closed"):
        ledger.reserve(EVENT, "x")
    assert ledger.entries() == ()


@pytest.mark.parametrize(
    ("budget", "match"),
    [
        ({"epsilon": 0.0}, "epsilon"),
        ({"epsilon": math.nan}, "epsilon"),
        ({"delta": 0.0}, "delta"),
        ({"delta": 1 / 300}, "one over the population"),
        ({"population": 0}, "population"),
        ({"population": True}, "population"),
        ({"population": 10**400}, "population"),
        ({"epsilon": 10**400}, "epsilon"),
        ({"unit": "client"}, "unit"),
        ({"relation": "zero-out"}, "relation"),
        ({"clock": lambda: 1e30}, "clock"),
        ({"clock": lambda: math.nan}, "clock"),
    ],
)
def test_create_refuses_budgets(location: LedgerLocation, budget: dict[str, Any], match: str) -> None:
    with pytest.raises(InvalidParameter, match=match):
        location.create(**{"epsilon": 1.0, "delta": 1e-3, "population": 300} | budget)
    assert not location.exists()


@pytest.mark.parametrize("label", ["", "x" * 201, "line\nbreak", None, 3])
def test_reserve_refuses_labels(location: LedgerLocation, label: Any) -> None:
    with location.create() as ledger, pytest.raises(InvalidParameter, match="label"):
        ledger.reserve(EVENT, label)


def test_reserve_refuses_other_relations(location: LedgerLocation, another: LedgerLocation) -> None:
    other = GaussianEvent(noise_multiplier=9.0, relation=NeighbouringRelation.ADD_OR_REMOVE_ONE)
    with location.create() as ledger:
        with pytest.raises(IncompatibleEvent, match="add-or-remove-one"):
            ledger.reserve(other, "x")
        with pytest.raises(InvalidParameter, match="a privacy event, found str"):
            ledger.reserve("gaussian", "x")  # type: ignore[arg-type]
        assert ledger.entries() == ()
    with another.create(relation=NeighbouringRelation.ADD_OR_REMOVE_ONE) as ledger:
        assert ledger.reserve(other, "x") == 1


def test_commit_refuses_what_was_not_reserved(location: LedgerLocation) -> None:
    with location.create() as ledger:
        number = ledger.reserve(EVENT, "x")
        with pytest.raises(InvalidReservation, match="expected one of 1"):
            ledger.commit(2, contributors=100)
        with pytest.raises(InvalidReservation, match=r"at least 100 contributors.*found 99"):
            ledger.commit(number, contributors=99)
        with pytest.raises(InvalidReservation, match="population"):
            ledger.commit(number, contributors=301)
        ledger.commit(number, contributors=100)
        with pytest.raises(InvalidReservation, match="already"):
            ledger.commit(number, contributors=100)


@pytest.mark.parametrize(
    ("number", "contributors", "details", "match"),
    [
        (True, 100, {}, "reservation"),
        (0, 100, {}, "reservation"),
        (1, 100.0, {}, "contributors"),
        (1, 0, {}, "contributors"),
        (1, 100, {"a": math.inf}, "finite"),
        (1, 100, {"a": True}, "bool"),
        (1, 100, {"a": [1]}, "list"),
        (1, 100, {3: "a"}, "details"),
        (1, 100, ["a"], "mapping"),
        (1, 100, {"a": "\ud800"}, "surrogate"),
        (1, 100, {"a": 1 << 63}, "<="),
        (1, 100, {"a": Fraction(10**400)}, "finite"),
        (1, 10**400, {}, "contributors"),
        pytest.param(10**5000, 100, {}, "thousands of digits", id="huge"),
    ],
)
def test_commit_refuses_parameters(
    location: LedgerLocation, number: Any, contributors: Any, details: Any, match: str
) -> None:
    with location.create() as ledger:
        ledger.reserve(EVENT, "x")
        with pytest.raises(InvalidParameter, match=match):
            ledger.commit(number, contributors=contributors, details=details)
        assert ledger.entries()[0].commitment is None


def test_ledger_takes_numbers_of_other_kinds(location: LedgerLocation) -> None:
    event = DistributedDiscreteGaussianEvent(
        local_sigma=Fraction(20),  # type: ignore[arg-type]
        contributors=np.uint8(100),  # type: ignore[arg-type]
        l2_sensitivity=np.float32(100),  # type: ignore[arg-type]
        dimension=np.int16(650),  # type: ignore[arg-type]
    )
    assert event == EVENT
    with location.create(
        epsilon=np.float64(8),
        delta=Fraction(1, 1000),
        population=np.int16(300),
    ) as ledger:
        assert ledger.reserve(event, np.str_("x")) == 1
        assert ledger.reserve(GaussianEvent(noise_multiplier=Fraction(30)), "y") == 2  # type: ignore[arg-type]
        details: dict[str, Any] = {np.str_("a"): np.float32(0.5), "b": np.int8(3), "c": Fraction(1, 4)}
        ledger.commit(np.int64(1), contributors=np.int32(100), details=details)  # type: ignore[arg-type]
        entries = ledger.entries()
    with location.read() as ledger:
        assert ledger.entries() == entries
        assert entries[0].commitment is not None
        assert entries[0].commitment.details == {"a": 0.5, "b": 3, "c": 0.25}


def test_log_has_one_writer(location: LedgerLocation) -> None:
    with location.create() as ledger:
        with pytest.raises(LedgerLocked):
            location.open()
        with location.read() as read, pytest.raises(LedgerUnavailable, match="opened for reading"):
            read.reserve(EVENT, "x")
        assert ledger.reserve(EVENT, "x") == 1


def test_head_shows_that_records_are_missing(location: LedgerLocation, another: LedgerLocation) -> None:
    with location.create() as ledger, another.create(epsilon=9.0) as other:
        first = ledger.head
        ledger.reserve(EVENT, "x")
        assert ledger.records_after(first) == 1
        with pytest.raises(LedgerStale, match="record with that head"):
            ledger.records_after(other.head)
        kept, foreign = ledger.head, other.head
    with location.open(head=kept) as ledger:
        assert ledger.head == kept
    with pytest.raises(LedgerStale, match="record with the kept head"):
        location.open(head=foreign)
    with pytest.raises(InvalidParameter, match="head"):
        location.open(head="no digest")
