"""Lattice pads: padded vectors and openings against a schoolbook computation, and sums in whole sessions."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from protocols.committee import Committee
from protocols.crypto.entropy import Entropy
from protocols.crypto.keystream import word_dtype
from protocols.crypto.lattice.gaussian import GaussianStream
from protocols.crypto.lattice.ring import DEGREE
from protocols.crypto.secret import Secret
from protocols.errors import DamagedSum, InputError, MalformedMessage, ParameterError
from protocols.identity import Roster
from protocols.secure_sum import Finish
from protocols.seeds import PadKind, SeedSum
from protocols.seeds.lattice_pads import LatticePads
from protocols.seeds.pads import SetKeys
from protocols.session import Session
from protocols.testing import ProtocolRun
from protocols.testing.repeatable import fixed_roster
from tests.support.seed_members import ENDS
from tests.support.seed_world import CURIOUS, MALICIOUS, MEMBERS, seed_committee_of, seed_scenario

LATTICE: Final = PadKind.LATTICE
SEED: Final = hashlib.sha256(b"a public seed").digest()
ROSTER: Final = fixed_roster((0, 1, 2))
BOTH: Final = pytest.mark.parametrize("roster", [None, ROSTER], ids=["bare", "wrapped"])


def drawn(each: int) -> bytes:
    return hashlib.sha256(b"%d" % each).digest()


def errors_of(client: int) -> Entropy:
    """Return the source of a client's errors."""
    return lambda count: drawn(5000 + client)[:count]


def keys_of(client: int, sets: int = 3) -> list[SetKeys]:
    return [
        SetKeys(pad=Secret(drawn(100 * client + a)), wrap=Secret(drawn(-100 * client - a - 1))) for a in range(sets)
    ]


def session_of(modulus: int, length: int, roster: Roster | None, clients: int = 3) -> Session:
    return Session(
        session_id=bytes(16),
        clients=tuple(range(clients)),
        threshold=2,
        length=length,
        modulus=modulus,
        roster=roster,
        committee=Committee(key=seed_committee_of(3, 1, 3), members=MEMBERS[:3]),
        expires=ENDS,
    )


def pads_of(
    modulus: int, length: int, roster: Roster | None = None, *, value_bits: int | None = None, headroom: bool = False
) -> LatticePads:
    return LatticePads(session_of(modulus, length, roster), seed=SEED, sets=3, value_bits=value_bits, headroom=headroom)


