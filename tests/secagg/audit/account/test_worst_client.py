"""The audit's own price of the worst client's releases, beside the ledger's."""

import json
import math

import pytest

from dp.accounting.guarantee import guarantee
from dp.accounting.sampled_gaussian import sampled_gaussian_divergence
from dp.events import (
    DistributedDiscreteGaussianEvent,
    GaussianEvent,
    NeighbouringRelation,
    PoissonSampledEvent,
    PrivacyEvent,
)
from dp.ledger.ledger import Ledger
from dp.ledger.participation import Accounting, Participation
from dp.ledger.records import first_record
from secagg.audit.account.participation import Recount
from secagg.audit.account.records import Records, RecordsLog
from secagg.audit.account.worst_client import Unpriced, costs, sampled_divergence, sampled_epsilon
from secagg.audit.epsilon.estimators import gaussian_epsilon

SUM = DistributedDiscreteGaussianEvent(local_sigma=40.0, contributors=3, l2_sensitivity=20.0, dimension=5)
THIN = DistributedDiscreteGaussianEvent(local_sigma=1.5, contributors=3, l2_sensitivity=1.0, dimension=5)
COHORTS = ([0, 1, 2], [2, 3, 4], [1, 2, 5], [0, 4, 5])
WORST = (0, 1, 2, 3, 3)
"""How often the worst client was asked, before and after each of the cohorts."""


def ledger(event: PrivacyEvent, accounting: Accounting) -> tuple[Recount, dict[int, PrivacyEvent], Ledger]:
    """Return a ledger in which each cohort was asked once."""
    records = Records(
        first_record(
            epsilon=20.0,
            delta=1e-3,
            population=6,
            participation=Participation(clients="ab" * 32, cap=3, adaptive=False),
            accounting=accounting,
            order=3.0 if accounting is Accounting.RENYI_FILTER else None,
        )
    )
    opened = Ledger.over(RecordsLog(records))
    for place, clients in enumerate(COHORTS):
        opened.reserve(event, f"round {place}", participants=clients)
    return Recount.of(records.bodies), dict.fromkeys(range(1, 5), event), opened


@pytest.mark.parametrize("event", [SUM, GaussianEvent(noise_multiplier=3.0)], ids=["lattice", "gaussian"])
@pytest.mark.parametrize("accounting", [Accounting.GAUSSIAN_FILTER, Accounting.RENYI_FILTER])
def test_part_of_a_filter_is_that_of_the_ledger(event: PrivacyEvent, accounting: Accounting) -> None:
    recount, events, opened = ledger(event, accounting)
    found = costs(recount, events)
    assert found[-1] == pytest.approx(opened.spent().used, rel=1e-6)
    assert found == pytest.approx([count / 3 * (found[-1] or 0) for count in WORST])


def test_epsilon_of_fixed_releases_is_that_of_the_worst_client() -> None:
    recount, events, opened = ledger(GaussianEvent(noise_multiplier=3.0), Accounting.FIXED)
    found = costs(recount, events)
    assert found[-1] == pytest.approx(opened.spent().epsilon, rel=1e-7)
    assert found == pytest.approx([gaussian_epsilon(math.sqrt(count) / 3, 1e-3) for count in WORST])


def test_noise_that_is_too_narrow_has_no_price() -> None:
    with pytest.raises(Unpriced, match="variance below 4"):
        costs(*ledger(THIN, Accounting.GAUSSIAN_FILTER)[:2])


@pytest.mark.parametrize(("rate", "multiplier", "order"), [(0.1, 1.0, 2.5), (0.3, 2.0, 6.0), (0.01, 0.8, 12.0)])
def test_sampled_divergence_is_that_of_the_toolkit(rate: float, multiplier: float, order: float) -> None:
    expected = sampled_gaussian_divergence(rate, multiplier, order)
    assert sampled_divergence(rate, 1 / multiplier, order) == pytest.approx(expected, rel=1e-6)


def test_sampled_epsilon_is_a_lower_bound() -> None:
    relation = NeighbouringRelation.ADD_OR_REMOVE_ONE
    event = PoissonSampledEvent(sampling_rate=0.1, event=GaussianEvent(noise_multiplier=1.0, relation=relation))
    upper = guarantee({event: 30}, delta=1e-5, relation=relation).epsilon
    assert 0.97 * upper < sampled_epsilon(event, 30, 1e-5) <= upper
    assert sampled_epsilon(event, 0, 1e-5) == 0


@pytest.mark.parametrize("body", [{}, {"type": "reservation"}, {"type": "commitment", "number": []}, 3, None])
def test_records_of_another_kind_are_refused(body: object) -> None:
    recount, _, _ = ledger(SUM, Accounting.FIXED)
    assert recount.by_client
    first = first_record(epsilon=20.0, delta=1e-3, population=6)
    with pytest.raises(ValueError, match="records: expected those of a ledger"):
        Recount.of([first, json.dumps(body).encode()])
