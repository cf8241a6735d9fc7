import json
import math
from typing import Any

import msgspec
import pytest

from dp.accounting.guarantee import guarantee
from dp.calibration.modular import rounded_norm
from dp.errors import DpError, InfeasibleTarget
from dp.events import (
    GaussianEvent,
    NeighbouringRelation,
    PoissonSampledEvent,
)
from dp.noise.distributed import DistributedDiscreteGaussian, LatticeNoise
from protocols import PlainSum
from secagg.aggregation.mean import SecureMean
from secagg.commands.budget_plan import plan_on_terminal
from secagg.errors import ConfigurationError, SecaggError
from secagg.planning.budget.answer import Plan
from secagg.planning.budget.plan import plan
from secagg.planning.budget.request import GAUSSIAN, BudgetRequest, ContinuousNoise
from secagg.planning.budget.rows import CONDITION, SHARES_CONDITION, as_text
from secagg.privacy.contributors import colluding_clients
from secagg.privacy.noise import Target
from secagg.runs.config import TrainingConfig
from tests.support.plans import UNASKED

ADD_OR_REMOVE = NeighbouringRelation.ADD_OR_REMOVE_ONE


def asked(**given: Any) -> str:
    """What `plan_on_terminal` refuses with, in one line."""
    with pytest.raises((SecaggError, DpError)) as refused:
        plan_on_terminal(**UNASKED | {"clients": 1000, "rounds": 100} | given)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_plan_finds_the_least_noise_for_an_epsilon() -> None:
    found = plan(BudgetRequest(clients=1000, rounds=100, epsilon=8.0))
    assert found.delta == 0.000501 < 1 / 1000
    again = guarantee({GaussianEvent(noise_multiplier=found.noise_multiplier): 100}, delta=found.delta)
    less = guarantee({GaussianEvent(noise_multiplier=0.999 * found.noise_multiplier): 100}, delta=found.delta)
    assert found.epsilon == again.epsilon <= 8 < less.epsilon
    assert (found.relation, found.unamplified_epsilon) == (NeighbouringRelation.ZERO_OUT, None)


def test_plan_of_given_noise_says_what_it_costs_with_sampling_and_without() -> None:
    found = plan(BudgetRequest(clients=1000, rounds=100, noise_multiplier=1.0, sampling=0.01, delta=1e-5))
    noise = GaussianEvent(noise_multiplier=1.0, relation=ADD_OR_REMOVE)
    sampled = PoissonSampledEvent(sampling_rate=0.01, event=noise)
    assert found.epsilon == guarantee({sampled: 100}, delta=1e-5, relation=ADD_OR_REMOVE).epsilon
    assert found.unamplified_epsilon == guarantee({noise: 100}, delta=1e-5, relation=ADD_OR_REMOVE).epsilon
    assert found.bound < 1 < 30 < found.unamplified_epsilon
    text = as_text(found)
    for words in (
        "add-or-remove-one",
        "client: everything",
        "10 a round on average",
        CONDITION,
        "nothing is amplified",
    ):
        assert words in text
    assert "Each share" not in text  # The noise must not depend on who was drawn, so the drawn clients bring none.


@pytest.mark.parametrize("width", [60, 80, 132])
def test_plan_is_wrapped_with_its_texts_in_one_column(width: int) -> None:
    found = plan(BudgetRequest(clients=300, rounds=30, epsilon=6.0, cohort=100), table=True)
    text = as_text(found, width=width)
    listed, table = text.split("\n\n")
    assert max(map(len, listed.splitlines())) <= width
    assert all(line[18:20] == "  " and line[20] != " " for line in listed.splitlines())
    assert " ".join(text.split()) == " ".join(as_text(found).split())
    assert table.splitlines()[-8:] == as_text(found, width=10_000).splitlines()[-8:]
    assert as_text(found, width=5) == as_text(found, width=60)


@pytest.mark.parametrize("mechanism", [LatticeNoise.DISCRETE_GAUSSIAN, LatticeNoise.SKELLAM])
def test_plan_on_a_lattice_answers_both_ways(mechanism: LatticeNoise) -> None:
    def ask(epsilon: float | None = None, noise_multiplier: float | None = None) -> Plan:
        return plan(
            BudgetRequest(
                clients=100,
                rounds=50,
                mechanism=mechanism,
                bits=18,
                dimension=1 << 14,
                epsilon=epsilon,
                noise_multiplier=noise_multiplier,
            )
        )

    by_epsilon = ask(epsilon=6.0)
    assert by_epsilon.lattice is not None
    assert by_epsilon.cohort is not None
    assert (by_epsilon.cohort.clients, by_epsilon.cohort.relied_on) == (100, 80)
    assert by_epsilon.bound <= 6
    assert 1 <= by_epsilon.lattice.noise_to_gaussian < 1.0005
    assert 1 < by_epsilon.lattice.sensitivity_to_clip < 1.01
    noise = by_epsilon.lattice.noise_to_clip
    by_noise = ask(noise_multiplier=noise)
    assert by_noise.lattice is not None
    assert 0.998 * noise <= by_noise.lattice.noise_to_clip <= noise
    assert by_noise.bound == pytest.approx(by_epsilon.bound, rel=5e-3)
    assert "18 bits a coordinate, 16,384 coordinates" in as_text(by_noise)


