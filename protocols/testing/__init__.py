"""The conformance suite: the tests that hold for every protocol, for protocols of other people; it needs pytest.

This package is for tests only. Its identities and its entropy are the same in each run and protect nobody.
"""

from protocols.testing.conformance import ProtocolConformance
from protocols.testing.hook import derived_of, party_of, state_of
from protocols.testing.repeatable import (
    SNAPSHOT_KEY,
    attached_secrets,
    fixed_identity,
    fixed_roster,
    repeatable_entropy,
)
from protocols.testing.run import Checkpoint, ProtocolRun, exact_sum
from protocols.testing.scenario import CLIENTS, Scenario

__all__ = [
    "CLIENTS",
    "SNAPSHOT_KEY",
    "Checkpoint",
    "ProtocolConformance",
    "ProtocolRun",
    "Scenario",
    "attached_secrets",
    "derived_of",
    "exact_sum",
    "fixed_identity",
    "fixed_roster",
    "party_of",
    "repeatable_entropy",
    "state_of",
]
