"""LightSecAgg: exact sums whoever vanishes, shares that reach their holders only, and what each party refuses."""

import hashlib
import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from protocols import (
    Adversary,
    Client,
    Continue,
    Finish,
    MalformedMessage,
    Opening,
    ParameterError,
    RemoteError,
    Roster,
    SecureSum,
    Server,
    Session,
    TooFewSurvivors,
    UnsafeSession,
    packing,
    simulate,
)
from protocols.crypto import keys
from protocols.crypto.field import MAX_COLUMNS
from protocols.crypto.secret import Secret
from protocols.lightsecagg import LightSecAgg
from protocols.lightsecagg.messages import (
    AdvertisedKey,
    AggregatedShares,
    DeliveredShares,
    KeyDirectory,
    MaskedInput,
    SealedShares,
    Survivors,
)
from protocols.messages import Codec, Message
from protocols.session import Vector

NAMES = ("advertise_keys", "share_masks", "mask_input", "aggregate_shares")
PRIME = 2**31 - 1
IDS = (5, 0, 2**32 - 2, 17, 3, 300, 70_000, 1)
# u = 0 and other points of low order, RFC 7748 section 6.1; and a key that is not reduced.
LOW_ORDER = (bytes(32), (1).to_bytes(32, "little"))
NOT_CANONICAL = (2**255 - 19 + 9).to_bytes(32, "little")


def session(clients: Sequence[int], threshold: int, *, length: int = 7, modulus: int = PRIME) -> Session:
    return Session(
        session_id=b"one sum of sixteen", clients=tuple(clients), threshold=threshold, length=length, modulus=modulus
    )


def vectors(each: Session, *, seed: int = 0) -> dict[int, Vector]:
    generator = np.random.default_rng(seed)
    return {client: generator.integers(0, each.modulus, each.length, dtype=np.uint64) for client in each.clients}


def exact(inputs: Mapping[int, Vector], contributors: Sequence[int], modulus: int) -> list[int]:
    return [sum(column) % modulus for column in zip(*(inputs[c].tolist() for c in contributors), strict=True)]


class Cohort:
    """All parties of one sum, and the codec to read and forge their messages with."""

    def __init__(self, protocol: SecureSum, each: Session) -> None:
        self.session = each
        self.inputs = vectors(each)
        self.codec = Codec(protocol.digest(each), protocol.message_limit(each))
        self.rows = protocol.rounds
        self.clients = {
            client: Client(protocol, each, client, self.inputs[client], entropy=os.urandom) for client in each.clients
        }
        self.server = Server(protocol, each)
        self.step: Continue | Finish = self.server.start()
        self.number = 0

    @property
    def requests(self) -> Mapping[int, bytes]:
        assert isinstance(self.step, Continue)
        return self.step.requests

    def replies(self) -> dict[int, bytes]:
        return {client: self.clients[client].handle(request) for client, request in self.requests.items()}

    def deliver(self, replies: Mapping[int, bytes]) -> None:
        for client, reply in replies.items():
            self.server.receive(client, reply)
        self.step = self.server.advance()
        self.number += 1

    def to_round(self, number: int) -> "Cohort":
        while self.number < number:
            self.deliver(self.replies())
        return self

    def read(self, data: bytes, kind: type[Message]) -> Message:
        return self.codec.decode(self.number, kind, data)

    def write(self, message: Message) -> bytes:
        return self.codec.encode(self.number, message)


def cohort(
    clients: int = 6, *, privacy: int = 1, responders: int = 4, threshold: int = 4, modulus: int = PRIME
) -> Cohort:
    return Cohort(
        LightSecAgg(privacy=privacy, responders=responders), session(IDS[:clients], threshold, modulus=modulus)
    )


