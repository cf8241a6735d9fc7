"""A committee's key: what the dealer makes, shares that stay secret, and bytes that are no key or share."""

import copy
import math
import pickle
from contextlib import suppress
from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest

from protocols.crypto.integers import PYTHON, Arithmetic, fastest
from protocols.crypto.paillier.encryptor import Encryptor
from protocols.crypto.paillier.private import PrivateKey
from protocols.crypto.paillier.public import InvalidKey, PublicKey
from protocols.crypto.paillier.threshold import KeyShare, ThresholdKey, deal
from tests.support.committee_keys import SAFE_P, SAFE_Q, key_shares, threshold_key
from tests.support.paillier_keys import ARITHMETICS, private_key, stream

every_s = pytest.mark.parametrize("s", [1, 2, 3])
each = pytest.mark.parametrize(("s", "arithmetic"), [(1, fastest()), (2, fastest()), (3, fastest()), (1, PYTHON)])

N = SAFE_P * SAFE_Q
HALF_ORDER = (SAFE_P - 1) // 2 * ((SAFE_Q - 1) // 2)


@every_s
def test_any_t_shares_interpolate_to_the_exponent_that_decrypts(s: int) -> None:
    """With rational Lagrange coefficients modulo n^s m, which are the field's own; the code uses integer ones."""
    order = N**s * HALF_ORDER
    for members, threshold in ((3, 2), (5, 3), (4, 4)):
        values = [share.reveal() for share in key_shares(s, members, threshold)]
        assert all(0 <= value < order for value in values)
        for chosen in combinations(range(1, members + 1), threshold):
            constant = 0
            for index in chosen:
                others = [other for other in chosen if other != index]
                denominator = math.prod(other - index for other in others)
                constant += values[index - 1] * math.prod(others) * pow(denominator, -1, order)
            assert constant % order % HALF_ORDER == 0
            assert constant % order % N**s == 1


@every_s
def test_one_share_fewer_interpolates_to_something_else(s: int) -> None:
    order = N**s * HALF_ORDER
    first, second, *_ = (share.reveal() for share in key_shares(s, 5, 3))
    line = (2 * first - second) % order
    assert line % HALF_ORDER != 0
    assert line % N**s != 1


def first_prime(start: int) -> int:
    """The first one that is the same modulo 4; most likely no safe one."""
    candidates = (fastest().integer(number) for number in range(start, start + 2**20, 4))
    return int(next(candidate for candidate in candidates if pow(2, candidate - 1, candidate) == 1))


UNSAFE = first_prime(2**1023 + 2**1022 + 2**900 + 3), first_prime(2**1023 + 2**1022 + 2**1000 + 3)


@each
def test_key_verifies_its_shares(s: int, arithmetic: Arithmetic) -> None:
    key, shares = threshold_key(s, arithmetic=arithmetic), key_shares(s, arithmetic=arithmetic)
    assert (key.members, key.threshold, key.public_key.s) == (3, 2, s)
    assert [share.index for share in shares] == [1, 2, 3]
    for share, image in zip(shares, key.verification_keys, strict=True):
        assert share.key is key
        assert pow(key.verification_base, share.reveal(), fastest().integer(N ** (s + 1))) == image
    assert {type(number) for number in (key.base, key.verification_base, *key.verification_keys)} == {int}


