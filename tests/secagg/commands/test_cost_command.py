import json
import math
from pathlib import Path
from typing import Any

import pytest
import typer

from secagg.commands.cost import bench_on_terminal, plan_on_terminal
from secagg.commands.cost_interface import whole_number
from secagg.errors import ConfigurationError
from secagg.planning.cost.constants import default_constants
from tests.support.commands import secagg


def test_plan_prints_json_for_a_billion_clients(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_bytes(default_constants().to_bytes())
    run = secagg(
        "plan", "--clients", "1e9", "--parameters", "1_000_000", "--committee", "5", "--json",
        "--constants", "mine.json", cwd=tmp_path,
    )  # fmt: skip
    assert (run.returncode, run.stderr) == (0, "")
    document = json.loads(run.stdout)
    assert document["request"]["clients"] == 10**9
    assert document["recommended"] == "seeds"


def refusal(**given: Any) -> str:
    """Return what the plan is refused with."""
    arguments = {
        "clients": 10, "parameters": 100, "dropout": 0.1, "adversarial": 0.05, "committee": None, "uplink_mbps": 100.0,
        "engine": "nvflare", "protocol": None, "adversary": "curious",
        "compression": 1.0, "constants": None, "as_json": False,
    }  # fmt: skip
    with pytest.raises((ConfigurationError, OSError)) as refused:
        plan_on_terminal(**{**arguments, **given})
    return str(refused.value)


def test_plan_refuses_what_is_out_of_range() -> None:
    assert "--clients: expected an integer from 2" in refusal(clients=0)
    assert "--dropout: expected a fraction in [0, 1), found nan" in refusal(dropout=math.nan)
    assert "--engine: expected one of nvflare, flower, memory, found 'ray'" in refusal(engine="ray")
    assert "--adversary: expected one of curious" in refusal(adversary="honest")
    assert "none.json" in refusal(constants=Path("none.json"))


def test_number_that_is_not_whole_is_refused_by_its_option(tmp_path: Path) -> None:
    run = secagg("plan", "--parameters", "100", "--clients", "1.5", cwd=tmp_path)
    assert run.returncode == 2
    assert "--clients" in run.stderr
    assert "expected a whole number, such as 1000 or 1e6" in " ".join(run.stderr.replace("│", " ").split())


@pytest.mark.parametrize(("text", "number"), [("1e9", 10**9), ("1_000", 1000), ("123456789012", 123456789012)])
def test_whole_numbers_may_have_an_exponent(text: str, number: int) -> None:
    assert whole_number(text) == number


@pytest.mark.parametrize("text", ["1.5", "nan", "inf", "", "1e", "1e999", "many"])
def test_other_texts_are_no_whole_numbers(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="expected a whole number"):
        whole_number(text)


def test_bench_asks_what_to_measure() -> None:
    with pytest.raises(ConfigurationError, match="--calibrate: expected it, found no option"):
        bench_on_terminal(calibrate=False, out=None)


def test_bench_refuses_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="--out: expected a file that can be written"):
        bench_on_terminal(calibrate=True, out=tmp_path / "none" / "constants.json")
