"""What the server of pairwise masking refuses, so that one client's bad message costs nobody else the round."""

import hashlib
from collections.abc import Callable
from typing import Any, Final

import pytest
from msgspec.structs import replace

from protocols import Adversary, MalformedMessage, SecAgg, SecAggPlus
from protocols.codec import Message
from protocols.pairwise.messages import (
    AdvertisedKeys,
    Confirmation,
    MaskedInput,
    RevealedShares,
    SealedShares,
)
from tests.conformance.cohorts import setting
from tests.support.malicious_server import MaliciousServer

ADVERTISE, SHARE, MASK, REVEAL = range(4)
LOW_ORDER: Final = (1).to_bytes(32, "little")
KEY: Final = hashlib.sha256(b"some key").digest()[:31] + b"\x01"
ALIAS: Final = KEY[:31] + b"\x81"  # the same point to X25519, which ignores the top bit

COMPLETE: Final = setting(SecAgg(), tuple(range(5)), 3, length=3)
SPARSE: Final = setting(SecAggPlus(neighbours=2, share_threshold=2), tuple(range(6)), 3, length=3)
SIGNED: Final = setting(SecAgg(adversary=Adversary.MALICIOUS), tuple(range(5)), 3, length=3)


@pytest.mark.parametrize(
    ("message", "match"),
    [
        (AdvertisedKeys(LOW_ORDER, KEY, b""), "low order"),
        (AdvertisedKeys(KEY, LOW_ORDER, b""), "low order"),
        (AdvertisedKeys(KEY, bytes(32), b""), "low order"),
        (AdvertisedKeys(KEY, KEY, b""), "two purposes, or a repeated one"),
        (AdvertisedKeys(KEY, ALIAS, b""), "canonical"),
        (AdvertisedKeys(KEY, (2**255 - 19).to_bytes(32, "little"), b""), "canonical"),
        (AdvertisedKeys(KEY[1:], KEY, b""), "32 bytes"),
        (AdvertisedKeys(KEY, KEY + KEY, b""), "32 bytes"),
        (AdvertisedKeys(b"", b"", b""), "32 bytes"),
        (AdvertisedKeys(KEY, KEY[::-1], bytes(64)), "in a session without a roster"),
    ],
    ids=[
        "sealing key of low order",
        "masking key of low order",
        "masking key of zeros",
        "one key for both purposes",
        "another encoding of the sealing key",
        "not canonical",
        "too short",
        "too long",
        "no keys",
        "signed without a roster",
    ],
)
def test_server_refuses_keys_that_would_stop_the_neighbours(message: Message, match: str) -> None:
    """A client advertises weak, repeated, short or unexpectedly signed keys, on which all neighbours would close.

    The server must refuse them on arrival, so that only the sender drops out.
    """
    run = MaliciousServer(COMPLETE)
    replies = run.replies()
    run.server_refuses(2, message, match)
    run.deliver(replies)
    assert run.is_exact(run.finish())


def test_server_refuses_keys_copied_from_another_client() -> None:
    """A client advertises keys of another client, also swapped or in part.

    The server must refuse them: they were advertised before.
    """
    run = MaliciousServer(COMPLETE)
    replies = run.replies()
    run.server.receive(0, replies[0])
    copied = run.codec.decode(ADVERTISE, AdvertisedKeys, replies.pop(0))
    swapped = AdvertisedKeys(copied.masking, copied.sealing, b"")
    for advertised in (copied, swapped, AdvertisedKeys(KEY, copied.sealing, b"")):
        run.server_refuses(1, advertised, "advertised before")
    run.deliver(replies)
    assert run.is_exact(run.finish())


@pytest.mark.parametrize("signature", [b"", bytes(63), bytes(64), bytes(65)])
def test_server_refuses_keys_and_shares_and_survivors_that_are_not_signed(signature: bytes) -> None:
    """A client sends keys, shares or a confirmation with a bad signature, on which others would close.

    The server must refuse each and blame the sender.
    """
    run = MaliciousServer(SIGNED)
    for kind in (AdvertisedKeys, SealedShares, MaskedInput, Confirmation):
        replies = run.replies()
        if kind is not MaskedInput:
            message: Any = run.codec.decode(run.number, kind, replies[2])
            run.server_refuses(2, replace(message, signature=signature), "not signed by client 2")
        run.deliver(replies)
    assert run.is_exact(run.finish())


def cut(message: Any, **fields: int) -> Any:
    """The message without the first bytes or items of these fields; with more zero bytes where negative."""
    changed = {}
    for name, size in fields.items():
        value = getattr(message, name)
        value = bytes(value) if isinstance(value, memoryview) else value
        changed[name] = value[size:] if size > 0 else value + bytes(-size)
    if "packed" in changed:
        changed["packed"] = memoryview(changed["packed"])
    return replace(message, **changed)


