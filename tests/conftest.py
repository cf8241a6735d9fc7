"""What a later Python cannot run is skipped, and said so. Long tests run if they are asked for."""

import signal
import sys

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option `--long`."""
    parser.addoption("--long", action="store_true", help="Run the tests that are marked long, too.")


def pytest_configure() -> None:
    """Answer the signals that `nohup` ignores: tests interrupt the processes that they start."""
    for name, default in (("SIGINT", signal.default_int_handler), ("SIGHUP", signal.SIG_DFL)):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, default)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out long tests, and skip example-level privacy where tensorflow-privacy has no release."""
    if not config.getoption("--long"):
        left_out = [item for item in items if item.get_closest_marker("long")]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)
    if sys.version_info >= (3, 12):
        for item in items:
            if item.get_closest_marker("example_level"):
                item.add_marker(pytest.mark.skip(reason="tensorflow-privacy supports Python below 3.12"))