def test_plan_with_compression_states_both_errors_beside_each_other() -> None:
    def ask(compression: float) -> Plan:
        return plan(
            BudgetRequest(
                clients=100,
                rounds=50,
                mechanism=LatticeNoise.DISCRETE_GAUSSIAN,
                dimension=1 << 14,
                epsilon=6.0,
                compression=compression,
            )
        )

    whole, quarter = ask(1.0), ask(0.25)
    assert whole.lattice is not None
    assert whole.lattice.compression is None
    assert quarter.lattice is not None
    assert quarter.lattice.compression is not None
    assert quarter.lattice.dimension == 1 << 12
    assert quarter.noise_multiplier == pytest.approx(whole.noise_multiplier, rel=1e-3)
    found = quarter.lattice.compression
    saved = (whole.lattice.bits << 14) // 8 - (quarter.lattice.bits << 12) // 8
    assert (found.whole, found.bytes_saved, found.subsampling_error) == (1 << 14, saved, 3.0)
    assert found.noise_error == pytest.approx((1 << 14) * (quarter.lattice.noise_to_clip / 85) ** 2)
    assert "a client sends 4,096 of 16,384 coordinates" in as_text(quarter)
    assert "Compression" not in as_text(whole)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"compression": 0.0}, r"--compression: expected a fraction in \(0, 1\], found 0"),
        ({"compression": 2.0}, r"--compression: expected a fraction in \(0, 1\], found 2"),
        ({"compression": 0.5}, r"--compression: expected none with --mechanism gaussian, found 0\.5"),
    ],
)
def test_plan_with_a_compression_that_does_not_fit_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        BudgetRequest(clients=100, rounds=50, epsilon=6.0, **changes)


def test_plan_on_a_lattice_tells_what_sampling_saves() -> None:
    skellam = LatticeNoise.SKELLAM
    found = plan(BudgetRequest(clients=200, rounds=50, sampling=0.25, mechanism=skellam, dimension=1024, epsilon=4.0))
    assert found.lattice is not None
    assert found.cohort is not None
    assert (found.cohort.clients, found.cohort.relied_on, found.lattice.bits) == (50, 41, 15)
    assert found.bound <= 4
    assert isinstance(found.unamplified_epsilon, float)
    assert found.unamplified_epsilon > 8
    assert CONDITION + SHARES_CONDITION.format(relied_on=41) in as_text(found)
    assert (found.relation, found.subsampling) == (ADD_OR_REMOVE, ("binomial expansion at integer orders",))


def test_plan_of_a_share_keeps_the_budget_of_train_under_its_defaults() -> None:
    """A share that was sized for everybody present and honest spent 9.24 instead of 8."""
    config = TrainingConfig(clients=300, rounds=30, epsilon=8.0, delta=1e-3)
    found = plan(
        BudgetRequest(
            clients=300,
            rounds=30,
            epsilon=8.0,
            delta=1e-3,
            mechanism=LatticeNoise.DISCRETE_GAUSSIAN,
            dimension=650,
        )
    )
    assert found.lattice is not None
    assert found.cohort is not None
    mean = SecureMean.plan(
        protocol=PlainSum(),
        clients=range(300),
        minimum_contributors=config.required_contributors,
        shapes=[(650,)],
        clip_l2=1.0,
        target=Target(
            epsilon=8.0, delta=1e-3, releases=30, colluding=colluding_clients(config.clients, config.adversarial)
        ),
    )
    assert mean.noise is not None
    assert mean.target is not None
    assert found.cohort.required_contributors == config.required_contributors == 255
    assert mean.noise.event.contributors == found.cohort.relied_on == 240
    assert found.noise_multiplier == pytest.approx(mean.noise.noise_multiplier, rel=1e-4)
    deployed = DistributedDiscreteGaussian(
        local_sigma=found.lattice.local_deviation,
        minimum_contributors=found.cohort.relied_on,
        l2_sensitivity=rounded_norm(1 / found.lattice.granularity, 650),
        dimension=650,
    )
    least = mean.target.realised(deployed, clients=300, contributors=config.required_contributors)
    assert 7.99 < guarantee({least: 30}, delta=1e-3).epsilon <= 8


