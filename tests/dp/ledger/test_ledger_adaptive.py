"""Ledgers whose cohorts, events or end may depend on results: what they take, how much, and what they claim."""

import contextlib
import functools
from collections.abc import Iterator
from typing import Any, Final

import mpmath  # type: ignore[import-untyped]  # dp-accounting brings it; it has no type information
import pytest

from dp.accounting.guarantee import Claim
from dp.errors import BudgetExceeded, IncompatibleEvent, ParticipationExceeded
from dp.events import (
    DistributedDiscreteGaussianEvent,
    GaussianEvent,
    NeighbouringRelation,
    PoissonSampledEvent,
    PrivacyEvent,
    PrivacyUnit,
    SkellamEvent,
)
from dp.ledger.ledger import Ledger
from dp.ledger.participation import Accounting, Participation
from dp.ledger.records import first_record
from tests.support.cohort_world import DIGEST
from tests.support.finite_pairs import Strategy, hockey_stick, randomised_response, strategies, transcript
from tests.support.ledger_recount import Recount, recount, renyi_budget, renyi_charge
from tests.support.memory_log import MemoryLog, StoredRecords

pytestmark = pytest.mark.slow

ADDED: Final = NeighbouringRelation.ADD_OR_REMOVE_ONE


def ledger_over(records: StoredRecords) -> Ledger:
    return Ledger.over(MemoryLog(records, writable=True))


def new_records(**changes: Any) -> StoredRecords:
    return StoredRecords(first_record(**{"epsilon": 4.0, "delta": 1e-6, "population": 4} | changes))


def sampled_integers(sigma: float, rate: float) -> PrivacyEvent:
    """Return the event of a counterexample to a filter by curves: one discrete Gaussian, sampled."""
    noise = DistributedDiscreteGaussianEvent(
        local_sigma=sigma, contributors=1, l2_sensitivity=1.0, dimension=1, relation=ADDED, unit=PrivacyUnit.EXAMPLE
    )
    return PoissonSampledEvent(sampling_rate=rate, event=noise) if rate < 1 else noise


FIRST: Final = sampled_integers(1.2, 0.2)
SECOND: Final = [sampled_integers(6.0, 1.0), sampled_integers(0.7, 0.03964)]


@pytest.mark.parametrize("second", SECOND)
def test_counterexample_to_a_filter_by_curves_is_refused_unless_events_are_fixed(second: PrivacyEvent) -> None:
    """An adversary that chooses the second release by the result of the first exceeds the account of both orders."""
    for adaptive in (True, False):
        participation = Participation(clients=DIGEST, size=4, adaptive=adaptive)
        records = new_records(
            unit=PrivacyUnit.EXAMPLE, relation=ADDED, participation=participation, population=1000, epsilon=30.0
        )
        with ledger_over(records) as ledger:
            ledger.reserve(FIRST, "first", participants=[0, 1])
            before = records.bodies
            if adaptive:
                # Also for a client that the first release did not ask.
                for participants in ([0], [3]):
                    with pytest.raises(IncompatibleEvent, match="filter"):
                        ledger.reserve(second, "second", participants=participants)
                assert records.bodies == before
                assert ledger.spent().claim is Claim.BUDGET
            else:
                ledger.reserve(second, "second", participants=[0])
                assert ledger.spent().claim is Claim.SPENT


@pytest.mark.parametrize("event", [FIRST, SECOND[1]])
def test_gaussian_filter_refuses_sampled_events(event: PrivacyEvent) -> None:
    records = new_records(
        unit=PrivacyUnit.EXAMPLE, relation=ADDED, population=1000, accounting=Accounting.GAUSSIAN_FILTER
    )
    with ledger_over(records) as ledger:
        with pytest.raises(IncompatibleEvent, match="sampl"):
            ledger.reserve(event, "sampled")
        assert len(records.bodies) == 1


def test_gaussian_filter_refuses_noise_without_a_dominating_gaussian() -> None:
    event = SkellamEvent(variance=0.5, contributors=1, l2_sensitivity=1.0, dimension=1)
    records = new_records(accounting=Accounting.GAUSSIAN_FILTER)
    with ledger_over(records) as ledger:
        with pytest.raises(IncompatibleEvent, match="Skellam"):
            ledger.reserve(event, "too little noise")
        assert len(records.bodies) == 1


def sampled_gaussian(noise_multiplier: float, rate: float) -> PrivacyEvent:
    noise = GaussianEvent(noise_multiplier=noise_multiplier, relation=ADDED, unit=PrivacyUnit.EXAMPLE)
    return PoissonSampledEvent(sampling_rate=rate, event=noise) if rate < 1 else noise


def charged(found: Recount) -> Any:
    """Return the greatest sum of exact divergences of one client."""
    order = found.budget["order"]
    clients = {client for _, asked in found.reservations for client in asked or ()}
    return max(
        mpmath.fsum(times * renyi_charge(event, order) for event, times in found.events_of(client).items())
        for client in clients
    )


