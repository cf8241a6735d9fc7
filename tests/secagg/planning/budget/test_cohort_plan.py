"""Plans of cohorts with a cap: the figures of the theory, and what each line says."""

import json
from typing import Any

import pytest

from dp.accounting.guarantee import guarantee
from dp.calibration.least_noise import calibrate_gaussian
from dp.events import GaussianEvent, NeighbouringRelation, Observer, PrivacyUnit
from dp.noise.distributed import LatticeNoise
from protocols import Adversary
from secagg.errors import ConfigurationError
from secagg.planning.budget.answer import Epsilon, Plan
from secagg.planning.budget.digits import enough, shown
from secagg.planning.budget.plan import plan
from secagg.planning.budget.request import BudgetRequest
from secagg.planning.budget.rows import CONDITION, FIXED_SIZE, as_text
from secagg.runs.config import TrainingConfig

DELTA = 2.94117e-4
RUN: dict[str, Any] = {"clients": 3400, "rounds": 1500, "delta": DELTA}


def line(found: Plan, heading: str) -> str:
    return next(text for text in as_text(found).splitlines() if text.startswith(heading)).removeprefix(heading).strip()


def close(found: Epsilon | None, expected: float) -> bool:
    """Whether a figure is not below the expected one, of eight digits, and above it by at most 1e-6 of it."""
    return isinstance(found, float) and expected * (1 - 2e-8) <= found <= expected * (1 + 1e-6)


def test_figures_at_one_over_the_population_are_those_of_the_theory() -> None:
    """The float nearest to 1/3400 is below it, and so stands as a delta."""
    for releases, epsilon, noise in ((1500, 779.87177, 25.006441), (45, 40.462019, 4.3312427)):
        at_noise = guarantee({GaussianEvent(noise_multiplier=1.069): releases}, delta=1 / 3400).epsilon
        assert close(at_noise, epsilon)
        assert close(calibrate_gaussian(epsilon=6, delta=1 / 3400, releases=releases), noise)


def test_plan_of_given_noise_says_what_a_cap_saves() -> None:
    found = plan(BudgetRequest(**RUN, cohort=100, noise_multiplier=1.069))
    assert found.cap is not None
    assert found.cap.without is not None
    assert (found.cap.cap, found.cap.least, found.cap.spare_rounds) == (45, 45, 30)
    assert close(found.epsilon, 40.462022)
    assert close(found.cap.without.epsilon, 779.87179)
    assert found.cap.without.noise_multiplier is None
    assert "costs epsilon 779.871" in line(found, "Without a cap")


def test_plan_of_a_budget_says_what_noise_a_cap_saves() -> None:
    found = plan(BudgetRequest(**RUN, cohort=100, epsilon=6.0))
    assert found.cap is not None
    without, dropouts = found.cap.without, found.cap.with_dropouts
    assert without is not None
    assert dropouts is not None
    assert close(found.noise_multiplier, 4.3312432)
    assert close(without.noise_multiplier, 25.006444)
    assert (without.releases, dropouts.asked, dropouts.least_cap, dropouts.releases) == (1500, 112, 50, 50)
    assert close(dropouts.noise_multiplier, 4.5655312)
    assert line(found, "Noise multiplier").startswith("4.3313 times")
    assert line(found, "Without a cap").startswith("one client may be asked for all 1,500 releases. Towards the server")
    assert "epsilon 6 needs noise multiplier 25.007 (unit client, relation zero-out)" in line(found, "Without a cap")
    assert line(found, "Cap") == (
        "one client is asked at most 45 times in 1,500 rounds; 45 is the least that is feasible. If rounds fail, the "
        "cap leaves places for 30 more rounds"
    )
    assert "For 100 contributors at a dropout of 0.1, ask 112: the least cap is then 50" in line(found, "Dropouts")
    assert line(found, "Dropouts").endswith("epsilon 6 needs noise multiplier 4.5656")
    assert line(found, "Clients") == "3,400, 100 a round"


def test_plan_of_those_asked_needs_the_larger_cap() -> None:
    found = plan(BudgetRequest(**RUN, cohort=112, epsilon=6.0))
    assert found.cap is not None
    assert found.cap.least == 50
    assert close(found.noise_multiplier, 4.5655312)