def is_square(number: int, prime: int) -> bool:
    return pow(number, (prime - 1) // 2, prime) == 1


@every_s
def test_bases_generate_what_the_papers_ask_for(s: int) -> None:
    """v is a square of the full order n^s m; h is no square modulo either prime, as -x^2, and of order 2 m."""
    key = threshold_key(s)
    order, modulus = N**s * HALF_ORDER, fastest().integer(N ** (s + 1))
    assert pow(key.verification_base, order, modulus) == 1
    for factor in (SAFE_P, SAFE_Q, (SAFE_P - 1) // 2, (SAFE_Q - 1) // 2):
        assert pow(key.verification_base, order // factor, modulus) != 1
    assert not is_square(key.base, SAFE_P)
    assert not is_square(key.base, SAFE_Q)
    assert pow(key.base, 2 * HALF_ORDER, N) == 1
    for factor in (2, (SAFE_P - 1) // 2, (SAFE_Q - 1) // 2):
        assert pow(key.base, 2 * HALF_ORDER // factor, N) != 1


def test_key_suits_fixed_bases() -> None:
    assert PrivateKey.from_primes(SAFE_P, SAFE_Q).suits_fixed_bases
    encryptor = Encryptor(threshold_key().public_key, window_bits=1)
    assert PrivateKey.from_primes(SAFE_P, SAFE_Q).decrypt(encryptor.encrypt([5])) == [5]


def test_arithmetics_deal_the_same_key() -> None:
    assert len({threshold_key(1, arithmetic=value).to_bytes() for _, value in ARITHMETICS}) == 1
    assert len({key_shares(1, arithmetic=value)[1].to_bytes() for _, value in ARITHMETICS}) == 1


def test_each_deal_is_another_one() -> None:
    keys = [deal(SAFE_P, SAFE_Q, members=2, threshold=2)[0] for _ in range(2)]
    for name in ("base", "verification_base", "verification_keys", "fingerprint"):
        assert getattr(keys[0], name) != getattr(keys[1], name)


@pytest.mark.parametrize(
    ("members", "threshold"),
    [(1, 1), (65, 2), (3, 1), (3, 4), (3, 0), (2, -2), (True, 2), (3, True), (3.0, 2), (3, "2")],
)
def test_bad_committee_is_refused(members: Any, threshold: Any) -> None:
    with pytest.raises(InvalidKey, match=r"members of a committee: expected 2 to 64|the threshold: expected from 2 to"):
        deal(SAFE_P, SAFE_Q, members=members, threshold=threshold)


@pytest.mark.parametrize(
    ("p", "q", "reason"),
    [
        (SAFE_P, SAFE_P, "equal or close"),
        (*UNSAFE, "safe primes"),
        (SAFE_P, UNSAFE[0], "safe primes"),
        (UNSAFE[1], SAFE_Q, "safe primes"),
        (SAFE_P, SAFE_Q + 2, "odd primes"),
        (SAFE_P, 0, "at most"),
        (-SAFE_P, -SAFE_Q, "at most"),
        (7, 11, "2048 to 8192 bits"),
        (SAFE_P, 23, "2048 to 8192 bits"),
        (SAFE_P, 2**4423 - 1, "same size"),
        (SAFE_P, float(3), "expected integers"),
        (True, SAFE_Q, "expected integers"),
    ],
)
def test_bad_primes_are_refused(p: Any, q: Any, reason: str) -> None:
    with pytest.raises(InvalidKey, match=reason):
        deal(p, q, members=3, threshold=2)


def test_primes_of_different_sizes_are_refused() -> None:
    """A prime of 1026 bits with a safe one of 1024: sizes are looked at before safety."""
    longer = first_prime(2**1025 + 3)
    with pytest.raises(InvalidKey, match="same size, found 1024 and 1026 bits"):
        deal(SAFE_P, longer, members=3, threshold=2)


@pytest.mark.parametrize("s", [0, 4, True, None])
def test_bad_s_is_refused(s: Any) -> None:
    with pytest.raises(InvalidKey, match="s: expected an integer"):
        deal(SAFE_P, SAFE_Q, s, members=3, threshold=2)


def test_share_keeps_its_secret_from_view() -> None:
    share = key_shares(2)[0]
    assert isinstance(share, KeyShare)
    shown = f"{share!r} {share!s}"
    assert "<secret>" in shown
    for form in (str, hex):
        assert form(share.reveal())[:12] not in shown
    for thief in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be pickled or copied"):
            thief(share)
    with pytest.raises(TypeError, match="unhashable"):
        hash(share)
    assert not hasattr(share, "__dict__")


def test_share_is_equal_to_itself_alone() -> None:
    first, second, _ = key_shares()
    again = KeyShare(first.key, 1, first.reveal())
    assert first == again
    assert first != second
    assert first != KeyShare(first.key, 1, first.reveal() + 1)
    assert first != first.to_bytes()


def test_key_is_shown_short() -> None:
    """An integer of 8192 bits cannot even be printed."""
    shown = repr(threshold_key(3))
    assert len(shown) < 200
    assert threshold_key(3).fingerprint.hex()[:16] in shown


@each
def test_key_round_trips(s: int, arithmetic: Arithmetic) -> None:
    key = threshold_key(s, 5, 3)
    data = key.to_bytes()
    assert len(data) == 24 + 5 + 2 * 256 + 6 * 256 * (s + 1)
    again = ThresholdKey.from_bytes(data, arithmetic=arithmetic)
    assert again == key
    assert hash(again) == hash(key)
    assert again.to_bytes() == data
    assert again.fingerprint == key.fingerprint
    assert again.public_key.arithmetic is arithmetic


def test_fingerprint_covers_every_part() -> None:
    key = replace(threshold_key(2), base=10, verification_base=4, verification_keys=(5, 7, 9))
    others = [
        replace(key, public_key=private_key(2).public_key),
        replace(key, base=key.base + 1),
        replace(key, threshold=3),
        replace(key, verification_base=key.verification_base + 1),
        replace(key, verification_keys=key.verification_keys[::-1]),
        replace(key, verification_keys=key.verification_keys[:2]),
        replace(key, public_key=threshold_key(1).public_key),
    ]
    assert len({key.fingerprint, *(other.fingerprint for other in others)}) == 8


def test_key_of_another_length_is_refused() -> None:
    """Every length up to the end of the head, around each number's end, and more."""
    data = threshold_key().to_bytes()
    ends = [29 + 256 * count for count in range(11)]
    for length in {*range(40), *(end + off for end in ends for off in (-1, 0, 1))} - {len(data)}:
        with pytest.raises(InvalidKey):
            ThresholdKey.from_bytes((data + data)[:length])


@pytest.mark.parametrize("position", range(29))
def test_flipped_bits_in_the_head_are_refused_or_make_another_key(position: int) -> None:
    """The threshold is the one part of the head that may be another number."""
    data, key = bytearray(threshold_key(2).to_bytes()), threshold_key(2)
    for bit in range(8):
        damaged = bytearray(data)
        damaged[position] ^= 1 << bit
        try:
            found = ThresholdKey.from_bytes(bytes(damaged))
        except InvalidKey:
            continue
        assert found == replace(key, threshold=3)
        assert (position, bit) == (25, 0)


def test_flipped_bits_in_the_numbers_never_make_the_same_key() -> None:
    """Somebody alters the key on the way to the members.

    An altered key must be refused, or must not be equal to the honest one.
    """
    key = threshold_key()
    data = key.to_bytes()
    for position in range(29, len(data), 173):
        damaged = bytearray(data)
        damaged[position] ^= 0x10
        try:
            found = ThresholdKey.from_bytes(bytes(damaged))
        except InvalidKey:
            continue
        assert found != key
        assert found.fingerprint != key.fingerprint


def test_length_of_n_is_canonical() -> None:
    """A leading zero byte, with all lengths made to fit."""
    data = threshold_key().to_bytes()
    padded = data[:27] + (257).to_bytes(2, "big") + bytes(1) + data[29:]
    with pytest.raises(InvalidKey, match="length of n"):
        ThresholdKey.from_bytes(padded)
    with pytest.raises(InvalidKey, match="length of n"):
        ThresholdKey.from_bytes(data[:27] + b"\xff\xff" + data[29:] * 40)


@pytest.mark.parametrize("bad", [0, 1, N - 1, N, N + 1, -1, SAFE_P, SAFE_Q * 3, True, None, 2.0])
def test_bad_base_is_refused(bad: Any) -> None:
    with pytest.raises(InvalidKey, match="a base: expected"):
        replace(threshold_key(), base=bad)


@pytest.mark.parametrize("bad", [0, N**2, N**2 + 1, -1, N, SAFE_P, SAFE_Q * 3, True, None, 2.0])
def test_bad_verification_key_is_refused(bad: Any) -> None:
    key = threshold_key()
    for changes in ({"verification_base": bad}, {"verification_keys": (*key.verification_keys[:2], bad)}):
        with pytest.raises(InvalidKey, match="verification keys"):
            replace(key, **changes)


def test_base_of_verification_is_not_1() -> None:
    with pytest.raises(InvalidKey, match="coprime to n but for 1 and n - 1"):
        replace(threshold_key(), verification_base=1)


def test_modulus_that_is_3_modulo_4_is_refused() -> None:
    prime = first_prime(2**1023 + 2**1022 + 1)
    with pytest.raises(InvalidKey, match="3 modulo 4"):
        replace(threshold_key(), public_key=PublicKey(SAFE_P * prime))


@each
def test_share_round_trips(s: int, arithmetic: Arithmetic) -> None:
    key = threshold_key(s, arithmetic=arithmetic)
    for share in key_shares(s):
        data = share.to_bytes()
        assert len(data) == 26 + 32 + 1 + 256 * (s + 1)
        again = KeyShare.from_bytes(data, key)
        assert again == share
        assert again.reveal() == share.reveal()
        assert again.index == share.index


def test_share_of_another_key_is_refused() -> None:
    """A member is given a share of another key. Reading it must fail (InvalidKey)."""
    mine, other = threshold_key(), threshold_key(1, 3, 3)
    for share, key in ((key_shares()[0], other), (key_shares(1, 3, 3)[0], mine), (key_shares(2)[0], mine)):
        with pytest.raises(InvalidKey, match="another"):
            KeyShare.from_bytes(share.to_bytes(), key)


def test_damaged_share_is_refused() -> None:
    """A share is altered on the way. It must not fit its verification key (InvalidKey)."""
    share = key_shares()[0]
    data = share.to_bytes()
    for position in (0, 25, 26, 57, 58, 59, 300, 314, len(data) - 1):
        damaged = bytearray(data)
        damaged[position] ^= 1
        with pytest.raises(InvalidKey):
            KeyShare.from_bytes(bytes(damaged), share.key)


@pytest.mark.parametrize("index", [0, 2, 3, 4, 255])
def test_share_under_another_index_is_refused(index: int) -> None:
    """A member is given another member's share under its own index.

    It must not fit its verification key (InvalidKey).
    """
    share = key_shares()[0]
    data = bytearray(share.to_bytes())
    data[58] = index
    with pytest.raises(InvalidKey, match=r"the one that fits the verification key|index: expected from 1 to 3"):
        KeyShare.from_bytes(bytes(data), share.key)


def test_share_plus_the_order_is_refused_by_its_range() -> None:
    """The same power of v, but above n^(s+1) if the order is added often enough."""
    share = key_shares()[0]
    order = N * HALF_ORDER
    with pytest.raises(InvalidKey, match="a key share: expected"):
        KeyShare(share.key, 1, share.reveal() + 5 * order)


@pytest.mark.parametrize("length", [0, 1, 26, 58, 59, 100])
def test_truncated_or_oversized_share_is_refused(length: int) -> None:
    share = key_shares()[0]
    data = share.to_bytes()
    for damaged in (data[:length], data + bytes(length + 1), data[: -length - 1]):
        with pytest.raises(InvalidKey, match="not a share"):
            KeyShare.from_bytes(damaged, share.key)


@pytest.mark.parametrize("value", [-1, N**2, True, None, 1.0])
def test_share_out_of_range_is_refused(value: Any) -> None:
    with pytest.raises(InvalidKey, match="a key share: expected"):
        KeyShare(threshold_key(), 1, value)


@pytest.mark.parametrize("index", [0, 4, -1, True, None])
def test_share_of_no_member_is_refused(index: Any) -> None:
    with pytest.raises(InvalidKey, match="index: expected"):
        KeyShare(threshold_key(), index, 5)


def test_errors_do_not_tell_the_share() -> None:
    share = key_shares()[0]
    wrong = KeyShare(share.key, 1, share.reveal() ^ 1)
    with pytest.raises(InvalidKey) as caught:
        KeyShare.from_bytes(wrong.to_bytes(), share.key)
    assert len(str(caught.value)) < 100
    assert str(share.reveal())[:12] not in str(caught.value)


def test_largest_committee_is_dealt() -> None:
    key, shares = deal(SAFE_P, SAFE_Q, members=64, threshold=64, entropy=stream("largest"))
    assert key.members == len(shares) == 64
    assert ThresholdKey.from_bytes(key.to_bytes(), arithmetic=PYTHON) == key


@pytest.mark.parametrize("where", ["verification_base", "verification_keys"])
@pytest.mark.parametrize("shape", ["1", "-1", "1 + n", "-1 + n"])
def test_key_whose_proofs_would_say_nothing_is_refused(where: str, shape: str) -> None:
    key = threshold_key()
    n = int(key.public_key.n)
    number = {"1": 1, "-1": int(key.public_key.modulus) - 1, "1 + n": 1 + n, "-1 + n": n - 1}[shape]
    change: Any = number if where == "verification_base" else (*key.verification_keys[:-1], number)
    with pytest.raises(InvalidKey, match="coprime to n but for 1 and n - 1"):
        replace(key, **{where: change})


def test_base_that_no_square_gives_is_refused() -> None:
    """Half of all numbers have the Jacobi symbol -1: among 50 of them some are refused."""
    key, refused = threshold_key(), 0
    for base in range(2, 52):
        with suppress(InvalidKey):
            replace(key, base=base)
            continue
        refused += 1
    assert 10 <= refused <= 40
