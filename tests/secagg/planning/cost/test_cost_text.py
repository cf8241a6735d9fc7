from typing import Any

import pytest

from protocols import Adversary
from secagg.planning.cost.constants import default_constants
from secagg.planning.cost.document import as_json
from secagg.planning.cost.planner import plan_costs
from secagg.planning.cost.request import CostRequest, EngineName
from secagg.planning.cost.text import WIDTH, as_text

REQUESTS: list[dict[str, Any]] = [
    {"clients": 5, "parameters": 1},
    {"clients": 100, "parameters": 10**6, "committee": 5, "engine": EngineName.FLOWER},
    {"clients": 10**6, "parameters": 10**6, "committee": 5, "adversary": Adversary.MALICIOUS},
    {"clients": 10**9, "parameters": 10**9, "committee": 64, "engine": EngineName.FLOWER},
    {"clients": 10**9, "parameters": 10**9, "protocol": "lightsecagg"},
    {"clients": 10, "parameters": 10, "protocol": "plain", "engine": EngineName.MEMORY},
]


@pytest.mark.parametrize("request_of", REQUESTS)
def test_text_fits_into_80_columns_and_ends_in_what_was_measured(request_of: dict[str, Any]) -> None:
    plan = plan_costs(CostRequest(dropout=0.1, adversarial=0.05, **request_of), default_constants())
    text = as_text(plan)
    assert max(map(len, text.splitlines())) <= WIDTH
    assert text.count("Recommended: ") == 1
    assert "secagg bench --calibrate" in " ".join(text.split())


def test_table_has_a_line_for_each_protocol_that_fits() -> None:
    plan = plan_costs(
        CostRequest(clients=100, parameters=1000, dropout=0.1, adversarial=0.05, committee=3), default_constants()
    )
    names = [line.split()[0] for line in as_text(plan).splitlines()[2:] if line][:7]
    assert names == ["secagg-plus", "secagg", "lightsecagg", "oneshot", "paillier", "seeds", "plain"]


def test_text_says_that_an_experimental_protocol_is_one() -> None:
    request = CostRequest(clients=100, parameters=1000, dropout=0.1, adversarial=0.05, committee=5, protocol="seeds")
    words = " ".join(as_text(plan_costs(request, default_constants())).split())
    assert "seeds is experimental: its argument has not been reviewed outside the project." in words
    assert "The committee has 5 members; 4 of them open a sum, so 1 may be absent." in words
    assert "At most 1 of them may collude; one more can decrypt every vector." in words


def test_text_says_what_flower_holds_in_memory() -> None:
    request = CostRequest(
        clients=700, parameters=10**8, dropout=0.0, adversarial=0.05, engine=EngineName.FLOWER, protocol="secagg-plus"
    )
    words = " ".join(as_text(plan_costs(request, default_constants())).split())
    assert "The SuperLink holds 3 copies of every reply" in words
    assert "groups, so that a SuperLink needs at most 64.0 GB" in words


def test_compressed_plan_sends_fewer_bytes_and_says_what_that_costs() -> None:
    whole, tenth = (
        plan_costs(
            CostRequest(
                clients=100, parameters=2**17, dropout=0.1, adversarial=0.05, protocol="secagg", compression=compression
            ),
            default_constants(),
        )
        for compression in (1.0, 0.1)
    )
    lengths = [plan.rows[0].one.size.length for plan in (whole, tenth)]
    assert lengths == [2**17, 8 * 1639]
    fewer = whole.rows[0].client.sent_bytes - tenth.rows[0].client.sent_bytes
    bits = [plan.rows[0].one.size.bits for plan in (whole, tenth)]
    # The lengths in front of shorter vectors have fewer bytes too.
    assert fewer == pytest.approx((bits[0] * lengths[0] - bits[1] * lengths[1]) / 8, abs=5)
    words = " ".join(as_text(tenth).split())
    assert "each client sends a fraction of 0.1." in words
    assert "at most 9.0 times the squared norm of the mean update" in words
    assert "each client sends a fraction" not in " ".join(as_text(whole).split())


def test_json_has_the_figures_of_the_table() -> None:
    import json

    plan = plan_costs(CostRequest(clients=100, parameters=1000, dropout=0.1, adversarial=0.05), default_constants())
    document = json.loads(as_json(plan))
    first = document["protocols"][0]
    assert first["name"] == "secagg-plus"
    assert first["tolerates"] == {"dropouts": 15, "colluding_clients": 5, "absent_members": None}
    assert first["client"]["sent_bytes"] == plan.rows[0].client.sent_bytes
    assert document["recommended"] in {row["name"] for row in document["protocols"]}
