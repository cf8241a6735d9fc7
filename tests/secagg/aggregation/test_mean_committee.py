import dataclasses
from collections.abc import Collection
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dp.noise.distributed import DistributedDiscreteGaussian
from protocols import (
    Adversary,
    ClientTerms,
    Committee,
    Keyholder,
    MemoryOpenings,
    OneShot,
    PaillierSum,
    PlainSum,
    SecAgg,
    SecureSum,
    TooFewSurvivors,
    Transmission,
)
from protocols.encrypted.protocol import EncryptedSum
from protocols.errors import ParameterError, UnsafeSession
from secagg.aggregation.mean import SecureMean, Target
from secagg.aggregation.residues import centred
from secagg.aggregation.weighting import Weighting
from secagg.engines.memory import simulate_mean
from secagg.errors import ConfigurationError
from secagg.simulation.identities import simulated_terms
from secagg.training.plain import plain_mean
from tests.support.committee_keys import key_shares, threshold_key

pytestmark = pytest.mark.slow

CLIENTS = range(8)
COMMITTEE = Committee(key=threshold_key(1, 3, 2), members=(20, 3, 40))  # client 3 is a member too
TERMS: dict[str, Any] = {"adversarial": 0.1, "minimum_contributors": 5}
TARGET = Target(epsilon=60.0, delta=1e-2, releases=2, colluding=0)
BOTH = pytest.mark.parametrize("kind", [OneShot, PaillierSum], ids=lambda kind: kind.name)


def planned(protocol: SecureSum, **changes: Any) -> SecureMean:
    settings: dict[str, Any] = {
        "protocol": protocol,
        "clients": CLIENTS,
        "minimum_contributors": 5,
        "shapes": [(3, 2), ()],
        "clip_l2": 1.0,
        "committee": COMMITTEE,
    }
    return SecureMean.plan(**settings | changes)


def keyholders(committee: Committee = COMMITTEE, **changes: Any) -> dict[int, Keyholder]:
    shares = key_shares(1, committee.key.members, committee.key.threshold)
    terms: dict[str, Any] = {"minimum_contributors": 5} | changes
    return {
        member: Keyholder(share=share, openings=MemoryOpenings(), **terms)
        for member, share in zip(committee.members, shares, strict=True)
    }


def updates(scale: float = 1.0) -> dict[int, list[NDArray[np.float64]]]:
    generator = np.random.default_rng(3)
    return {c: [scale * generator.normal(size=(3, 2)), np.asarray(generator.normal())] for c in CLIENTS}


@BOTH
def test_mean_that_a_committee_opens_is_the_plain_one_after_any_drops(kind: type[EncryptedSum]) -> None:
    drops = {"encrypt_input": [2, 5], "open_sum": [40]}
    release = simulate_mean(planned(kind()), updates(), keyholders=keyholders(), drops=drops)
    assert release.contributors == (0, 1, 3, 4, 6, 7)
    assert release.dropped == {"encrypt_input": [2, 5], "open_sum": [40]}
    right = plain_mean({client: updates()[client] for client in release.contributors}, clip_l2=1.0)
    assert release.rounding_bound is not None
    for found, each in zip(release.mean, right, strict=True):
        assert np.abs(found - each).max() <= release.rounding_bound < 1e-4


def test_mean_that_a_committee_opens_may_be_weighted_and_noisy() -> None:
    """An entry is off by 10 standard deviations with a chance below 1e-21; without any one client it would be by 20."""
    target = dataclasses.replace(TARGET, epsilon=1e6)
    mean = planned(PaillierSum(), target=target, weighting=Weighting.WEIGHTED, max_weight=4.0)
    weights = {client: 1.0 + client % 4 for client in CLIENTS}
    release = simulate_mean(mean, updates(), weights=weights, keyholders=keyholders())

    def farthest(clients: Collection[int]) -> float:
        right = plain_mean({client: updates()[client] for client in clients}, clip_l2=1.0, weight=weights.__getitem__)
        return max(float(np.abs(found - each).max()) for found, each in zip(release.mean, right, strict=True))

    assert isinstance(mean.noise, DistributedDiscreteGaussian)
    deviation = mean.noise.local_sigma * mean.encoding.granularity * np.sqrt(8) / (sum(weights.values()) / 4)
    assert farthest(CLIENTS) < 10 * deviation
    for absent in CLIENTS:
        assert farthest(set(CLIENTS) - {absent}) > 20 * deviation


@BOTH
@pytest.mark.parametrize("target", [None, TARGET], ids=["noiseless", "noisy"])
def test_mean_vouches_for_headroom_and_has_it(kind: type[EncryptedSum], target: Target | None) -> None:
    """All clients with the same update, the longest that a coordinate can be after rotation, noise included."""
    mean = planned(kind(), target=target, shapes=[(3000,)])
    assert mean.protocol == kind(headroom=True)
    rotation = mean.rotation(mean.session(bytes(16)))
    one_hot = np.zeros(3000)
    one_hot[7] = 1e9
    for update in (one_hot, np.full(3000, -1e9), rotation.restore(np.full(rotation.padded, 1.0))):
        entries = [mean.contribution([update], rotation=rotation).vector for _ in CLIENTS]
        total = sum(centred(each, mean.encoding.modulus) for each in entries)
        assert int(np.abs(total).max()) < mean.encoding.modulus // 2


def test_mean_of_a_protocol_without_a_committee_declares_headroom_to_it() -> None:
    assert planned(SecAgg(), committee=None).protocol == SecAgg(headroom=True)
    assert planned(PlainSum(), committee=None).protocol == PlainSum()


