"""What LightSecAgg's clients and its server refuse to take, and whom they name."""

from collections.abc import Callable

import pytest

from protocols import Finish, MalformedMessage, RemoteError, simulate
from protocols.codec import Message
from protocols.crypto.secret import Secret
from protocols.lightsecagg.messages import (
    AdvertisedKey,
    AggregatedShares,
    DeliveredShares,
    KeyDirectory,
    MaskedInput,
    SealedShares,
    Survivors,
)
from protocols.lightsecagg.protocol import LightSecAgg
from protocols.testing import state_of
from tests.support.lightsecagg_cohort import IDS, PRIME, Cohort, cohort, exact_sum, session, vectors

# u = 0 and other points of low order, RFC 7748 section 6.1; and a key that is not reduced.
LOW_ORDER = (bytes(32), (1).to_bytes(32, "little"))
NOT_CANONICAL = (2**255 - 19 + 9).to_bytes(32, "little")


def directory(run: Cohort, client: int) -> KeyDirectory:
    message = run.read(run.requests[client], KeyDirectory)
    assert isinstance(message, KeyDirectory)
    return message


def refuses(run: Cohort, message: Message, match: str) -> RemoteError:
    """The first client closes over this request, with nothing sent."""
    client = run.clients[IDS[0]]
    with pytest.raises(RemoteError, match=match) as caught:
        client.handle(run.write(message))
    assert client.closed
    return caught.value


BAD_KEYS: dict[str, Callable[[KeyDirectory, bytes], bytes]] = {
    "repeated": lambda honest, own: honest.keys[1],
    "damaged": lambda honest, own: honest.keys[0][:-1],
    "not canonical": lambda honest, own: NOT_CANONICAL,
    "its own": lambda honest, own: own,
    "zero": lambda honest, own: LOW_ORDER[0],
    "one": lambda honest, own: LOW_ORDER[1],
}


@pytest.mark.parametrize("bad", BAD_KEYS)
def test_client_closes_over_a_bad_key_and_names_whose(bad: str) -> None:
    """The server puts a key into the directory that is repeated, damaged, of low order, or the client's own.

    The client must close before it deals shares, and name whose key it is.
    """
    run = cohort()
    replies = run.replies()
    advertised = run.read(replies[IDS[0]], AdvertisedKey)
    assert isinstance(advertised, AdvertisedKey)
    run.deliver(replies)
    honest = directory(run, IDS[0])
    forged = BAD_KEYS[bad](honest, advertised.key)
    error = refuses(run, KeyDirectory(honest.clients, (forged, *honest.keys[1:])), "key")
    assert len(error.culprits) == 1
    assert error.culprits <= {honest.clients[0], honest.clients[1]}


def test_client_closes_over_a_directory_that_is_not_of_its_session() -> None:
    """The server sends a directory out of order, with strangers, with itself, or with too few clients.

    The client must close (RemoteError).
    """
    for change, match in (
        (lambda c, k: ((c[1], c[0], *c[2:]), k), "in ascending order"),
        (lambda c, k: ((c[0], c[0], *c[2:]), k), "repeated"),
        (lambda c, k: (c, k[1:]), "key directory: expected 5 keys, found 4"),
        (lambda c, k: (tuple(sorted((*c[1:], IDS[0]))), k), "expected others in ascending order, .* this client's own"),
        (lambda c, k: (tuple(sorted((*c[1:], 4))), k), "not in the session"),
        (lambda c, k: (c[:2], k[:2]), "at least the session's threshold, 4,"),
        (lambda c, k: ((), ()), "at least the session's threshold, 4,"),
    ):
        run = cohort().to_step(1)
        honest = directory(run, IDS[0])
        refuses(run, KeyDirectory(*change(honest.clients, honest.keys)), match)


def test_client_closes_over_shares_that_are_not_its_own_or_were_altered() -> None:
    """The server swaps, alters or leaves out sealed shares, or names another set of sharers.

    Authenticated encryption or the check of the set must stop it.
    """
    for change, match, culprits in (
        (lambda c, s: (c, (s[1], s[0], *s[2:])), "cannot be decrypted", 1),
        (lambda c, s: (c, (memoryview(bytes(s[0])[:-1] + b"\0"), *s[1:])), "cannot be decrypted", 1),
        (lambda c, s: (c, (memoryview(b""), *s[1:])), "cannot be decrypted", 1),
        (lambda c, s: (c, s[1:]), "delivered shares: expected 5, found 4", 0),
        (lambda c, s: (tuple(sorted((*c[1:], 4))), s), "clients in the key directory, found another", 0),
        (lambda c, s: (c[:2], s[:2]), "at least the session's threshold, 4,", 0),
    ):
        run = cohort().to_step(2)
        honest = run.read(run.requests[IDS[0]], DeliveredShares)
        assert isinstance(honest, DeliveredShares)
        error = refuses(run, DeliveredShares(*change(honest.clients, honest.ciphertexts)), match)
        assert len(error.culprits) == culprits


def test_client_closes_over_another_holders_shares() -> None:
    """The server delivers the shares of another holder.

    Each is sealed to its pair of clients, so decryption must fail and the client close.
    """
    run = cohort().to_step(2)
    stolen = run.read(run.requests[IDS[1]], DeliveredShares)
    own = run.read(run.requests[IDS[0]], DeliveredShares)
    assert isinstance(stolen, DeliveredShares)
    assert isinstance(own, DeliveredShares)
    common = [client for client in own.clients if client in stolen.clients]
    ciphertexts = tuple(stolen.ciphertexts[stolen.clients.index(client)] for client in common)
    refuses(run, DeliveredShares(tuple(common), ciphertexts), "cannot be decrypted")


