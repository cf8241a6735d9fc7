import json
from pathlib import Path

import pytest

from secagg.commands.cost import bench_on_terminal
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
    assert document["recommended"] == "oneshot"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--clients", "0"), "--clients: expected an integer from 2"),
        (("--clients", "1.5"), "expected a whole number, such as 1000 or 1e6"),
        (("--clients", "nan"), "expected a whole number"),
        (("--clients", "10", "--dropout", "nan"), "--dropout: expected a fraction in [0, 1), found nan"),
        (("--clients", "10", "--engine", "ray"), "--engine: expected one of nvflare, flower, memory, found 'ray'"),
        (("--clients", "10", "--constants", "none.json"), "none.json"),
    ],
)
def test_plan_refuses_bad_arguments_in_one_line(arguments: tuple[str, ...], words: str, tmp_path: Path) -> None:
    run = secagg("plan", "--parameters", "100", *arguments, cwd=tmp_path)
    assert run.returncode == 2
    assert words in " ".join(run.stderr.replace("│", " ").split())


def test_bench_asks_what_to_measure() -> None:
    with pytest.raises(ConfigurationError, match="--calibrate: expected it, found no option"):
        bench_on_terminal(calibrate=False, out=None)


def test_bench_refuses_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="expected a file in a folder that exists"):
        bench_on_terminal(calibrate=True, out=tmp_path / "none" / "constants.json")
