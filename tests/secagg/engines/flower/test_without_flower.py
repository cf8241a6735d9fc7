"""The package for Flower where Flower is missing, and how little it imports where it is not."""

import gc
import importlib.util
import subprocess
import sys

import pytest

import secagg.engines.flower as package
from secagg.errors import MissingExtraError


@pytest.mark.parametrize("name", package.__all__)
def test_package_names_the_extra_that_is_missing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "flwr", None)
    with pytest.raises(MissingExtraError, match=r'pip install "\.\[flower\]"'):
        getattr(package, name)


def test_package_has_no_other_names() -> None:
    with pytest.raises(AttributeError, match="no attribute 'secure_grid'"):
        package.secure_grid  # noqa: B018


@pytest.mark.skipif(importlib.util.find_spec("flwr") is None, reason="needs the extra flower")
def test_package_leaves_the_garbage_collector_as_it_was() -> None:
    assert gc.isenabled()
    assert callable(package.secure_mod)
    assert gc.isenabled()
    gc.disable()
    try:
        assert callable(package.secure_mod)
        assert not gc.isenabled()
    finally:
        gc.enable()


@pytest.mark.skipif(importlib.util.find_spec("flwr") is None, reason="needs the extra flower")
def test_mod_imports_neither_tensorflow_nor_what_is_for_the_server() -> None:
    """Every message to a node starts a process, which imports the mod anew."""
    code = (
        "import sys; from secagg.engines.flower import secure_mod\n"
        "heavy = {'tensorflow', 'keras', 'torch', 'sklearn', 'dp_accounting', 'secagg.simulation', 'secagg.training',"
        " 'secagg.engines.flower.grid', 'secagg.engines.server.coordinator'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "[]"
