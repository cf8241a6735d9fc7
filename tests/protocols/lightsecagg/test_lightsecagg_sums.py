"""LightSecAgg gives the exact sum or none, no matter who drops out or answers last, and from snapshots too."""

import itertools
import os
from collections.abc import Sequence

import numpy as np
import pytest

from protocols import Client, Finish, Server, TooFewSurvivors, simulate
from protocols.crypto.secret import Secret
from protocols.lightsecagg.protocol import LightSecAgg
from tests.support.lightsecagg_cohort import IDS, NAMES, PRIME, cohort, exact_sum, session, vectors

pytestmark = pytest.mark.slow


def test_sum_is_exact_for_every_small_cohort_and_every_parameter() -> None:
    for clients in range(2, 6):
        for threshold in range(2, clients + 1):
            for responders in range(2, threshold + 1):
                for privacy in range(1, responders):
                    each = session(IDS[:clients], threshold)
                    inputs = vectors(each)
                    outcome = simulate(LightSecAgg(privacy=privacy, responders=responders), each, inputs)
                    assert outcome.contributors == tuple(sorted(each.clients))
                    assert outcome.total.tolist() == exact_sum(inputs, outcome.contributors, PRIME)


def check_drops(clients: int, privacy: int, responders: int, threshold: int, fates: Sequence[int]) -> None:
    """Fate r: gone from round r on; 4: stays."""
    each = session(IDS[:clients], threshold, length=3)
    inputs = vectors(each)
    drops = {
        name: [c for c, fate in zip(each.clients, fates, strict=True) if fate == number]
        for number, name in enumerate(NAMES)
    }
    protocol = LightSecAgg(privacy=privacy, responders=responders)
    if sum(fate == len(NAMES) for fate in fates) < threshold:
        with pytest.raises(TooFewSurvivors):
            simulate(protocol, each, inputs, drops=drops)
        return
    outcome = simulate(protocol, each, inputs, drops=drops)
    assert outcome.contributors == tuple(sorted(c for c, fate in zip(each.clients, fates, strict=True) if fate >= 3))
    assert outcome.total.tolist() == exact_sum(inputs, outcome.contributors, PRIME)


@pytest.mark.parametrize(
    ("clients", "privacy", "responders", "threshold"),
    [(2, 1, 2, 2), (3, 1, 2, 2), (3, 1, 2, 3), (4, 1, 2, 2), (4, 2, 3, 3), (4, 1, 2, 3), (5, 1, 3, 3), (5, 2, 3, 4)],
)
def test_any_drops_at_any_round_give_the_exact_sum_or_nothing(
    clients: int, privacy: int, responders: int, threshold: int
) -> None:
    """Every subset at every round, as far as the threshold is left; below it, as many at each round as can be."""
    for fates in itertools.product(range(5), repeat=clients):
        if sum(fate == len(NAMES) for fate in fates) >= threshold or list(fates) == sorted(fates):
            check_drops(clients, privacy, responders, threshold, fates)


@pytest.mark.parametrize(("clients", "threshold"), [(30, 21), (61, 40)])
def test_random_drops_down_to_the_threshold_give_the_exact_sum(clients: int, threshold: int) -> None:
    generator = np.random.default_rng(clients)
    for privacy, responders in ((1, threshold), (threshold // 2, threshold - 2), (threshold - 1, threshold)):
        gone = generator.permutation(clients)[: clients - threshold].tolist()
        each = session(range(clients), threshold, length=50)
        inputs = vectors(each)
        drops = {name: gone[number :: len(NAMES)] for number, name in enumerate(NAMES)}
        outcome = simulate(LightSecAgg(privacy=privacy, responders=responders), each, inputs, drops=drops)
        assert set(outcome.contributors) == set(range(clients)) - set(gone) | set(drops["aggregate_shares"])
        assert outcome.total.tolist() == exact_sum(inputs, outcome.contributors, PRIME)


@pytest.mark.parametrize("modulus", [11, 251, 2**15 - 19, 65_521, PRIME, 2**32 - 5, 2**61 - 1])
@pytest.mark.parametrize("length", [1, 4, 1000])
def test_extreme_entries_wrap_at_any_prime(modulus: int, length: int) -> None:
    each = session(IDS[:6], 5, length=length, modulus=modulus)
    inputs = dict.fromkeys(each.clients, np.full(length, modulus - 1, dtype=np.uint64))
    outcome = simulate(LightSecAgg(privacy=2, responders=5), each, inputs, drops={"mask_input": [IDS[1]]})
    assert outcome.total.tolist() == [-5 % modulus] * length


def test_any_responders_decode() -> None:
    """Each subset of survivors that answers the last round gives the same sum."""
    for count in (4, 5, 6):
        for answering in itertools.combinations(IDS[:6], count):
            run = cohort().to_step(3)
            replies = run.replies()
            run.deliver({client: replies[client] for client in answering})
            assert isinstance(run.step, Finish)
            assert run.step.contributors == tuple(sorted(IDS[:6]))
            assert run.step.total.tolist() == exact_sum(run.inputs, IDS[:6], PRIME)


@pytest.mark.parametrize("number", range(4))
def test_sum_goes_on_from_snapshots_of_everyone(number: int) -> None:
    """Clients are kept before the round, the server with half of its replies taken in."""
    protocol, key = LightSecAgg(privacy=1, responders=4), Secret(bytes(32))
    run = cohort().to_step(number)
    for client, machine in run.clients.items():
        run.clients[client] = Client.restore(protocol, run.session, machine.snapshot(key), key=key, entropy=os.urandom)
    replies = run.replies()
    for client in IDS[:3]:
        run.server.receive(client, replies.pop(client))
    kept = run.server.snapshot(key, entropy=os.urandom)
    run.server = Server.restore(protocol, run.session, kept, key=key)
    assert run.server.missing == set(replies)
    run.deliver(replies)
    run.to_step(4)
    assert isinstance(run.step, Finish)
    assert run.step.total.tolist() == exact_sum(run.inputs, IDS[:6], PRIME)
