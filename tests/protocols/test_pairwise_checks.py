"""What the parties of pairwise masking check for themselves: survivor sets, neighbours, keys, shares, commitments."""

import hashlib
from collections.abc import Callable
from typing import Final

import numpy as np
import pytest

from protocols import Client, Finish, MalformedMessage, OrderError, RemoteError, SecAgg, SecAggPlus, Session, messages
from protocols.crypto import shamir
from protocols.messages import Message
from protocols.pairwise import PairwiseMasking
from protocols.pairwise.messages import (
    AdvertisedKeys,
    DeliveredShares,
    MaskedInput,
    NeighbourKeys,
    RevealedShares,
    SealedShares,
    Survivors,
)
from tests.conformance.cohorts import Run, Setting

ADVERTISE, SHARE, MASK, REVEAL = range(4)
LOW_ORDER: Final = (1).to_bytes(32, "little")
KEY: Final = hashlib.sha256(b"some key").digest()[:31] + b"\x01"
ALIAS: Final = KEY[:31] + b"\x81"  # the same point to X25519, which ignores the top bit


def setting(protocol: PairwiseMasking, clients: int, threshold: int) -> Setting:
    session = Session(
        session_id=b"checks of parties", clients=tuple(range(clients)), threshold=threshold, length=3, modulus=2**16
    )
    return Setting(label="checks", protocol=protocol, session=session)


COMPLETE: Final = setting(SecAgg(), 5, 3)
SPARSE: Final = setting(SecAggPlus(neighbours=2, share_threshold=2), 6, 3)


def codec(where: Setting) -> messages.Codec:
    session = where.session
    bound = messages.limit(session.length, session.modulus, len(session.clients))
    return messages.Codec(where.protocol.digest(session), bound)


def refuses(run: Run, client: int, number: int, message: Message, match: str) -> frozenset[int]:
    """That a client closes on this request; whom it blames."""
    machine: Client = run.clients[client]
    with pytest.raises(RemoteError, match=match) as caught:
        machine.handle(codec(run.setting).encode(number, message))
    assert machine.closed
    with pytest.raises(OrderError):
        machine.handle(run.requests[client])
    return caught.value.culprits


def refused(run: Run, sender: int, number: int, message: Message, match: str) -> None:
    """That the server refuses this reply, takes the honest one afterwards, and sums exactly."""
    with pytest.raises(RemoteError, match=match) as caught:
        run.server.receive(sender, codec(run.setting).encode(number, message))
    assert caught.value.culprits == {sender}


def bitmap(*members: int) -> bytes:
    return sum(1 << member for member in members).to_bytes(1, "little")


@pytest.mark.parametrize(
    ("survivors", "match"),
    [
        (bitmap(1, 2, 3, 4), "leaves this client out"),
        (bitmap(0, 1), "no fewer than 3"),
        (bitmap(0), "no fewer than 3"),
        (bitmap(), "leaves this client out"),
        (b"", "not of this session"),
        (b"\xff", "not of this session"),
        (bitmap(0, 1, 2, 5), "not of this session"),
        (bitmap(0, 1, 2) + b"\x00", "not of this session"),
        (bytes(100), "not of this session"),
    ],
)
def test_client_refuses_survivors_that_could_expose_an_input(survivors: bytes, match: str) -> None:
    refuses(Run(COMPLETE).to_round(REVEAL), 0, REVEAL, Survivors(survivors), match)


def test_client_takes_every_survivor_set_that_meets_its_threshold() -> None:
    for members in ((0, 1, 2), (0, 2, 4), (0, 1, 2, 3), (0, 1, 2, 3, 4)):
        run = Run(COMPLETE).to_round(REVEAL)
        request = codec(COMPLETE).encode(REVEAL, Survivors(bitmap(*members)))
        reply = codec(COMPLETE).decode(REVEAL, RevealedShares, run.clients[0].handle(request))
        assert len(reply.shares) == 5


def test_client_unmasks_only_one_survivor_set() -> None:
    run = Run(COMPLETE).to_round(REVEAL)
    run.clients[0].handle(codec(COMPLETE).encode(REVEAL, Survivors(bitmap(0, 1, 2))))
    with pytest.raises(OrderError):
        run.clients[0].handle(codec(COMPLETE).encode(REVEAL, Survivors(bitmap(0, 1, 2, 3))))


def test_client_refuses_survivors_without_its_neighbourhood() -> None:
    strangers = set(SPARSE.session.clients) - {0, *neighbours(SPARSE, 0)}
    run = Run(SPARSE).to_round(REVEAL)
    refuses(run, 0, REVEAL, Survivors(bitmap(0, *strangers)), "too few survivors among")


