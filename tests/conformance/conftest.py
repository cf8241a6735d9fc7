"""Runs a test that takes `setting` over every protocol, one that takes `point` over every round of each."""

import pytest

from tests.conformance.cohorts import settings


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    found = settings()
    if "point" in metafunc.fixturenames:
        rows = [
            pytest.param((each, number), id=f"{each.label}-{row.name}")
            for each in found
            for number, row in enumerate(each.protocol.steps)
        ]
        metafunc.parametrize("point", rows)
    elif "setting" in metafunc.fixturenames:
        metafunc.parametrize("setting", found, ids=[each.label for each in found])
