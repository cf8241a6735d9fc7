"""A node's training by its name."""

from pathlib import Path

import pytest

from secagg.engines.training_function import load_training
from secagg.errors import ConfigurationError


def test_training_is_the_function_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "our_training.py").write_text("def train(work):\n    return work\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert load_training("our_training:train").__name__ == "train"


@pytest.mark.parametrize("name", ["", "train", "module:", ":train"])
def test_training_needs_a_module_and_a_function(name: str) -> None:
    with pytest.raises(ConfigurationError, match="expected module:function"):
        load_training(name)


@pytest.mark.parametrize(
    ("name", "found"), [("no_such_module:train", "ModuleNotFoundError"), ("math:train", "AttributeError")]
)
def test_training_that_is_not_installed_is_named(name: str, found: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"found '{name}', which cannot be imported \({found}"):
        load_training(name)


def test_training_is_a_function() -> None:
    with pytest.raises(ConfigurationError, match="expected a function at 'math:pi'"):
        load_training("math:pi")
