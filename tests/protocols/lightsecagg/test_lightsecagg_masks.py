"""LightSecAgg's masks: shares reach their holders only, forged ones are found, and what is masked looks random."""

import hashlib
import itertools
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from protocols import Client, Finish, RemoteError, SecureSum, Session, packing
from protocols.codec import Message
from protocols.crypto import sealing
from protocols.lightsecagg.messages import AggregatedShares, DeliveredShares, MaskedInput, SealedShares
from protocols.lightsecagg.protocol import LightSecAgg
from protocols.testing import derived_of, party_of, state_of
from tests.support.lightsecagg_cohort import IDS, PRIME, Cohort, cohort, exact_sum, session


def altered(packed: memoryview, length: int, modulus: int) -> memoryview:
    share = packing.unpack(packed, length, modulus)
    share[0] = (int(share[0]) + 1) % modulus
    return memoryview(packing.pack(share, modulus))


def test_forged_answer_is_found_and_named_where_two_more_answer_than_needed() -> None:
    """A client alters its sum of shares.

    With two answers more than needed, decoding must find it and name the client.
    """
    for liar in IDS[:6]:
        run = cohort().to_step(3)
        replies = run.replies()
        answer = run.read(replies[liar], AggregatedShares)
        assert isinstance(answer, AggregatedShares)
        replies[liar] = run.write(AggregatedShares(answer.survivors, altered(answer.packed, 3, PRIME)))
        with pytest.raises(RemoteError, match=rf"clients \[{liar}\]") as caught:
            run.deliver(replies)
        assert caught.value.culprits == {liar}


def test_forged_answer_is_found_where_one_more_answers_than_needed() -> None:
    """A client alters its sum of shares.

    With one answer more than needed, decoding must find that the answers do not fit, and cannot tell whose is wrong.
    """
    run = cohort().to_step(3)
    replies = run.replies()
    del replies[IDS[2]]
    answer = run.read(replies[IDS[0]], AggregatedShares)
    assert isinstance(answer, AggregatedShares)
    replies[IDS[0]] = run.write(AggregatedShares(answer.survivors, altered(answer.packed, 3, PRIME)))
    with pytest.raises(RemoteError, match="cannot be told") as caught:
        run.deliver(replies)
    assert caught.value.culprits == frozenset()


def seal_forged_share(run: Cohort, owner: int, holder: int, sealed: Message) -> bytes:
    """The owner's reply, with a share for this holder that is not of its mask."""
    assert isinstance(sealed, SealedShares)
    others = [client for client in sorted(run.inputs) if client != owner]
    key = party_of(run.clients[owner])._share_key(owner, holder)
    pieces = cut(run, owner, sealed)
    share = memoryview(sealing.open_sealed(key, pieces[others.index(holder)]))
    pieces[others.index(holder)] = memoryview(sealing.seal(key, bytes(altered(share, 3, PRIME))))
    return run.write(SealedShares(memoryview(b"".join(pieces))))


def cut(run: "Cohort", owner: int, sealed: SealedShares) -> list[memoryview]:
    """The owner's sealed shares, one by one."""
    setup, members = derived_of(run.server), sorted(state_of(run.server).keys)
    seeded = setup.seeded(members, owner)
    found: list[memoryview] = setup.cut(sealed.ciphertexts, [each in seeded for each in members if each != owner])
    return found


def forging_one_share() -> Cohort:
    """A cohort in its last round in which client 300 has dealt a wrong share to client 5, which is fifth after it."""
    run = cohort().to_step(1)
    replies = run.replies()
    replies[300] = seal_forged_share(run, 300, 5, run.read(replies[300], SealedShares))
    run.deliver(replies)
    return run.to_step(3)


def test_forged_share_of_a_mask_is_found_in_the_answers() -> None:
    """Client 300 deals client 5 a share that is not of its mask.

    With more answers than needed, decoding must find that they do not fit together.
    """
    run = forging_one_share()
    with pytest.raises(RemoteError, match="do not fit together"):
        run.to_step(4)


