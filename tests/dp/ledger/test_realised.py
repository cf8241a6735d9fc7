"""Which realised releases may stand under a reserved one: never thinner noise, never a greater cost."""

import itertools
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dp.accounting.guarantee import guarantee
from dp.accounting.renyi_order import divergence_at
from dp.errors import IncompatibleEvent, InvalidParameter, InvalidReservation, LedgerCorrupt
from dp.events import (
    DistributedDiscreteGaussianEvent,
    GaussianEvent,
    NeighbouringRelation,
    NoisyEvent,
    PoissonSampledEvent,
    PrivacyEvent,
    PrivacyUnit,
    RepeatedEvent,
    SkellamEvent,
)
from dp.ledger.ledger import Ledger
from dp.ledger.participation import Accounting
from dp.ledger.realised import check_cost, check_noise
from dp.ledger.records import Budget, first_record
from dp.ledger.sqlite_log import SqliteLog
from dp.reporting.assumptions import State
from dp.reporting.collect import budget_report
from tests.dp.ledger.test_ledger_damaged import altered, rebuilt
from tests.support.ledgers import EVENT, ticks

pytestmark = pytest.mark.slow

ADDED = NeighbouringRelation.ADD_OR_REMOVE_ONE


def discrete(local_sigma: float = 20.0, contributors: int = 100, **others: Any) -> DistributedDiscreteGaussianEvent:
    return DistributedDiscreteGaussianEvent(
        **{"local_sigma": local_sigma, "contributors": contributors, "l2_sensitivity": 100.0, "dimension": 650} | others
    )


def skellam(variance: float = 40_000.0, contributors: int = 100, **others: Any) -> SkellamEvent:
    return SkellamEvent(
        **{"variance": variance, "contributors": contributors, "l2_sensitivity": 100.0, "dimension": 650} | others
    )


def gaussian(noise_multiplier: float = 2.0, **others: Any) -> GaussianEvent:
    return GaussianEvent(noise_multiplier=noise_multiplier, **others)


def sampled(event: Any, sampling_rate: float = 0.1) -> PoissonSampledEvent:
    return PoissonSampledEvent(sampling_rate=sampling_rate, event=event)


def repeated(event: Any, times: int = 3) -> RepeatedEvent:
    return RepeatedEvent(times=times, event=event)


def ledger_of(path: Path, event: PrivacyEvent) -> Ledger:
    ledger = Ledger.create(
        path,
        epsilon=200.0,
        delta=1e-3,
        population=300,
        relation=event.relation,
        unit=event.unit,
        clock=ticks(),
    )
    assert ledger.reserve(event, "x") == 1
    return ledger


@pytest.mark.parametrize(
    ("reserved", "realised"),
    [
        (discrete(), discrete()),
        (discrete(), discrete(contributors=120)),
        (discrete(), discrete(20.5, dimension=600, l2_sensitivity=99.0)),
        (discrete(), discrete(19.9, contributors=120)),
        (discrete(0.5, 9, l2_sensitivity=0.1, dimension=1), discrete(0.5, l2_sensitivity=0.1, dimension=1)),
        (discrete(), skellam(90_000.0)),
        (skellam(), skellam(40_001.0, contributors=80)),
        (skellam(), discrete(20.1)),
        (skellam(), gaussian(2.1)),
        (gaussian(), gaussian(2.5)),
        (repeated(discrete()), discrete()),
        (gaussian(), skellam(50_000.0)),
        (gaussian(), discrete(20.1)),
        (skellam(0.5, l2_sensitivity=1.0), gaussian(1.5)),
        (repeated(gaussian()), repeated(gaussian(), 2)),
        (sampled(gaussian(relation=ADDED)), sampled(gaussian(2.5, relation=ADDED), 0.05)),
        (sampled(skellam(relation=ADDED), 0.5), sampled(discrete(25.0, relation=ADDED), 0.49)),
        (
            sampled(skellam(0.5, 9, l2_sensitivity=1.0, relation=ADDED), 0.5),
            sampled(gaussian(2.0, relation=ADDED)),
        ),
        (repeated(sampled(discrete(relation=ADDED))), repeated(sampled(discrete(relation=ADDED)), 2)),
        (discrete(unit=PrivacyUnit.EXAMPLE), discrete(21.0, unit=PrivacyUnit.EXAMPLE)),
    ],
)
def test_realised_noise_is_kept(path: Path, reserved: PrivacyEvent, realised: PrivacyEvent) -> None:
    with ledger_of(path, reserved) as ledger:
        spent = ledger.spent()
        ledger.commit(1, contributors=120, realised=realised)
        entries = ledger.entries()
        assert entries[0].commitment is not None
        assert entries[0].commitment.realised == realised
        assert ledger.spent() == spent == guarantee({reserved: 1}, delta=1e-3, relation=spent.relation, unit=spent.unit)
    with Ledger.open_to_read(path) as ledger:
        assert ledger.entries() == entries
        assert ledger.spent() == spent


