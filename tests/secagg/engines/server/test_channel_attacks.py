"""Attacks on the server's side of a channel, each with a variant without its rule that succeeds."""

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
import pytest

from protocols import Adversary
from protocols.codec import Codec, Message
from protocols.errors import RemoteError
from protocols.lightsecagg.messages import AggregatedShares
from secagg.engines.base import RoundPlan, RoundResult
from secagg.engines.server.channel import ChannelEngine
from secagg.engines.wire.parcel import Refusal, Reply, open_reply
from tests.support.bare_node import NodeCohort, node_cohort
from tests.support.direct_channel import Answer, Arrived, Arriving, DirectChannel

ATTEMPTS = 5
BAD = 4


def run(parties: NodeCohort, plan: RoundPlan, arriving: Arriving) -> RoundResult:
    channel = DirectChannel({party: node.answer for party, node in parties.nodes.items()}, arriving=arriving)
    return ChannelEngine(channel, clock=channel.clock, step_s=10.0).run(plan)


def is_exact(parties: NodeCohort, plan: RoundPlan, result: RoundResult) -> bool:
    """Return whether a result is the sum of the vectors of those that it names."""
    assert result.total is not None
    return np.array_equal(result.total, parties.exact(plan, result.contributors))


def believing(arriving: Arriving) -> Arriving:
    """Return the variant without the rule of inner ids: each reply names the sender that the channel names."""

    def named(party: int, reply: bytes) -> Iterable[Arrived]:
        for sender, content in arriving(party, reply):
            assert isinstance(content, bytes)
            yield sender, replace(open_reply(content, 2**20), sender=sender).to_bytes()

    return named


def mixed_up(party: int, reply: bytes) -> Iterable[Arrived]:
    """Return the replies of a channel that gives node 3's reply under the id of node 4, whose own it loses."""
    if party == 3:
        return [(3, reply), (4, reply)]
    return [] if party == 4 else [(party, reply)]


def test_reply_under_another_id_makes_no_contributor() -> None:
    """The channel gives a reply under another id; the id inside the reply must make the server refuse it."""
    parties = node_cohort("plain", clients=6)
    plan = parties.plan()
    result = run(parties, plan, mixed_up)
    assert result.contributors == (1, 2, 3, 5, 6)
    assert is_exact(parties, plan, result)
    assert result.refused == {plan.mean.protocol.steps[0].name: {"foreign-reply": 1}}


def test_reply_under_another_id_makes_a_contributor_without_the_rule_of_inner_ids() -> None:
    """The same attack on a server that believes the channel succeeds: the sum is wrong."""
    parties = node_cohort("plain", clients=6)
    plan = parties.plan()
    result = run(parties, plan, believing(mixed_up))
    assert 4 in result.contributors
    assert not is_exact(parties, plan, result)


def test_two_node_ids_with_one_id_count_once() -> None:
    """Two machines answer as node 3, each with a vector of its own; the first reply counts, the second is dropped."""
    parties, second = node_cohort("plain", clients=6), node_cohort("plain", clients=6).nodes[3]
    second.update = [np.ones(24)]
    plan = parties.plan()
    asked = dict[int, bytes]()

    def answer(parcel: bytes) -> bytes:
        asked[3] = parcel
        return parties.nodes[3].answer(parcel)

    def twice(party: int, reply: bytes) -> Iterable[Arrived]:
        return [(3, reply), (3, second.answer(asked[3]))] if party == 3 else [(party, reply)]

    nodes: dict[int, Answer] = {party: node.answer for party, node in parties.nodes.items()}
    channel = DirectChannel(nodes | {3: answer}, arriving=twice)
    result = ChannelEngine(channel, clock=channel.clock, step_s=10.0).run(plan)
    assert second.trained == 1
    assert result.contributors == parties.mean.clients
    assert is_exact(parties, plan, result)
    assert result.refused == {plan.mean.protocol.steps[0].name: {"repeated-reply": 1}}


def test_one_node_under_two_ids_makes_no_contributor() -> None:
    """The map from ids to machines is wrong: node 3 gets its own parcel and that of node 4, which it refuses."""
    parties = node_cohort("plain", clients=6)
    parties.nodes[4] = parties.nodes[3]
    plan = parties.plan()
    result = run(parties, plan, lambda party, reply: [(party, reply)])
    assert result.contributors == (1, 2, 3, 5, 6)
    assert result.refused == {plan.mean.protocol.steps[0].name: {"foreign-reply": 1}}


def spoiled(plan: RoundPlan, reply: bytes, change: Callable[[Message], Message]) -> bytes:
    """Return a reply to the last step with its message changed."""
    protocol, found = plan.mean.protocol, open_reply(reply, 2**20)
    if found.step != len(protocol.steps) - 1 or found.refusal is not None:
        return reply
    limits = protocol.message_limit(plan.session), protocol.list_limit(plan.session)
    codec = Codec(protocol.digest(plan.session), *limits, wire=protocol.wire)
    message = codec.decode(found.step, protocol.steps[-1].reply, found.body)
    return replace(found, body=codec.encode(found.step, change(message))).to_bytes()


def wrong(message: Message) -> Message:
    """Return the message of the last step with another share."""
    if isinstance(message, AggregatedShares):
        changed = bytearray(message.packed)
        changed[0] ^= 1
        return AggregatedShares(message.survivors, memoryview(bytes(changed)))
    (name,) = message.__struct_fields__
    data = bytearray(getattr(message, name))
    data[0] ^= 1
    return type(message)(type(getattr(message, name))(bytes(data)))