@pytest.mark.parametrize("mechanism", LatticeNoise)
@pytest.mark.parametrize(("bits", "epsilon"), [(18, 3.0), (18, 6.0), (18, 10.0), (24, 6.0)])
def test_plan_of_noise_shares_needs_hardly_more_than_continuous_noise(
    mechanism: LatticeNoise, bits: int, epsilon: float
) -> None:
    request = BudgetRequest(**RUN, cohort=100, epsilon=epsilon, mechanism=mechanism, bits=bits, dimension=1 << 20)
    found = plan(request)
    assert found.cap is not None
    assert found.cap.without is not None
    assert found.lattice is not None
    for releases, noise in ((45, found.noise_multiplier), (1500, found.cap.without.noise_multiplier)):
        least = calibrate_gaussian(epsilon=epsilon, delta=DELTA, releases=releases)
        if noise is None:  # 18 bits have no room for it.
            assert least > 40
            assert "no noise on this lattice keeps epsilon 3" in line(found, "Without a cap")
            continue
        assert 1 <= noise / least <= 1.0005
    assert found.bound <= epsilon
    assert found.lattice.noise_to_gaussian <= 1.0005
    assert "times what continuous Gaussian noise would need" in line(found, "Noise in the sum")


def test_statements_name_observer_relation_and_unit() -> None:
    cohort = plan(BudgetRequest(**RUN, cohort=100, epsilon=6.0))
    server, readers = cohort.statements
    assert (server.observer, readers.observer) == (Observer.SERVER, Observer.READERS)
    for statement in cohort.statements:
        assert (statement.relation, statement.unit) == (NeighbouringRelation.ZERO_OUT, PrivacyUnit.CLIENT)
        assert (statement.releases, statement.sampling, statement.epsilon) == (45, None, cohort.epsilon)
    assert line(cohort, "Towards the server").startswith(
        "epsilon 6.0000 (unit client, relation zero-out): one client is asked for at most 45 releases."
    )
    assert line(cohort, "Towards readers").startswith("epsilon 6.0000 (unit client, relation zero-out): the same.")
    assert FIXED_SIZE in line(cohort, "Towards readers")
    assert [each["observer"] for each in json.loads(cohort.as_json())["statements"]] == ["server", "readers"]


def test_statement_of_a_secret_sample_is_towards_readers_under_its_conditions() -> None:
    found = plan(BudgetRequest(**RUN, sampling=100 / 3400, noise_multiplier=1.069))
    server, readers = found.statements
    assert (server.relation, server.sampling, server.releases) == (NeighbouringRelation.ZERO_OUT, None, 1500)
    assert close(server.epsilon, 779.87179)
    assert (readers.relation, readers.sampling) == (NeighbouringRelation.ADD_OR_REMOVE_ONE, 100 / 3400)
    assert readers.epsilon == found.epsilon
    assert 5 < found.bound < 5.5
    words = line(found, "Towards readers")
    assert CONDITION in words
    for condition in ("in secret", "trusted to draw honestly", "the noise does not depend on who was drawn"):
        assert condition in words
    assert found.cap is None


def test_more_rounds_are_told_in_one_line() -> None:
    found = plan(BudgetRequest(**RUN, cohort=100, epsilon=6.0, more_rounds=500))
    assert found.later is not None
    assert (found.later.rounds, found.later.least_cap, found.later.releases) == (2000, 59, 59)
    later = plan(BudgetRequest(clients=3400, rounds=2000, delta=DELTA, cohort=100, epsilon=6.0))
    assert found.later.noise_multiplier == later.noise_multiplier
    assert (
        found.later.epsilon
        == guarantee({GaussianEvent(noise_multiplier=found.noise_multiplier): 59}, delta=DELTA).epsilon
    )
    assert line(found, "More rounds").startswith(
        "500 more make 2,000 rounds, for which the least cap is 59. A cap of 59"
    )
    assert line(found, "More rounds").endswith("needs noise multiplier 4.9595 from the first round on")
    spare = plan(BudgetRequest(**RUN, cohort=100, cap=60, epsilon=6.0, more_rounds=500))
    assert line(spare, "More rounds").endswith("for which the cap of 60 has places: nothing changes")
    everybody = plan(BudgetRequest(clients=300, rounds=15, noise_multiplier=6.0, more_rounds=3))
    assert line(everybody, "More rounds").startswith("3 more make 18 rounds. That costs epsilon ")


def test_larger_cap_costs_what_it_allows() -> None:
    found = plan(BudgetRequest(**RUN, cohort=100, cap=60, epsilon=6.0))
    assert found.cap is not None
    assert (found.cap.cap, found.cap.least, found.cap.spare_rounds) == (60, 45, 540)
    assert found.noise_multiplier == calibrate_gaussian(epsilon=6, delta=DELTA, releases=60)
    repeated = plan(BudgetRequest(clients=300, rounds=15, cap=18, epsilon=6.0))
    assert repeated.cap is not None
    assert (repeated.cap.spare_rounds, repeated.cap.without) == (3, None)
    assert repeated.noise_multiplier == calibrate_gaussian(epsilon=6, delta=repeated.delta, releases=18)


