"""Attacks by clients and members, with what they would learn worked out, and what a server learns that looks on.

That the attacks are real is shown beside each: with the proof left out they read another client's vector.
"""

from dataclasses import replace
from itertools import combinations
from typing import Final

import numpy as np
import pytest

from protocols import Adversary, Finish, OneShot, PaillierSum, RemoteError
from protocols.crypto.paillier import ciphertext_pairs
from protocols.crypto.paillier.ciphertext_pairs import Pair, Total
from protocols.crypto.paillier.decryption_proof import Proof
from protocols.crypto.paillier.partial_decryption import PartialDecryption, combine, decrypt_partially
from protocols.encrypted.messages import EncryptedInput, PartialOpening
from protocols.encrypted.oneshot import PaddedVector
from protocols.encrypted.protocol import EncryptedSum
from protocols.session import Vector
from protocols.testing import party_of
from tests.conformance.cohorts import COMMITTEE, IDS, Setting, setting, stream
from tests.support.committee_harness import OPEN, Hall, decrypted, powers, products, setup_of, shown
from tests.support.committee_keys import key_shares

MALICIOUS: Final = Adversary.MALICIOUS
CLIENTS: Final = IDS[:4]
VICTIM, ATTACKER, *OTHERS = sorted(CLIENTS)
SETTINGS: Final = (
    setting(PaillierSum(), CLIENTS, 3, length=5),
    setting(PaillierSum(adversary=MALICIOUS), CLIENTS, 3, length=5),
    setting(OneShot(), CLIENTS, 3, length=5),
    setting(OneShot(adversary=MALICIOUS), CLIENTS, 3, length=5),
)
each_setting: Final = pytest.mark.parametrize("where", SETTINGS, ids=lambda where: where.label)


def by_hand(*everyone: list[Pair]) -> list[int]:
    """The sum of ciphertexts, opened by two of three shares of the key, with no check of where they come from."""
    key = key_shares(1, 3, 2)[0].key
    total = Total(key.public_key, len(everyone[0]))
    for pairs in everyone:
        total.add(pairs)
    partials = {
        share.index: decrypt_partially(share, total.ciphertexts(), statement=b"", entropy=stream(b"hand")).values
        for share in key_shares(1, 3, 2)[:2]
    }
    return combine(key, partials)


# Ciphertexts that depend on another client's.


def test_without_proofs_a_multiple_of_anothers_ciphertext_reads_its_vector() -> None:
    """2^1000 times the victim's slots are above everyone's, where nothing else is."""
    hall = Hall(SETTINGS[0])
    everyone = {client: hall.pairs(client) for client in CLIENTS} | {ATTACKER: powers(hall.pairs(VICTIM), 2**1000)}
    (total,) = by_hand(*everyone.values())
    modulus = int(hall.setup.key.public_key.message_modulus)
    signed = total - modulus if 2 * total > modulus else total
    read = (signed + 2**999) >> 1000
    assert hall.unwrapped([], [read % modulus], 1).tolist() == hall.inputs[VICTIM].tolist()


def test_without_proofs_a_multiple_of_anothers_key_reads_its_vector() -> None:
    """In sums of few of a thousand clients digits have room for 56 times a key, and the other's sum below."""
    clients = tuple(range(1000))
    where = setting(OneShot(), clients, 3, length=5)
    setup, vector = setup_of(where), where.inputs()[0]
    payload = setup.payload
    assert isinstance(payload, PaddedVector)
    padded, victims_key = payload.wrap(vector.astype(np.uint16), stream(b"victim"))
    _, other_key = payload.wrap(where.inputs()[1].astype(np.uint16), stream(b"other"))
    one, other = (
        setup.encryptor.encrypt_pairs(key, entropy=stream(b"e%d" % at))
        for at, key in enumerate((victims_key, other_key))
    )
    digits = payload.digits.unpack(by_hand(one, other, powers(one, 56)), 4096)
    read = np.rint(digits / 57).astype(np.int64)
    assert payload.digits.pack(read) == victims_key
    total = payload.nothing()
    payload.add(total, memoryview(padded))
    assert payload.unwrap(total, payload.digits.pack(read), 1).tolist() == vector.tolist()


def derived(hall: Hall) -> dict[str, EncryptedInput]:
    """What the attacker makes of the victim's ciphertexts, with the best proofs that it can get, as its own."""
    setup, pairs = hall.setup, hall.pairs(VICTIM)
    padded = bytes(hall.sent[ATTACKER].padded)
    victims_padded = bytes(hall.sent[VICTIM].padded)
    proof, own_proof = hall.proof(VICTIM), hall.proof(ATTACKER)
    multiple, sum_of_both = powers(pairs, 2**20), products(pairs, hall.pairs(ATTACKER))
    opposite = powers(pairs, int(setup.key.public_key.message_modulus) - 1)
    mixed = [pairs[0], *hall.pairs(ATTACKER)[1:]]
    made = {
        "the victim's message, signed anew": (victims_padded, pairs, proof),
        "its ciphertexts, another pad": (padded, pairs, proof),
        "its ciphertexts, the attacker's proof": (padded, pairs, own_proof),
        "2^20 times": (padded, multiple, proof),
        "2^20 times, the attacker's proof": (padded, multiple, own_proof),
        "times -1": (padded, opposite, proof),
        "added to its own": (padded, sum_of_both, own_proof),
        "added to its own, the victim's proof": (padded, sum_of_both, proof),
        "one of them among its own": (padded, mixed, own_proof),
        "negated residues": (padded, [Pair(setup.key.public_key.n - t, log) for t, log in pairs], proof),
    }
    found = {label: hall.signed(ATTACKER, *parts) for label, parts in made.items()}
    found["the victim's message as it is"] = hall.sent[VICTIM]
    return found


