"""The names that users import from `secagg`."""

import subprocess
import sys

import pytest

import secagg


@pytest.mark.parametrize("name", secagg.__all__)
def test_public_name_is_what_it_says(name: str) -> None:
    assert getattr(secagg, name).__name__ == name
    assert getattr(secagg, name).__module__.startswith("secagg.")


def test_public_names_are_sorted_and_listed() -> None:
    assert sorted(secagg.__all__) == secagg.__all__
    assert set(secagg.__all__) <= set(dir(secagg))
    with pytest.raises(AttributeError, match="no attribute 'load'"):
        secagg.load  # noqa: B018


def test_public_names_are_imported_when_they_are_used() -> None:
    code = "import sys, secagg; print(sorted({'numpy', 'tensorflow', 'secagg.errors'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"