@pytest.mark.parametrize("order", [1.7, 6.5])
def test_renyi_filter_admits_no_more_than_its_budget(order: float) -> None:
    """Events with and without sampling in turn, whatever fits, until nothing does; divergences by integration."""
    participation = Participation(clients=DIGEST, size=3)
    records = new_records(
        unit=PrivacyUnit.EXAMPLE,
        relation=ADDED,
        population=1000,
        delta=1e-4,
        epsilon=20.0,
        participation=participation,
        accounting=Accounting.RENYI_FILTER,
        order=order,
    )
    events = [sampled_gaussian(*each) for each in ((1.0, 0.1), (2.0, 1.0), (0.7, 0.01), (3.0, 0.5))]
    with ledger_over(records) as ledger:
        for turn, event in enumerate(events * 60):
            with contextlib.suppress(BudgetExceeded):
                ledger.reserve(event, "next", participants=[(0, 1), (1, 2), (0, 1, 2)][turn % 3])
        found = recount(records.bodies)
        limit = renyi_budget(found.budget)
        assert charged(found) <= limit
        used = ledger.spent().used
        assert used is not None
        assert charged(found) / limit <= used <= charged(found) / limit * (1 + 1e-9)
        assert used > 0.9
        assert ledger.spent().epsilon == 20.0


@pytest.mark.parametrize("accounting", [Accounting.GAUSSIAN_FILTER, Accounting.RENYI_FILTER])
def test_filter_admits_to_the_brim_and_no_more(accounting: Accounting) -> None:
    """Ten releases of the least noise for ten are admitted, to a part of 1e-7; an eleventh of much noise is not."""
    records = new_records(accounting=accounting)
    found = recount(records.bodies)
    if accounting is Accounting.GAUSSIAN_FILTER:
        limit = found.budget_square()
    else:
        limit = 2 * renyi_budget(found.budget) / mpmath.mpf(found.budget["order"])
    exact = mpmath.sqrt(10 / limit)
    with ledger_over(records) as ledger:
        with pytest.raises(BudgetExceeded):
            ledger.reserve(GaussianEvent(noise_multiplier=float(mpmath.sqrt(1 / limit) * (1 - 1e-12))), "too much")
        event = GaussianEvent(noise_multiplier=float(exact * (1 + 1e-7)))
        assert ledger.remaining(event) == 10
        for _ in range(10):
            ledger.reserve(event, "one of ten")
        with pytest.raises(BudgetExceeded):
            ledger.reserve(GaussianEvent(noise_multiplier=1e3), "one more")
        assert len(records.bodies) == 11
        assert ledger.spent().claim is Claim.BUDGET


def test_stop_that_depends_on_results_is_covered_by_the_budget_alone() -> None:
    """The example of `test_wrong_filters`: epsilon 3.13867 after one release would fail by 1.69 delta."""
    for accounting in (Accounting.FIXED, Accounting.GAUSSIAN_FILTER, Accounting.RENYI_FILTER):
        records = new_records(
            epsilon=8.0, delta=1e-3, accounting=accounting, participation=Participation(clients=DIGEST)
        )
        event = GaussianEvent(noise_multiplier=1.0)
        with ledger_over(records) as ledger:
            ledger.reserve(event, "first", participants=[0])
            found = ledger.spent()
            assert found.claim is Claim.BUDGET
            assert found.epsilon == 8.0
            assert found.least_bound == pytest.approx(3.1386705)
            # Nor is a client that was asked less often claimed to have less.
            assert ledger.spent(1).epsilon == 8.0


def paths(strategy: Strategy) -> Iterator[tuple[bool, ...]]:
    """Yield, for each result of a strategy, in which rounds the target takes part."""
    if strategy is None:
        yield ()
        return
    takes_part, *after = strategy
    for rest in after:
        for path in paths(rest):
            yield takes_part, *path


@pytest.mark.parametrize("cap", [1, 2])
def test_ledger_counts_every_strategy_and_its_claim_is_above_it(cap: int) -> None:
    """All ways to ask client 0 in three rounds: the ledger takes part in each, and no more than the cap."""
    response, delta = randomised_response(0.7), 0.01
    event = GaussianEvent(noise_multiplier=1.14)  # It dominates randomised response of 0.7.

    @functools.cache
    def claimed(path: tuple[bool, ...]) -> float:
        records = new_records(epsilon=9.0, delta=delta, participation=Participation(clients=DIGEST, cap=cap))
        with ledger_over(records) as ledger:
            for number, takes_part in enumerate(path, start=1):
                ledger.reserve(event, "round", participants=[number, 0] if takes_part else [number])
            assert ledger.rounds_of(0) == sum(path)
            if sum(path) == cap:
                with pytest.raises(ParticipationExceeded):
                    ledger.reserve(event, "once more", participants=[0])
            return ledger.spent().least_bound

    for strategy in strategies(3, cap):
        claim = max(claimed(path) for path in paths(strategy))
        cost = hockey_stick(transcript(strategy, response), claim)
        assert cost <= delta
