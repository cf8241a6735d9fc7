"""Boxes of `SeedSum` repeat in these tests, and the slowest scenario is run by `make test-long`."""

import pytest

from protocols import OneShot
from tests.conformance.cohorts import Setting
from tests.support.repeatable_boxes import repeatable_boxes as repeatable_boxes


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark `OneShot` against a curious server as long: against a malicious one, it does all the same, and proves it."""
    for item in items:
        called = getattr(item, "callspec", None)
        scenario = called.params.get("scenario") if called else None
        if isinstance(scenario, Setting) and scenario.protocol == OneShot():
            item.add_marker(pytest.mark.long)