def test_client_refuses_a_survivor_that_shared_nothing() -> None:
    run = Run(COMPLETE).to_round(SHARE)
    replies = run.replies()
    del replies[4]
    run.deliver(replies)
    run.deliver(run.replies())
    refuses(run, 0, REVEAL, Survivors(bitmap(0, 1, 2, 4)), "shared nothing")


def neighbours(where: Setting, client: int) -> frozenset[int]:
    protocol = where.protocol
    assert isinstance(protocol, PairwiseMasking)
    return protocol.neighbours_of(where.session, client)


def directory(run: Run, client: int = 0) -> NeighbourKeys:
    return codec(run.setting).decode(SHARE, NeighbourKeys, run.requests[client])


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda n, k: NeighbourKeys((*n[:-1], 7), k), "repeated, unordered or not"),
        (lambda n, k: NeighbourKeys((0, *n[1:]), k), "repeated, unordered or not"),
        (lambda n, k: NeighbourKeys((-1, *n[1:]), k), "repeated, unordered or not"),
        (lambda n, k: NeighbourKeys((*n[:-1], 2**63), k), "repeated, unordered or not"),
        (lambda n, k: NeighbourKeys((n[0], n[0], *n[2:]), k), "repeated, unordered or not"),
        (lambda n, k: NeighbourKeys((n[1], n[0], *n[2:]), k), "repeated, unordered or not"),
        (lambda n, k: NeighbourKeys(n[1:], k), "repeated, unordered or not"),
        (lambda n, k: NeighbourKeys(n, k[1:]), "repeated, unordered or not"),
        (lambda n, k: NeighbourKeys(n[:1], k[:1]), "fewer than the threshold"),
        (lambda n, k: NeighbourKeys((), ()), "fewer than the threshold"),
        (lambda n, k: NeighbourKeys(n, (k[1], *k[1:])), "repeated key"),
        (lambda n, k: NeighbourKeys(n, (AdvertisedKeys(k[1].sealing, KEY), *k[1:])), "repeated key"),
        (lambda n, k: NeighbourKeys(n, (AdvertisedKeys(KEY, KEY), *k[1:])), "repeated key"),
        (lambda n, k: NeighbourKeys(n, (AdvertisedKeys(KEY[:31], KEY), *k[1:])), "damaged"),
        (lambda n, k: NeighbourKeys(n, (AdvertisedKeys(KEY, b""), *k[1:])), "damaged"),
        (lambda n, k: NeighbourKeys(n, (AdvertisedKeys(LOW_ORDER, KEY), *k[1:])), "low order"),
    ],
)
def test_client_refuses_neighbours_it_cannot_have(
    change: Callable[[tuple[int, ...], tuple[AdvertisedKeys, ...]], NeighbourKeys], match: str
) -> None:
    run = Run(COMPLETE).to_round(SHARE)
    honest = directory(run)
    refuses(run, 0, SHARE, change(honest.neighbours, honest.keys), match)


def test_client_refuses_its_own_keys_from_a_neighbour() -> None:
    run = Run(COMPLETE).to_round(SHARE)
    honest, own = directory(run), directory(run, 1).keys[0]
    for reflected in (own, AdvertisedKeys(own.masking, own.sealing), AdvertisedKeys(KEY, own.masking)):
        run = Run(COMPLETE).to_round(SHARE)
        culprits = refuses(run, 0, SHARE, NeighbourKeys(honest.neighbours, (reflected, *honest.keys[1:])), "repeated")
        assert culprits == {1}


def test_client_refuses_someone_elses_neighbours() -> None:
    run = Run(SPARSE).to_round(SHARE)
    other = next(client for client in SPARSE.session.clients if client not in {0, *neighbours(SPARSE, 0)})
    refuses(run, 0, SHARE, directory(run, other), "not this client's")


@pytest.mark.parametrize(
    ("change", "match", "culprits"),
    [
        (lambda n, c: DeliveredShares(n, (c[1], c[0], *c[2:])), "authenticate", {1}),
        (lambda n, c: DeliveredShares(n, (c[0][:-1], *c[1:])), "authenticate", {1}),
        (lambda n, c: DeliveredShares(n, (b"", *c[1:])), "authenticate", {1}),
        (lambda n, c: DeliveredShares(n, (*c[:-1], bytes([c[-1][0] ^ 1]) + c[-1][1:])), "authenticate", {4}),
        (lambda n, c: DeliveredShares((0, *n[1:]), c), "repeated, unordered or not", set()),
        (lambda n, c: DeliveredShares((n[0], n[0], *n[2:]), c), "repeated, unordered or not", set()),
        (lambda n, c: DeliveredShares(n, c[1:]), "repeated, unordered or not", set()),
        (lambda n, c: DeliveredShares(n[:1], c[:1]), "fewer than the threshold", set()),
    ],
)
def test_client_refuses_shares_that_were_not_sealed_for_it(
    change: Callable[[tuple[int, ...], tuple[bytes, ...]], DeliveredShares], match: str, culprits: set[int]
) -> None:
    run = Run(COMPLETE).to_round(MASK)
    honest = codec(COMPLETE).decode(MASK, DeliveredShares, run.requests[0])
    assert refuses(run, 0, MASK, change(honest.neighbours, honest.ciphertexts), match) == culprits


