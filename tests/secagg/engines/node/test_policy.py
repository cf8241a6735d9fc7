import dataclasses
from typing import Any

import pytest

from dp.events import Trust
from dp.noise.distributed import DistributedDiscreteGaussian
from dp.noise.removal import RemovableSkellam
from protocols import Adversary, LightSecAgg, Roster, SecAgg, SecAggPlus, SecureSum, load
from protocols.plain import PlainSum
from secagg.aggregation.mean import SecureMean
from secagg.engines.node.event import node_event
from secagg.engines.node.policy import NodePolicy, PolicyRefusal, Rule, server_withstood
from secagg.storage.public_line import fingerprint
from tests.support.homes import exact_policy, policy
from tests.support.offers import CLIENTS, NOISES, PROTOCOLS, Offered, made, offered, pinned

ALL = [name for name, _ in PROTOCOLS if name != "plain"]
NODE = CLIENTS[0]
GAUSSIAN = "gaussian-distributed"


def refused(rule: Rule, found: NodePolicy, given: Offered, *, node: int = NODE, roster: Roster | None = None) -> str:
    with pytest.raises(PolicyRefusal) as refusal:
        found.check(given.mean, given.session, roster=roster or given.roster, node=node)
    assert refusal.value.rule is rule
    assert str(refusal.value).startswith(f"{rule}: ")
    assert "expected " in str(refusal.value)
    return str(refusal.value)


def accepted(found: NodePolicy, given: Offered, *, node: int = NODE) -> None:
    found.check(given.mean, given.session, roster=given.roster, node=node)


def test_every_kind_of_session_is_accepted_by_a_policy_that_allows_it() -> None:
    noisy = policy(protocols=sorted(set(ALL)), trust=["distributed", "local", "central"])
    exact = exact_policy(protocols=sorted(set(ALL)), trust=["central"])
    noises = ("none", "gaussian-local", "gaussian-central", "skellam-distributed")
    for name, noise in [
        *((name, noise) for name in ("lightsecagg", "oneshot") for noise in noises),
        ("secagg-plus", "skellam-removable"),
    ]:
        given = offered(name, noise=noise)
        trust = given.mean.target and given.mean.target.trust
        if trust is None:
            accepted(exact, given)
            refused(Rule.NOISE, noisy, given)
            continue
        accepted(noisy, given)
        event = noisy.event(given.mean, given.session, roster=given.roster)
        assert event is not None
        assert event.noise_multiplier > 0
        if trust is Trust.CENTRAL:
            accepted(exact, given)
            assert exact.event(given.mean, given.session, roster=given.roster) is None
        else:
            refused(Rule.TRUST, exact, given)


def test_sum_in_the_clear_is_refused_although_the_policy_names_it() -> None:
    refused(Rule.ADVERSARY, exact_policy(protocols=["plain"]), offered("plain"))


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"protocols": ["secagg"]}, Rule.PROTOCOL),
        ({"adversary": "malicious"}, Rule.ADVERSARY),
        ({"adversary": "semi-malicious"}, Rule.ADVERSARY),
        ({"most_clients": len(CLIENTS) - 1}, Rule.CLIENTS),
        ({"least_contributors": 8}, Rule.CONTRIBUTORS),
        ({"adversarial": 0.6}, Rule.CONTRIBUTORS),
        ({"most_coordinates": 25}, Rule.COORDINATES),
        ({"largest_clip": 1.49}, Rule.CLIP),
        ({"weighting": ["weighted"]}, Rule.WEIGHTING),
        ({"trust": ["local", "central"]}, Rule.TRUST),
    ],
)
def test_each_field_refuses_by_its_own_rule(changes: dict[str, Any], rule: Rule) -> None:
    given = offered("secagg-plus", noise=GAUSSIAN)
    accepted(policy(most_coordinates=26, largest_clip=1.5, most_clients=len(CLIENTS)), given)
    refused(rule, policy(**changes), given)


def test_cap_refuses_a_node_that_has_taken_part_as_often() -> None:
    for count in (0, 44):
        policy(cap=45).check_participations(count)
    policy().check_participations(2**40)
    for count in (45, 46):
        with pytest.raises(
            PolicyRefusal, match=f"cap: expected fewer than 45 sessions that count, found {count}"
        ) as found:
            policy(cap=45).check_participations(count)
        assert found.value.rule is Rule.CAP