@pytest.mark.parametrize(
    ("number", "kind", "change", "match"),
    [
        (SHARE, SealedShares, lambda m: cut(m, ciphertexts=1), "sealed shares: expected 4, found 3"),
        (SHARE, SealedShares, lambda m: cut(m, ciphertexts=4), "sealed shares: expected 4, found 0"),
        (
            SHARE,
            SealedShares,
            lambda m: replace(m, ciphertexts=(*m.ciphertexts, b"")),
            "sealed shares: expected 4, found 5",
        ),
        (
            SHARE,
            SealedShares,
            lambda m: replace(m, ciphertexts=(*m.ciphertexts[1:], bytes(81))),
            "sealed shares: expected 82 bytes",
        ),
        (
            SHARE,
            SealedShares,
            lambda m: replace(m, ciphertexts=(*m.ciphertexts[1:], bytes(83))),
            "sealed shares: expected 82 bytes",
        ),
        (SHARE, SealedShares, lambda m: cut(m, commitments=1), "commitments: expected 32 bytes"),
        (SHARE, SealedShares, lambda m: cut(m, commitments=-32), "commitments: expected 32 bytes"),
        (SHARE, SealedShares, lambda m: cut(m, fingerprints=1), "fingerprints: expected 320 bytes"),
        (SHARE, SealedShares, lambda m: cut(m, fingerprints=-64), "fingerprints: expected 320 bytes"),
        (MASK, MaskedInput, lambda m: cut(m, packed=1), "packed vector: expected 6 bytes, found 5"),
        (MASK, MaskedInput, lambda m: cut(m, packed=-1), "packed vector: expected 6 bytes, found 7"),
        (MASK, MaskedInput, lambda m: cut(m, packed=6), "packed vector: expected 6 bytes, found 0"),
        (MASK, MaskedInput, lambda m: replace(m, unopened=(3,)), "expected neighbours in ascending order"),
        (MASK, MaskedInput, lambda m: replace(m, unopened=(5,)), "expected neighbours in ascending order"),
        (MASK, MaskedInput, lambda m: replace(m, unopened=(-1,)), "expected neighbours in ascending order"),
        (MASK, MaskedInput, lambda m: replace(m, unopened=(1, 0)), "expected neighbours in ascending order"),
        (MASK, MaskedInput, lambda m: replace(m, unopened=(1, 1)), "expected neighbours in ascending order"),
        (REVEAL, RevealedShares, lambda m: cut(m, shares=33), "revealed shares: expected 165 bytes, found 132"),
        (REVEAL, RevealedShares, lambda m: cut(m, shares=1), "revealed shares: expected 165 bytes, found 164"),
        (REVEAL, RevealedShares, lambda m: cut(m, shares=-33), "revealed shares: expected 165 bytes, found 198"),
        (REVEAL, RevealedShares, lambda m: cut(m, shares=165), "revealed shares: expected 165 bytes, found 0"),
    ],
    ids=[
        "a share too few",
        "no shares",
        "a share too many",
        "share too short",
        "share too long",
        "commitments too short",
        "commitments too long",
        "fingerprints too short",
        "fingerprints too long",
        "input too short",
        "input too long",
        "no input",
        "complaint about itself",
        "complaint about a stranger",
        "complaint about a negative id",
        "complaints out of order",
        "complaint repeated",
        "a revealed share too few",
        "revealed a byte too few",
        "a revealed share too many",
        "nothing revealed",
    ],
)
def test_server_refuses_replies_of_a_wrong_shape(
    number: int, kind: type[Message], change: Callable[[Message], Message], match: str
) -> None:
    """A client sends fields that are too short, too long or out of order.

    The server must refuse (MalformedMessage) and stay able to take the honest reply.
    """
    run = MaliciousServer(COMPLETE)
    run.to_step(number)
    replies = run.replies()
    with pytest.raises(MalformedMessage, match=match):
        run.server.receive(3, run.codec.encode(number, change(run.codec.decode(number, kind, replies[3]))))
    run.deliver(replies)
    assert run.is_exact(run.finish())


def test_server_refuses_strangers_among_unopened_shares() -> None:
    """A client complains about shares of a client that deals it none.

    The server must refuse, so that complaints cannot discredit strangers.
    """
    run = MaliciousServer(SPARSE)
    run.to_step(MASK)
    replies = run.replies()
    stranger = next(client for client in SPARSE.session.clients if client not in {0, *run.neighbours(0)})
    masked = run.codec.decode(MASK, MaskedInput, replies[0])
    run.server_refuses(0, replace(masked, unopened=(stranger,)), "expected neighbours in ascending order")
    run.deliver(replies)
    assert run.is_exact(run.finish())