def test_client_refuses_shares_of_a_neighbour_that_had_left() -> None:
    whole = Run(COMPLETE).to_round(MASK)
    late = codec(COMPLETE).decode(MASK, DeliveredShares, whole.requests[0])
    run = Run(COMPLETE)
    replies = run.replies()
    del replies[4]
    run.deliver(replies)
    run.deliver(run.replies())
    refuses(run, 0, MASK, late, "not this client's")


@pytest.mark.parametrize("masking", [LOW_ORDER, KEY], ids=["low order", "another"])
def test_client_finds_a_masking_key_that_the_server_exchanged(masking: bytes) -> None:
    """A share opens only where both ends saw the same keys, so no mask is made with a planted one."""
    run = Run(COMPLETE).to_round(SHARE)
    honest = directory(run)
    planted = (AdvertisedKeys(honest.keys[0].sealing, masking), *honest.keys[1:])
    changed = codec(COMPLETE).encode(SHARE, NeighbourKeys(honest.neighbours, planted))
    replies = {client: run.clients[client].handle(run.requests[client] if client else changed) for client in range(5)}
    run.deliver(replies)
    delivered = codec(COMPLETE).decode(MASK, DeliveredShares, run.requests[0])
    assert refuses(run, 0, MASK, delivered, "client 1: a sealed message does not authenticate") == {1}


@pytest.mark.parametrize(
    ("message", "match"),
    [
        (AdvertisedKeys(LOW_ORDER, KEY), "low order"),
        (AdvertisedKeys(KEY, LOW_ORDER), "low order"),
        (AdvertisedKeys(KEY, bytes(32)), "low order"),
        (AdvertisedKeys(KEY, KEY), "advertised before"),
        (AdvertisedKeys(KEY, ALIAS), "canonical"),
        (AdvertisedKeys(KEY, (2**255 - 19).to_bytes(32, "little")), "canonical"),
        (AdvertisedKeys(KEY[1:], KEY), "32 bytes"),
        (AdvertisedKeys(KEY, KEY + KEY), "32 bytes"),
        (AdvertisedKeys(b"", b""), "32 bytes"),
    ],
)
def test_server_refuses_keys_that_would_stop_the_neighbours(message: Message, match: str) -> None:
    run = Run(COMPLETE)
    replies = run.replies()
    refused(run, 2, ADVERTISE, message, match)
    run.deliver(replies)
    assert run.is_exact(run.finish())


def test_server_refuses_keys_copied_from_another_client() -> None:
    run = Run(COMPLETE)
    replies = run.replies()
    run.server.receive(0, replies.pop(0))
    copied = codec(COMPLETE).decode(ADVERTISE, AdvertisedKeys, Run(COMPLETE).replies()[0])
    for keys in (copied, AdvertisedKeys(copied.masking, copied.sealing), AdvertisedKeys(KEY, copied.sealing)):
        refused(run, 1, ADVERTISE, keys, "advertised before")
    run.deliver(replies)
    assert run.is_exact(run.finish())


@pytest.mark.parametrize(
    ("number", "kind", "change", "match"),
    [
        (SHARE, SealedShares, lambda m: SealedShares(m.commitment, m.ciphertexts[1:]), "3 sealed shares"),
        (SHARE, SealedShares, lambda m: SealedShares(m.commitment, (*m.ciphertexts, b"")), "5 sealed shares"),
        (SHARE, SealedShares, lambda m: SealedShares(m.commitment, ()), "0 sealed shares"),
        (SHARE, SealedShares, lambda m: SealedShares(m.commitment, (*m.ciphertexts[1:], bytes(81))), "must have 82"),
        (SHARE, SealedShares, lambda m: SealedShares(m.commitment[1:], m.ciphertexts), "commitment must have"),
        (MASK, MaskedInput, lambda m: MaskedInput(m.packed[1:]), "5 bytes"),
        (MASK, MaskedInput, lambda m: MaskedInput(m.packed + b"\x00"), "7 bytes"),
        (MASK, MaskedInput, lambda m: MaskedInput(b""), "0 bytes"),
        (REVEAL, RevealedShares, lambda m: RevealedShares(m.shares[1:]), "4 shares"),
        (REVEAL, RevealedShares, lambda m: RevealedShares((*m.shares, m.shares[0])), "6 shares"),
        (REVEAL, RevealedShares, lambda m: RevealedShares((*m.shares[1:], bytes(32))), "33 bytes"),
    ],
)
def test_server_refuses_replies_of_a_wrong_shape(
    number: int, kind: type[Message], change: Callable[[Message], Message], match: str
) -> None:
    run = Run(COMPLETE).to_round(number)
    replies = run.replies()
    with pytest.raises(MalformedMessage, match=match):
        run.server.receive(3, codec(COMPLETE).encode(number, change(codec(COMPLETE).decode(number, kind, replies[3]))))
    run.deliver(replies)
    assert run.is_exact(run.finish())


