"""The account of each client: the worst one, single ones, and what a ledger claims."""

import itertools
import random
from collections import Counter
from typing import Any

import msgspec
import pytest

from dp.accounting.guarantee import Claim, guarantee
from dp.errors import BudgetExceeded, IncompatibleEvent, LedgerCorrupt
from dp.events import (
    DistributedDiscreteGaussianEvent,
    GaussianEvent,
    Observer,
    PoissonSampledEvent,
    PrivacyEvent,
    PrivacyUnit,
    RepeatedEvent,
)
from dp.ledger.charges import MAXIMUM_KINDS
from dp.ledger.participation import Accounting
from tests.support.cohorts import DELTA, EITHER, EVENT, SAMPLED, CohortLedger, filtered, population

KINDS: list[PrivacyEvent] = [
    EVENT,
    GaussianEvent(noise_multiplier=9.0),
    DistributedDiscreteGaussianEvent(local_sigma=4.0, contributors=1, l2_sensitivity=1.0, dimension=3),
    RepeatedEvent(times=3, event=GaussianEvent(noise_multiplier=20.0)),
]


def schedule(clients: int, rounds: int, kinds: list[PrivacyEvent]) -> list[tuple[PrivacyEvent, list[int]]]:
    chance = random.Random(clients)
    return [(chance.choice(kinds), chance.sample(range(clients), chance.randint(1, clients))) for _ in range(rounds)]


def events_of(client: int, rounds: list[tuple[PrivacyEvent, list[int]]]) -> Counter[PrivacyEvent]:
    return Counter(event for event, cohort in rounds if client in cohort)


@pytest.mark.parametrize("clients", [1, 2, 9])
@pytest.mark.parametrize("accounting", Accounting)
def test_account_is_that_of_the_worst_client_and_of_each(clients: int, accounting: Accounting) -> None:
    rounds = schedule(clients, 14, KINDS)
    stored = CohortLedger(clients, epsilon=1e3, adaptive=False, accounting=accounting)
    with stored.open() as ledger:
        for number, (event, cohort) in enumerate(rounds, start=1):
            ledger.reserve(event, f"round {number}", participants=cohort)
    with stored.read() as ledger:
        each = [guarantee(events_of(client, rounds), delta=DELTA) for client in range(clients)]
        for client in range(clients):
            assert ledger.spent(client).least_bound == pytest.approx(each[client].epsilon, rel=1e-12)
            assert ledger.spent(client).rdp_epsilon == pytest.approx(each[client].rdp_epsilon, rel=1e-12)
        if accounting is Accounting.FIXED:
            assert ledger.spent().epsilon == pytest.approx(max(one.epsilon for one in each), rel=1e-12)
        else:
            assert ledger.charged() == max(ledger.charged(client) or 0.0 for client in range(clients))
            assert ledger.spent().used == max(ledger.spent(client).used or 0.0 for client in range(clients))


@pytest.mark.parametrize("first", [0, 1])
def test_worst_of_clients_that_no_number_compares_is_found_among_all_rows(first: int) -> None:
    """Neither client was asked for more of everything than the other; the one with fewer releases costs more."""
    weak, strong = GaussianEvent(noise_multiplier=2.0), GaussianEvent(noise_multiplier=30.0)
    rounds = [[(weak, [1])] * 3, [(strong, [0, 2])] * 9]
    with CohortLedger(3, epsilon=11.5, adaptive=False).open() as ledger:
        for event, cohort in (*rounds[first], *rounds[1 - first]):
            ledger.reserve(event, "round", participants=cohort)
        assert ledger.spent() == guarantee({weak: 3}, delta=DELTA)
        assert ledger.spent(2) == guarantee({strong: 9}, delta=DELTA)
        assert (
            ledger.remaining(weak)
            == ledger.remaining(weak, participants=[1])
            < ledger.remaining(weak, participants=[0])
        )
        dear = GaussianEvent(noise_multiplier=0.5)
        with pytest.raises(BudgetExceeded):
            ledger.reserve(dear, "too dear for client 1", participants=[1, 2])
        assert ledger.reserve(dear, "for the others", participants=[0, 2]) == 13


def test_budget_is_that_of_the_worst_of_those_who_are_asked() -> None:
    for accounting in Accounting:
        with CohortLedger(9, epsilon=3.0, accounting=accounting).open() as ledger:
            most = ledger.remaining(EVENT, participants=[0])
            assert most == ledger.remaining(EVENT)
            assert most > 2
            for _ in range(most):
                ledger.reserve(EVENT, "round", participants=[0, 1])
            ledger.reserve(EVENT, "round", participants=[2])
            assert (ledger.remaining(EVENT), ledger.remaining(EVENT, participants=[2])) == (0, most - 1)
            assert ledger.remaining(EVENT, participants=[3]) == most
            before = ledger.head
            with pytest.raises(BudgetExceeded, match=r"^round: would (bring epsilon|charge).*Stop here"):
                ledger.reserve(EVENT, "round", participants=[2, 3, 1])
            assert ledger.head == before
            for _ in range(most - 1):
                ledger.reserve(EVENT, "round", participants=[2, 3])
            assert ledger.remaining(EVENT, participants=[3]) == 1


