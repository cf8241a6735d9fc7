import math
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dp.accounting.renyi_order import best_order
from dp.errors import InvalidParameter
from dp.events import (
    DistributedDiscreteGaussianEvent,
    GaussianEvent,
    NeighbouringRelation,
    Observer,
    PoissonSampledEvent,
    PrivacyEvent,
    PrivacyUnit,
    RepeatedEvent,
)
from dp.ledger.description import Description
from dp.ledger.ledger import Ledger
from dp.ledger.participation import Accounting
from secagg.runs.ledger_terms import LedgerTerms, accounting_of
from secagg.runs.parsing import parse

DIGEST = "ab" * 32
SUM = DistributedDiscreteGaussianEvent(local_sigma=40.0, contributors=90, l2_sensitivity=100.0, dimension=64)
THIN = DistributedDiscreteGaussianEvent(local_sigma=0.5, contributors=90, l2_sensitivity=100.0, dimension=64)
EXAMPLES = GaussianEvent(
    noise_multiplier=1.0, relation=NeighbouringRelation.ADD_OR_REMOVE_ONE, unit=PrivacyUnit.EXAMPLE
)
SAMPLED = PoissonSampledEvent(
    sampling_rate=0.25,
    event=DistributedDiscreteGaussianEvent(
        local_sigma=400.0,
        contributors=1,
        l2_sensitivity=100.0,
        dimension=64,
        relation=NeighbouringRelation.ADD_OR_REMOVE_ONE,
    ),
)


def terms(event: PrivacyEvent = SUM, *, population: int = 40, digest: str = DIGEST, **settings: Any) -> LedgerTerms:
    config = parse({"clients": 40, "rounds": 4, "delta": 1e-3} | settings)
    return LedgerTerms.of(config, population=population, event=event, data_digest=digest)


def test_terms_without_cohorts_count_no_clients_and_have_a_filter() -> None:
    found = terms()
    assert (found.participation, found.accounting, found.order) == (None, Accounting.GAUSSIAN_FILTER, None)
    assert (found.unit, found.relation) == (PrivacyUnit.CLIENT, NeighbouringRelation.ZERO_OUT)
    assert found.budget().towards is None


@pytest.mark.parametrize("event", [THIN, SAMPLED, RepeatedEvent(times=3, event=EXAMPLES)], ids=["thin", "drawn", "ex"])
def test_terms_whose_events_no_gaussian_filter_takes_are_fixed(event: PrivacyEvent) -> None:
    assert accounting_of(parse({}), event) is Accounting.FIXED
    assert accounting_of(parse({"accounting": "renyi-filter"}), event) is Accounting.RENYI_FILTER


def test_terms_with_cohorts_have_the_least_cap_and_draws_that_depend_on_no_result() -> None:
    plans: list[tuple[dict[str, Any], int]] = [({"cohort": 15}, 2), ({"cohort": 15, "cap": 3}, 3), ({"cap": 5}, 5)]
    for settings, cap in plans:
        participation = terms(**settings).participation
        assert participation is not None
        assert (participation.cap, participation.size, participation.adaptive) == (cap, None, False)


def test_terms_name_the_population_by_what_decides_it() -> None:
    def digest(**changes: Any) -> str:
        participation = terms(**{"cohort": 10} | changes).participation
        assert participation is not None
        return participation.clients

    assert digest() == digest(rounds=3, epsilon=1.0, cohort=20, draw="random")
    others = [digest(seed=2), digest(alpha=0.5), digest(clients=41, population=41), digest(digest="cd" * 32)]
    assert len({digest(), *others}) == 5


def test_terms_of_a_secret_draw_are_towards_readers() -> None:
    found = terms(SAMPLED, cohort=10, draw="poisson", trust="central")
    assert (found.towards, found.relation) == (Observer.READERS, NeighbouringRelation.ADD_OR_REMOVE_ONE)
    assert found.participation is not None
    assert found.participation.cap is None
    assert found.budget().towards is Observer.READERS


def test_terms_of_examples_count_the_clients_apart() -> None:
    event = RepeatedEvent(times=3, event=EXAMPLES)
    found = terms(event, population=1000, unit="example", cohort=10, delta=1e-4)
    assert found.participation is not None
    assert (found.participation.size, found.relation) == (40, NeighbouringRelation.ADD_OR_REMOVE_ONE)
    assert found.budget().clients == 40


def test_terms_of_a_renyi_filter_have_the_best_order_of_the_plan() -> None:
    found = terms(accounting="renyi-filter", cohort=15)
    assert found.order == best_order(epsilon=8.0, delta=1e-3, events={SUM: 2})
    with pytest.raises(InvalidParameter, match="events: expected planned releases that fit epsilon 1e-09"):
        terms(accounting="renyi-filter", epsilon=1e-9, delta=1e-300)


@pytest.mark.parametrize("settings", [{}, {"cohort": 15}, {"accounting": "renyi-filter"}], ids=str)
def test_terms_make_the_ledger_whose_budget_they_state(settings: dict[str, Any], tmp_path: Path) -> None:
    found = terms(**settings)
    found.create(tmp_path / "ledger.sqlite", description=Description(run="run"))
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        assert found.differing(ledger.budget, chosen=True) is None
        assert ledger.budget.order == found.order
        assert ledger.entries() == ()


def test_terms_name_the_field_that_a_ledger_has_otherwise() -> None:
    found, budget = terms(cohort=15), terms(cohort=15).budget()
    assert found.differing(msgspec.structs.replace(budget, epsilon=9.0), chosen=False) == "epsilon"
    assert terms(cohort=15, seed=2).differing(budget, chosen=False) == "participation"
    assert terms(cohort=15, cap=3).differing(budget, chosen=False) == "participation"
    assert terms(cohort=15, accounting="fixed").differing(budget, chosen=True) == "accounting"
    earlier = terms(accounting="fixed").budget()
    assert terms().differing(earlier, chosen=False) is None
    assert terms().differing(earlier, chosen=True) == "accounting"
    assert math.isclose(budget.delta, 1e-3)