def test_forged_share_of_a_mask_goes_unnoticed_where_just_enough_answer() -> None:
    """The same dealer where just enough clients answer: there is nothing to compare with, and the sum is wrong.

    threat_model.md says so.
    """
    run = forging_one_share()
    replies = run.replies()
    run.deliver({client: replies[client] for client in (5, 0, 17, 3)})
    assert isinstance(run.step, Finish)
    assert run.step.total.tolist() != exact_sum(run.inputs, run.step.contributors, PRIME)


def test_shares_reach_their_holder_only_and_drawn_ones_are_seeds() -> None:
    """An observer looks at all sealed shares.

    Each must reach its holder only, all must differ, and those that are drawn must be short seeds.
    """
    run = cohort(privacy=2).to_step(1)
    replies, members = run.replies(), sorted(IDS[:6])
    sent: dict[tuple[int, int], bytes] = {}
    for owner, reply in replies.items():
        sealed = run.read(reply, SealedShares)
        assert isinstance(sealed, SealedShares)
        others = [client for client in members if client != owner]
        sent |= {(owner, holder): bytes(c) for holder, c in zip(others, cut(run, owner, sealed), strict=True)}
        following = [*members, *members][members.index(owner) + 1 :][:2]
        lengths = {holder: len(sent[owner, holder]) for holder in others}
        assert lengths == {
            holder: 16 + (32 if holder in following else packing.packed_bytes(4, PRIME)) for holder in others
        }
    assert len(set(sent.values())) == len(sent)
    run.deliver(replies)
    for holder, request in run.requests.items():
        delivered = run.read(request, DeliveredShares)
        assert isinstance(delivered, DeliveredShares)
        assert delivered.clients == tuple(client for client in members if client != holder)
        got = {(owner, holder): bytes(c) for owner, c in zip(delivered.clients, delivered.ciphertexts, strict=True)}
        assert got == {pair: ciphertext for pair, ciphertext in sent.items() if pair[1] == holder}


def test_masked_inputs_are_uniform() -> None:
    """Chi-square over all residues of 2 x 20,000 masked zeros modulo 11; false alarms 1e-6, one retry."""

    def passes(seed: bytes) -> bool:
        each = session((0, 1, 2), 2, length=20_000, modulus=11)
        protocol = LightSecAgg(privacy=1, responders=2)
        run = Cohort(protocol, each)
        calls = itertools.count()
        run.clients = {
            client: Client(
                protocol,
                each,
                client,
                np.zeros(each.length, dtype=np.uint64),
                entropy=lambda size: hashlib.shake_256(seed + next(calls).to_bytes(4, "big")).digest(size),
            )
            for client in each.clients
        }
        replies = run.to_step(2).replies()
        seen = [run.read(replies[client], MaskedInput) for client in (0, 1)]
        drawn = [packing.unpack(masked.packed, each.length, 11) for masked in seen if isinstance(masked, MaskedInput)]
        counts = [np.bincount(vector.astype(np.int64), minlength=11) for vector in drawn]
        return all(float(stats.chisquare(count).pvalue) >= 5e-7 for count in counts) and len(counts) == 2

    assert passes(b"first") or passes(b"second")


def constant(protocol: SecureSum, each: Session, client: int) -> Client:
    """A client whose input is zero and whose entropy is its own, always the same."""
    zeros = np.zeros(each.length, dtype=np.uint64)
    return Client(protocol, each, client, zeros, entropy=lambda size: bytes([client + 1]) * size)


def test_one_mask_serves_one_session() -> None:
    """Two sessions with the same entropy have different masks: they are derived with the session's digest."""

    def masked(context: bytes) -> bytes:
        each = replace(session(IDS[:2], 2, length=50), context=context)
        protocol = LightSecAgg(privacy=1, responders=2)
        run = Cohort(protocol, each)
        run.clients = {client: constant(protocol, each, client) for client in each.clients}
        sent = run.to_step(2).replies()[IDS[0]]
        message = run.read(sent, MaskedInput)
        assert isinstance(message, MaskedInput)
        return bytes(message.packed)

    assert masked(b"one") != masked(b"two")
    assert masked(b"one") == masked(b"one")
