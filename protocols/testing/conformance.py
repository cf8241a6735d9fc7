"""The whole suite as one class, for protocols of other people: every test that holds for any protocol.

    class TestMyProtocol(ProtocolConformance):
        scenarios = (Scenario.suggested(MyProtocol), Scenario.of(MyProtocol(parameter=3), threshold=4))

What the suite does not show: that a protocol is secure. See `docs/how-to/test-your-protocol.md`.
"""

from protocols.testing.assertions import SUITE as SUITE  # Imported first: see there.
from protocols.testing.suite.alterations import AlterationTests
from protocols.testing.suite.digests import DigestTests
from protocols.testing.suite.drops import DropTests
from protocols.testing.suite.logs import LogTests
from protocols.testing.suite.messages import MessageTests
from protocols.testing.suite.misuse import MisuseTests
from protocols.testing.suite.openings import OpeningTests
from protocols.testing.suite.participation import ParticipationTests
from protocols.testing.suite.replays import ReplayTests
from protocols.testing.suite.secrecy import SecrecyTests
from protocols.testing.suite.snapshots import SnapshotTests
from protocols.testing.suite.sums import SumTests


class ProtocolConformance(
    SumTests,
    DropTests,
    MessageTests,
    AlterationTests,
    MisuseTests,
    DigestTests,
    SecrecyTests,
    SnapshotTests,
    ReplayTests,
    OpeningTests,
    ParticipationTests,
    LogTests,
):
    """All tests of the suite, for pytest. Derive a class whose name begins with `Test`, and set `scenarios`.

    Every test runs over all scenarios, and many of them over every step of each. Take small scenarios: the suite runs
    some hundreds of sums for each.

    Attributes:
        scenarios: The scenarios, at least one. No party may have the id 4, and vectors have at least 32 entries.
    """
