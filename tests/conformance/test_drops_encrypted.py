"""Sums that a committee opens, for all dropouts: every subset of the clients, then every subset of the committee."""

from math import comb

import numpy as np
import pytest

from protocols import Adversary, OneShot, PaillierSum, TooFewSurvivors
from protocols.encrypted.protocol import EncryptedSum
from protocols.testing import exact_sum
from tests.conformance.cohorts import IDS, Setting, setting
from tests.conformance.drops import endings

CURIOUS, MALICIOUS = Adversary.CURIOUS, Adversary.MALICIOUS

APART, OVERLAPPING, WITHIN = (21, 22, 23), (IDS[1], 9, IDS[0]), (IDS[2], IDS[0], IDS[1])
"""Committees without clients, with some clients, and of clients only."""


def sums(among: int, least: int) -> int:
    """Return how many subsets of `among` members have at least `least` members."""
    return sum(comb(among, size) for size in range(least, among + 1))


def check_every_drop(each: Setting) -> None:
    session = each.session
    assert session.committee is not None
    found = list(endings(each))
    assert [ending.answered for ending in found if not ending.is_right] == []
    opening = sums(session.committee.key.members, session.committee.key.threshold)
    exact = sums(len(session.clients), session.threshold)
    assert sum(ending.outcome is not None for ending in found) == exact * opening
    assert len(found) == 2 ** len(session.clients) - exact + exact * 2**session.committee.key.members


@pytest.mark.parametrize(
    ("clients", "threshold", "committee", "adversary"),
    [
        (2, 2, (9, 8), CURIOUS),
        (3, 2, APART, MALICIOUS),
        (3, 2, WITHIN, CURIOUS),
        pytest.param(4, 2, OVERLAPPING, MALICIOUS, marks=pytest.mark.long),
        (4, 3, WITHIN, MALICIOUS),
        pytest.param(3, 2, (*WITHIN, 8, 9), CURIOUS, marks=pytest.mark.long),
    ],
)
def test_every_set_of_drops_with_ciphertexts_gives_the_exact_sum_or_nothing(
    clients: int, threshold: int, committee: tuple[int, ...], adversary: Adversary
) -> None:
    protocol = PaillierSum(adversary=adversary)
    check_every_drop(setting(protocol, IDS[:clients], threshold, length=3, committee=committee))


@pytest.mark.parametrize(
    ("committee", "adversary"),
    [pytest.param(APART, MALICIOUS, marks=pytest.mark.long), (OVERLAPPING, CURIOUS), ((IDS[1], 9), MALICIOUS)],
)
def test_every_set_of_drops_with_one_message_gives_the_exact_sum_or_nothing(
    committee: tuple[int, ...], adversary: Adversary
) -> None:
    check_every_drop(setting(OneShot(adversary=adversary), IDS[:3], 2, length=3, committee=committee))


@pytest.mark.parametrize(("protocol", "clients"), [(PaillierSum(), 60), (OneShot(), 16)])
def test_random_drops_down_to_both_thresholds_give_the_exact_sum(protocol: EncryptedSum, clients: int) -> None:
    """And one fewer of either is too few."""
    generator = np.random.default_rng(5)
    ids = tuple(generator.permutation(2**20)[:clients].tolist())
    committee = (*ids[2:4], 2**20, 2**20 + 1, 2**20 + 2)
    dropped = clients // 4
    each = setting(protocol, ids, clients - dropped, length=3, committee=committee)
    order = [client for client in generator.permutation(ids).tolist() if client not in committee]
    gone, absent = order[:dropped], generator.permutation(committee).tolist()
    inputs = each.inputs(6)
    outcome = each.simulate(inputs, drops={"encrypt_input": gone, "open_sum": absent[:2]})
    contributors = tuple(sorted(set(ids) - set(gone)))
    assert outcome.contributors == contributors
    assert outcome.total.tolist() == exact_sum(inputs, contributors, each.session.modulus)
    assert outcome.dropped == dict.fromkeys(gone, "encrypt_input") | dict.fromkeys(absent[:2], "open_sum")
    for drops in ({"encrypt_input": order[: dropped + 1]}, {"open_sum": absent[:3]}):
        with pytest.raises(TooFewSurvivors):
            each.simulate(inputs, drops=drops)
