"""Hashes, keys and statements of `SeedSum`, recomputed from the specification by independent code.

Nothing here is taken from `protocols.seeds.derived` but the functions under test: labels, widths and order are spelt
out again, from part A of the protocol's specification.
"""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import pytest

from protocols.committee import Committee
from protocols.crypto.secret import Secret
from protocols.errors import MalformedMessage, ParameterError
from protocols.identity import Identity
from protocols.seeds.derived import Derived, hash_of, seed_committee
from protocols.seeds.sets import quorum
from protocols.testing.repeatable import fixed_identity, fixed_roster
from tests.support.seed_world import CURIOUS, MALICIOUS, MEMBERS, derived_of, seed_committee_of, seed_scenario

SCENARIO: Final = seed_scenario(4, 1)
DERIVED: Final = derived_of(SCENARIO)
OTHER: Final = derived_of(seed_scenario(4, 1, session_id=b"another session of seeds"))
SEED, SEED_2 = Secret(bytes(range(32))), Secret(bytes(range(1, 33)))
ENTRIES: Final = [bytes([each]) * 32 for each in range(3)]
CLIENT: Final = 2**32 - 2


def sha(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def four(number: int) -> bytes:
    return number.to_bytes(4, "big")


# Values of the specification.


@pytest.mark.parametrize("client", [0, 1, 256, CLIENT])
@pytest.mark.parametrize("number", [0, 1, 251])
def test_hash_and_keys_of_a_seed_are_those_of_the_specification(client: int, number: int) -> None:
    statement = DERIVED.digest + four(client) + number.to_bytes(2, "big")
    hashed = hmac.new(SEED.reveal(), b"secagg seeds hash v1" + statement, hashlib.sha256).digest()
    key = hmac.new(SEED.reveal(), b"secagg seeds pad v1" + statement, hashlib.sha256).digest()
    assert DERIVED.seed_hash(SEED, client=client, number=number) == hashed
    wrap = hmac.new(SEED.reveal(), b"secagg seeds wrap v1" + statement, hashlib.sha256).digest()
    assert DERIVED.pad_key(SEED, client=client, number=number) == Secret(key)
    assert DERIVED.wrap_key(SEED, client=client, number=number) == Secret(wrap)
    keys = DERIVED.set_keys(SEED, client=client, number=number)
    assert (keys.pad, keys.wrap) == (Secret(key), Secret(wrap))
    assert len({hashed, key, wrap}) == 3


def test_info_entry_root_and_claim_are_those_of_the_specification() -> None:
    digest, hashes, boxes = DERIVED.digest, bytes(range(128)), bytes(range(100, 228))
    info = sha(b"secagg seeds box v1", digest, four(CLIENT), four(3), hashes)
    assert DERIVED.box_info(hashes, client=CLIENT, member=3) == info
    entry = sha(b"secagg seeds entry v1", digest, four(CLIENT), bytes(32), sha(hashes), boxes)
    assert DERIVED.entry(CLIENT, bytes(32), hashes, boxes) == entry
    listed = b"".join(
        four(client) + weight.to_bytes(8, "big") + entry
        for client, weight, entry in zip((1, 5, CLIENT), (1, 2, 2**63), ENTRIES, strict=True)
    )
    root = sha(b"secagg seeds set v1", digest, four(3), listed)
    assert DERIVED.root((1, 5, CLIENT), (1, 2, 2**63), ENTRIES) == root
    opening = bytes(range(10))
    assert DERIVED.claim(root, 258, opening) == sha(b"secagg seeds claim v1", digest, root, b"\x01\x02", opening)
    assert DERIVED.claim(root, 258, memoryview(opening)) == DERIVED.claim(root, 258, opening)


def test_padded_vector_is_hashed_only_if_a_signature_covers_it() -> None:
    curious = derived_of(seed_scenario(4, 1, CURIOUS))
    assert DERIVED.padded_hash(b"padded") == hashlib.sha256(b"padded").digest() == hash_of(memoryview(b"padded"))
    assert curious.padded_hash(b"padded") == bytes(32)


# Every field changes the value.


def values(call: Callable[..., Any], right: dict[str, Any], others: dict[str, list[Any]]) -> list[Any]:
    """Return what a function gives for the right arguments, and for each of them replaced by the other values."""
    found = [call(**right)]
    return found + [call(**right | {name: value}) for name, changes in others.items() for value in changes]


@pytest.mark.parametrize("name", ["seed_hash", "pad_key", "wrap_key"])
def test_seed_gives_another_value_for_each_session_client_set_and_seed(name: str) -> None:
    def call(derived: Derived, seed: Secret, client: int, number: int) -> bytes:
        found = getattr(derived, name)(seed, client=client, number=number)
        return found.reveal() if isinstance(found, Secret) else bytes(found)

    right = {"derived": DERIVED, "seed": SEED, "client": 1, "number": 1}
    others: dict[str, list[Any]] = {"derived": [OTHER], "seed": [SEED_2], "client": [0, 2, 256], "number": [0, 2, 256]}
    found = values(call, right, others)
    assert len(set(found)) == len(found) == 9


def test_info_differs_for_each_session_client_member_and_hashes() -> None:
    def call(derived: Derived, **fields: Any) -> bytes:
        return derived.box_info(**fields)

    right = {"derived": DERIVED, "seed_hashes": bytes(128), "client": 1, "member": 2}
    others: dict[str, list[Any]] = {
        "derived": [OTHER],
        "seed_hashes": [b"\1" + bytes(127)],
        "client": [0, 2],
        "member": [0, 1, 3],
    }
    found = values(call, right, others)
    assert len(set(found)) == len(found) == 8


def test_entry_differs_for_each_session_client_and_part() -> None:
    def call(derived: Derived, *parts: Any, **fields: Any) -> bytes:
        return derived.entry(*parts, *fields.values())

    right = {"derived": DERIVED, "client": 1, "padded": bytes(32), "hashes": bytes(128), "boxes": bytes(128)}
    others: dict[str, list[Any]] = {
        "derived": [OTHER],
        "client": [0, 2],
        "padded": [b"\1" + bytes(31)],
        "hashes": [b"\1" + bytes(127), bytes(127) + b"\1"],
        "boxes": [b"\1" + bytes(127), bytes(127) + b"\1"],
    }
    found = values(call, right, others)
    assert len(set(found)) == len(found) == 9


def test_root_differs_for_each_session_client_weight_entry_number_and_order() -> None:
    one, two, three = ENTRIES
    lists = [
        ((1, 2), (1, 1), (one, two)),
        ((1, 3), (1, 1), (one, two)),
        ((1, 2), (1, 2), (one, two)),
        ((1, 2), (2, 1), (one, two)),
        ((1, 2), (1, 1), (one, three)),
        ((1, 2), (1, 1), (two, one)),
        ((2, 1), (1, 1), (two, one)),
        ((1,), (1,), (one,)),
        ((1, 2, 3), (1, 1, 1), (one, two, three)),
        ((), (), ()),
    ]
    found = [DERIVED.root(*each) for each in lists] + [OTHER.root(*lists[0])]
    assert len(set(found)) == len(found) == 11
    for wrong in (((1, 2), (1,), (one, two)), ((1, 2), (1, 1), (one,))):
        with pytest.raises(ValueError, match="zip"):
            DERIVED.root(*wrong)


def test_claim_differs_for_each_session_root_set_and_sum() -> None:
    right = {"derived": DERIVED, "root": ENTRIES[0], "number": 1, "opening": bytes(10)}
    others: dict[str, list[Any]] = {
        "derived": [OTHER],
        "root": ENTRIES[1:],
        "number": [0, 2, 256],
        "opening": [bytes(9) + b"\1"],
    }

    def call(derived: Derived, **fields: Any) -> bytes:
        return derived.claim(**fields)

    found = values(call, right, others)
    assert len(set(found)) == len(found) == 8


def test_digest_changes_with_every_parameter_of_session_and_committee() -> None:
    """What is derived is bound to the digest, so two sessions that differ in anything have nothing in common."""
    scenario, session = SCENARIO, SCENARIO.session
    assert session.committee is not None
    sessions = [
        session,
        replace(session, session_id=b"another session of seeds"),
        replace(session, context=b"round 2"),
        replace(session, clients=(3, 0, 7, 2**32 - 2), roster=fixed_roster((3, 0, 7, 2**32 - 2))),
        replace(session, clients=tuple(reversed(session.clients))),
        replace(session, roster=fixed_roster((*session.clients, 99)).of(session.clients), threshold=4),
        replace(session, length=6),
        replace(session, modulus=2**17),
        replace(session, parameters=b"x"),
        replace(session, expires=session.expires and session.expires - 1),
        replace(session, committee=Committee(key=session.committee.key, members=(22, 21, 23, 24))),
        replace(session, committee=Committee(key=seed_committee_of(4, 1, 4), members=MEMBERS[:4])),
        replace(session, committee=Committee(key=seed_committee_of(4, 2, 4), members=MEMBERS[:4])),
        replace(session, committee=Committee(key=seed_committee_of(4, 1, 3, epoch=1), members=MEMBERS[:4])),
    ]
    digests = [scenario.protocol.digest(each) for each in sessions]
    digests.append(seed_scenario(4, 1, CURIOUS).protocol.digest(session))
    assert len(set(digests)) == len(digests)


def test_labels_of_the_statements_are_no_beginnings_of_each_other() -> None:
    labels = [
        b"secagg seeds %s v1" % name
        for name in (b"hash", b"pad", b"wrap", b"lattice", b"box", b"entry", b"set", b"claim")
    ]
    assert not any(one != other and one.startswith(other) for one in labels for other in labels)


# Sizes and parts.


@pytest.mark.parametrize("adversary", [CURIOUS, MALICIOUS])
@pytest.mark.parametrize(("members", "colluding"), [(2, 1), (4, 1), (5, 2), (7, 3)])
def test_parts_of_a_message_and_of_an_entry_are_found_again(members: int, colluding: int, adversary: Any) -> None:
    derived = derived_of(seed_scenario(members, colluding, adversary))
    sets, signed = derived.sets, adversary is MALICIOUS
    hashes = bytes(each % 251 for each in range(32 * sets.count))
    boxes = [bytes([member]) * (1136 + 32 * sets.held) for member in range(members)]
    signature = b"s" * 64 * signed
    sealed = hashes + b"".join(boxes) + signature
    assert derived.split_sealed(memoryview(sealed)) == (hashes, boxes, signature)
    assert derived.sealed_bytes == len(sealed)
    for wrong in (sealed[:-1], sealed + b"\0", b""):
        with pytest.raises(MalformedMessage, match=f"expected {len(sealed)} bytes, found {len(wrong)}"):
            derived.split_sealed(memoryview(wrong))
    parts = (b"p" * 32, hashes, b"h" * 32 * members, boxes[1], signature)
    entry = derived.split_entry(memoryview(b"".join(parts)))
    assert (entry.padded_hash, entry.seed_hashes, entry.box_hashes, entry.box, entry.signature) == parts
    assert derived.entry_bytes == sum(map(len, parts))


@pytest.mark.parametrize(
    ("members", "colluding", "adversary", "expected"),
    [
        (2, 1, CURIOUS, 2),
        (3, 1, CURIOUS, 3),
        (3, 2, CURIOUS, 3),
        (4, 2, CURIOUS, 4),
        (4, 3, CURIOUS, 4),
        (5, 2, MALICIOUS, 5),
        (5, 1, MALICIOUS, 4),
        (7, 2, MALICIOUS, 5),
        (7, 3, MALICIOUS, 7),
        (7, 6, CURIOUS, 7),
    ],
)
def test_members_that_must_answer_are_enough_to_agree_to_open_and_to_decide(
    members: int, colluding: int, adversary: Any, expected: int
) -> None:
    """They are at least q, at least t + 1 (fewer lack a set), and at least 2t + 1 if the committee has so many."""
    assert derived_of(seed_scenario(members, colluding, adversary)).quorum == expected
    assert expected >= max(quorum(members, colluding), colluding + 1)


def test_members_are_numbered_in_the_order_of_the_committee() -> None:
    assert [DERIVED.number_of(member) for member in MEMBERS[:4]] == [0, 1, 2, 3]
    statement = b"root" * 8
    for place, member in enumerate(MEMBERS[:4]):
        own: Identity = fixed_identity(place)
        signature = DERIVED.member_signatures.sign(own, client=member, purpose=b"agree...", payload=statement)
        DERIVED.member_signatures.check(signature, client=member, purpose=b"agree...", payload=statement)


def test_session_without_a_committee_of_seeds_is_refused() -> None:
    bare = replace(SCENARIO.session, committee=None)
    with pytest.raises(ParameterError, match="expected one with a SeedCommittee, found NoneType"):
        seed_committee(bare)
    with pytest.raises(ParameterError, match="committee: expected a session with one, found none"):
        _ = Derived(session=bare, digest=bytes(32), pads=DERIVED.pads).committee