@BOTH
def test_protocol_with_headroom_sends_less(kind: type[EncryptedSum]) -> None:
    narrow = planned(kind(), shapes=[(2000,)], clients=range(100), minimum_contributors=60)
    sizes = []
    for protocol in (narrow.protocol, kind()):
        assert isinstance(protocol, EncryptedSum)
        payload = protocol.payload(narrow.session(bytes(16)))
        sizes.append(payload.padded_bytes if kind is OneShot else payload.messages)
    assert sizes[0] <= (0.5 if kind is OneShot else 0.8) * sizes[1]


def test_mean_has_a_committee_exactly_where_the_protocol_needs_one() -> None:
    with pytest.raises(ParameterError, match="expected a session without a committee, which secagg does not accept"):
        planned(SecAgg())
    with pytest.raises(ParameterError, match="committee: expected one, since oneshot needs it"):
        planned(OneShot(), committee=None)


def test_mean_needs_keyholders_exactly_of_its_committee() -> None:
    seen, mean = list[Transmission](), planned(OneShot())
    some = {member: each for member, each in keyholders().items() if member != 40}
    for wrong in (None, {}, some, {**keyholders(), 41: keyholders()[40]}):
        with pytest.raises(ConfigurationError, match="keyholders: expected one for every committee member"):
            simulate_mean(mean, updates(), keyholders=wrong, tap=seen.append)
    for wrong in ({}, keyholders()):
        with pytest.raises(ConfigurationError, match="keyholders: expected one for every committee member"):
            simulate_mean(planned(SecAgg(), committee=None), updates(), keyholders=wrong, tap=seen.append)
    assert not seen


def test_committee_is_part_of_the_session() -> None:
    other = Committee(key=threshold_key(1, 3, 3), members=COMMITTEE.members)
    sessions = [planned(OneShot(), committee=each).session(bytes(16)) for each in (COMMITTEE, other)]
    assert [session.committee for session in sessions] == [COMMITTEE, other]
    assert len({OneShot().digest(session) for session in sessions}) == 2


def test_committee_opens_no_two_means_of_one_context_that_differ_in_few() -> None:
    mean, holders = planned(PaillierSum()), keyholders(minimum_contributors=3)
    simulate_mean(mean, updates(), keyholders=holders, context=b"round 1")
    simulate_mean(mean, updates(), keyholders=holders, context=b"round 1")
    for gone in ([6, 7], [5, 6, 7]):  # fewer than the session's threshold, though not than the members' minimum
        with pytest.raises(TooFewSurvivors, match=r"open_sum: .* 2 replies \(the threshold\), found 0"):
            simulate_mean(mean, updates(), keyholders=holders, context=b"round 1", drops={"encrypt_input": gone})
    simulate_mean(mean, updates(), keyholders=holders, context=b"round 2", drops={"encrypt_input": [6, 7]})


def against_malice(**changes: Any) -> tuple[SecureMean, dict[int, ClientTerms], dict[int, Keyholder]]:
    members = simulated_terms(CLIENTS, committee=COMMITTEE.key, **TERMS)
    roster = members[0].roster
    return (
        planned(PaillierSum(adversary=Adversary.MALICIOUS), roster=roster),
        members,
        keyholders(roster=roster, **changes),
    )


def test_mean_against_a_malicious_server_is_opened_by_a_committee_that_members_pinned() -> None:
    mean, members, holders = against_malice()
    release = simulate_mean(mean, updates(), terms=members, keyholders=holders, drops={"encrypt_input": [0]})
    right = plain_mean({client: updates()[client] for client in range(1, 8)}, clip_l2=1.0)
    assert release.rounding_bound is not None
    for found, each in zip(release.mean, right, strict=True):
        assert np.abs(found - each).max() <= release.rounding_bound


@pytest.mark.parametrize("pinned", [None, threshold_key(1, 3, 3)], ids=["none", "another"])
def test_members_keep_out_of_a_mean_of_a_committee_that_they_have_not_pinned(pinned: Any) -> None:
    mean, members, holders = against_malice()
    seen = list[Transmission]()
    doubting = {**members, 4: dataclasses.replace(members[4], committee=pinned)}
    with pytest.raises(UnsafeSession, match="committee is not the one that this client has pinned"):
        simulate_mean(mean, updates(), terms=doubting, keyholders=holders, tap=seen.append)
    assert not seen


def test_committee_members_keep_out_of_a_mean_below_their_own_minimum() -> None:
    mean, members, holders = against_malice(minimum_contributors=6)
    with pytest.raises(UnsafeSession, match="minimum of 6,"):
        simulate_mean(mean, updates(), terms=members, keyholders=holders)


@BOTH
def test_members_compare_sums_of_the_same_round_however_it_was_planned(kind: type[EncryptedSum]) -> None:
    """The round done again without one client has another encoding, and is the same round."""
    openings = MemoryOpenings()
    holders = {
        member: dataclasses.replace(each, openings=openings, minimum_contributors=2)
        for member, each in keyholders().items()
    }
    everyone, fewer = planned(kind()), planned(kind(), clients=range(7), modulus_bits=25)
    assert everyone.encoding != fewer.encoding
    simulate_mean(everyone, updates(), keyholders=holders, context=b"round 7")
    some = {client: each for client, each in updates().items() if client < 7}
    holders = {member: dataclasses.replace(each, openings=openings) for member, each in holders.items()}
    with pytest.raises(TooFewSurvivors):
        simulate_mean(fewer, some, keyholders=holders, context=b"round 7")
    assert simulate_mean(fewer, some, keyholders=holders, context=b"round 8").contributors == tuple(range(7))


def test_mean_drops_a_bound_on_entries_that_its_own_encoding_may_exceed() -> None:
    assert planned(PaillierSum(value_bits=15)).protocol == PaillierSum(headroom=True)