def test_sum_is_exact_for_every_small_cohort_and_every_parameter() -> None:
    for clients in range(2, 6):
        for threshold in range(2, clients + 1):
            for responders in range(2, threshold + 1):
                for privacy in range(1, responders):
                    each = session(IDS[:clients], threshold)
                    inputs = vectors(each)
                    outcome = simulate(LightSecAgg(privacy=privacy, responders=responders), each, inputs)
                    assert outcome.contributors == tuple(sorted(each.clients))
                    assert outcome.total.tolist() == exact(inputs, outcome.contributors, PRIME)


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
    assert outcome.total.tolist() == exact(inputs, outcome.contributors, PRIME)


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
        assert outcome.total.tolist() == exact(inputs, outcome.contributors, PRIME)


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
            run = cohort().to_round(3)
            replies = run.replies()
            run.deliver({client: replies[client] for client in answering})
            assert isinstance(run.step, Finish)
            assert run.step.contributors == tuple(sorted(IDS[:6]))
            assert run.step.total.tolist() == exact(run.inputs, IDS[:6], PRIME)


@pytest.mark.parametrize("number", range(4))
def test_sum_goes_on_from_snapshots_of_everyone(number: int) -> None:
    """Clients are kept before the round, the server with half of its replies taken in."""
    protocol, key = LightSecAgg(privacy=1, responders=4), Secret(bytes(32))
    run = cohort().to_round(number)
    for client, machine in run.clients.items():
        run.clients[client] = Client.restore(protocol, run.session, machine.snapshot(key), key=key, entropy=os.urandom)
    replies = run.replies()
    for client in IDS[:3]:
        run.server.receive(client, replies.pop(client))
    kept = run.server.snapshot(key, entropy=os.urandom)
    run.server = Server.restore(protocol, run.session, kept, key=key)
    assert run.server.missing == set(replies)
    run.deliver(replies)
    run.to_round(4)
    assert isinstance(run.step, Finish)
    assert run.step.total.tolist() == exact(run.inputs, IDS[:6], PRIME)


def altered(packed: memoryview, length: int, modulus: int) -> memoryview:
    share = packing.unpack(packed, length, modulus)
    share[0] = (int(share[0]) + 1) % modulus
    return memoryview(packing.pack(share, modulus))


def test_forged_answer_is_found_and_named_where_two_more_answer_than_needed() -> None:
    for liar in IDS[:6]:
        run = cohort().to_round(3)
        replies = run.replies()
        answer = run.read(replies[liar], AggregatedShares)
        assert isinstance(answer, AggregatedShares)
        replies[liar] = run.write(AggregatedShares(answer.survivors, altered(answer.packed, 3, PRIME)))
        with pytest.raises(RemoteError, match=rf"clients \[{liar}\]") as caught:
            run.deliver(replies)
        assert caught.value.culprits == {liar}


def test_forged_answer_is_found_where_one_more_answers_than_needed() -> None:
    run = cohort().to_round(3)
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
    key = run.clients[owner]._party._share_key(owner, holder)
    pieces = cut(run, owner, sealed)
    share = memoryview(keys.open_sealed(key, pieces[others.index(holder)]))
    pieces[others.index(holder)] = memoryview(keys.seal(key, bytes(altered(share, 3, PRIME))))
    return run.write(SealedShares(memoryview(b"".join(pieces))))


def cut(run: "Cohort", owner: int, sealed: SealedShares) -> list[memoryview]:
    """The owner's sealed shares, one by one."""
    setup, members = run.server._party._setup, sorted(run.server._party.state.keys)
    seeded = setup.seeded(members, owner)
    found: list[memoryview] = setup.cut(sealed.ciphertexts, [each in seeded for each in members if each != owner])
    return found


def forging_one_share() -> Cohort:
    """A cohort in its last round in which client 300 has dealt a wrong share to client 5, which is fifth after it."""
    run = cohort().to_round(1)
    replies = run.replies()
    replies[300] = seal_forged_share(run, 300, 5, run.read(replies[300], SealedShares))
    run.deliver(replies)
    return run.to_round(3)


def test_forged_share_of_a_mask_is_found_in_the_answers() -> None:
    run = forging_one_share()
    with pytest.raises(RemoteError, match="do not fit together"):
        run.to_round(4)


