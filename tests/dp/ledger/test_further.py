"""The noise for more releases of a ledger that has some: by formula with a Gaussian filter, else by search."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from dp.accounting.gaussian_curve import largest_mu, least_multiplier
from dp.errors import IncompatibleEvent, InfeasibleTarget, InvalidParameter
from dp.events import GaussianEvent, PoissonSampledEvent, PrivacyEvent, RepeatedEvent
from dp.ledger.ledger import Ledger
from dp.ledger.participation import Accounting
from tests.support.cohorts import DELTA, EITHER, EVENT, CohortLedger, filtered
from tests.support.ledgers import create


def fits(ledger: Ledger, event: PrivacyEvent) -> int:
    return ledger.remaining(event)


def test_gaussian_filter_answers_by_formula() -> None:
    with filtered(9, epsilon=6.0, delta=2.94117e-4).open() as ledger:
        assert ledger.least_multiplier(45) == pytest.approx(4.3312432, rel=1e-7)
        assert ledger.least_multiplier(1500) == pytest.approx(25.006444, rel=1e-7)
        for cohort in ([0, 1], [1, 2], [1]):
            ledger.reserve(EVENT, "round", participants=cohort)
        square = largest_mu(6.0, 2.94117e-4) ** 2
        left = ledger.left()
        assert left is not None
        assert left == pytest.approx(square - 3 / 16, rel=1e-12)
        assert ledger.limit == pytest.approx(square, rel=1e-12)
        found = ledger.least_multiplier(20)
        assert found == least_multiplier(left=left, releases=20)
        assert math.sqrt(20 / (square - 3 / 16)) <= found <= math.sqrt(20 / (square - 3 / 16)) * (1 + 1e-12)
        assert fits(ledger, GaussianEvent(noise_multiplier=found)) == 20
        assert fits(ledger, GaussianEvent(noise_multiplier=found * (1 - 1e-9))) == 19
        fresh = ledger.least_multiplier(20, participants=[7, 8])
        assert fresh == pytest.approx(math.sqrt(20 / square), rel=1e-12)


@pytest.mark.parametrize("accounting", [Accounting.RENYI_FILTER, Accounting.FIXED])
def test_other_ledgers_answer_by_search(accounting: Accounting) -> None:
    with CohortLedger(9, epsilon=6.0, adaptive=False, accounting=accounting).open() as ledger:
        ledger.reserve(EVENT, "round", participants=[0, 1])
        found = ledger.least_multiplier(20)
        assert fits(ledger, GaussianEvent(noise_multiplier=found)) == 20
        assert fits(ledger, GaussianEvent(noise_multiplier=found * (1 - 3e-6))) == 19
        assert ledger.least_multiplier(20, participants=[3]) < found
        exact = least_multiplier(left=largest_mu(6.0, DELTA) ** 2 - 1 / 16, releases=20)
        assert exact * (1 - 1e-9) <= found <= exact * (1.1 if accounting is Accounting.RENYI_FILTER else 1 + 3e-6)


def test_events_of_other_kinds_are_searched_for(path: Path) -> None:
    def steps(multiplier: float) -> PrivacyEvent:
        return RepeatedEvent(times=5, event=GaussianEvent(noise_multiplier=multiplier))

    with filtered(9, epsilon=6.0).open() as ledger:
        found = ledger.least_multiplier(4, event_of=steps)
        assert found == pytest.approx(ledger.least_multiplier(20), rel=2e-6)
        assert fits(ledger, steps(found)) == 4
    with create(path) as before:
        found = before.least_multiplier(30)
        assert found == pytest.approx(math.sqrt(30) / largest_mu(8.0, 1e-3), rel=3e-6)
        assert fits(before, GaussianEvent(noise_multiplier=found)) == 30


def test_sampled_releases_are_searched_for() -> None:
    def sampled(multiplier: float) -> PrivacyEvent:
        noisy = GaussianEvent(noise_multiplier=multiplier, relation=EITHER)
        return PoissonSampledEvent(sampling_rate=0.05, event=noisy)

    stored = CohortLedger(
        9, epsilon=2.0, relation=EITHER, participation=None, accounting=Accounting.RENYI_FILTER, order=8.0
    )
    with stored.open() as ledger:
        ledger.reserve(sampled(2.0), "round")
        found = ledger.least_multiplier(100, event_of=sampled)
        assert fits(ledger, sampled(found)) == 100
        assert fits(ledger, sampled(found * (1 - 1e-5))) < 100


def reserved_one(ledger: Ledger) -> None:
    ledger.reserve(EVENT, "round", participants=[1])


@pytest.mark.parametrize(
    ("use", "error", "match"),
    [
        (lambda ledger: ledger.least_multiplier(0), InvalidParameter, "releases"),
        (lambda ledger: ledger.least_multiplier(2.0), InvalidParameter, "releases"),
        (lambda ledger: ledger.least_multiplier(1, participants=[9]), InvalidParameter, "participants"),
        (lambda ledger: ledger.least_multiplier(2**53), InfeasibleTarget, "not even that one"),
    ],
)
def test_what_cannot_be_planned_is_refused(use: Callable[[Ledger], float], error: type[Exception], match: str) -> None:
    stored = filtered(9, epsilon=1e-9, delta=1e-300)
    with stored.open() as ledger, pytest.raises(error, match=match):
        use(ledger)
    assert len(stored.records.bodies) == 1


def test_other_noise_cannot_be_planned_where_there_is_one_kind_of_event() -> None:
    with CohortLedger(9).open() as ledger:
        assert ledger.least_multiplier(3) > 0
        reserved_one(ledger)
        with pytest.raises(IncompatibleEvent, match="expected the event of the earlier reservations"):
            ledger.least_multiplier(3)


def test_nothing_can_be_planned_when_nothing_is_left() -> None:
    with filtered(9, epsilon=2.0).open() as ledger:
        limit = ledger.limit
        assert limit is not None
        event = GaussianEvent(noise_multiplier=math.nextafter(1 / math.sqrt(limit), math.inf))
        ledger.reserve(event, "round", participants=[1])
        assert ledger.remaining(GaussianEvent(noise_multiplier=1e4)) == 0
        assert ledger.least_multiplier(1, participants=[2]) > 0
        with pytest.raises(InfeasibleTarget, match="Plan fewer releases"):
            ledger.least_multiplier(2**50)
