"""What the tests with real processes share."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def live() -> Iterator[Path]:
    """Yield a folder in memory."""
    path = Path(tempfile.mkdtemp(prefix="secagg-test-", dir="/dev/shm"))
    yield path
    shutil.rmtree(path)