def test_size_is_checked_without_building_anything_of_that_size() -> None:
    found = policy(most_clients=10, most_coordinates=100)
    found.check_size(clients=10, shapes=((10, 9), (9,), ()))
    for clients, shapes, rule in (
        (11, ((1,),), Rule.CLIENTS),
        (10**7, ((1,),), Rule.CLIENTS),
        (10, ((10, 9), (10,), ()), Rule.COORDINATES),
        (10, ((2**40,),), Rule.COORDINATES),
        (10, ((2**63,) * 64,) * 10, Rule.COORDINATES),
    ):
        with pytest.raises(PolicyRefusal) as refusal:
            found.check_size(clients=clients, shapes=shapes)
        assert refusal.value.rule is rule


def test_least_contributors_hold_in_sessions_without_a_roster() -> None:
    given = offered("oneshot", noise=GAUSSIAN)
    assert given.session.roster is None
    threshold = given.session.threshold
    accepted(policy(protocols=["oneshot"], least_contributors=threshold), given)
    refused(Rule.CONTRIBUTORS, policy(protocols=["oneshot"], least_contributors=threshold + 1), given)


def test_two_contributors_besides_the_corrupt_ones_are_needed() -> None:
    """The roster has 9 nodes, so that 0.34 of them are 3 corrupt ones; sums have at least 6 contributors."""
    given = offered("oneshot", noise=GAUSSIAN, minimum_contributors=5)
    assert len(given.roster) == 9
    accepted(policy(protocols=["oneshot"], adversarial=0.34), given)
    assert "besides 4 nodes" in refused(Rule.CONTRIBUTORS, policy(protocols=["oneshot"], adversarial=0.45), given)


@pytest.mark.parametrize("name", ["secagg", "secagg-plus", "lightsecagg"])
def test_exact_sums_that_could_differ_in_one_client_are_refused(name: str) -> None:
    """Of 7 clients 4 open a sum. That is a majority, but not if one of them is corrupt, of 9 nodes in the roster."""
    found = exact_policy(protocols=[name], least_contributors=2, adversarial=0.0, trust=["central"])
    doubtful = exact_policy(protocols=[name], least_contributors=2, adversarial=0.12, trust=["central"])
    for noise in ("none", "gaussian-central"):
        given = of_four(name, noise)
        accepted(found, given)
        assert "at least 5 of 7 clients open, 1 of whom may be corrupt, found sums that 4 open" in refused(
            Rule.OPENINGS, doubtful, given
        )


def test_openings_are_kept_apart_by_the_committee_or_paid_for() -> None:
    doubtful: dict[str, Any] = {"least_contributors": 2, "adversarial": 0.12}
    accepted(exact_policy(protocols=["oneshot"], **doubtful), of_four("oneshot", "none"))
    accepted(policy(protocols=["lightsecagg"], **doubtful), of_four("lightsecagg", GAUSSIAN))


@pytest.mark.parametrize(
    ("protocol", "accepted_with"),
    [
        (LightSecAgg(privacy=1, responders=4), 1),
        (LightSecAgg(privacy=2, responders=4), 2),
        (SecAggPlus(neighbours=6, share_threshold=2), 1),
        (SecAggPlus(neighbours=6, share_threshold=3), 2),
        (SecAgg(), 3),
    ],
)
def test_parameters_withstand_the_nodes_that_the_policy_takes_to_be_corrupt(
    protocol: SecureSum, accepted_with: int
) -> None:
    """The server follows the protocol, so that no session has a roster and nobody has terms."""
    given = made(protocol, 5, Adversary.CURIOUS, GAUSSIAN, serial=1)
    for corrupt in range(4):
        found = policy(protocols=[protocol.name], adversarial=corrupt / len(given.roster))
        assert found.corrupt(given.roster) == corrupt
        if corrupt <= accepted_with:
            accepted(found, given)
        else:
            refused(Rule.CORRUPT, found, given)


def test_graph_that_may_fall_apart_is_refused_also_if_nobody_is_corrupt() -> None:
    given = made(SecAggPlus(neighbours=2, share_threshold=2), 5, Adversary.CURIOUS, GAUSSIAN, serial=1)
    assert "could fall apart" in refused(Rule.CORRUPT, policy(), given)