def test_forged_share_of_a_mask_goes_unnoticed_where_just_enough_answer() -> None:
    """What threat_model.md says: without a share more than needed there is nothing to compare with."""
    run = forging_one_share()
    replies = run.replies()
    run.deliver({client: replies[client] for client in (5, 0, 17, 3)})
    assert isinstance(run.step, Finish)
    assert run.step.total.tolist() != exact(run.inputs, run.step.contributors, PRIME)


def test_shares_reach_their_holder_only_and_drawn_ones_are_seeds() -> None:
    run = cohort(privacy=2).to_round(1)
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
        replies = run.to_round(2).replies()
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
        sent = run.to_round(2).replies()[IDS[0]]
        message = run.read(sent, MaskedInput)
        assert isinstance(message, MaskedInput)
        return bytes(message.packed)

    assert masked(b"one") != masked(b"two")
    assert masked(b"one") == masked(b"one")


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
    for change, match in (
        (lambda c, k: ((c[1], c[0], *c[2:]), k), "unordered"),
        (lambda c, k: ((c[0], c[0], *c[2:]), k), "repeated"),
        (lambda c, k: (c, k[1:]), "one key for each"),
        (lambda c, k: (tuple(sorted((*c[1:], IDS[0]))), k), "this one"),
        (lambda c, k: (tuple(sorted((*c[1:], 4))), k), "not in the session"),
        (lambda c, k: (c[:2], k[:2]), "no fewer than 4"),
        (lambda c, k: ((), ()), "no fewer than 4"),
    ):
        run = cohort().to_round(1)
        honest = directory(run, IDS[0])
        refuses(run, KeyDirectory(*change(honest.clients, honest.keys)), match)


def test_client_closes_over_shares_that_are_not_its_own_or_were_altered() -> None:
    for change, match, culprits in (
        (lambda c, s: (c, (s[1], s[0], *s[2:])), "does not open", 1),
        (lambda c, s: (c, (memoryview(bytes(s[0])[:-1] + b"\0"), *s[1:])), "does not open", 1),
        (lambda c, s: (c, (memoryview(b""), *s[1:])), "does not open", 1),
        (lambda c, s: (c, s[1:]), "as many shares", 0),
        (lambda c, s: (tuple(sorted((*c[1:], 4))), s), "not in the key directory", 0),
        (lambda c, s: (c[:2], s[:2]), "no fewer than 4", 0),
    ):
        run = cohort().to_round(2)
        honest = run.read(run.requests[IDS[0]], DeliveredShares)
        assert isinstance(honest, DeliveredShares)
        error = refuses(run, DeliveredShares(*change(honest.clients, honest.ciphertexts)), match)
        assert len(error.culprits) == culprits


def test_client_closes_over_another_holders_shares() -> None:
    run = cohort().to_round(2)
    stolen = run.read(run.requests[IDS[1]], DeliveredShares)
    own = run.read(run.requests[IDS[0]], DeliveredShares)
    assert isinstance(stolen, DeliveredShares)
    assert isinstance(own, DeliveredShares)
    common = [client for client in own.clients if client in stolen.clients]
    ciphertexts = tuple(stolen.ciphertexts[stolen.clients.index(client)] for client in common)
    refuses(run, DeliveredShares(tuple(common), ciphertexts), "does not open")


@pytest.mark.parametrize(
    ("survivors", "match"),
    [
        (IDS[1:6], "leaves this client out"),
        ((), "leaves this client out"),
        (IDS[:3], "no fewer than 4"),
        ((IDS[0],), "no fewer than 4"),
        ((*IDS[:5], IDS[6]), "shared nothing"),
        ((*IDS[:4], 4), "shared nothing"),
        ((*IDS[:5], IDS[1]), "twice"),
        ((*IDS[:5], IDS[0]), "twice"),
    ],
)
def test_client_closes_over_a_bad_survivor_set(survivors: tuple[int, ...], match: str) -> None:
    refuses(cohort().to_round(3), Survivors(tuple(sorted(survivors))), match)


