"""Every set of drops at every round: a tree of runs that forks, at each round, by who answers.

Each node is a run kept as snapshots.  Its clients answer once; then a fresh copy of the server gets each subset of
the answers.  What must come out is worked out from the sets alone, by the protocol's rules and not by its code.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Any

import numpy as np

from protocols import Continue, Finish, SecureSum, TooFewSurvivors
from protocols.encrypted.protocol import EncryptedSum
from protocols.pairwise.protocol import PairwiseMasking
from protocols.testing import Checkpoint, ProtocolRun, Scenario, exact_sum, state_of
from tests.conformance.cohorts import setting


@dataclass(frozen=True, slots=True)
class Ending:
    """One sequence of drops, and what came of it.

    Attributes:
        answered: By round, who answered.
        outcome: The sum, or None where the server said that too few are left.
        expected: Whose sum must come out, or None where nothing may.
        exact: Whether the outcome is the sum of those.
    """

    answered: tuple[frozenset[int], ...]
    outcome: Finish | None
    expected: frozenset[int] | None
    exact: bool

    @property
    def is_right(self) -> bool:
        """Whether just what must come out did."""
        if self.outcome is None or self.expected is None:
            return self.outcome is None and self.expected is None
        return self.exact and frozenset(self.outcome.contributors) == self.expected


def endings(setting: Scenario) -> Iterator[Ending]:
    """Every way in which a sum can end, over all subsets of clients that answer in each round."""
    yield from _explore(setting, ProtocolRun(setting), ())


def _explore(setting: Scenario, run: ProtocolRun, answered: tuple[frozenset[int], ...]) -> Iterator[Ending]:
    replies = run.replies()
    checkpoint = Checkpoint(run)
    for size in range(len(replies) + 1):
        for subset in combinations(replies, size):
            again = checkpoint.resume(clients={*subset, *setting.session.committee_members})
            history = (*answered, frozenset(subset))
            for client in subset:
                again.server.receive(client, replies[client])
            state = state_of(again.server)
            try:
                again.progress = again.server.advance()
            except TooFewSurvivors:
                yield Ending(history, None, allowed(setting, state, history), exact=False)
                continue
            if isinstance(again.progress, Continue):
                yield from _explore(setting, again, history)
            else:
                yield Ending(history, again.progress, allowed(setting, state, history), again.is_exact(again.progress))


def allowed(setting: Scenario, state: Any, answered: tuple[frozenset[int], ...]) -> frozenset[int] | None:
    """Whose sum must come out, or None where nothing may.

    Args:
        setting: The setting.
        state: The server's at the end, for the one thing that the sets do not say: the order on the circle.
        answered: By round, who answered; it ends with the round in which the sum ended.
    """
    protocol, session = setting.protocol, setting.session
    everyone = frozenset(session.clients)
    if len(answered[0]) < session.threshold:
        return None
    if isinstance(protocol, EncryptedSum):
        assert session.committee is not None
        opened = all(len(members) >= session.committee.key.threshold for members in answered[1:])
        return answered[0] if opened else None
    closed, needed = dict.fromkeys(everyone, everyone), session.threshold  # everyone holds shares of everyone
    if isinstance(protocol, PairwiseMasking):
        closed = {client: near | {client} for client, near in protocol._derived(session).graph(state.root).items()}
        needed = protocol.holders_needed(session)
    rounds = [*answered, *[everyone] * (len(protocol.steps) - len(answered))]  # what comes later is not to blame
    present = everyone
    for index in range(2):
        present = present & rounds[index]
        while (kept := frozenset(c for c in present if len(closed[c] & present) >= needed)) != present:
            present = kept  # whom that leaves with too few share-holders is left out too
        if len(present) < session.threshold:
            return None
    contributors = present & rounds[2]
    # One secret of everyone who shared is rebuilt, but of those who left no mask in any contribution.
    owners = [c for c in present if closed[c] & contributors]
    revealing = contributors
    for asked in rounds[2:]:
        revealing = revealing & asked
        if len(revealing) < session.threshold or any(len(closed[owner] & revealing) < needed for owner in owners):
            return None
    return contributors


def chains(clients: int, threshold: int, *, rounds: int) -> int:
    """Return how many ways there are to drop out, each in one of `rounds` steps, if `threshold` or more stay."""
    return sum(comb(clients, stay) * rounds ** (clients - stay) for stay in range(threshold, clients + 1))


def check_random_drops(protocol: SecureSum, clients: int, threshold: int, *, gone: int, seed: int) -> None:
    """Check one sum of three coordinates in which `gone` random clients drop out, each in a random step.

    Raises:
        TooFewSurvivors: Nothing came out.
    """
    generator = np.random.default_rng(seed)
    ids = tuple(generator.permutation(2**20)[:clients].tolist())
    each = setting(protocol, ids, threshold, length=3)
    names = [row.name for row in protocol.steps]
    fates = dict(zip(ids[:gone], generator.integers(0, len(names), gone).tolist(), strict=True))
    drops = {name: [client for client, fate in fates.items() if fate == number] for number, name in enumerate(names)}
    inputs = each.inputs(seed)
    outcome = each.simulate(inputs, drops=drops)
    last = names.index("mask_input")
    contributors = tuple(sorted(client for client in ids if fates.get(client, len(names)) > last))
    assert outcome.dropped == {client: names[fate] for client, fate in fates.items()}
    assert outcome.contributors == contributors
    assert outcome.left_out == ()
    assert outcome.total.tolist() == exact_sum(inputs, contributors, each.session.modulus)
