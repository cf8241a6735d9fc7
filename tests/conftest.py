"""What a later Python cannot run is skipped, and said so."""

import sys

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip example-level privacy where tensorflow-privacy has no release."""
    if sys.version_info >= (3, 12):
        for item in items:
            if item.get_closest_marker("example_level"):
                item.add_marker(pytest.mark.skip(reason="tensorflow-privacy supports Python below 3.12"))
