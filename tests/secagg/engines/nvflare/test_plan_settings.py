"""A plan comes back from a job's configuration as it was, and no code travels with it."""

import json

import pytest

from dp.events import Trust
from dp.noise.distributed import LatticeNoise
from protocols import Adversary
from protocols.encrypted import OneShot
from protocols.pairwise import SecAggPlus
from secagg.aggregation.mean import Target
from secagg.engines.nvflare.plan_settings import plan_from, plan_settings
from secagg.engines.server.plans import Averaging, averaging
from secagg.errors import ConfigurationError

PLANS: list[Averaging] = [
    averaging(SecAggPlus, clip_l2=1.0),
    averaging(
        OneShot,
        clip_l2=0.5,
        adversarial=0.1,
        dropout=0.2,
        adversary=Adversary.MALICIOUS,
        minimum_contributors=7,
        modulus_bits=30,
        weighting="weighted",
        max_weight=20.0,
        target=Target(
            epsilon=8.0, delta=1e-4, releases=10, colluding=2, trust=Trust.LOCAL, mechanism=LatticeNoise.SKELLAM
        ),
    ),
]


@pytest.mark.parametrize("plan", PLANS)
def test_plan_comes_back_through_json(plan: Averaging) -> None:
    text = json.dumps(plan_settings(plan))
    assert plan_from(json.loads(text)) == plan
    assert "object at" not in text


class Unregistered(SecAggPlus):
    name = "unregistered"


class Disguised(SecAggPlus):
    """A class under the name of a registered one, which the server would load in its place."""


@pytest.mark.parametrize("protocol", [Unregistered, Disguised])
def test_a_protocol_that_the_server_cannot_load_is_refused(protocol: type[SecAggPlus]) -> None:
    with pytest.raises(ConfigurationError, match="registered"):
        plan_settings(averaging(protocol, clip_l2=1.0))


def test_a_function_does_not_travel() -> None:
    with pytest.raises(ConfigurationError, match="plan"):
        plan_settings(lambda clients, work, parties: pytest.fail("called"))


@pytest.mark.parametrize(
    "change", [{"protocol": "other"}, {"clip": 1.0}, {"adversary": "friendly"}, {"target": {"epsilon": 1.0}}]
)
def test_other_settings_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        plan_from(plan_settings(PLANS[0]) | change)


@pytest.mark.parametrize("missing", ["protocol", "target", "clip_l2"])
def test_a_missing_setting_is_refused(missing: str) -> None:
    settings = plan_settings(PLANS[0])
    del settings[missing]
    with pytest.raises(ConfigurationError, match="plan"):
        plan_from(settings)