def test_committee_withstands_its_corrupt_members_for_a_member_that_is_no_client_too() -> None:
    """Two of three members open a sum; a malicious server and one corrupt member could get two sums."""
    exact: dict[str, Any] = {"protocols": ["oneshot"], "trust": ["central"]}
    curious, malicious = (offered("oneshot", adversary) for adversary in (Adversary.CURIOUS, Adversary.MALICIOUS))
    for node in (NODE, 90):
        accepted(exact_policy(**exact, adversarial=0.34), curious, node=node)
        assert "two sums" in refused(Rule.CORRUPT, exact_policy(**exact, adversarial=0.34), malicious, node=node)
        accepted(exact_policy(**exact, adversarial=0.33), malicious, node=node)


def of_four(name: str, noise: str) -> Offered:
    """Return a session of 7 clients, 4 of whom are enough."""
    protocol, threshold = load(name).suggest(clients=len(CLIENTS), adversarial=0.0, dropout=0.43)
    assert threshold == 4
    return made(protocol, threshold, Adversary.CURIOUS, noise, serial=1)


def test_strangers_and_sessions_without_the_node_are_refused() -> None:
    given = offered("oneshot", noise=GAUSSIAN)
    found = policy(protocols=["oneshot"])
    for member in (*CLIENTS, 90):  # Party 90 is a member of the committee and no client.
        accepted(found, given, node=member)
    refused(Rule.PARTIES, found, given, node=91)
    fewer = Roster({party: key for party, key in given.roster.items() if party not in (7, 90)})
    assert "found 2 others" in refused(Rule.PARTIES, found, given, roster=fewer, node=3)


@pytest.mark.parametrize(("name", "adversary"), PROTOCOLS)
def test_protocols_are_as_strong_as_their_parameters(name: str, adversary: Adversary) -> None:
    given = offered(name, adversary)
    expected = None if name == "plain" else adversary
    assert server_withstood(given.mean.protocol, given.session) is expected
    if adversary is Adversary.MALICIOUS:
        without = dataclasses.replace(given.session, roster=None)
        assert server_withstood(given.mean.protocol, without) is None
        accepted(exact_policy(protocols=[name], adversary="malicious"), given)


def test_protocol_that_does_not_say_its_adversary_counts_as_the_weakest_that_it_names() -> None:
    class Silent(PlainSum):
        name = "silent"
        wire = 1
        adversaries = (Adversary.CURIOUS, Adversary.MALICIOUS)

    assert server_withstood(Silent(), offered().session) is Adversary.CURIOUS


def test_session_that_does_not_follow_from_its_mean_is_refused() -> None:
    given, found = offered(noise=GAUSSIAN), policy()
    mean, session = given.mean, given.session
    assert isinstance(mean.noise, DistributedDiscreteGaussian)
    means: list[SecureMean] = [
        dataclasses.replace(mean, noise=None),
        dataclasses.replace(mean, target=None),
        dataclasses.replace(mean, noise=dataclasses.replace(mean.noise, local_sigma=2 * mean.noise.local_sigma)),
        dataclasses.replace(mean, encoding=dataclasses.replace(mean.encoding, clip_l2=1.0)),
    ]
    for other in means:
        refused(Rule.DERIVED, found, given._replace(mean=other))
    for changed in (
        dataclasses.replace(session, threshold=session.threshold - 1),
        dataclasses.replace(session, parameters=b""),
        dataclasses.replace(session, clients=session.clients[::-1]),
    ):
        refused(Rule.DERIVED, found, given._replace(session=changed))
    accepted(found, given._replace(session=dataclasses.replace(session, context=b"other inputs")))


def test_removable_noise_must_be_for_the_dropouts_of_the_session() -> None:
    given, found = offered("secagg-plus", noise="skellam-removable"), policy()
    accepted(found, given)
    assert isinstance(given.mean.noise, RemovableSkellam)
    noise = dataclasses.replace(given.mean.noise, tolerance=given.mean.noise.tolerance - 1)
    mean = dataclasses.replace(given.mean, noise=noise)
    session = mean.session(given.session.session_id, context=given.session.context)
    refused(Rule.DERIVED, found, given._replace(mean=mean, session=session))


