"""What pyproject.toml promises of extras and Pythons, and what messages advise to install."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LATER = ("3.12", "3.13")
EXTRAS = "|".join(map(re.escape, PROJECT["optional-dependencies"]))
LOCKED = re.compile(r"^([a-z0-9-]+)==", flags=re.MULTILINE)


def brought(extra: str, python: str) -> set[str]:
    """Names of the distributions that the extra asks for under such a Python."""
    requirements = map(Requirement, PROJECT["optional-dependencies"][extra])
    environment = {"python_version": python}
    return {one.name for one in requirements if one.marker is None or one.marker.evaluate(environment)}


def test_training_is_the_same_on_every_python() -> None:
    assert [brought("training", python) for python in ("3.11", *LATER)] == [{"scikit-learn", "tensorflow"}] * 3


def test_example_level_leaves_out_what_a_later_python_cannot_have() -> None:
    limited = {"tensorflow-privacy", "tf-keras"}
    assert brought("example-level", "3.11") == brought("training", "3.11") | limited
    for python in LATER:
        assert brought("example-level", python) == brought("training", python)


@pytest.mark.parametrize("python", ["3.11", *LATER])
def test_classifiers_and_locks_cover_every_python(python: str) -> None:
    assert f"Programming Language :: Python :: {python}" in PROJECT["classifiers"]
    lock = (ROOT / ("requirements.lock" if python == "3.11" else "requirements-py312.lock")).read_text(encoding="utf-8")
    extras = {"example-level", "report", "metrics", "paillier", "phe", "dev"}
    assert set(LOCKED.findall(lock)) >= set[str]().union(*(brought(extra, python) for extra in extras))
    assert "://" not in lock


MADE = ("docs/_build", "docs/examples", "docs/reference/api", "docs/reference/commands")
"""Folders that `make docs` makes."""


def test_every_advice_to_install_works_in_a_clone() -> None:
    """No index has this project, so that its name is no advice; an extra that is named exists."""
    found = 0
    for path in (
        path for package in ("dp", "protocols", "secagg", "benchmarks", "docs") for path in (ROOT / package).rglob("*")
    ):
        if path.suffix not in (".py", ".md", ".j2") or any(path.is_relative_to(ROOT / made) for made in MADE):
            continue
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"secagg-toolkit\s*\[", text), path
        for extras in re.findall(r"pip install (?!\"\.\[\{extra\})(.*)", text):
            assert re.match(rf'"\.\[({EXTRAS})(,({EXTRAS}))*\]"', extras), (path, extras)
            found += 1
    assert found >= 5
