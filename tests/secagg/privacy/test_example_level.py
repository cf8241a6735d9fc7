import math
import tomllib
from typing import Any

import pytest

from dp.accounting.guarantee import guarantee
from dp.errors import InfeasibleTarget, InvalidParameter
from dp.events import GaussianEvent, NeighbouringRelation, PoissonSampledEvent, PrivacyUnit, RepeatedEvent
from secagg.errors import ConfigurationError
from secagg.privacy.example_level import ExampleLevel
from secagg.runs.parsing import parse

ADD_OR_REMOVE, EXAMPLE = NeighbouringRelation.ADD_OR_REMOVE_ONE, PrivacyUnit.EXAMPLE
PLAN: dict[str, Any] = {"clip_l2": 2.0, "examples": 1000, "clients": 10, "epochs": 2, "batch_size": 8}
SIZED: dict[str, Any] = PLAN | {"noise_multiplier": 1.5}


def test_event_is_the_rounds_steps_on_samples_of_the_expected_size() -> None:
    plan = ExampleLevel(**SIZED)
    noised = GaussianEvent(noise_multiplier=1.5, relation=ADD_OR_REMOVE, unit=EXAMPLE)
    assert plan.event == RepeatedEvent(times=26, event=PoissonSampledEvent(sampling_rate=0.08, event=noised))
    assert (plan.steps, plan.sampling_rate, plan.expected_examples) == (26, 0.08, 8.0)
    assert plan.noise_stddev == 3.0


@pytest.mark.parametrize("batch_size", [100, 101, 5000])
def test_event_has_no_sampling_where_batches_hold_whole_shards(batch_size: int) -> None:
    plan = ExampleLevel(**SIZED | {"batch_size": batch_size})
    noised = GaussianEvent(noise_multiplier=1.5, relation=ADD_OR_REMOVE, unit=EXAMPLE)
    assert plan.event == RepeatedEvent(times=2, event=noised)
    assert plan.expected_examples == 100.0


@pytest.mark.parametrize("batch_size", [8, 100])
def test_plan_has_the_least_noise_for_all_rounds(batch_size: int) -> None:
    plan = ExampleLevel.plan(epsilon=3.0, delta=1e-5, rounds=5, **PLAN | {"batch_size": batch_size})

    def spent(event: RepeatedEvent) -> float:
        return guarantee({event: 5}, delta=1e-5, relation=ADD_OR_REMOVE, unit=EXAMPLE).epsilon

    less = ExampleLevel(**PLAN | {"batch_size": batch_size, "noise_multiplier": 0.999 * plan.noise_multiplier})
    assert spent(plan.event) <= 3.0 < spent(less.event)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("clip_l2", 0.0),
        ("clip_l2", math.nan),
        ("clip_l2", math.inf),
        ("noise_multiplier", -1.0),
        ("noise_multiplier", True),
        ("examples", 0),
        ("examples", 9),  # fewer than clients
        ("clients", 0),
        ("epochs", 0),
        ("epochs", True),
        ("batch_size", 0),
        ("batch_size", 1.0),
    ],
)
def test_plan_out_of_range_is_refused(name: str, value: object) -> None:
    with pytest.raises(InvalidParameter):
        ExampleLevel(**SIZED | {name: value})


@pytest.mark.parametrize(("name", "value"), [("delta", 1e-3), ("delta", 0.0), ("rounds", 0), ("epsilon", 0.0)])
def test_plan_of_a_budget_out_of_range_is_refused(name: str, value: object) -> None:
    with pytest.raises(InvalidParameter, match=name):
        ExampleLevel.plan(**{"epsilon": 1.0, "delta": 1e-4, "rounds": 1} | PLAN | {name: value})


def test_plan_of_a_budget_that_no_noise_meets_is_refused() -> None:
    with pytest.raises(InfeasibleTarget):
        ExampleLevel.plan(epsilon=1e-14, delta=1e-300, rounds=1, **PLAN | {"batch_size": 100})


def test_settings_of_example_level_have_their_own_defaults() -> None:
    config = parse({"unit": "example"})
    assert (config.delta, config.clip_l2, config.learning_rate, config.example_clip_l2) == (1e-5, 100.0, 0.1, 1.0)
    assert parse({"unit": "example", "delta": 1e-4}).delta == 1e-4
    assert parse({}).unit == "client"
    assert parse(tomllib.loads(config.as_toml())) == config


@pytest.mark.parametrize(
    ("changes", "would_do"),
    [
        ({"unit": "user"}, "client, example"),
        ({"example_clip_l2": 2.0}, "it applies only with unit = example"),
        ({"unit": "example", "optimizer": "adam"}, "Use sgd. server_momentum adds"),
        ({"unit": "example", "weighting": "weighted", "max_examples": 9.0}, "Use weighting = uniform"),
        (
            {"unit": "example", "mechanism": "skellam"},
            "^mechanism: expected the default with unit = example, found mechanism = skellam: .* Leave it out, or",
        ),
        (
            {"unit": "example", "trust": "central", "noise_removal": True},
            "^trust, noise_removal: expected the default with unit = example, found trust = central, noise_removal = t",
        ),
        (
            {"unit": "example", "trust": "central", "draw": "poisson"},
            "^draw: expected in-turn or random with unit = example, found poisson: .* Use draw = in-turn or random, or",
        ),
    ],
)
def test_settings_that_do_not_go_with_example_level_are_refused(changes: dict[str, Any], would_do: str) -> None:
    with pytest.raises(ConfigurationError, match=would_do):
        parse(changes)


def test_settings_of_example_level_without_noise_take_any_optimizer() -> None:
    assert not parse({"unit": "example", "optimizer": "adam", "epsilon": math.inf}).private