def forge(run: Run, holder: int, index: int, alter: Callable[[bytes], bytes]) -> dict[int, bytes]:
    replies = run.replies()
    shares = list(codec(run.setting).decode(REVEAL, RevealedShares, replies[holder]).shares)
    shares[index] = alter(shares[index])
    replies[holder] = codec(run.setting).encode(REVEAL, RevealedShares(tuple(shares)))
    return replies


@pytest.mark.parametrize(
    "alter",
    [
        lambda share: bytes([share[0] ^ 1]) + share[1:],
        lambda share: share[:-1] + bytes([share[-1] ^ 1]),
        lambda share: bytes(33),
        lambda share: (shamir.PRIME - 1).to_bytes(33, "little"),
        lambda share: shamir.PRIME.to_bytes(33, "little"),
        lambda share: b"\xff" * 33,
    ],
)
@pytest.mark.parametrize("dropped", [None, 2])
def test_forged_share_ends_in_an_error_or_changes_nothing(alter: Callable[[bytes], bytes], dropped: int | None) -> None:
    """Each holder forges each share, of self-masks and of the masking key of a client that left."""
    holders = [client for client in range(5) if client != dropped]
    for holder in holders:
        for owner in range(5):
            run = Run(COMPLETE).to_round(MASK)
            replies = run.replies()
            if dropped is not None:
                del replies[dropped]
            run.deliver(replies)
            try:
                run.deliver(forge(run, holder, owner, alter))
            except RemoteError as error:
                # What is no element of the field is refused on receipt, whoever sends it; the rest when combined.
                found = error.culprits == {holder} or holder in holders[:3]
            else:
                # The first three holders' shares are the ones combined.  X25519 ignores the lowest three bits of a
                # private key, so that a forged share of one may give another private key to the same public one.
                assert isinstance(run.step, Finish)
                found = run.is_exact(run.step) and (holder not in holders[:3] or owner == dropped)
            assert found


def test_swapped_shares_end_in_an_error() -> None:
    run = Run(COMPLETE).to_round(REVEAL)
    replies = run.replies()
    shares = codec(COMPLETE).decode(REVEAL, RevealedShares, replies[0]).shares
    replies[0] = codec(COMPLETE).encode(REVEAL, RevealedShares((shares[1], shares[0], *shares[2:])))
    with pytest.raises(RemoteError, match="shares of client"):
        run.deliver(replies)
    with pytest.raises(OrderError):
        run.server.advance()


def test_commitment_to_another_seed_ends_in_an_error() -> None:
    run = Run(COMPLETE).to_round(SHARE)
    replies = run.replies()
    sealed = codec(COMPLETE).decode(SHARE, SealedShares, replies[4])
    replies[4] = codec(COMPLETE).encode(SHARE, SealedShares(KEY, sealed.ciphertexts))
    run.deliver(replies)
    run.deliver(run.replies())
    with pytest.raises(RemoteError, match="client 4's self-mask"):
        run.deliver(run.replies())


def test_key_dealt_that_was_not_advertised_ends_in_an_error() -> None:
    """A client whose shares are of another masking key, and that leaves, must not spoil the sum unseen."""
    run = Run(COMPLETE)
    replies = run.replies()
    advertised = AdvertisedKeys(codec(COMPLETE).decode(ADVERTISE, AdvertisedKeys, replies[2]).sealing, KEY)
    replies[2] = codec(COMPLETE).encode(ADVERTISE, advertised)
    run.clients[2]._party._advertised = advertised
    run.deliver(replies)
    run.deliver(run.replies())
    masked = run.replies()
    del masked[2]
    run.deliver(masked)
    with pytest.raises(RemoteError, match="client 2's masking key"):
        run.deliver(run.replies())


def test_sum_of_the_sparse_setting_is_exact() -> None:
    run = Run(SPARSE)
    outcome = run.finish()
    assert run.is_exact(outcome)
    assert outcome.total.dtype == np.uint64
