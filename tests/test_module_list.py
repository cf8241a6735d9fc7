"""Every module has a test file by its name, or `module_list.toml` names the files that cover it.

The test file of `secagg/training/averaging.py` is `tests/secagg/training/test_averaging.py`, or any file there whose
name begins with `test_averaging_`. Modules that hold no behaviour are left out: `__init__`, `__main__` and `version`.
"""

import ast
import tomllib
from functools import cache
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
TESTS: Final = ROOT / "tests"
PACKAGES: Final = ("dp", "protocols", "secagg")
WITHOUT_BEHAVIOUR: Final = ("__init__", "__main__", "version")
TABLE: Final = tomllib.loads((TESTS / "module_list.toml").read_text())
IMPORTED: Final[dict[str, list[str]]] = TABLE["imported"]
INDIRECT: Final[dict[str, dict[str, str]]] = TABLE["indirect"]


def named(path: Path) -> str:
    """Return the dotted name of a module or package, by its path."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES: Final = {named(path): path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))}
MODULES: Final = [name for name, path in FILES.items() if path.stem not in WITHOUT_BEHAVIOUR]


def own_files(module: str) -> list[Path]:
    """Return the test files that have the module's name."""
    *folders, name = module.split(".")
    folder, name = TESTS.joinpath(*folders), name.lstrip("_")
    return sorted({*folder.glob(f"test_{name}.py"), *folder.glob(f"test_{name}_*.py")})


@cache
def imports_of(path: Path) -> tuple[dict[str, tuple[str, str]], frozenset[str]]:
    """Return the names that a file binds by `from ... import`, with where from, and the modules that it imports whole.

    Of a package bound whole, such as `dp`, the attributes that the file reads count as names from it.
    """
    names: dict[str, tuple[str, str]] = {}
    whole: dict[str, str] = {}
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {each.asname or each.name: (node.module, each.name) for each in node.names}
        if isinstance(node, ast.Import):
            whole |= {each.asname or each.name: each.name for each in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in whole:
            names[f"{node.value.id}.{node.attr}"] = (whole[node.value.id], node.attr)
    return names, frozenset(whole.values())


def homes(source: str, name: str) -> set[str]:
    """Return the modules that `from source import name` uses: the one that defines it, and those that hand it on."""
    if f"{source}.{name}" in FILES:
        return {f"{source}.{name}"}
    if source not in FILES:
        return set()
    names, _ = imports_of(FILES[source])
    return {source} | (homes(*names[name]) if name in names else set())


@cache
def used_by(test: Path) -> frozenset[str]:
    """Return the modules that a test file imports, or of which it imports a name."""
    names, whole = imports_of(test)
    return whole.union(*(homes(source, name) for source, name in names.values()))


@pytest.mark.parametrize("module", MODULES)
def test_module_has_a_test_file_by_its_name_or_an_entry(module: str) -> None:
    own = own_files(module)
    entries = (module in IMPORTED) + (module in INDIRECT)
    assert entries <= 1, "it has two entries in tests/module_list.toml; delete one"
    assert own or entries, "write its test file, or name the test files that cover it in tests/module_list.toml"
    assert not (own and entries), f"{own[0].name} has its name; delete its entry in tests/module_list.toml"


@pytest.mark.parametrize(("module", "tests"), IMPORTED.items())
def test_entry_names_test_files_that_import_the_module(module: str, tests: list[str]) -> None:
    assert module in MODULES, "there is no such module; delete its entry in tests/module_list.toml"
    assert tests, "an entry needs at least one test file"
    for test in tests:
        assert (TESTS / test).is_file(), f"there is no tests/{test}"
        assert Path(test).name.startswith("test_"), f"pytest does not collect tests/{test}"
        assert module in used_by(TESTS / test), f"tests/{test} imports nothing of it; list it under [indirect]"


@pytest.mark.parametrize(("module", "entry"), INDIRECT.items())
def test_indirect_entry_says_how_its_test_file_reaches_the_module(module: str, entry: dict[str, str]) -> None:
    assert module in MODULES, "there is no such module; delete its entry in tests/module_list.toml"
    assert entry.keys() == {"test", "how"}
    assert (TESTS / entry["test"]).is_file(), f"there is no tests/{entry['test']}"
    assert Path(entry["test"]).name.startswith("test_"), f"pytest does not collect tests/{entry['test']}"
    assert len(entry["how"].split()) >= 3, "say in a few words how the test reaches the module"
    assert module not in used_by(TESTS / entry["test"]), "the test file imports it; move the entry to [imported]"


def test_names_are_traced_to_the_modules_that_define_them() -> None:
    assert homes("protocols", "PaillierSum") >= {"protocols", "protocols.encrypted.paillier_sum"}
    assert homes("secagg", "SecureMean") == {"secagg", "secagg.aggregation.mean"}
    assert homes("protocols.pairwise", "graph") == {"protocols.pairwise.graph"}
    assert homes("numpy", "array") == set()
    assert "dp.reporting.collect" in used_by(TESTS / "vectors" / "record_reports.py")
    assert "protocols.simulate" not in used_by(TESTS / "dp" / "test_figures.py")