@pytest.mark.parametrize(
    ("mechanism", "dimension", "epsilon", "fewer"),
    [(LatticeNoise.DISCRETE_GAUSSIAN, 650, 12.658, 14.737), (GAUSSIAN, None, 12.65, 14.72)],
)
@pytest.mark.parametrize("cohort", [{}, {"dropout": 0.0, "adversarial": 0.001}])
def test_plan_says_what_thinner_noise_costs(
    mechanism: LatticeNoise | ContinuousNoise,
    dimension: int | None,
    epsilon: float,
    fewer: float,
    cohort: dict[str, float],
) -> None:
    request = BudgetRequest(clients=1000, rounds=200, noise_multiplier=5.0, mechanism=mechanism, dimension=dimension)
    found = plan(msgspec.structs.replace(request, **cohort))
    assert found.cohort is not None
    assert found.bound == pytest.approx(epsilon, abs=0.01)
    assert found.cohort.fewer_epsilon == pytest.approx(fewer, abs=0.015)
    assert json.loads(found.as_json())["cohort"]["relied_on"] == (999 if cohort else 800)
    text = as_text(found)
    assert "If 20% drop out" in text
    assert f"sized for {found.cohort.relied_on} honest contributors: at least " in text
    assert f"if a sum has only {found.cohort.fewer} of the {found.cohort.relied_on} honest shares" in text
    assert f"never releases a sum of fewer than {found.cohort.required_contributors:,} contributors" in text


def test_plan_compares_with_the_exact_noise_of_the_continuous_gaussian() -> None:
    request = BudgetRequest(clients=300, rounds=30, epsilon=8.0, delta=1e-3)
    exact = plan(request).noise_multiplier
    lattice = plan(msgspec.structs.replace(request, mechanism=LatticeNoise.DISCRETE_GAUSSIAN, dimension=650)).lattice
    assert lattice is not None
    factors = lattice.noise_to_gaussian * lattice.sensitivity_to_clip
    assert factors == pytest.approx(lattice.noise_to_clip / exact, rel=1e-9)
    assert 1 <= lattice.noise_to_gaussian < 1.00001 < lattice.noise_to_clip / 2.6291


def test_plan_of_more_clients_than_a_sum_takes_has_no_shares() -> None:
    found = plan(BudgetRequest(clients=10**8, rounds=100, noise_multiplier=1.0, sampling=0.5))
    assert found.cohort is None
    assert "Each share" not in as_text(found)


def test_plan_has_no_jump_below_a_noise_multiplier() -> None:
    found = plan(BudgetRequest(clients=1000, rounds=100, sampling=0.1, delta=1e-5, noise_multiplier=0.294))
    assert found.bound == pytest.approx(111.4, rel=1e-3)


def test_plan_has_a_word_for_an_epsilon_without_bound() -> None:
    found = plan(BudgetRequest(clients=10, rounds=1, noise_multiplier=1.0))
    infinite = msgspec.structs.replace(found, epsilon="infinite", unamplified_epsilon="infinite")
    assert infinite.bound == math.inf
    assert json.loads(infinite.as_json(), parse_constant=pytest.fail)["epsilon"] == "infinite"
    assert "infinite at delta" in as_text(infinite)


