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
from protocols.testing import party_of, repeatable_entropy
from tests.conformance.cohorts import COMMITTEE, IDS, Setting, setting
from tests.support.committee_harness import (
    OPEN,
    CommitteeHarness,
    decrypted,
    powers,
    setup_of,
    shown_to_committee,
    sums_of,
)
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
        share.index: decrypt_partially(
            share, total.ciphertexts(), statement=b"", entropy=repeatable_entropy(b"hand")
        ).values
        for share in key_shares(1, 3, 2)[:2]
    }
    return combine(key, partials)


# Ciphertexts that depend on another client's.


def test_without_proofs_a_multiple_of_anothers_ciphertext_reads_its_vector() -> None:
    """A client sends the victim's ciphertext to the power 2^1000, so that the victim's slots stand above everyone's in
    the opened sum. Without a proof of plaintext knowledge the attack reads the victim's vector.
    """
    run = CommitteeHarness(SETTINGS[0])
    everyone = {client: run.pairs(client) for client in CLIENTS} | {ATTACKER: powers(run.pairs(VICTIM), 2**1000)}
    (total,) = by_hand(*everyone.values())
    modulus = int(run.setup.key.public_key.message_modulus)
    signed = total - modulus if 2 * total > modulus else total
    read = (signed + 2**999) >> 1000
    assert run.vector_of_sums([], [read % modulus], 1).tolist() == run.inputs[VICTIM].tolist()


def test_without_proofs_a_multiple_of_anothers_key_reads_its_vector() -> None:
    """A client sends 56 times the victim's encrypted key.

    In sums of few of a thousand clients the digits have room for it, so without a proof the attack reads the key, and
    the vector under it.
    """
    clients = tuple(range(1000))
    where = setting(OneShot(), clients, 3, length=5)
    setup, vector = setup_of(where), where.inputs()[0]
    payload = setup.payload
    assert isinstance(payload, PaddedVector)
    padded, victims_key = payload.wrap(vector.astype(np.uint16), repeatable_entropy(b"victim"))
    _, other_key = payload.wrap(where.inputs()[1].astype(np.uint16), repeatable_entropy(b"other"))
    one, other = (
        setup.encryptor.encrypt_pairs(key, entropy=repeatable_entropy(b"e%d" % at))
        for at, key in enumerate((victims_key, other_key))
    )
    digits = payload.digits.unpack(by_hand(one, other, powers(one, 56)), 4096)
    read = np.rint(digits / 57).astype(np.int64)
    assert payload.digits.pack(read) == victims_key
    total = payload.nothing()
    payload.add(total, memoryview(padded))
    assert payload.unwrap(total, payload.digits.pack(read), 1).tolist() == vector.tolist()


def derived(run: CommitteeHarness) -> dict[str, EncryptedInput]:
    """What the attacker makes of the victim's ciphertexts, with the best proofs that it can get, as its own."""
    setup, pairs = run.setup, run.pairs(VICTIM)
    padded = bytes(run.sent[ATTACKER].padded)
    victims_padded = bytes(run.sent[VICTIM].padded)
    proof, own_proof = run.proof(VICTIM), run.proof(ATTACKER)
    multiple, sum_of_both = powers(pairs, 2**20), sums_of(pairs, run.pairs(ATTACKER))
    opposite = powers(pairs, int(setup.key.public_key.message_modulus) - 1)
    mixed = [pairs[0], *run.pairs(ATTACKER)[1:]]
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
    found = {label: run.signed(ATTACKER, *parts) for label, parts in made.items()}
    found["the victim's message as it is"] = run.sent[VICTIM]
    return found


@each_setting
def test_server_refuses_ciphertexts_that_depend_on_anothers_and_names_who_sent_them(where: Setting) -> None:
    """A client derives its ciphertexts from the victim's: powers, sums, negatives and copies, with the best proofs that
    it can get. The signature or the proof of plaintext knowledge must stop it, and the server names the sender.
    """
    run = CommitteeHarness(where)
    encode = run.codec.encode
    for client in (VICTIM, *OTHERS):
        run.server.receive(client, encode(0, run.sent[client]))
    for label, message in derived(run).items():
        with pytest.raises(RemoteError, match=r"not signed|proof of plaintext knowledge") as caught:
            run.server.receive(ATTACKER, encode(0, message))
        assert caught.value.culprits == {ATTACKER}, label
    # None of them has left a trace in the product: with the attacker's own contribution the sum is exact.
    run.deliver({ATTACKER: encode(0, run.sent[ATTACKER])})
    outcome = run.finish()
    assert outcome.contributors == tuple(sorted(CLIENTS))
    assert run.is_exact(outcome)