def test_dropouts_that_no_population_makes_good_are_told() -> None:
    found = plan(BudgetRequest(clients=100, rounds=10, cohort=95, epsilon=6.0))
    assert found.cap is not None
    assert found.cap.with_dropouts is None
    assert line(found, "Dropouts").endswith("at a dropout of 0.1 there are too few clients")
    none = plan(BudgetRequest(clients=100, rounds=10, cohort=50, dropout=0.0, epsilon=6.0))
    assert "\nDropouts" not in as_text(none)


def test_dropouts_and_colluding_clients_that_contradict_each_other_have_no_larger_cohort() -> None:
    """Of 112 clients 56 may collude, more than the 55 contributors that are required."""
    found = plan(
        BudgetRequest(**RUN, cohort=100, adversarial=0.5, minimum_contributors=55, dropout=0.1, noise_multiplier=5.0)
    )
    assert found.cap is not None
    assert found.cap.with_dropouts is None


@pytest.mark.parametrize("given", [{}, {"cohort": 112}, {"cohort": 112, "cap": 20}, {"cap": 33}])
def test_plan_charges_the_releases_that_train_charges(given: dict[str, int]) -> None:
    config = TrainingConfig(clients=300, rounds=30, **given)  # type: ignore[arg-type]  # numbers
    request = BudgetRequest(clients=300, rounds=30, epsilon=8.0, **given)  # type: ignore[arg-type]  # numbers
    assert request.releases == config.participations
    assert (request.asked, request.required_contributors) == (config.asked, config.required_contributors)


@pytest.mark.parametrize("adversary", [Adversary.CURIOUS, Adversary.MALICIOUS])
def test_plan_requires_the_contributors_that_train_requires(adversary: Adversary) -> None:
    dropout = 0.3
    config = TrainingConfig(clients=300, rounds=30, dropout=dropout, adversary=adversary)
    request = BudgetRequest(clients=300, rounds=30, epsilon=8.0, dropout=dropout, adversary=adversary)
    found = plan(request)
    assert found.cohort is not None
    assert found.cohort.required_contributors == config.required_contributors
    assert found.cohort.share_for_collusion == pytest.approx((1 + 15 / found.cohort.relied_on) ** 0.5)
    assert f"15 of 300 (adversarial 0.05, server {adversary})" in line(found, "Colluding clients")


@pytest.mark.parametrize(
    ("message", "given"),
    [
        ("cohort: expected at most the 3400 clients of the population, found 3401", {"cohort": 3401}),
        ("cap: expected at least 45, since 1500 rounds ask 100 of 3400 clients", {"cohort": 100, "cap": 44}),
        ("cap: expected at least 1500, since 1500 rounds ask all 3400 clients", {"cap": 1499}),
        ("--cohort and --cap: expected neither of them with --sampling", {"cohort": 100, "sampling": 0.1}),
        ("--cohort and --cap: expected neither of them with --sampling", {"cap": 2000, "sampling": 0.1}),
        ("minimum_contributors: expected at most 90", {"cohort": 100, "minimum_contributors": 101}),
        ("--adversary: expected curious with --sampling", {"sampling": 0.1, "adversary": Adversary.MALICIOUS}),
        ("--adversary: expected one of curious, malicious", {"adversary": Adversary.SEMI_MALICIOUS}),
    ],
)
def test_plan_refuses_what_cannot_be_with_cohorts(message: str, given: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="expected") as refused:
        BudgetRequest(**RUN, epsilon=6.0, **given)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["cohort", "cap", "more_rounds"])
@pytest.mark.parametrize("value", [0, -1, True, 1.5])
def test_plan_refuses_numbers_of_clients_and_rounds_that_are_none(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"^{name}: expected an integer >= "):
        BudgetRequest(**RUN, epsilon=6.0, **{name: value})


def test_noise_and_epsilon_are_rounded_against_the_user() -> None:
    assert enough(4.3312427) == "4.3313"
    assert enough(25.006441) == "25.007"
    assert enough(1.0) == "1"
    assert shown(40.46201910) == "40.4621"
    assert shown(5.99999999, 6.0) == "6.0000"
    assert shown("infinite", 6.0) == "infinite"