def test_plan_refuses_what_cannot_be() -> None:
    for message, given in (
        ("rounds: expected an integer >= 1, found -3", {"rounds": -3, "epsilon": 8.0}),
        ("clients: expected an integer >= 2, found 1", {"clients": 1, "epsilon": 8.0}),
        ("delta: expected less than 1/1000", {"epsilon": 8.0, "delta": 1e-3}),
        ("noise_multiplier: expected a finite number above 0", {"noise_multiplier": 0.0}),
        ("epsilon: expected a finite number above 0, found nan", {"epsilon": float("nan")}),
        ("sampling: expected a probability in (0, 1], found 1.5", {"epsilon": 8.0, "sampling": 1.5}),
        ("sampling: expected a finite number above 0", {"epsilon": 8.0, "sampling": 0.0}),
        ("--per-round: expected 1 to 1000", {"epsilon": 8.0, "per_round": 1001}),
        ("--per-round and --sampling", {"epsilon": 8.0, "per_round": 10, "sampling": 0.1}),
        ("expected exactly one of them, found both", {"epsilon": 8.0, "noise_multiplier": 1.0}),
        ("expected exactly one of them, found neither", {}),
        (
            "--bits and --dimension: expected neither of them with --mechanism gaussian, found --bits 16",
            {"epsilon": 8.0, "bits": 16},
        ),
    ):
        assert message in asked(**given)
    for message, cohort in (
        ("dropout: expected a fraction in [0, 1), found 1.0", {"dropout": 1.0}),
        ("adversarial: expected a fraction in [0, 1), found -0.1", {"adversarial": -0.1}),
        ("minimum_contributors: expected an integer >= 2, found 1", {"minimum_contributors": 1}),
        ("minimum_contributors: expected at most 900", {"minimum_contributors": 901}),
        ("adversarial: expected fewer than the 850 contributors", {"adversarial": 0.9}),
    ):
        assert message in asked(epsilon=8.0, **cohort)
    skellam = {"mechanism": "skellam", "dimension": 100, "epsilon": 8.0}
    assert "expected at most 1000000 in a round" in asked(clients=10**7, delta=1e-9, **skellam)
    assert "expected one of gaussian, discrete-gaussian, skellam, found x" in asked(mechanism="x", epsilon=8.0)
    assert "--dimension: expected the number of coordinates" in asked(mechanism="skellam", epsilon=8.0)
    thin = asked(mechanism="discrete-gaussian", noise_multiplier=1e-6, dimension=100, bits=16)
    assert "expected at least the noise that discrete-gaussian shares can have" in thin
    with pytest.raises(
        InfeasibleTarget, match=r"bits: expected at least \d+, found 8\. A modulus of 8 bits has no room"
    ):
        plan(
            BudgetRequest(clients=1000, rounds=100, epsilon=1.0, mechanism=LatticeNoise.SKELLAM, bits=8, dimension=1000)
        )


def test_plan_says_what_to_do_about_a_number_out_of_range() -> None:
    for message, given in (
        ("rounds: expected an integer >= 1, found 0. Use 1 or more.", {"rounds": 0, "epsilon": 8.0}),
        ("clients: expected an integer >= 2, found 0. Use 2 or more.", {"clients": 0, "epsilon": 8.0}),
        ("cohort: expected an integer >= 2, found 0. Use 2 or more.", {"cohort": 0, "epsilon": 8.0}),
        ("cap: expected an integer >= 1, found 0. Use 1 or more.", {"cap": 0, "epsilon": 8.0}),
        ("found 0. Use a number in this range.", {"per_round": 0, "epsilon": 8.0}),
        ("found inf: without noise there is nothing to plan. Give the epsilon that", {"epsilon": math.inf}),
        ("found 0.0. Use such a number.", {"epsilon": 0.0}),
        ("found 1.5. Use 1 or less.", {"epsilon": 8.0, "sampling": 1.5}),
        ("expected one of curious, malicious, found 'bad'. Use one of these.", {"epsilon": 8.0, "adversary": "bad"}),
        (
            "expected one of curious, malicious, found 'semi-malicious'.",
            {"epsilon": 8.0, "adversary": "semi-malicious"},
        ),
    ):
        assert message in asked(**given)


def test_plan_for_a_small_epsilon_does_not_show_more() -> None:
    text = as_text(plan(BudgetRequest(clients=1000, rounds=1, epsilon=0.1234567)))
    shown = float(text.split()[1])
    assert shown <= 0.1234567


@pytest.mark.parametrize("mechanism", ["gaussian", "skellam"])
def test_plan_of_a_small_cohort_warns_that_no_collusion_is_covered(
    mechanism: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for clients, warned in ((10, True), (20, False)):
        dimension = None if mechanism == "gaussian" else 100
        given = {"clients": clients, "rounds": 2, "epsilon": 8.0, "mechanism": mechanism, "dimension": dimension}
        plan_on_terminal(**UNASKED | given)
        text = capsys.readouterr().out
        assert (f"withstands 0 colluding of {clients} clients" in text) == warned
        assert f"at delta 0.001, below 1/{clients}" in text


@pytest.mark.parametrize(
    "cohort",
    [
        {"dropout": 0.6},
        {"minimum_contributors": 271},
        {"adversarial": 0.95},
        {"delta": 1 / 300},
        {"cohort": 301},
        {"cohort": 100, "cap": 9},
        {"cohort": 100, "minimum_contributors": 91},
        {"cap": 29},
    ],
)
def test_plan_refuses_the_cohorts_that_train_refuses_in_the_same_words(cohort: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError) as refused:
        TrainingConfig(clients=300, rounds=30, **cohort)  # type: ignore[arg-type]  # numbers of either kind
    assert asked(clients=300, rounds=30, epsilon=8.0, **cohort) == str(refused.value)
