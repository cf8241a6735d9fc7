"""Every machine can be kept and restored in the middle of every step, and what is kept is of no use to others."""

from typing import ClassVar

from protocols.testing.suite.replays import ReplayTests
from protocols.testing.suite.snapshots import SnapshotTests
from tests.conformance.cohorts import settings


class TestSnapshots(SnapshotTests):
    scenarios: ClassVar = settings()


class TestReplays(ReplayTests):
    scenarios: ClassVar = settings()
