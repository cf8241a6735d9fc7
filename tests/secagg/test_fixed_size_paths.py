"""No path of the product accounts for cohorts of a fixed size as for Poisson samples.

`tests/dp/accounting/test_fixed_size.py` has what they cost. Here each path that says what a cohort costs, or reserves
it, is held against that: the budget plan, the ledger, the settings of a run, and training itself.
"""

from pathlib import Path
from typing import Any

import pytest

from dp.accounting.renyi_accountant import RenyiAccountant
from dp.errors import IncompatibleEvent, InvalidParameter
from dp.events import GaussianEvent, NeighbouringRelation, Observer, PoissonSampledEvent, Trust, decompose
from dp.ledger.ledger import Ledger
from dp.ledger.participation import Accounting, Participation
from protocols import PlainSum
from secagg.aggregation.mean import Target
from secagg.engines.memory import InMemory
from secagg.errors import ConfigurationError
from secagg.planning.budget.plan import plan
from secagg.planning.budget.request import BudgetRequest
from secagg.privacy.noise import Sample
from secagg.runs.prepare import prepare
from secagg.training.averaging import SecureAveraging
from secagg.training.cohorts import Draw
from secagg.training.drawing import Cohorts
from tests.secagg.runs.test_run import config
from tests.support.cohort_world import DIGEST
from tests.support.federation import devices, examples, mean_for

ADDED = NeighbouringRelation.ADD_OR_REMOVE_ONE

# Population, cohort, noise multiplier, and the delta of one round with a sample of that fixed size at epsilon 1.
ROWS = [(4, 2, 1.0, 0.0586920804), (20, 2, 1.0, 0.0077172412), (68, 2, 1.069, 7.465188637e-4)]


@pytest.mark.parametrize(("clients", "cohort", "noise_multiplier", "delta"), ROWS)
def test_plan_of_a_cohort_covers_a_sample_of_fixed_size(
    clients: int, cohort: int, noise_multiplier: float, delta: float
) -> None:
    request: dict[str, Any] = {"clients": clients, "rounds": 1, "noise_multiplier": noise_multiplier, "delta": delta}
    request |= {"adversarial": 0.0, "dropout": 0.0}
    of_cohort = plan(BudgetRequest(**request, cohort=cohort))
    assert [statement.sampling for statement in of_cohort.statements] == [None, None]
    assert all(float(statement.epsilon) > 1 for statement in of_cohort.statements)
    assert of_cohort.unamplified_epsilon is None
    # A secret sample of the same rate is another thing, and claims less towards readers only.
    sampled = plan(BudgetRequest(**request, sampling=cohort / clients))
    epsilons = {statement.observer: float(statement.epsilon) for statement in sampled.statements}
    assert epsilons[Observer.READERS] < 1 < epsilons[Observer.SERVER]


@pytest.mark.parametrize("changes", [{"cohort": 2}, {"cap": 1}])
def test_plan_takes_no_cohort_and_no_cap_with_a_sample(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="neither of them"):
        BudgetRequest(clients=20, rounds=1, noise_multiplier=1.0, sampling=0.1, **changes)


def test_ledger_towards_the_server_takes_no_sampled_event(tmp_path: Path) -> None:
    sampled = PoissonSampledEvent(sampling_rate=0.1, event=GaussianEvent(noise_multiplier=1.0, relation=ADDED))
    for accounting in Accounting:
        with Ledger.create(
            tmp_path / accounting,
            epsilon=30.0,
            delta=1e-3,
            population=20,
            participation=Participation(clients=DIGEST),
            accounting=accounting,
        ) as ledger:
            with pytest.raises(IncompatibleEvent, match="relation"):
                ledger.reserve(sampled, "round", participants=[0, 1])
            assert not ledger.entries()
    # Nor is there such a ledger of the relation under which samples are accounted.
    with pytest.raises(InvalidParameter, match="zero-out"):
        Ledger.create(
            tmp_path / "added",
            epsilon=30.0,
            delta=1e-3,
            population=20,
            relation=ADDED,
            participation=Participation(clients=DIGEST),
        )