@each_setting
def test_server_refuses_ciphertexts_that_depend_on_anothers_and_names_who_sent_them(where: Setting) -> None:
    hall = Hall(where)
    encode = hall.codec.encode
    for client in (VICTIM, *OTHERS):
        hall.server.receive(client, encode(0, hall.sent[client]))
    for label, message in derived(hall).items():
        with pytest.raises(RemoteError, match=r"not signed|proof of plaintext knowledge") as caught:
            hall.server.receive(ATTACKER, encode(0, message))
        assert caught.value.culprits == {ATTACKER}, label
    # None of them has left a trace in the product: with the attacker's own contribution the sum is exact.
    hall.deliver({ATTACKER: encode(0, hall.sent[ATTACKER])})
    outcome = hall.finish()
    assert outcome.contributors == tuple(sorted(CLIENTS))
    assert hall.is_exact(outcome)


@each_setting
def test_members_open_no_ciphertexts_that_depend_on_anothers_if_the_server_plays_along(where: Setting) -> None:
    hall = Hall(where)
    for message in derived(hall).values():
        machine = hall.member(COMMITTEE[0])
        with pytest.raises(RemoteError, match=r"not signed|proof of plaintext knowledge"):
            machine.handle(hall.request(hall.honest() | {ATTACKER: shown(message)}))
        assert machine.closed


# Members that open something else.


def partials_of(hall: Hall, request: bytes) -> dict[int, PartialDecryption]:
    """What each member answers, as numbers."""
    opened = {}
    for party in COMMITTEE:
        reply = hall.codec.decode(OPEN, PartialOpening, hall.clients[party].handle(request))
        opened[party] = PartialDecryption.from_bytes(hall.setup.key, reply.opening, hall.count)
    return opened


@each_setting
def test_wrong_opening_is_refused_by_its_members_name_and_any_two_right_ones_decode(where: Setting) -> None:
    hall, twin = Hall(where), Hall(where, seed=b"twin")
    key, codec = hall.setup.key, hall.codec
    for each in (hall, twin):
        each.deliver({client: each.codec.encode(0, message) for client, message in each.sent.items()})
    request = hall.requests[COMMITTEE[0]]
    opened = partials_of(hall, request)
    elsewhere = partials_of(twin, twin.requests[COMMITTEE[0]])
    share = key_shares(1, 3, 2)[0]
    ciphertexts = party_of(hall.server)._ciphertexts
    first, second, third = COMMITTEE
    right = opened[first]
    n = key.public_key.n

    def changed(values: list[int], proof: Proof = right.proof) -> PartialDecryption:
        return PartialDecryption(tuple(values), proof)

    values = list(right.values)
    other_sum = decrypt_partially(share, powers_of(hall, 2), statement=b"", entropy=stream(b"x"))
    other_statement = decrypt_partially(share, ciphertexts, statement=b"another", entropy=stream(b"x"))
    wrong = {
        "one value doubled": changed([values[0] ** 2 % int(key.public_key.modulus), *values[1:]]),
        "one value negated": changed([int(key.public_key.modulus) - values[0], *values[1:]]),
        "values times 1 + n": changed([value * (1 + int(n)) % int(key.public_key.modulus) for value in values]),
        "another challenge": changed(values, right.proof._replace(challenge=right.proof.challenge ^ 1)),
        "another response": changed(values, right.proof._replace(response=right.proof.response + 1)),
        "no proof": changed(values, Proof(0, 0)),
        "another member's": opened[second],
        "another session's": elsewhere[first],
        "of twice the sum": other_sum,
        "for another statement": other_statement,
    }
    for label, partial in wrong.items():
        with pytest.raises(RemoteError, match="partial opening is not valid") as caught:
            hall.server.receive(first, codec.encode(OPEN, PartialOpening(memoryview(partial.to_bytes(key)))))
        assert caught.value.culprits == {first}, label
    whole = right.to_bytes(key)
    for bad in (b"", whole[:-1], whole + b"\x00", bytes(len(whole)), b"\xff" * len(whole)):
        with pytest.raises(RemoteError, match="partial opening is not valid"):
            hall.server.receive(first, codec.encode(OPEN, PartialOpening(memoryview(bad))))
    indices = {party: index for index, party in enumerate(COMMITTEE, start=1)}
    sums = [
        combine(key, {indices[party]: opened[party].values for party in some})
        for size in (2, 3)
        for some in combinations(COMMITTEE, size)
    ]
    assert sums == [sums[0]] * 4
    for party in (second, third):
        hall.server.receive(party, codec.encode(OPEN, PartialOpening(memoryview(opened[party].to_bytes(key)))))
    step = hall.server.advance()
    assert isinstance(step, Finish)
    assert hall.is_exact(step)


