"""Pairwise masking under every set of drops: the exact sum where the thresholds allow it, and nothing where not.

Exhaustive for up to five clients: each client never drops or drops at one of the four rounds.  What must come out is
worked out here from the sets alone.  A client's replies depend on nothing but the requests that it got, so they are
computed once for each history.  A sum that ended in a round is not run again for drops that differ only later.
"""

from itertools import product
from typing import Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols import Client, Continue, Finish, SecAgg, SecAggPlus, Server, Session, TooFewSurvivors, simulate
from protocols.pairwise import PairwiseMasking
from tests.conformance.cohorts import stream

NEVER: Final = 4  # one past the last round
Fates = tuple[int, ...]


def session_of(clients: int, threshold: int) -> Session:
    ids = tuple((7 * i + 3) % 11 for i in range(clients))  # not ascending
    return Session(session_id=b"every set of drops", clients=ids, threshold=threshold, length=2, modulus=2**12)


def vector_of(client: int) -> list[int]:
    return [4095 - client, 3 * client + 1]


class Cohort:
    """Clients whose replies are remembered by the history of requests, and servers without end."""

    def __init__(self, protocol: PairwiseMasking, session: Session) -> None:
        self.protocol = protocol
        self.session = session
        self._replies: dict[tuple[int, tuple[bytes, ...]], bytes] = {}
        self._ended: set[Fates] = set()

    def reply(self, client: int, history: tuple[bytes, ...]) -> bytes:
        if (client, history) not in self._replies:
            entropy = stream(b"%d" % client)
            machine = Client(self.protocol, self.session, client, vector_of(client), entropy=entropy)
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


def allowed(protocol: PairwiseMasking, session: Session, fates: Fates) -> set[int] | None:
    """Whose sum must come out, or None where nothing may."""
    fate = dict(zip(session.clients, fates, strict=True))
    closed = {client: {client, *protocol.neighbours_of(session, client)} for client in session.clients}
    needed = protocol.holders_needed(session)
    asked = set(session.clients)
    for number in range(2):
        asked = {client for client in asked if fate[client] > number}
        if len(asked) < session.threshold:
            return None
        while True:  # leave out whoever has too few holders left, and whom that leaves with too few
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
    contributors = allowed(cohort.protocol, cohort.session, fates)
    if contributors is None:
        with pytest.raises(TooFewSurvivors):
            cohort.run(fates)
        return False
    outcome = cohort.run(fates)
    assert outcome.contributors == tuple(sorted(contributors)), fates
    columns = zip(*(vector_of(client) for client in contributors), strict=True)
    assert outcome.total.tolist() == [sum(column) % 2**12 for column in columns], fates
    return True


@pytest.mark.parametrize(("clients", "threshold"), [(n, t) for n in range(2, 6) for t in range(2, n + 1)])
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


NAMES = tuple(row.name for row in SecAgg.rounds)


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
    vectors = {c: [(c * 2**33 + i) % session.modulus for i in range(session.length)] for c in session.clients}
    fates = tuple(data.draw(st.lists(st.sampled_from([0, 1, 2, 3, *[NEVER] * 12]), min_size=clients, max_size=clients)))
    drops = {name: [c for c, fate in zip(session.clients, fates, strict=True) if fate == number]
             for number, name in enumerate(NAMES)}  # fmt: skip
    contributors = allowed(protocol, session, fates)
    if contributors is None:
        with pytest.raises(TooFewSurvivors):
            simulate(protocol, session, numbers(vectors), drops=drops)
        return
    outcome = simulate(protocol, session, numbers(vectors), drops=drops)
    assert outcome.contributors == tuple(sorted(contributors))
    columns = zip(*(vectors[client] for client in contributors), strict=True)
    assert outcome.total.tolist() == [sum(column) % session.modulus for column in columns]


def numbers(vectors: dict[int, list[int]]) -> dict[int, "np.ndarray[tuple[int], np.dtype[np.uint64]]"]:
    return {client: np.array(vector, dtype=np.uint64) for client, vector in vectors.items()}


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("spare", [0, -1])
def test_exactly_the_threshold_left_is_enough_and_one_fewer_is_not(number: int, spare: int) -> None:
    session = session_of(11, 7)
    inputs = {client: vector_of(client) for client in session.clients}
    gone = session.clients[: 11 - 7 - spare]
    if spare:
        with pytest.raises(TooFewSurvivors):
            simulate(SecAgg(), session, inputs, drops={NAMES[number]: gone})
        return
    outcome = simulate(SecAgg(), session, inputs, drops={NAMES[number]: gone})
    expected = set(session.clients) if number == 3 else set(session.clients) - set(gone)
    assert set(outcome.contributors) == expected
    assert outcome.total[1] == sum(3 * client + 1 for client in expected) % 2**12
    assert set(outcome.dropped) == set(gone)