def test_ledger_towards_readers_takes_no_cap(tmp_path: Path) -> None:
    with pytest.raises(InvalidParameter, match="cap"):
        Ledger.create(
            tmp_path / "ledger",
            epsilon=30.0,
            delta=1e-3,
            population=20,
            relation=ADDED,
            participation=Participation(clients=DIGEST, cap=3),
            towards=Observer.READERS,
        )


@pytest.mark.parametrize("draw", [Draw.IN_TURN, Draw.RANDOM])
def test_run_with_cohorts_of_fixed_size_accounts_for_each_participation(draw: Draw) -> None:
    prepared = prepare(config(clients=30, cohort=10, rounds=6, epsilon=60.0, delta=1e-2, draw=str(draw)))
    terms, event = prepared.ledger_terms, prepared.event
    assert terms is not None
    assert event is not None
    assert decompose(event)[1] == 1
    assert (terms.relation, terms.towards) == (NeighbouringRelation.ZERO_OUT, Observer.SERVER)
    assert terms.participation is not None
    assert terms.participation.cap == 2


def training(tmp_path: Path, cohorts: Cohorts | None, *, drawn_in_secret: bool) -> SecureAveraging:
    """Return training by a mean that is planned for a secret sample of 4 of 9 clients, or for a cohort."""
    federation, sample = devices(9), Sample(population=9, expected=4) if drawn_in_secret else None
    target = Target(epsilon=60.0, delta=1e-2, releases=5, colluding=0, trust=Trust.CENTRAL, sample=sample)
    mean = mean_for(
        federation, protocol=PlainSum(), clients=range(4), minimum_contributors=3, target=target, sample=sample
    )
    ledger = Ledger.create(
        tmp_path / "ledger",
        epsilon=60.0,
        delta=1e-2,
        population=9,
        relation=ADDED if drawn_in_secret else NeighbouringRelation.ZERO_OUT,
        participation=Participation(clients=DIGEST, cap=None if cohorts is None else cohorts.cap),
        towards=Observer.READERS if drawn_in_secret else Observer.SERVER,
    )
    return SecureAveraging(
        engine=InMemory(federation, cohorts=True),
        model=federation.model,
        test=examples(20, 99),
        mean=mean,
        ledger=ledger,
        cohorts=cohorts,
    )


def cohorts_of(draw: Draw, cohort: int = 4) -> Cohorts:
    return Cohorts(clients=9, cohort=cohort, draw=draw, cap=None if draw is Draw.POISSON else 4, rounds=5, seed=1)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the accountant that takes seconds for sampled noise."""
    monkeypatch.setattr("dp.accounting.accountants.ACCOUNTANTS", (RenyiAccountant(),))


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "cohorts",
    [None, cohorts_of(Draw.POISSON, 6)],
    ids=["the same clients in each round", "a draw with another probability"],
)
def test_mean_of_a_secret_sample_is_for_its_draws_only(tmp_path: Path, cohorts: Cohorts | None) -> None:
    """Each release would be accounted as one of a Poisson sample of probability 4/9."""
    with pytest.raises(ConfigurationError, match="sample"):
        training(tmp_path, cohorts, drawn_in_secret=True)


def test_draw_in_secret_needs_the_mean_of_a_sample(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="sample"):
        training(tmp_path, cohorts_of(Draw.POISSON), drawn_in_secret=False)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("draw", [Draw.IN_TURN, Draw.RANDOM])
def test_mean_of_a_secret_sample_is_not_for_cohorts_of_fixed_size(tmp_path: Path, draw: Draw) -> None:
    """A cap is refused by the ledger towards readers; without one there are no such cohorts."""
    with pytest.raises((ConfigurationError, InvalidParameter), match=r"sample|cap"):
        training(tmp_path, cohorts_of(draw), drawn_in_secret=True)