def keystream(key: bytes, words: int) -> list[int]:
    """Return words of 64 bits: the encrypted blocks 0, 1, ..., little-endian."""
    blocks = b"".join(each.to_bytes(16, "big") for each in range(-(-words * 8 // 16)))
    stream = Cipher(algorithms.AES256(key), modes.ECB()).encryptor().update(blocks)
    return [int.from_bytes(stream[at : at + 8], "little") for at in range(0, 8 * words, 8)]


def product(public: Sequence[int], key: Sequence[int], at: int) -> int:
    """Return a coefficient of a product modulo X^4096 + 1, by the schoolbook."""
    return sum((1 if other <= at else -1) * key[other] * public[(at - other) % DEGREE] for other in range(DEGREE))


def key_of(keys: Sequence[SetKeys]) -> list[int]:
    """Return the sum of the Gaussians of keys."""
    return [
        sum(column) for column in zip(*(GaussianStream(key.pad).draw(DEGREE).tolist() for key in keys), strict=True)
    ]


# What a client sends and a member reveals.


@BOTH
def test_padded_vector_is_the_schoolbooks(roster: Roster | None) -> None:
    """Five values below 2^16 in two words: three slots of 18 bits above 10 bits of errors, the last slot shorter."""
    keys, errors = keys_of(0), drawn(7)
    vector, stored = np.array([0, 1, 2**15 - 1, 2**15, 2**16 - 1], dtype=np.uint16), [2**15, 2**15 + 1, 2**16 - 1, 0]
    stored.append(2**15 - 1)
    pads = pads_of(2**16, 5, roster)
    found = pads.padded(vector, keys, lambda count: errors[:count])
    slots = 3
    words = -(-5 // slots)
    assert len(found) == pads.padded_bytes == 8 * words
    key, public = key_of(keys), keystream(SEED, DEGREE)
    noise = GaussianStream(Secret(errors)).draw(words).tolist()
    shared = bytes(a ^ b ^ c for a, b, c in zip(*(each.wrap.reveal() for each in keys), strict=True))
    wrap = keystream(shared, words) if roster is not None else [0] * words
    for at in range(words):
        values = [stored[slot * words + at] for slot in range(slots) if slot * words + at < 5]
        lifted = sum(value << 64 - 18 * slots + 18 * slot for slot, value in enumerate(values))
        word = (product(public, key, at) + noise[at] + lifted + wrap[at]) % 2**64
        assert int.from_bytes(found[8 * at : 8 * at + 8], "little") == word


@pytest.mark.parametrize("weights", [(1, 3, 2), (5, 127, 16), (128, 2**15, 2**16)])
@BOTH
def test_opening_is_the_sum_of_the_gaussians_and_the_shares_of_the_wraps(
    roster: Roster | None, weights: tuple[int, ...]
) -> None:
    keys = [keys_of(client)[1] for client in range(3)]
    pads = pads_of(2**16, 5, roster)
    found = pads.opening(keys, weights)
    drawn_keys = [GaussianStream(key.pad).draw(DEGREE).tolist() for key in keys]
    sums = [sum(w * x for w, x in zip(weights, column, strict=True)) for column in zip(*drawn_keys, strict=True)]
    expected = b"".join(each.to_bytes(8, "little", signed=True) for each in sums)
    assert found == expected + b"".join(key.wrap.reveal() for key in keys) * (roster is not None)
    assert len(found) == pads.opening_bytes(3)
    pads.check_opening(memoryview(pads.opening(keys, (1, 1, 1))), (1, 1, 1))


def test_opening_with_a_larger_coefficient_than_its_keys_can_have_is_refused() -> None:
    pads = pads_of(2**16, 5)
    for value, contributors in ((3 * 127 + 1, 3), (-(2**63), 3), (2**63 - 1, 3), (-128, 1)):
        total = np.zeros(DEGREE, dtype="<i8")
        total[17] = value
        with pytest.raises(MalformedMessage, match=f"expected entries within {127 * contributors}"):
            pads.check_opening(memoryview(total.tobytes()), (1,) * contributors)
        total[17] = 127 * contributors
        pads.check_opening(memoryview(total.tobytes()), (1,) * contributors)


@pytest.mark.parametrize("change", [-1, 1])
def test_padded_vector_of_another_length_is_refused(change: int) -> None:
    pads = pads_of(2**16, 5)
    with pytest.raises(
        MalformedMessage, match=f"expected {pads.padded_bytes} bytes, found {pads.padded_bytes + change}"
    ):
        pads.check_padded(memoryview(bytes(pads.padded_bytes + change)))


def opened(pads: LatticePads, rows: Sequence[Any], modulus: int, sets: int = 3) -> list[int]:
    """Return what the server gets of vectors of clients 0, 1, ..."""
    total = pads.nothing()
    for client, row in enumerate(rows):
        vector = np.array([int(each) % modulus for each in row], dtype=np.uint64).astype(word_dtype(modulus))
        pads.check(vector)
        pads.add(total, bytes(pads.padded(vector, keys_of(client, sets), errors_of(client))))
    before = total.copy()
    clients = range(len(rows))
    openings = [pads.opening([keys_of(client, sets)[a] for client in clients], (1,) * len(rows)) for a in range(sets)]
    found = pads.opened(total, openings, (1,) * len(rows))
    assert np.array_equal(total, before)
    return [int(each) for each in found]


@BOTH
@pytest.mark.parametrize("modulus", [2, 3, 2**8, 251, 65_521, 2**31 - 1, 2**40 - 87, 2**52])
def test_sums_modulo_any_number_are_exact(roster: Roster | None, modulus: int) -> None:
    rows = [[0, 1, modulus // 2, modulus - 1, modulus - 2], [modulus - 1] * 5, [modulus // 2] * 5]
    found = opened(pads_of(modulus, 5, roster), rows, modulus)
    assert found == [sum(column) % modulus for column in zip(*rows, strict=True)]


def test_values_of_few_bits_make_shorter_vectors_and_exact_sums() -> None:
    rows, modulus = np.array([[-8, 7, 0, -1] * 50, [-8, 7, -8, 1] * 50, [7, -8, 7, 0] * 50]), 2**32
    short, whole = pads_of(modulus, 200, value_bits=4), pads_of(modulus, 200)
    assert 3 * short.padded_bytes < whole.padded_bytes
    assert opened(short, rows.tolist(), modulus) == (rows.sum(axis=0) % modulus).tolist()
    with pytest.raises(InputError, match=r"integers in \[-8, 8\), since value_bits is 4"):
        short.check(np.array([8] + [0] * 199, dtype=np.uint32))


def test_sums_with_headroom_are_exact_to_both_ends_and_shorter() -> None:
    """Without headroom a sum of 16 bits takes 18; three clients' sum reaches both ends of the modulus' range."""
    rows, modulus = np.array([[-(2**15), 2**15 - 1, 5, 0], [1, -1, -6, 0], [-1, 1, 2, -1]]), 2**16
    assert opened(pads_of(modulus, 4, headroom=True), rows.tolist(), modulus) == (rows.sum(axis=0) % modulus).tolist()
    assert pads_of(2**18, 1000, headroom=True).padded_bytes < pads_of(2**18, 1000).padded_bytes


def test_keys_of_35_sets_exceed_a_byte_and_sums_stay_exact() -> None:
    """OneShot's form of keys, and its bound on their sums, would refuse these."""
    keys = key_of(keys_of(0, 35))
    assert max(map(abs, keys)) > 127
    rows = [[1, 2**16 - 1, 5], [7, 2**15, 9], [0, 1, 2**16 - 3]]
    assert opened(pads_of(2**16, 3, ROSTER), rows, 2**16, sets=35) == [8, 2**15, 11]


# Damage.


@BOTH
@pytest.mark.parametrize("damage", ["key sum", "missing client", "other set"])
def test_sums_that_do_not_belong_together_are_noticed(roster: Roster | None, damage: str) -> None:
    pads, clients = pads_of(2**16, 50, roster), range(3)
    total = pads.nothing()
    for client in clients if damage != "missing client" else (0, 1):
        vector = np.full(50, 9, dtype=np.uint16)
        pads.add(total, bytes(pads.padded(vector, keys_of(client), errors_of(client))))
    openings = [pads.opening([keys_of(client)[a] for client in clients], (1, 1, 1)) for a in range(3)]
    if damage == "key sum":
        changed = bytearray(openings[0])
        changed[8 * 17] ^= 1
        openings[0] = bytes(changed)
    if damage == "other set":
        openings[1] = openings[2]
    with pytest.raises(DamagedSum):
        pads.opened(total, openings, (1, 1, 1))


def test_share_of_a_wrap_that_was_changed_makes_a_sum_that_is_noticed() -> None:
    pads, clients = pads_of(2**16, 50, ROSTER), range(3)
    total = pads.nothing()
    for client in clients:
        vector = np.full(50, 9, dtype=np.uint16)
        pads.add(total, bytes(pads.padded(vector, keys_of(client), errors_of(client))))
    openings = [pads.opening([keys_of(client)[a] for client in clients], (1, 1, 1)) for a in range(3)]
    openings[2] = openings[2][:-1] + bytes([openings[2][-1] ^ 1])
    with pytest.raises(DamagedSum):
        pads.opened(total, openings, (1, 1, 1))


def test_key_sums_of_a_norm_that_no_product_is_exact_for_are_noticed() -> None:
    """Lies of a committee that cannot decide: within the bound of each coefficient, and far beyond any honest norm."""
    session = replace(session_of(2, 1, None), clients=tuple(range(2**17)))
    pads = LatticePads(session, seed=SEED, sets=3, value_bits=None, headroom=False)
    largest = np.full(DEGREE, 127 * 2**17, dtype="<i8").tobytes()
    pads.check_opening(memoryview(largest), (1,) * 2**17)
    with pytest.raises(DamagedSum, match="no split of 64 bits is exact"):
        pads.opened(pads.nothing(), [largest] * 3, (1,) * 2**17)


# What the protocol accepts.


@pytest.mark.parametrize("fields", [{"value_bits": 4}, {"headroom": True}, {"value_bits": 0}])
def test_fields_of_lattice_pads_are_refused_with_stream_pads(fields: dict[str, Any]) -> None:
    with pytest.raises(ParameterError, match="value_bits and headroom: expected neither with stream pads"):
        SeedSum(**fields).validate(session_of(2**16, 5, None))


@pytest.mark.parametrize("pads", [None, "streams", 1, ()])
def test_pads_of_another_kind_are_refused(pads: Any) -> None:
    with pytest.raises(ParameterError, match="pads: expected STREAM or LATTICE"):
        SeedSum(pads=pads)
    assert SeedSum(pads="lattice").pads is LATTICE  # type: ignore[arg-type]  # Its name as a string is accepted too.


@pytest.mark.parametrize("headroom", [1, None, "yes"])
def test_headroom_of_another_type_is_refused(headroom: Any) -> None:
    with pytest.raises(ParameterError, match="headroom: expected a bool"):
        SeedSum(pads=LATTICE, headroom=headroom)


def test_headroom_is_taken_up_by_lattice_pads_alone() -> None:
    assert SeedSum().with_headroom() == SeedSum()
    assert SeedSum(pads=LATTICE, value_bits=4).with_headroom() == SeedSum(pads=LATTICE, headroom=True)


@pytest.mark.parametrize(("modulus", "value_bits"), [(2**61 - 1, None), (2**64, None), (2**16, 17), (2**16, 0)])
def test_vectors_that_do_not_fit_are_refused(modulus: int, value_bits: int | None) -> None:
    with pytest.raises(ParameterError):
        SeedSum(pads=LATTICE, value_bits=value_bits).validate(session_of(modulus, 5, None))
    SeedSum(pads=LATTICE, value_bits=16).validate(session_of(2**61 - 1, 5, None))


def test_kind_of_pads_and_its_fields_are_in_the_digest() -> None:
    session = session_of(2**16, 5, None)
    protocols = [
        SeedSum(),
        SeedSum(pads=LATTICE),
        SeedSum(pads=LATTICE, value_bits=4),
        SeedSum(pads=LATTICE, headroom=True),
        SeedSum(pads=LATTICE, headroom=True, value_bits=4),
    ]
    assert len({each.digest(session) for each in protocols}) == 5


def test_public_polynomials_are_a_hash_of_the_session_with_a_label_of_their_own() -> None:
    protocol, session = SeedSum(pads=LATTICE), session_of(2**16, 5, None)
    pads: Any = protocol.pads_of(session, protocol.digest(session))
    assert pads._seed == hashlib.sha256(b"secagg seeds lattice v1" + protocol.digest(session)).digest()


# Whole sessions.


@pytest.mark.parametrize("adversary", [CURIOUS, MALICIOUS])
@pytest.mark.parametrize("modulus", [3, 65_521, 2**16, 2**31 - 1])
@pytest.mark.parametrize(("members", "colluding"), [(2, 1), (4, 1), (5, 2)])
def test_sums_of_whole_sessions_are_exact(members: int, colluding: int, modulus: int, adversary: Any) -> None:
    run = ProtocolRun(seed_scenario(members, colluding, adversary, pads=LATTICE, modulus=modulus))
    outcome = run.finish()
    assert run.is_exact(outcome)
    assert outcome.verified is (members >= 2 * colluding + 1)


@pytest.mark.parametrize("adversary", [CURIOUS, MALICIOUS])
def test_35_sets_open_and_no_message_is_beyond_the_limit(adversary: Any) -> None:
    """Seven members, of whom three are corrupt: each is in 20 sets."""
    scenario = seed_scenario(7, 3, adversary, pads=LATTICE, threshold=5)
    run, limit = ProtocolRun(scenario), scenario.protocol.message_limit(scenario.session)
    while not isinstance(run.progress, Finish):
        replies = run.replies()
        assert max(map(len, (*run.requests.values(), *replies.values()))) <= limit
        run.deliver(replies)
    assert run.is_exact(run.progress)


def test_values_of_few_bits_and_headroom_run_in_whole_sessions() -> None:
    for fields in ({"value_bits": 5}, {"headroom": True}):
        protocol = SeedSum(adversary=MALICIOUS, pads=LATTICE, **fields)
        scenario = seed_scenario(4, 1, protocol=protocol, modulus=2**24)
        vectors = {
            client: np.array([place, 2**24 - place - 1, 15, 2**24 - 16, 0], dtype=np.uint64)
            for place, client in enumerate(scenario.session.clients)
        }
        run = ProtocolRun(scenario, vectors=vectors)
        assert run.is_exact(run.finish())
