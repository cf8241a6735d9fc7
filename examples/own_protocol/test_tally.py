"""The tests that every protocol must pass, run on the protocol of this folder: `python -m pytest test_tally.py`."""

from tally import Tally

from protocols.testing import ProtocolConformance, Scenario


class TestTally(ProtocolConformance):
    """Two scenarios: eight clients as `suggest` says, and three clients with a threshold of two.

    The field `entries` carries a client's vector, so nobody can check its bytes.
    """

    scenarios = (
        Scenario.suggested(Tally, unchecked=("entries",)),
        Scenario.of(Tally(), threshold=2, clients=(0, 7, 9), unchecked=("entries",)),
    )