@pytest.mark.parametrize(
    ("reserved", "realised", "match"),
    [
        (discrete(), discrete(19.99), "expected noise of at least the 40000 that was reserved, found 39960.01"),
        (discrete(), discrete(l2_sensitivity=100.5), "L2 sensitivity of at most the 100 that was reserved"),
        (discrete(), discrete(40.0, dimension=651), "dimension of at most the 650 that was reserved"),
        (discrete(), discrete(contributors=121), "at most the 120 contributors, found a realised event"),
        (discrete(), skellam(40_000.0), "a multiplier of at least 1.99999"),
        (discrete(), skellam(40_000.5), "Renyi divergence"),
        (discrete(), gaussian(1.9), "a multiplier of at least 1.99999"),
        (skellam(0.5, l2_sensitivity=1.0), discrete(0.5, l2_sensitivity=1.0), "Renyi divergence"),
        (discrete(), discrete(0.6, contributors=119), "noise of at least"),
        (discrete(2.0, 5, l2_sensitivity=1.0), discrete(0.5, 100, l2_sensitivity=1.0), "a multiplier of"),
        (skellam(), skellam(39_999.0), "noise"),
        (gaussian(), gaussian(1.999), "noise"),
        (gaussian(), skellam(40_000.0), "a multiplier of at least 2 dominates"),
        (gaussian(), skellam(0.5), "a multiplier of at least 2 dominates"),
        (gaussian(), repeated(skellam(10**9), 2), "no more often"),
        (gaussian(), repeated(gaussian(20.0), 2), "expected Gaussian noise no more often"),
        (repeated(discrete()), repeated(discrete(40.0), 5), "no more often"),
        (discrete(), repeated(discrete(), 2), "that release 1 times .* found it 2 times at 1"),
        (discrete(), repeated(discrete(20.1), 2), "no more often"),
        (
            sampled(discrete(relation=ADDED)),
            discrete(relation=ADDED),
            "at a sampling rate of 0.1, .* found it 1 times at 1",
        ),
        (sampled(discrete(relation=ADDED)), discrete(20.1, relation=ADDED), "no higher sampling rate"),
        (sampled(skellam(relation=ADDED), 0.5), sampled(skellam(60_000.0, relation=ADDED), 0.51), "no higher sampling"),
        (sampled(gaussian(relation=ADDED)), sampled(gaussian(relation=ADDED), 0.11), "no higher sampling rate"),
        (repeated(sampled(skellam(relation=ADDED))), sampled(skellam(1e4, relation=ADDED)), "noise"),
    ],
)
def test_thinner_or_costlier_noise_is_refused(
    path: Path, reserved: PrivacyEvent, realised: PrivacyEvent, match: str
) -> None:
    with ledger_of(path, reserved) as ledger:
        head = ledger.head
        with pytest.raises(InvalidReservation, match=f"reservation 1: .*{match}"):
            ledger.commit(1, contributors=120, realised=realised)
        assert ledger.head == head
        ledger.commit(1, contributors=120, realised=reserved)