def test_client_closes_over_a_survivor_set_out_of_order() -> None:
    refuses(cohort().to_round(3), Survivors(IDS[:6]), "ascending")


def test_client_answers_one_survivor_set_only() -> None:
    run = cohort().to_round(3)
    client = run.clients[IDS[0]]
    client.handle(run.requests[IDS[0]])
    assert client.closed


def test_client_closes_over_an_authentic_share_that_is_no_vector_of_the_field() -> None:
    run = cohort().to_round(3)
    held = run.clients[IDS[0]]._party.state.held
    packed = next(owner for owner, share in held.items() if len(share.reveal()) != 32 and owner != IDS[0])
    held[packed] = Secret(b"\xff" * len(held[packed].reveal()))
    with pytest.raises(RemoteError) as caught:
        run.clients[IDS[0]].handle(run.requests[IDS[0]])
    assert caught.value.culprits == {packed}


BAD_REPLIES: tuple[tuple[int, str, Callable[[Message], Message]], ...] = (
    (0, "canonical", lambda m: AdvertisedKey(NOT_CANONICAL)),
    (0, "canonical", lambda m: AdvertisedKey(b"")),
    (0, "low order", lambda m: AdvertisedKey(LOW_ORDER[0])),
    (1, "sealed shares", lambda m: SealedShares(m.ciphertexts[1:])),  # type: ignore[attr-defined]  # of this round
    (1, "sealed shares", lambda m: SealedShares(memoryview(b""))),
    (2, "packed", lambda m: MaskedInput(memoryview(b""))),
    (2, "modulus", lambda m: MaskedInput(memoryview(b"\xff" * 27 + b"\x01"))),
    (2, "padding", lambda m: MaskedInput(memoryview(b"\xff" * 28))),
    (3, "other clients", lambda m: AggregatedShares(m.survivors[1:], m.packed)),  # type: ignore[attr-defined]  # likewise
    (3, "packed", lambda m: AggregatedShares(m.survivors, memoryview(b""))),  # type: ignore[attr-defined]  # likewise
    (3, "modulus", lambda m: AggregatedShares(m.survivors, memoryview(b"\xff" * 11 + b"\x1f"))),  # type: ignore[attr-defined]  # likewise
)


@pytest.mark.parametrize(("number", "match", "change"), BAD_REPLIES)
def test_server_is_unchanged_by_a_bad_reply(number: int, match: str, change: Callable[[Message], Message]) -> None:
    run = cohort().to_round(number)
    replies = run.replies()
    honest = run.read(replies[IDS[0]], run.rows[number].reply)
    with pytest.raises(RemoteError, match=match) as caught:
        run.server.receive(IDS[0], run.write(change(honest)))
    assert caught.value.culprits == {IDS[0]}
    run.deliver(replies)
    run.to_round(4)
    assert isinstance(run.step, Finish)
    assert run.step.total.tolist() == exact(run.inputs, run.step.contributors, PRIME)


def test_server_refuses_a_key_advertised_before() -> None:
    run = cohort()
    replies = run.replies()
    run.server.receive(IDS[0], replies[IDS[0]])
    with pytest.raises(RemoteError, match="before") as caught:
        run.server.receive(IDS[1], replies[IDS[0]])
    assert caught.value.culprits == {IDS[1]}


@pytest.mark.parametrize(
    ("privacy", "responders", "threshold", "modulus"),
    [
        (0, 3, 4, PRIME),
        (-1, 3, 4, PRIME),
        (3, 3, 4, PRIME),
        (4, 3, 4, PRIME),
        (1, 5, 4, PRIME),
        (1, 7, 6, PRIME),
        (1, 3, 4, 2**31),
        (1, 3, 4, 2),
        (1, 3, 4, 15),
        (1, 3, 4, (2**15 - 19) ** 2),
        (1, 3, 4, 2**64),
        (1, 3, 4, 2**64 - 59),
        (1, 3, 4, 7),
    ],
)
def test_parameters_that_do_not_fit_are_refused(privacy: int, responders: int, threshold: int, modulus: int) -> None:
    each = session(IDS[:6], threshold, modulus=modulus)
    protocol = LightSecAgg(privacy=privacy, responders=responders)
    with pytest.raises(ParameterError):
        protocol.validate(each)
    with pytest.raises(ParameterError):
        Server(protocol, each)


