"""Pairwise masking under every set of drops: the exact sum where the thresholds allow it, and nothing where not.

Exhaustive for up to five clients: each client never drops or drops at one of the four rounds.  What must come out is
worked out here from the sets alone, and from the graph that the key directory gives.  A client's replies depend on
nothing but the requests that it got, so they are computed once for each history.  A sum that ended in a round is not
run again for drops that differ only later.
"""

from itertools import product
from typing import Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols import Client, Continue, Finish, SecAgg, SecAggPlus, Server, Session, TooFewSurvivors, simulate
from protocols.codec import Codec, Invitation
from protocols.pairwise import schedule
from protocols.pairwise.messages import AdvertisedKeys
from protocols.pairwise.protocol import CURIOUS_STEPS, PairwiseMasking
from protocols.testing import repeatable_entropy

pytestmark = pytest.mark.slow

NEVER: Final = 4  # one past the last round
Fates = tuple[int, ...]


def session_of(clients: int, threshold: int) -> Session:
    ids = tuple((7 * i + 3) % 11 for i in range(clients))  # not ascending
    return Session(session_id=b"every set of drops", clients=ids, threshold=threshold, length=2, modulus=2**12)


def vector_of(client: int, session: Session) -> list[int]:
    return [(4095 - client * (3 * index + 1) ** 9) % session.modulus for index in range(session.length)]


def sum_of(clients: set[int], session: Session) -> list[int]:
    columns = zip(*(vector_of(client, session) for client in clients), strict=True)
    return [sum(column) % session.modulus for column in columns]


class Cohort:
    """Clients whose replies are remembered by the history of requests, and servers without end."""

    def __init__(self, protocol: PairwiseMasking, session: Session) -> None:
        self.protocol = protocol
        self.session = session
        self._replies: dict[tuple[int, tuple[bytes, ...]], bytes] = {}
        self._ended: set[Fates] = set()
        self._graphs: dict[frozenset[int], dict[int, frozenset[int]]] = {}

    def graph(self, present: frozenset[int]) -> dict[int, frozenset[int]]:
        """Everyone's neighbours where these clients have advertised keys; the graph is a hash of all their keys."""
        if present not in self._graphs:
            setup = self.protocol._derived(self.session)
            codec = Codec(setup.digest, self.protocol.message_limit(self.session))
            first = (codec.encode(0, Invitation()),)
            leaves = {
                client: setup.leaf(client, codec.decode(0, AdvertisedKeys, self.reply(client, first)))
                for client in present
            }
            root = setup.root(b"".join(leaves.get(client, schedule.ABSENT) for client in self.session.clients))
            self._graphs[present] = setup.graph(root)
        return self._graphs[present]

    def reply(self, client: int, history: tuple[bytes, ...]) -> bytes:
        if (client, history) not in self._replies:
            entropy = repeatable_entropy(b"%d" % client)
            vector = np.array(vector_of(client, self.session), dtype=np.uint64)
            machine = Client(self.protocol, self.session, client, vector, entropy=entropy)
            for length, request in enumerate(history, start=1):
                self._replies[client, history[:length]] = machine.handle(request)
        return self._replies[client, history]

    def run(self, fates: Fates) -> Finish:
        """One sum in which client i of the session is gone from round `fates[i]` on.

        Raises:
            TooFewSurvivors: Nothing came out.
        """
        if any(until(number, fates) in self._ended for number in range(NEVER)):
            raise TooFewSurvivors("this very sequence of replies has been tried")
        fate = dict(zip(self.session.clients, fates, strict=True))
        histories: dict[int, tuple[bytes, ...]] = dict.fromkeys(self.session.clients, ())
        server = Server(self.protocol, self.session)
        step: Continue | Finish = server.start()
        number = 0
        while isinstance(step, Continue):
            for client, request in step.requests.items():
                histories[client] = (*histories[client], request)
                if fate[client] > number:
                    server.receive(client, self.reply(client, histories[client]))
            try:
                step = server.advance()
            except TooFewSurvivors:
                self._ended.add(until(number, fates))
                raise
            number += 1
        return step


def until(number: int, fates: Fates) -> Fates:
    """The drops up to and with a round; who drops later drops `number + 1` here, marked by the round in front."""
    return (number, *(min(fate, number + 1) for fate in fates))