@each_setting
def test_members_open_no_ciphertexts_that_depend_on_anothers_if_the_server_plays_along(where: Setting) -> None:
    """The same attack with the server's help, which shows the committee the derived ciphertexts.

    Every member checks signatures and proofs itself and must refuse (RemoteError).
    """
    run = CommitteeHarness(where)
    for message in derived(run).values():
        machine = run.member(COMMITTEE[0])
        with pytest.raises(RemoteError, match=r"not signed|proof of plaintext knowledge"):
            machine.handle(run.request(run.honest_contributions() | {ATTACKER: shown_to_committee(message)}))
        assert machine.closed


# Members that open something else.


def partials_of(run: CommitteeHarness, request: bytes) -> dict[int, PartialDecryption]:
    """What each member answers, as numbers."""
    opened = {}
    for party in COMMITTEE:
        reply = run.codec.decode(OPEN, PartialOpening, run.clients[party].handle(request))
        opened[party] = PartialDecryption.from_bytes(run.setup.key, reply.opening, run.count)
    return opened


@each_setting
def test_wrong_opening_is_refused_by_its_members_name_and_any_two_right_ones_decode(where: Setting) -> None:
    """A member answers with altered values, proofs, or partial decryptions of another sum, session or member.

    The proof of right decryption must stop each: the server refuses it and names the member.
    """
    hall, twin = CommitteeHarness(where), CommitteeHarness(where, seed=b"twin")
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
    other_sum = decrypt_partially(share, powers_of(hall, 2), statement=b"", entropy=repeatable_entropy(b"x"))
    other_statement = decrypt_partially(share, ciphertexts, statement=b"another", entropy=repeatable_entropy(b"x"))
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


def powers_of(hall: CommitteeHarness, exponent: int) -> list[int]:
    """The sum's ciphertexts, raised to a power."""
    modulus = hall.setup.key.public_key.modulus
    return [int(pow(one, exponent, modulus)) for one in party_of(hall.server)._ciphertexts]


# What a server learns that looks on.


@pytest.mark.parametrize("protocol", [OneShot(), PaillierSum()], ids=["one-shot", "paillier"])
def test_committee_opens_nothing_but_the_sum_of_all_keys_or_vectors(protocol: EncryptedSum) -> None:
    """A curious server compares everything opened with the sums of every subset of clients.

    Only the sum of all may match, and no member's reply is part of an opening of one client's ciphertexts.
    """
    where = setting(protocol, CLIENTS, 3)
    run = CommitteeHarness(where)
    run.deliver({client: run.codec.encode(0, message) for client, message in run.sent.items()})
    opened = partials_of(run, run.requests[COMMITTEE[0]])
    key = run.setup.key
    sums = combine(key, {index: opened[party].values for index, party in enumerate(COMMITTEE, start=1)})
    n = int(key.public_key.message_modulus)
    messages = {client: decrypted(run.pairs(client)) for client in CLIENTS}
    found = []
    for size in range(1, len(CLIENTS) + 1):
        for some in combinations(CLIENTS, size):
            columns = zip(*(messages[client] for client in some), strict=True)
            partly = [sum(column) % n for column in columns]
            if any(one == other for one, other in zip(partly, sums, strict=True)):
                found.append(some)
    assert found == [CLIENTS]
    assert all(len(partial.values) == run.count for partial in opened.values())
    # What a member sends is no part of an opening of a single client's ciphertexts either.
    share = key_shares(1, 3, 2)[0]
    for client in CLIENTS:
        ciphertexts = [ciphertext_pairs.join(key.public_key, *pair) for pair in run.pairs(client)]
        alone = decrypt_partially(share, ciphertexts, statement=b"", entropy=repeatable_entropy(b"x")).values
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
    """A curious server reads the opened sum over the integers.

    It must not learn more than the sum of centred entries: as stored, it would learn how many of them stand for
    negative numbers.
    """
    where = setting(protocol, CLIENTS, 3)
    where = replace(where, session=replace(where.session, modulus=modulus))
    seen = []
    for inputs in same_sums_other_signs(where):
        run = CommitteeHarness(where, vectors=inputs)
        n = int(run.setup.key.public_key.message_modulus)
        columns = zip(*(decrypted(run.pairs(client)) for client in CLIENTS), strict=True)
        sums = [sum(column) % n for column in columns]
        seen.append((sums if protocol.name == "paillier" else slots_of(run, sums), inputs))
    (first, one), (second, other) = seen
    assert first == second
    assert sum(int(vector[0]) for vector in one.values()) != sum(int(vector[0]) for vector in other.values())


def slots_of(run: CommitteeHarness, sums: list[int]) -> list[int]:
    """The sums over the integers that the pads' removal leaves, before they are reduced."""
    payload = run.setup.payload
    assert isinstance(payload, PaddedVector)
    total = payload.nothing()
    for message in run.sent.values():
        payload.add(total, message.padded)
    keys = payload.digits.unpack(sums, 4096)
    opened = payload._pad.open(total, key_sum=keys, seed=payload._seed, weights=(1,) * len(CLIENTS))
    return [int(entry) for entry in opened]