def test_more_responders_than_the_arithmetic_takes_are_refused() -> None:
    each = session(range(MAX_COLUMNS + 1), MAX_COLUMNS + 1)
    LightSecAgg(privacy=1, responders=MAX_COLUMNS).validate(each)
    with pytest.raises(ParameterError, match="responders"):
        LightSecAgg(privacy=1, responders=MAX_COLUMNS + 1).validate(each)


def test_least_field_that_holds_the_code_will_do() -> None:
    each = session(IDS[:5], 3, modulus=7)
    inputs = vectors(each)
    outcome = simulate(LightSecAgg(privacy=1, responders=3), each, inputs, drops={"mask_input": IDS[:2]})
    assert outcome.total.tolist() == exact(inputs, outcome.contributors, 7)


@pytest.mark.parametrize("fields", [{"privacy": True}, {"responders": 3.0}, {"privacy": None}, {"responders": "3"}])
def test_parameters_that_are_no_ints_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ParameterError, match="int"):
        LightSecAgg(**({"privacy": 1, "responders": 3} | fields))  # type: ignore[arg-type]  # that is the test


def test_what_only_others_support_is_refused() -> None:
    protocol, plain = LightSecAgg(privacy=1, responders=3), session(IDS[:6], 4)
    roster = Roster(
        dict.fromkeys(plain.clients, bytes(32)) | {c: bytes([i + 1]) * 32 for i, c in enumerate(plain.clients)}
    )
    for each in (replace(plain, roster=roster), replace(plain, attached=(Opening(least_dropped=0, most_dropped=1),))):
        with pytest.raises(ParameterError):
            protocol.validate(each)
    with pytest.raises(UnsafeSession):
        protocol.check_safety(plain, 1)
    for adversary in (Adversary.MALICIOUS, Adversary.SEMI_MALICIOUS):
        with pytest.raises(ParameterError, match="curious"):
            LightSecAgg.suggest(clients=20, adversarial=0.1, dropout=0.1, adversary=adversary)


@pytest.mark.parametrize(
    ("clients", "adversarial", "dropout", "privacy", "threshold"),
    [
        (20, 0.5, 0.2, 10, 16),
        (8, 0.1, 0.125, 1, 7),
        (2, 0.0, 0.0, 1, 2),
        (100, 0.05, 0.1, 5, 90),
        (3, 0.34, 0.33, 1, 3),
    ],
)
def test_suggestion_is_what_the_fractions_leave(
    clients: int, adversarial: float, dropout: float, privacy: int, threshold: int
) -> None:
    protocol, suggested = LightSecAgg.suggest(clients=clients, adversarial=adversarial, dropout=dropout)
    assert (protocol, suggested) == (LightSecAgg(privacy=privacy, responders=threshold), threshold)
    protocol.validate(session(range(clients), threshold))


@pytest.mark.parametrize(
    ("clients", "adversarial", "dropout"), [(10, 0.5, 0.5), (10, 0.9, 0.1), (2, 0.5, 0.5), (2, 0.0, 0.5)]
)
def test_suggestion_where_the_colluding_could_decode_is_refused(
    clients: int, adversarial: float, dropout: float
) -> None:
    with pytest.raises(ParameterError, match="collude"):
        LightSecAgg.suggest(clients=clients, adversarial=adversarial, dropout=dropout)


def test_modulus_of_a_width_is_its_largest_prime() -> None:
    assert [LightSecAgg.modulus(bits) for bits in (2, 8, 16, 31, 32, 61, 62, 64)] == [
        3, 251, 65_521, 2**31 - 1, 2**32 - 5, 2**61 - 1, 2**61 - 1, 2**61 - 1
    ]  # fmt: skip
    with pytest.raises(ParameterError, match="prime"):
        LightSecAgg.modulus(1)


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
