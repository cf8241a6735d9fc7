"""The tests that every protocol must pass, run on the protocol of this folder: `python -m pytest test_tally.py`."""

from tally import Tally

from protocols.testing import ProtocolConformance, Scenario


class TestTally(ProtocolConformance):
    """Eight clients as `suggest` says, and three of whom two suffice. Nobody can check the bytes of a vector."""

    scenarios = (
        Scenario.suggested(Tally, unchecked=("entries",)),
        Scenario.of(Tally(), threshold=2, clients=(0, 7, 9), unchecked=("entries",)),
    )
