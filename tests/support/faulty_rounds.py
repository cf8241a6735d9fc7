"""Rounds over a faulty channel, by every protocol, and what must hold of each: `check_round`."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from protocols import Adversary, MemoryOpenings
from protocols.errors import RemoteError
from secagg.engines.server.channel import ChannelEngine
from tests.support.bare_node import NodeCohort, node_cohort
from tests.support.faulty_channel import Faults, FaultyChannel

CLIENTS: Final = 10
STEP_S: Final = 10.0
CURIOUS, MALICIOUS = Adversary.CURIOUS, Adversary.MALICIOUS
CHEAP: Final = (
    ("plain", CURIOUS),
    ("secagg", CURIOUS),
    ("secagg", MALICIOUS),
    ("secagg-plus", CURIOUS),
    ("secagg-plus", MALICIOUS),
    ("lightsecagg", CURIOUS),
    ("seeds", CURIOUS),
    ("seeds", MALICIOUS),
)
COMMITTEES: Final = (
    ("paillier", CURIOUS),
    ("paillier", MALICIOUS),
    ("oneshot", CURIOUS),
    ("oneshot", MALICIOUS),
)
_LARGEST: Final = 0.025
"""The largest probability of a fault of one kind, of each message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a round has ended.

    Attributes:
        contributors: The number of contributors; 0 without a sum.
        reasons: Why replies were missing.
        error: The class of the error; empty if there is none.
    """

    contributors: int
    reasons: frozenset[str]
    error: str


class FaultyRounds:
    """Rounds by one protocol: the nodes, the channel and the engine stay, so messages of old sessions come back.

    Args:
        name: The name of the protocol.
        adversary: The kind of server.
        seed: The seed of the channel.
    """

    def __init__(self, name: str, adversary: Adversary, seed: int) -> None:
        self.parties: NodeCohort = node_cohort(name, adversary, clients=CLIENTS, dropout=0.4, label=b"%d" % seed)
        self.channel = FaultyChannel(
            {party: node.answer for party, node in self.parties.nodes.items()}, step_s=STEP_S, seed=seed
        )
        self._engine = ChannelEngine(self.channel, clock=self.channel.clock, step_s=STEP_S)
        self._serial = 0

    def run(self, probability: float) -> Ended:
        """Run one round with these faults, and check it.

        Raises:
            AssertionError: It has lasted too long, or its sum is not that of the clients that it names.
        """
        self._serial += 1
        self.channel.faults = Faults.of_all_kinds(probability)
        plan, begun = self.parties.plan(self._serial), self.channel.clock()
        self.parties.kept.clear()
        for node in self.parties.nodes.values():
            node.openings = MemoryOpenings()  # Every round has work of its own, so the record would only grow.
        try:
            result = self._engine.run(plan)
        except RemoteError as error:
            return Ended(contributors=0, reasons=frozenset(), error=type(error).__name__)
        finally:
            lasted, steps = self.channel.clock() - begun, len(plan.mean.protocol.steps)
            assert lasted < steps * STEP_S + 1e-6, f"{steps} steps of {STEP_S} s have lasted {lasted} s"
        reasons = frozenset(code for counts in result.refused.values() for code in counts)
        if result.total is None:
            assert result.withheld
            return Ended(contributors=0, reasons=reasons, error="")
        assert len(result.contributors) >= plan.mean.minimum_contributors
        assert np.array_equal(result.total, self.parties.exact(plan, result.contributors)), "the sum is another one"
        return Ended(contributors=len(result.contributors), reasons=reasons, error="")


def probabilities(seed: int) -> Iterator[float]:
    """Yield the probabilities of rounds: the first has no faults, then they are spread up to the largest."""
    yield 0.0
    yield from (float(each) for each in np.random.default_rng(seed).uniform(0, _LARGEST, 10_000))