def allowed(cohort: Cohort, fates: Fates) -> set[int] | None:
    """Whose sum must come out, or None where nothing may."""
    session, needed = cohort.session, cohort.protocol.holders_needed(cohort.session)
    fate = dict(zip(session.clients, fates, strict=True))
    graph = cohort.graph(frozenset(client for client in session.clients if fate[client] > 0))
    closed = {client: {client, *graph[client]} for client in session.clients}
    asked = set(session.clients)
    for number in range(2):
        asked = {client for client in asked if fate[client] > number}
        if len(asked) < session.threshold:
            return None
        while True:  # Leave out clients with too few holders left, until none has too few.
            kept = {client for client in asked if len(closed[client] & asked) >= needed}
            if kept == asked:
                break
            asked = kept
        if len(asked) < session.threshold:
            return None
    contributors = {client for client in asked if fate[client] > 2}
    revealing = {client for client in contributors if fate[client] > 3}
    if min(len(contributors), len(revealing)) < session.threshold:
        return None
    # One secret of everyone who shared comes back, but for who left no mask behind in any contribution.
    owners = {client for client in asked if client in contributors or closed[client] & contributors}
    if any(len(closed[owner] & revealing) < needed for owner in owners):
        return None
    return contributors


def check(cohort: Cohort, fates: Fates) -> bool:
    """Compare one run with what must come out; whether a sum did."""
    contributors = allowed(cohort, fates)
    if contributors is None:
        with pytest.raises(TooFewSurvivors):
            cohort.run(fates)
        return False
    outcome = cohort.run(fates)
    assert outcome.contributors == tuple(sorted(contributors)), fates
    assert outcome.total.tolist() == sum_of(contributors, cohort.session), fates
    return True


@pytest.mark.parametrize(
    ("clients", "threshold"),
    [
        pytest.param(n, t, marks=[pytest.mark.long] if (n, t) == (5, 2) else [])
        for n in range(2, 6)
        for t in range(2, n + 1)
    ],
)
def test_secagg_sums_exactly_for_every_set_of_drops(clients: int, threshold: int) -> None:
    cohort = Cohort(SecAgg(), session_of(clients, threshold))
    summed = [check(cohort, fates) for fates in product(range(NEVER + 1), repeat=clients)]
    # A sum comes out just when `threshold` clients never drop.
    expected = [fates.count(NEVER) >= threshold for fates in product(range(NEVER + 1), repeat=clients)]
    assert summed == expected


@pytest.mark.parametrize(
    ("clients", "threshold", "neighbours", "share_threshold"),
    [(3, 2, 2, 2), (4, 2, 2, 2), (4, 3, 2, 3), (5, 2, 2, 2), (5, 3, 4, 3)],
)
def test_secaggplus_sums_exactly_for_every_set_of_drops(
    clients: int, threshold: int, neighbours: int, share_threshold: int
) -> None:
    protocol = SecAggPlus(neighbours=neighbours, share_threshold=share_threshold)
    cohort = Cohort(protocol, session_of(clients, threshold))
    summed = [check(cohort, fates) for fates in product(range(NEVER + 1), repeat=clients)]
    assert 0 < sum(summed) < len(summed)


NAMES = tuple(row.name for row in CURIOUS_STEPS)


@settings(max_examples=25, deadline=None)
@given(data=st.data(), clients=st.integers(6, 14))
def test_larger_cohorts_sum_exactly_for_random_drops(data: st.DataObject, clients: int) -> None:
    neighbours = data.draw(st.integers(1, (clients - 1) // 2)) * 2
    plus = SecAggPlus(neighbours=neighbours, share_threshold=data.draw(st.integers(2, neighbours + 1)))
    protocol: PairwiseMasking = data.draw(st.sampled_from([SecAgg(), plus]))
    session = Session(
        session_id=data.draw(st.binary(min_size=16, max_size=16)),
        clients=tuple(data.draw(st.lists(st.integers(0, 2**32 - 2), min_size=clients, max_size=clients, unique=True))),
        threshold=data.draw(st.integers(2, clients)),
        length=data.draw(st.integers(1, 70)),
        modulus=2 ** data.draw(st.integers(1, 64)),
    )
    cohort = Cohort(protocol, session)
    fates = tuple(data.draw(st.lists(st.sampled_from([0, 1, 2, 3, *[NEVER] * 12]), min_size=clients, max_size=clients)))
    check(cohort, fates)


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("spare", [0, -1])
def test_exactly_the_threshold_left_is_enough_and_one_fewer_is_not(number: int, spare: int) -> None:
    session = session_of(11, 7)
    inputs = {client: np.array(vector_of(client, session), dtype=np.uint64) for client in session.clients}
    gone = session.clients[: 11 - 7 - spare]
    if spare:
        with pytest.raises(TooFewSurvivors):
            simulate(SecAgg(), session, inputs, drops={NAMES[number]: gone})
        return
    outcome = simulate(SecAgg(), session, inputs, drops={NAMES[number]: gone})
    expected = set(session.clients) if number == 3 else set(session.clients) - set(gone)
    assert set(outcome.contributors) == expected
    assert outcome.total.tolist() == sum_of(expected, session)
    assert set(outcome.dropped) == set(gone)
