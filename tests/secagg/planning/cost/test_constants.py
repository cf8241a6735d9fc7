import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from secagg.errors import ConfigurationError
from secagg.planning.cost.constants import Constants, default_constants, read_constants
from secagg.planning.cost.models import MODELLED


def test_default_constants_say_where_and_how_they_were_measured(tmp_path: Path) -> None:
    constants = default_constants()
    assert constants.command == "secagg bench --calibrate"
    assert constants.machine.processor
    assert constants.machine.libraries["numpy"]
    assert constants.factors.keys() == {kind.name for kind in MODELLED}
    assert all(engine.source for engine in constants.engines.values())


def test_constants_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "constants.json"
    path.write_bytes(default_constants().to_bytes())
    assert read_constants(path) == default_constants()


def changed(document: dict[str, Any], *keys: str, value: object) -> None:
    for key in keys[:-1]:
        document = document[key]
    document[keys[-1]] = value


REFUSED: list[tuple[str, Callable[[dict[str, Any]], object]]] = [
    ("expected version 1, found 2", lambda d: changed(d, "version", value=2)),
    ("expected the duration of pack, found none", lambda d: d["durations"].pop("pack")),
    ("expected the engine flower, found none", lambda d: d["engines"].pop("flower")),
    ("pack: expected a finite number above 0, found 0", lambda d: changed(d, "durations", "pack", value=0)),
    ("secagg client: expected a finite number", lambda d: changed(d, "factors", "secagg", "client", value=-1)),
    ("expected a file of constants, found another", lambda d: changed(d, "further", value=1)),
    ("expected a file of constants, found another", lambda d: changed(d, "durations", "other", value=1)),
    ("expected a file of constants, found another", lambda d: changed(d, "machine", "cores", value="2")),
]


@pytest.mark.parametrize(("words", "change"), REFUSED)
def test_file_that_is_not_one_of_constants_is_refused(
    words: str, change: Callable[[dict[str, Any]], object], tmp_path: Path
) -> None:
    document = json.loads(default_constants().to_bytes())
    change(document)
    path = tmp_path / "constants.json"
    path.write_text(json.dumps(document))
    with pytest.raises(ConfigurationError, match=words):
        read_constants(path)


@pytest.mark.parametrize(
    "data", [b"", b"\xff", b"[" * 100_000, b" " * (2**20 + 1)], ids=["empty", "no text", "nested", "too long"]
)
def test_file_of_other_bytes_is_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "constants.json"
    path.write_bytes(data)
    with pytest.raises(ConfigurationError, match="expected a file of constants"):
        read_constants(path)


def test_constants_have_no_default_for_a_field() -> None:
    assert not Constants.__struct_defaults__


def test_page_on_engines_has_the_seconds_a_step_that_plans_use() -> None:
    page = (Path(__file__).parents[4] / "docs" / "engines" / "index.md").read_text(encoding="utf-8")
    for name in ("nvflare", "flower"):
        engine = default_constants().engines[name]
        assert f"| {engine.low_s:g} to {engine.high_s:g}" in page