def test_cap_and_budget_both_limit_what_remains() -> None:
    with CohortLedger(4, cap=5, epsilon=1e3).open() as ledger:
        ledger.reserve(EVENT, "round", participants=[1])
        assert [ledger.remaining(EVENT, participants=[client]) for client in range(4)] == [5, 4, 5, 5]
        assert ledger.remaining(EVENT) == 4


CLAIMS: list[tuple[dict[str, Any], Claim]] = [
    ({"adaptive": False}, Claim.SPENT),
    ({}, Claim.BUDGET),
    ({"adaptive": False, "accounting": Accounting.GAUSSIAN_FILTER}, Claim.BUDGET),
    ({"accounting": Accounting.GAUSSIAN_FILTER}, Claim.BUDGET),
    ({"accounting": Accounting.RENYI_FILTER}, Claim.BUDGET),
    ({"participation": None}, Claim.SPENT),
    ({"participation": None, "accounting": Accounting.GAUSSIAN_FILTER}, Claim.BUDGET),
    ({"participation": None, "accounting": Accounting.RENYI_FILTER, "order": 4.0}, Claim.BUDGET),
]


@pytest.mark.parametrize(("options", "claim"), CLAIMS)
def test_claim_is_the_budget_where_results_may_decide(options: dict[str, Any], claim: Claim) -> None:
    stored = CohortLedger(9, **options)
    cohorts: list[Any] = [None, None] if "participation" in options else [[1, 2], [2, 3]]
    with stored.open() as ledger:
        for count, cohort in enumerate(cohorts, start=1):
            ledger.reserve(EVENT, "round", participants=cohort)
            spent, cost = ledger.spent(), guarantee({EVENT: count}, delta=DELTA)
            assert spent.claim is claim
            assert spent.bounds == cost.bounds
            assert spent.least_bound == cost.epsilon < 8.0
            assert spent.epsilon == (8.0 if claim is Claim.BUDGET else cost.epsilon)
            filters = options.get("accounting") is not None
            assert (spent.used is not None) is filters
            assert spent.used is None or 0 < spent.used < 0.5
        if cohorts[0] is not None:
            assert ledger.spent(4).claim is claim  # A count below the cap is no better claim.
            assert ledger.spent(4).epsilon == (8.0 if claim is Claim.BUDGET else 0.0)


def test_ledger_whose_cohorts_depend_on_results_takes_one_kind_of_event() -> None:
    stored = CohortLedger(9)
    with stored.open() as ledger:
        ledger.reserve(EVENT, "round 1", participants=[1])
        for other in (KINDS[1], RepeatedEvent(times=2, event=EVENT)):
            with pytest.raises(IncompatibleEvent, match="expected the event of the earlier reservations"):
                ledger.reserve(other, "round 2", participants=[5])
            with pytest.raises(IncompatibleEvent):
                ledger.check(other, label="round 2", contributors=1)
            with pytest.raises(IncompatibleEvent):
                ledger.remaining(other)
        assert len(ledger.entries()) == 1
    with stored.open() as ledger:
        with pytest.raises(IncompatibleEvent, match="expected the event of the earlier reservations"):
            ledger.reserve(KINDS[1], "round 2", participants=[5])
        assert ledger.reserve(EVENT, "round 2", participants=[5]) == 2


def test_sampled_ledger_towards_readers_takes_one_kind_of_event_too() -> None:
    other = PoissonSampledEvent(sampling_rate=0.2, event=SAMPLED.event)
    with CohortLedger(9, towards=Observer.READERS, relation=EITHER).open() as ledger:
        ledger.reserve(SAMPLED, "round 1", participants=[1])
        with pytest.raises(IncompatibleEvent, match="expected the event of the earlier reservations"):
            ledger.reserve(other, "round 2", participants=[2])
    fixed = population(9, adaptive=False)
    with CohortLedger(9, towards=Observer.READERS, relation=EITHER, participation=fixed).open() as ledger:
        ledger.reserve(SAMPLED, "round 1", participants=[1])
        ledger.reserve(other, "round 2", participants=[2])
        expected = guarantee({SAMPLED: 1, other: 1}, delta=DELTA, relation=EITHER)
        assert ledger.spent() == expected == ledger.spent(7)