def test_encoding_without_room_for_the_noise_of_its_cohort_is_refused() -> None:
    given, found = offered(noise=GAUSSIAN), policy()
    assert isinstance(given.mean.noise, DistributedDiscreteGaussian)
    noise = dataclasses.replace(given.mean.noise, local_sigma=1000 * given.mean.noise.local_sigma)
    mean = dataclasses.replace(given.mean, noise=noise)
    refused(Rule.REACH, found, given._replace(mean=mean, session=mean.session(bytes(16))))
    finer = dataclasses.replace(given.mean.encoding, granularity=given.mean.encoding.granularity / 2)
    mean = dataclasses.replace(given.mean, encoding=finer)
    refused(Rule.REACH, found, given._replace(mean=mean, session=mean.session(bytes(16))))


def test_noise_that_cannot_be_accounted_for_is_no_event() -> None:
    given = offered(noise="skellam-distributed")
    finer = dataclasses.replace(given.mean.encoding, granularity=1e-40)
    mean = dataclasses.replace(given.mean, encoding=finer)
    with pytest.raises(PolicyRefusal) as refusal:
        policy().event(mean, given.session, roster=given.roster)
    assert refusal.value.rule is Rule.NOISE


def test_event_is_the_nodes_own_and_counts_at_least_one_noise_share_as_known() -> None:
    given = offered("secagg-plus", noise=GAUSSIAN)
    assert given.mean.noise is not None
    for adversarial, corrupt in ((0.0, 1), (0.1, 1), (0.12, 1), (0.23, 2), (0.34, 3)):
        found = policy(adversarial=adversarial)
        assert found.event(given.mean, given.session, roster=given.roster) == node_event(
            given.mean.noise,
            given.mean.encoding,
            trust=Trust.DISTRIBUTED,
            contributors=given.session.threshold,
            corrupt=corrupt,
        )


def test_event_of_a_session_without_noise_is_refused_with_a_budget_and_none_without() -> None:
    given = offered()
    with pytest.raises(PolicyRefusal) as refusal:
        policy().event(given.mean, given.session, roster=given.roster)
    assert refusal.value.rule is Rule.NOISE
    assert exact_policy().event(given.mean, given.session, roster=given.roster) is None


@pytest.mark.parametrize("noise", [name for name in NOISES if name.endswith(("distributed", "local", "removable"))])
def test_noise_of_clients_is_refused_where_nothing_would_count_it(noise: str) -> None:
    """With it each attempt has a context of its own, so two sums of the same inputs may differ in one client."""
    one, other = (offered("secagg-plus", noise=noise, serial=serial) for serial in (1, 2))
    assert one.session.context != other.session.context
    refused(Rule.TRUST, exact_policy(trust=["central"]), one)
    central = [offered("secagg-plus", noise="gaussian-central", serial=serial) for serial in (1, 2)]
    assert central[0].session.context == central[1].session.context
    accepted(exact_policy(trust=["central"]), central[0])
    refused(Rule.TRUST, exact_policy(), central[0])


@pytest.mark.parametrize(
    ("name", "adversary", "noise"),
    [
        *((name, adversary, "none") for name, adversary in PROTOCOLS),
        ("secagg-plus", Adversary.MALICIOUS, "skellam-removable"),
    ],
)
def test_limits_have_room_for_every_message_of_a_session(name: str, adversary: Adversary, noise: str) -> None:
    bits = {"lightsecagg": 32, "oneshot": 48}.get(name, 62)
    given = offered(name, adversary, noise, weighting="weighted", modulus_bits=bits)
    limits = policy(protocols=[name], most_clients=len(CLIENTS), most_coordinates=26).limits()
    assert given.mean.protocol.message_limit(given.session) <= limits.body_bytes
    assert limits.offer_bytes == 2**20
    assert limits.work_bytes >= 26 * 8


def test_limits_refuse_a_message_of_a_gigabyte_of_a_small_policy() -> None:
    limits = policy(protocols=["secagg-plus"], most_clients=100, most_coordinates=10**6).limits()
    assert limits.body_bytes < 10**7
    assert limits.work_bytes < 10**7


def test_refusal_holds_no_key_of_the_roster() -> None:
    given = offered("oneshot", noise=GAUSSIAN)
    text = refused(Rule.PARTIES, policy(protocols=["oneshot"]), given, node=91)
    for key in pinned().values():
        assert key.hex() not in text
        assert fingerprint(key) not in text
