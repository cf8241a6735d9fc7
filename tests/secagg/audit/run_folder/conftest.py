from pathlib import Path

import pytest

from tests.support.finished_runs import finish


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One finished run with noise, momentum and a report."""
    return finish(tmp_path_factory.mktemp("finished") / "run", report=True)


@pytest.fixture(scope="session")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another run with the same settings."""
    return finish(tmp_path_factory.mktemp("twin") / "run")