def powers_of(hall: Hall, exponent: int) -> list[int]:
    """The sum's ciphertexts, raised to a power."""
    modulus = hall.setup.key.public_key.modulus
    return [int(pow(one, exponent, modulus)) for one in party_of(hall.server)._ciphertexts]


# What a server learns that looks on.


@pytest.mark.parametrize("protocol", [OneShot(), PaillierSum()], ids=["one-shot", "paillier"])
def test_committee_opens_nothing_but_the_sum_of_all_keys_or_vectors(protocol: EncryptedSum) -> None:
    """Every subset of clients is compared with what was opened, from the server's whole view of a run."""
    where = setting(protocol, CLIENTS, 3)
    hall = Hall(where)
    hall.deliver({client: hall.codec.encode(0, message) for client, message in hall.sent.items()})
    opened = partials_of(hall, hall.requests[COMMITTEE[0]])
    key = hall.setup.key
    sums = combine(key, {index: opened[party].values for index, party in enumerate(COMMITTEE, start=1)})
    n = int(key.public_key.message_modulus)
    messages = {client: decrypted(hall.pairs(client)) for client in CLIENTS}
    found = []
    for size in range(1, len(CLIENTS) + 1):
        for some in combinations(CLIENTS, size):
            columns = zip(*(messages[client] for client in some), strict=True)
            partly = [sum(column) % n for column in columns]
            if any(one == other for one, other in zip(partly, sums, strict=True)):
                found.append(some)
    assert found == [CLIENTS]
    assert all(len(partial.values) == hall.count for partial in opened.values())
    # What a member sends is no part of an opening of a single client's ciphertexts either.
    share = key_shares(1, 3, 2)[0]
    for client in CLIENTS:
        ciphertexts = [ciphertext_pairs.join(key.public_key, *pair) for pair in hall.pairs(client)]
        alone = decrypt_partially(share, ciphertexts, statement=b"", entropy=stream(b"x")).values
        assert not set(alone) & {value for partial in opened.values() for value in partial.values}


def same_sums_other_signs(where: Setting) -> tuple[dict[int, Vector], dict[int, Vector]]:
    """Two cohorts' inputs with the same sums of centred integers, one of small numbers, one of large opposite ones."""
    modulus, length = where.session.modulus, where.session.length
    small = {client: np.full(length, at, dtype=np.int64) for at, client in enumerate(CLIENTS)}
    signs = (1, -1, 1, -1)
    large = {client: small[client] + sign * (modulus // 3) for client, sign in zip(CLIENTS, signs, strict=True)}
    assert all(abs(int(entry)) < modulus // 2 for vector in large.values() for entry in vector)

    def stored(signed: dict[int, "np.ndarray[tuple[int], np.dtype[np.int64]]"]) -> dict[int, Vector]:
        return {client: (vector % modulus).astype(np.uint64) for client, vector in signed.items()}

    return stored(small), stored(large)


@pytest.mark.parametrize("modulus", [2**16, 65_521, 2**31 - 1])
@pytest.mark.parametrize("protocol", [OneShot(), PaillierSum()], ids=["one-shot", "paillier"])
def test_integer_sum_that_is_opened_says_no_more_than_the_sum_of_centred_integers(
    protocol: EncryptedSum, modulus: int
) -> None:
    """As stored, the entries' sums over the integers would differ: by how many of them stand for negative numbers."""
    where = setting(protocol, CLIENTS, 3)
    where = replace(where, session=replace(where.session, modulus=modulus))
    seen = []
    for inputs in same_sums_other_signs(where):
        hall = Hall(where, vectors=inputs)
        n = int(hall.setup.key.public_key.message_modulus)
        columns = zip(*(decrypted(hall.pairs(client)) for client in CLIENTS), strict=True)
        sums = [sum(column) % n for column in columns]
        seen.append((sums if protocol.name == "paillier" else slots_of(hall, sums), inputs))
    (first, one), (second, other) = seen
    assert first == second
    assert sum(int(vector[0]) for vector in one.values()) != sum(int(vector[0]) for vector in other.values())


def slots_of(hall: Hall, sums: list[int]) -> list[int]:
    """The sums over the integers that the pads' removal leaves, before they are reduced."""
    payload = hall.setup.payload
    assert isinstance(payload, PaddedVector)
    total = payload.nothing()
    for message in hall.sent.values():
        payload.add(total, message.padded)
    keys = payload.digits.unpack(sums, 4096)
    opened = payload._pad.open(total, key_sum=keys, seed=payload._seed, contributors=len(CLIENTS))
    return [int(entry) for entry in opened]