@pytest.mark.parametrize(
    ("survivors", "match"),
    [
        (IDS[1:6], "survivor set lacks this client"),
        ((), "survivor set lacks this client"),
        (IDS[:3], "at least the session's threshold, 4,"),
        ((IDS[0],), "at least the session's threshold, 4,"),
        ((*IDS[:5], IDS[6]), "has not shared"),
        ((*IDS[:4], 4), "has not shared"),
        ((*IDS[:5], IDS[1]), "twice"),
        ((*IDS[:5], IDS[0]), "twice"),
    ],
    ids=[
        "all others",
        "nobody",
        "one below the threshold",
        "the client alone",
        "one that has not shared",
        "a stranger",
        "another twice",
        "the client twice",
    ],
)
def test_client_closes_over_a_bad_survivor_set(survivors: tuple[int, ...], match: str) -> None:
    """The server names survivors without the client, below the threshold, twice, or such as have not shared, to get a
    sum of few. The client must close.
    """
    refuses(cohort().to_step(3), Survivors(tuple(sorted(survivors))), match)


def test_client_closes_over_a_survivor_set_out_of_order() -> None:
    """The server sends survivors in another order, so that one set has two forms. The client must close."""
    refuses(cohort().to_step(3), Survivors(IDS[:6]), "ascending")


def test_client_answers_one_survivor_set_only() -> None:
    """A server with sums of shares for two survivor sets could subtract them.

    The client must be closed after its first answer.
    """
    run = cohort().to_step(3)
    client = run.clients[IDS[0]]
    client.handle(run.requests[IDS[0]])
    assert client.closed


def test_client_closes_over_an_authentic_share_that_is_no_vector_of_the_field() -> None:
    """A dealer seals what is no vector of the field.

    The holder must find it when it sums shares, close, and name the dealer.
    """
    run = cohort().to_step(3)
    held = state_of(run.clients[IDS[0]]).held
    packed = next(owner for owner, share in held.items() if len(share.reveal()) != 32 and owner != IDS[0])
    held[packed] = Secret(b"\xff" * len(held[packed].reveal()))
    with pytest.raises(RemoteError) as caught:
        run.clients[IDS[0]].handle(run.requests[IDS[0]])
    assert caught.value.culprits == {packed}


BAD_REPLIES: tuple[tuple[int, str, Callable[[Message], Message]], ...] = (
    (0, "canonical", lambda m: AdvertisedKey(NOT_CANONICAL)),
    (0, "canonical", lambda m: AdvertisedKey(b"")),
    (0, "low order", lambda m: AdvertisedKey(LOW_ORDER[0])),
    (1, "sealed shares", lambda m: SealedShares(m.ciphertexts[1:])),  # type: ignore[attr-defined]  # of this step
    (1, "sealed shares", lambda m: SealedShares(memoryview(b""))),
    (2, "packed", lambda m: MaskedInput(memoryview(b""))),
    (2, "modulus", lambda m: MaskedInput(memoryview(b"\xff" * 27 + b"\x01"))),
    (2, "padding", lambda m: MaskedInput(memoryview(b"\xff" * 28))),
    (3, "another set of clients", lambda m: AggregatedShares(m.survivors[1:], m.packed)),  # type: ignore[attr-defined]  # of this step
    (3, "packed", lambda m: AggregatedShares(m.survivors, memoryview(b""))),  # type: ignore[attr-defined]  # of this step
    (3, "modulus", lambda m: AggregatedShares(m.survivors, memoryview(b"\xff" * 11 + b"\x1f"))),  # type: ignore[attr-defined]  # of this step
)


@pytest.mark.parametrize(("number", "match", "change"), BAD_REPLIES)
def test_server_is_unchanged_by_a_bad_reply(number: int, match: str, change: Callable[[Message], Message]) -> None:
    """A client sends a reply with a bad key, length, entry or survivor set.

    The server must refuse it, name the sender, and still take the honest reply.
    """
    run = cohort().to_step(number)
    replies = run.replies()
    honest = run.read(replies[IDS[0]], run.steps[number].reply)
    with pytest.raises(RemoteError, match=match) as caught:
        run.server.receive(IDS[0], run.write(change(honest)))
    assert caught.value.culprits == {IDS[0]}
    run.deliver(replies)
    run.to_step(4)
    assert isinstance(run.step, Finish)
    assert run.step.total.tolist() == exact_sum(run.inputs, run.step.contributors, PRIME)


def test_server_refuses_a_key_advertised_before() -> None:
    """A client advertises another client's key. The server must refuse it and name the sender."""
    run = cohort()
    replies = run.replies()
    run.server.receive(IDS[0], replies[IDS[0]])
    with pytest.raises(RemoteError, match="before") as caught:
        run.server.receive(IDS[1], replies[IDS[0]])
    assert caught.value.culprits == {IDS[1]}


@pytest.mark.parametrize("length", [1, 100, 30_000])
@pytest.mark.parametrize(("privacy", "responders"), [(1, 2), (1, 8), (7, 8)])
def test_every_message_is_within_the_limit_and_no_more_is_taken(length: int, privacy: int, responders: int) -> None:
    protocol, each = LightSecAgg(privacy=privacy, responders=responders), session(IDS, 8, length=length)
    largest = 0

    def measure(transmission: object) -> None:
        nonlocal largest
        largest = max(largest, len(transmission.data))  # type: ignore[attr-defined]  # a Transmission

    simulate(protocol, each, vectors(each), tap=measure)
    limit = protocol.message_limit(each)
    assert largest <= limit <= 1.2 * largest + 2_000
    run = Cohort(protocol, each)
    with pytest.raises(MalformedMessage, match="at most"):
        run.server.receive(IDS[0], bytes(limit + 1))
