from typing import Any

import pytest

from protocols import Adversary
from protocols.errors import ParameterError, UnknownProtocol
from secagg.errors import ConfigurationError
from secagg.planning.cost.constants import default_constants
from secagg.planning.cost.planner import CostPlan, plan_costs
from secagg.planning.cost.request import CostRequest, EngineName
from secagg.privacy.default_budget import EPSILON, ROUNDS
from secagg.runs.config import TrainingConfig
from secagg.runs.prepare import prepare

CONSTANTS = default_constants()


def planned(clients: int = 100, parameters: int = 10**6, **given: Any) -> CostPlan:
    numbers = {"dropout": 0.1, "adversarial": 0.05, **given}
    return plan_costs(CostRequest(clients=clients, parameters=parameters, **numbers), CONSTANTS)


def test_protocols_that_need_a_committee_are_left_out_without_one() -> None:
    plan = planned()
    assert [row.kind.name for row in plan.rows] == ["secagg-plus", "secagg", "lightsecagg", "plain"]
    assert plan.refused.keys() == {"oneshot", "paillier", "seeds"}
    assert "--committee" in plan.refused["oneshot"]


def test_flower_gets_the_protocol_with_the_fewest_steps() -> None:
    plan = planned(committee=5, engine=EngineName.FLOWER)
    assert plan.recommended is not None
    assert plan.recommended.kind.name == "oneshot"
    assert plan.recommended.one.steps == 2


def test_protocol_without_a_proof_is_not_recommended_against_a_malicious_server() -> None:
    plan = planned(committee=5, engine=EngineName.FLOWER, adversary=Adversary.MALICIOUS)
    assert plan.recommended is not None
    assert not plan.recommended.kind.experimental
    assert plan.refused.keys() == {"lightsecagg", "plain"}


def test_seeds_are_planned_for_a_committee_that_the_protocol_allows() -> None:
    (row,) = planned(committee=5, protocol="seeds", adversary=Adversary.MALICIOUS).rows
    assert row.one.size.key is not None
    assert (row.one.size.key.members, row.one.size.key.threshold, row.one.steps) == (5, 4, 4)
    (more,) = planned(committee=5, protocol="seeds", adversarial=0.4, dropout=0.0).rows
    assert more.one.size.key is not None
    assert more.one.size.key.threshold == 5, "two of five may be corrupt, so five answers verify a sum"
    with pytest.raises(ParameterError, match="expected 2 to 10 committee members, found 11"):
        planned(committee=11, protocol="seeds")


def test_baseline_is_never_recommended() -> None:
    plan = planned(protocol="plain")
    assert plan.recommended is None
    assert "No protocol that protects" in plan.why


def test_plan_tolerates_what_an_engine_would_plan_for() -> None:
    (row,) = planned(protocol="secagg-plus").rows
    assert (row.lost, row.colluding, row.limits) == (15, 5, ())
    assert row.one.size.threshold == 85


@pytest.mark.parametrize("protocol", ["secagg-plus", "lightsecagg"])
def test_plan_has_the_bits_that_train_chooses_for_its_default_budget(protocol: str) -> None:
    (row,) = planned(300, 650, protocol=protocol).rows
    config = TrainingConfig(model="numpy-softmax", protocol=protocol, clients=300)
    assert (config.epsilon, config.rounds) == (EPSILON, ROUNDS)
    assert row.one.size.bits == prepare(config).config.modulus_bits == 17


def test_clients_in_memory_take_their_turns() -> None:
    (few,) = planned(protocol="plain", engine=EngineName.MEMORY).rows
    (many,) = planned(1000, protocol="plain", engine=EngineName.MEMORY).rows
    assert 9 < many.high_s / few.high_s < 11
    assert few.low_s == few.high_s


def test_only_protocol_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(ParameterError, match="does not protect from a malicious server"):
        planned(protocol="lightsecagg", adversary=Adversary.MALICIOUS)
    with pytest.raises(UnknownProtocol, match="did you mean secagg"):
        planned(protocol="secag")
    with pytest.raises(ConfigurationError, match="dropout"):
        planned(dropout=0.995)


def test_one_server_does_not_do_for_a_billion_clients_and_parameters() -> None:
    plan = planned(10**9, 10**9, committee=5)
    assert len(plan.rows) == 7
    assert all(row.limits and row.layout is not None for row in plan.rows)
    assert plan.recommended is not None


def test_flower_has_too_many_idle_nodes_where_flare_has_not() -> None:
    (flower,) = planned(1000, 1000, protocol="secagg-plus", engine=EngineName.FLOWER).rows
    (flare,) = planned(1000, 1000, protocol="secagg-plus").rows
    assert any("idle nodes" in limit for limit in flower.limits)
    assert not flare.limits