def attempts(parties: NodeCohort, *, leaving_out: bool) -> tuple[int, frozenset[int]]:
    """Return after how many of five attempts a round has ended with a sum, and the culprits that were named.

    Node 4 changes its last reply in every attempt. If `leaving_out`, the next attempt is without the culprits.
    """
    culprits: frozenset[int] = frozenset()
    for serial in range(1, ATTEMPTS + 1):
        left = [client for client in parties.mean.clients if client not in culprits]
        plan = parties.plan(serial, clients=left if leaving_out else None)

        def arriving(party: int, reply: bytes, plan: RoundPlan = plan) -> Iterable[Arrived]:
            return [(party, spoiled(plan, reply, wrong) if party == BAD else reply)]

        try:
            result = run(parties, plan, arriving)
        except RemoteError as error:
            culprits |= error.culprits
        else:
            assert is_exact(parties, plan, result)
            return serial, culprits
    return ATTEMPTS + 1, culprits


@pytest.mark.parametrize("adversary", [Adversary.CURIOUS, Adversary.MALICIOUS])
def test_bad_last_reply_that_is_refused_at_once_stops_no_round(adversary: Adversary) -> None:
    """The other replies are enough, and the node that was refused is not called a culprit."""
    assert attempts(node_cohort("secagg", adversary, clients=6), leaving_out=True) == (1, frozenset())


def test_bad_last_reply_stops_one_round_since_its_sender_is_left_out_of_the_next() -> None:
    """A node damages its last reply; leaving it out of the next attempt must end the attack."""
    parties = node_cohort("lightsecagg", clients=10)
    assert attempts(parties, leaving_out=True) == (2, frozenset({BAD}))


def test_bad_last_reply_stops_every_round_if_its_sender_is_not_left_out() -> None:
    """The same attack without leaving out culprits stops every attempt."""
    parties = node_cohort("lightsecagg", clients=10)
    assert attempts(parties, leaving_out=False) == (ATTEMPTS + 1, frozenset({BAD}))


def test_replies_that_are_repeated_or_late_blame_nobody() -> None:
    """A transport that gives every reply twice, and one of them a step later, makes no node a culprit."""
    parties = node_cohort("lightsecagg", clients=10)
    plan, earlier = parties.plan(), dict[int, bytes]()

    def arriving(party: int, reply: bytes) -> Iterable[Arrived]:
        late = [(party, earlier[party])] if party in earlier else []
        earlier[party] = reply
        return [*late, (party, reply), (party, reply)]

    result = run(parties, plan, arriving)
    assert result.contributors == parties.mean.clients
    assert is_exact(parties, plan, result)
    names = [row.name for row in plan.mean.protocol.steps]
    assert {step: result.refused[step]["repeated-reply"] for step in names} == dict.fromkeys(names, 9)
    assert {step: result.refused[step]["late-reply"] for step in names[1:]} == dict.fromkeys(names[1:], 10)


def test_node_that_claims_a_later_serial_stops_no_round() -> None:
    """One node claims to have seen a later serial; a single claim must not stop a round."""
    parties = node_cohort("secagg", clients=6)
    plan = parties.plan()

    def arriving(party: int, reply: bytes) -> Iterable[Arrived]:
        old = Reply(serial=1, step=0, sender=party, refusal=Refusal.OLD, last=2**63)
        return [(party, old.to_bytes() if party == BAD else reply)]

    result = run(parties, plan, arriving)
    assert is_exact(parties, plan, result)


def damaged(reply: bytes) -> bytes:
    """Return a reply with one bit changed on its way, in the vector at the end of it."""
    return reply[:-1] + bytes([reply[-1] ^ 1])


def test_reply_that_is_damaged_on_its_way_makes_its_node_drop_out() -> None:
    """The channel flips a bit of a vector; the digest of the reply must make the node drop out."""
    parties = node_cohort("plain", clients=6)
    plan = parties.plan()
    result = run(parties, plan, lambda party, reply: [(party, damaged(reply) if party == BAD else reply)])
    assert result.contributors == (1, 2, 3, 5, 6)
    assert is_exact(parties, plan, result)
    assert result.refused == {plan.mean.protocol.steps[0].name: {"malformed-reply": 1}}


def test_reply_that_is_damaged_on_its_way_spoils_the_sum_without_the_digest_of_replies() -> None:
    """Without it, the same bit is taken for the node's own, since nothing else covers a vector."""
    parties = node_cohort("plain", clients=6)
    plan = parties.plan()

    def arriving(party: int, reply: bytes) -> Iterable[Arrived]:
        found = open_reply(reply, 2**20)
        return [(party, replace(found, body=damaged(found.body)).to_bytes() if party == BAD else reply)]

    result = run(parties, plan, arriving)
    assert BAD in result.contributors
    assert not is_exact(parties, plan, result)


def test_two_sums_that_differ_in_one_client_give_its_vector_without_the_rule_of_openings() -> None:
    """A server that has crashed after the sum tries again without client 4; these nodes keep no record of openings."""
    parties = node_cohort("secagg", clients=6)
    work = parties.plan().work
    results, means = [], []
    for serial, clients in ((1, None), (2, [client for client in parties.mean.clients if client != BAD])):
        plan = parties.plan(serial, work=work, clients=clients)
        results.append(run(parties, plan, lambda party, reply: [(party, reply)]))
        found = results[-1]
        assert found.total is not None
        assert plan.session.context == work.digest()
        decoded = plan.mean.decode(found.total, contributors=len(found.contributors), rotation=plan.rotation)
        means.append(len(found.contributors) * decoded.mean[0])
    update = parties.nodes[BAD].update
    assert update is not None
    victim = np.asarray(update[0])
    np.testing.assert_allclose(means[0] - means[1], victim / max(1.0, float(np.linalg.norm(victim))), atol=1e-3)