@pytest.mark.parametrize(
    ("reserved", "realised", "match"),
    [
        (gaussian(), gaussian(9.0, relation=ADDED), "expected relation zero-out .* found add-or-remove-one"),
        (gaussian(), gaussian(9.0, unit=PrivacyUnit.EXAMPLE), "unit client, as reserved, found zero-out and example"),
        (discrete(), repeated(sampled(gaussian(9.0, relation=ADDED))), "add-or-remove-one"),
    ],
)
def test_realised_events_of_other_guarantees_are_refused(
    path: Path, reserved: PrivacyEvent, realised: PrivacyEvent, match: str
) -> None:
    with ledger_of(path, reserved) as ledger:
        with pytest.raises(IncompatibleEvent, match=match):
            ledger.commit(1, contributors=120, realised=realised)
        with pytest.raises(InvalidParameter, match="expected a privacy event or None, found str"):
            ledger.commit(1, contributors=120, realised="gaussian")  # type: ignore[arg-type]
        assert ledger.entries()[0].commitment is None


@pytest.mark.parametrize(
    "event",
    [
        skellam(),
        skellam(relation=ADDED),
        repeated(discrete()),
        sampled(skellam(relation=ADDED)),
        repeated(sampled(discrete(relation=ADDED))),
    ],
)
def test_every_event_counts_on_its_contributors(path: Path, event: PrivacyEvent) -> None:
    with ledger_of(path, event) as ledger:
        with pytest.raises(InvalidReservation, match=r"at least 100 contributors.*found 99. Do not release this sum"):
            ledger.commit(1, contributors=99)
        ledger.commit(1, contributors=100)
    with Ledger.open_to_read(path) as ledger:
        assert ledger.entries()[0].reservation.event == event


# Whatever is accepted has no greater epsilon than what was reserved, under the accounting that enforces the budget.
def test_accepted_events_never_cost_more() -> None:
    noisy: list[NoisyEvent] = [
        *(discrete(local_sigma, relation=ADDED) for local_sigma in (3.0, 3.3)),
        *(skellam(variance, relation=ADDED) for variance in (900.0, 1089.0)),
        *(gaussian(noise_multiplier, relation=ADDED) for noise_multiplier in (0.3, 0.33)),
    ]
    events: list[PrivacyEvent] = [*noisy, *(sampled(one, 0.3) for one in noisy[2:4]), *(repeated(one) for one in noisy)]
    epsilons = {
        event: [guarantee({event: count}, delta=1e-5, relation=ADDED).epsilon for count in (1, 40)] for event in events
    }
    accepted, order = 0, 2.5
    budget = msgspec.json.decode(
        first_record(
            epsilon=8.0,
            delta=1e-5,
            population=300,
            relation=ADDED,
            accounting=Accounting.RENYI_FILTER,
            order=order,
            clock=ticks(),
        ),
        type=Budget,
    )
    for reserved, realised in itertools.product(events, repeat=2):
        try:
            check_noise("x", reserved=reserved, realised=realised)
            check_cost("x", reserved=reserved, realised=realised, budget=budget)
        except InvalidReservation:
            continue
        accepted += 1
        for promised, found in zip(epsilons[reserved], epsilons[realised], strict=True):
            assert found <= promised * (1 + 1e-9)
        assert divergence_at(realised, order) <= divergence_at(reserved, order) * (1 + 1e-9)
    assert len(events) * 2 < accepted < len(events) ** 2 / 2