def test_examples_are_charged_to_their_client() -> None:
    steps = RepeatedEvent(
        times=4,
        event=PoissonSampledEvent(
            sampling_rate=0.05, event=GaussianEvent(noise_multiplier=1.5, relation=EITHER, unit=PrivacyUnit.EXAMPLE)
        ),
    )
    stored = CohortLedger(
        5_000, unit=PrivacyUnit.EXAMPLE, relation=EITHER, participation=population(12, size=12, cap=3)
    )
    with stored.open() as ledger:
        number = ledger.reserve(steps, "round 1", participants=[0, 11])
        ledger.commit(number, contributors=[11], realised=steps)
        ledger.reserve(steps, "round 2", participants=[11])
        once, twice = (
            guarantee({steps: count}, delta=DELTA, relation=EITHER, unit=PrivacyUnit.EXAMPLE) for count in (1, 2)
        )
        assert ledger.spent().bounds == ledger.spent(11).bounds == twice.bounds
        assert ledger.spent(0).bounds == once.bounds
        assert (len(ledger.eligible()), ledger.spent().relation) == (12, EITHER)


def test_seventeenth_kind_of_event_is_refused_without_a_filter() -> None:
    kinds: list[PrivacyEvent] = [GaussianEvent(noise_multiplier=40.0 + number) for number in range(MAXIMUM_KINDS + 1)]
    with CohortLedger(3, adaptive=False).open() as ledger:
        for event in kinds[:-1]:
            ledger.reserve(event, "round", participants=[1])
        with pytest.raises(IncompatibleEvent, match="at most 16 different events"):
            ledger.reserve(kinds[-1], "round", participants=[1])
        assert ledger.reserve(kinds[0], "round", participants=[1]) == MAXIMUM_KINDS + 1


def test_filter_takes_any_number_of_kinds_of_events() -> None:
    rounds: list[tuple[PrivacyEvent, list[int]]] = [
        (GaussianEvent(noise_multiplier=40.0 + number), [number % 3, 3]) for number in range(MAXIMUM_KINDS + 5)
    ]
    stored = filtered(5)
    with stored.open() as ledger:
        for event, cohort in rounds:
            ledger.reserve(event, "round", participants=cohort)
    with stored.read() as ledger:
        for client in range(5):
            assert ledger.spent(client).bounds == guarantee(events_of(client, rounds), delta=DELTA).bounds
        assert ledger.spent() == ledger.spent(3)


def rebuilt(stored: CohortLedger, *changes: dict[str, Any]) -> CohortLedger:
    """Return the ledger with further records: the last one with each of these changes."""
    last = msgspec.json.decode(stored.records.bodies[-1])
    for change in changes:
        stored.records.bodies += (msgspec.json.encode(last | change),)
    return stored


@pytest.mark.parametrize("accounting", Accounting)
def test_forged_ledger_beyond_its_budget_claims_nothing(accounting: Accounting) -> None:
    """Somebody adds reservations that the ledger would have refused, so the budget was exceeded.

    What is left of the claim is an infinite epsilon.
    """
    stored = CohortLedger(9, epsilon=2.0, accounting=accounting)
    with stored.open() as ledger:
        ledger.reserve(EVENT, "round", participants=[1])
        most = ledger.remaining(EVENT, participants=[1])
        assert ledger.spent().epsilon == 2.0
    rebuilt(stored, *({"number": 2 + number} for number in range(most + 1)))
    with stored.read() as ledger:
        spent = ledger.spent()
        assert (spent.claim, spent.epsilon) == (Claim.BUDGET, float("inf"))
        assert spent.least_bound > 2.0 or accounting is Accounting.RENYI_FILTER
        assert spent.used is None or spent.used > 1
        assert ledger.left() in (None, 0.0)
        assert ledger.remaining(EVENT) == 0
        assert ledger.spent(2).epsilon == 2.0


def test_forged_second_kind_of_event_is_refused() -> None:
    stored = CohortLedger(9)
    with stored.open() as ledger:
        ledger.reserve(EVENT, "round", participants=[1])
    rebuilt(stored, {"number": 2, "event": {"type": "gaussian", "noise_multiplier": 9.0}})
    with pytest.raises(LedgerCorrupt, match=r"record 2: .*expected the event of the earlier reservations"):
        stored.read()


def test_worst_client_of_many_kinds_is_that_of_a_plain_search() -> None:
    """Counts of up to three of each kind, in every combination, one client for each."""
    kinds = KINDS[:3]
    combinations = list(itertools.product(range(3), repeat=3))
    with CohortLedger(len(combinations), epsilon=100.0, adaptive=False).open() as ledger:
        for place, event in enumerate(kinds):
            for count in (1, 2):
                cohort = [client for client, counts in enumerate(combinations) if counts[place] >= count]
                ledger.reserve(event, "round", participants=cohort)
        costs = [guarantee(dict(zip(kinds, counts, strict=True)), delta=DELTA).epsilon for counts in combinations]
        assert [ledger.spent(client).epsilon for client in range(len(combinations))] == costs
        assert ledger.spent().epsilon == max(costs)