def test_file_with_thinner_noise_is_refused(tmp_path: Path) -> None:
    """Somebody rebuilds the chain so that a release had less noise than was reserved.

    Reading must refuse it (LedgerCorrupt).
    """
    with ledger_of(tmp_path / "honest", EVENT) as ledger:
        ledger.commit(1, contributors=120, realised=EVENT)
    with SqliteLog.open(tmp_path / "honest", writable=False) as chain:
        budget, reservation, commitment = chain.bodies
    for name, realised in [
        ("thinner", {"type": "distributed-discrete-gaussian", "local_sigma": 19.0}),
        ("of more", {"type": "distributed-discrete-gaussian", "contributors": 200}),
        ("of another relation", {"type": "gaussian", "noise_multiplier": 9.0, "relation": "add-or-remove-one"}),
        ("repeated", {"type": "repeated", "times": 1000, "event": msgspec.to_builtins(EVENT)}),
    ]:
        event = {"contributors": 100, "local_sigma": 20.0, "l2_sensitivity": 100.0, "dimension": 650}
        whole = event | realised if realised["type"] == "distributed-discrete-gaussian" else realised
        path = rebuilt(tmp_path / name, [budget, reservation, altered(commitment, realised=whole)])
        with pytest.raises(LedgerCorrupt, match="record 2: reservation 1: expected"):
            Ledger.open_to_read(path)
    without = altered(commitment)
    assert b"realised" in without
    old = without[: without.index(b',"realised"')] + b"}"
    with Ledger.open_to_read(rebuilt(tmp_path / "of an earlier version", [budget, reservation, old])) as ledger:
        assert ledger.entries()[0].commitment is not None


def test_file_with_gaussian_noise_more_often_is_refused(tmp_path: Path) -> None:
    """Somebody rebuilds the chain so that a Gaussian release was made twice.

    Reading must refuse it (LedgerCorrupt). Integer noise in its place is read, and told of if it may cost more.
    """
    with ledger_of(tmp_path / "honest", gaussian()) as ledger:
        ledger.commit(1, contributors=120, realised=gaussian())
    with SqliteLog.open(tmp_path / "honest", writable=False) as chain:
        budget, reservation, commitment = chain.bodies
    twice = altered(commitment, realised=msgspec.to_builtins(repeated(gaussian(9.0), 2)))
    with pytest.raises(LedgerCorrupt, match="record 2: reservation 1: expected Gaussian noise"):
        Ledger.open_to_read(rebuilt(tmp_path / "twice", [budget, reservation, twice]))
    for variance, told in ((10**9, ()), (40_000.0, (1,)), (0.5, (1,))):
        body = altered(commitment, realised=msgspec.to_builtins(skellam(variance)))
        with Ledger.open_to_read(rebuilt(tmp_path / f"other {variance}", [budget, reservation, body])) as ledger:
            assert ledger.unsupported_realised() == told


# What events of different kinds cost is a matter of the accountant, so reading takes them; but reports can tell.
def test_realised_events_that_cost_more_are_told_of(tmp_path: Path) -> None:
    reserved: list[PrivacyEvent] = [discrete(), discrete(), discrete(), skellam()]
    realised: list[PrivacyEvent | None] = [None, discrete(21.0), skellam(90_000.0), None]
    with Ledger.create(tmp_path / "honest", epsilon=200.0, delta=1e-3, population=300, clock=ticks()) as ledger:
        for one, other in zip(reserved, realised, strict=True):
            ledger.commit(ledger.reserve(one, "x"), contributors=120, realised=other)
        assert ledger.unsupported_realised() == ()
    with SqliteLog.open(tmp_path / "honest", writable=False) as chain:
        budget, *bodies = chain.bodies
    bodies[3] = altered(bodies[3], realised=msgspec.to_builtins(repeated(discrete(20.1), 2)))
    bodies[7] = altered(bodies[7], realised=msgspec.to_builtins(gaussian(1e-3)))
    with Ledger.open_to_read(rebuilt(tmp_path / "forged", [budget, *bodies])) as ledger:
        assert ledger.unsupported_realised() == (2, 4)
        report = budget_report(ledger)
    found = {assumption.text: assumption for assumption in report.assumptions}
    said = found[
        "At least one record describes a release that may cost more than was reserved (less noise, more sensitivity, "
        "more coordinates, or more steps)."
    ]
    assert said.state is State.FAILED
    assert "secagg never writes such a record" in said.how
