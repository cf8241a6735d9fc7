"""Ciphertexts as pairs: the same ciphertexts, the same sums, and bad pairs refused."""

from typing import Any

import pytest

from protocols.crypto.integers import Arithmetic
from protocols.crypto.paillier.ciphertext_pairs import Pair, Total, from_bytes, join, split, to_bytes
from protocols.crypto.paillier.encryptor import Exponents
from protocols.crypto.paillier.private import InvalidCiphertext
from protocols.errors import InputError
from tests.support.paillier_keys import ARITHMETICS, encryptor, primes, private_key, stream

both = pytest.mark.parametrize("arithmetic", [pytest.param(value, id=name) for name, value in ARITHMETICS])
every_s = pytest.mark.parametrize("s", [1, 2, 3])


@every_s
@both
def test_pairs_stand_for_their_ciphertexts(s: int, arithmetic: Arithmetic) -> None:
    key = private_key(s, arithmetic).public_key
    n = int(key.n)
    units = [1, n + 1, n ** (s + 1) - 1, 2**5000 % n ** (s + 1), 3, pow(n + 1, n**s - 1, n ** (s + 1))]
    pairs = split(key, units)
    assert [join(key, *pair) for pair in pairs] == units
    assert [pair.residue for pair in pairs] == [unit % n for unit in units]
    assert all(0 <= pair.logarithm < n**s for pair in pairs)
    assert pairs[0] == (1, 0)
    assert split(key, []) == []


@every_s
def test_encryptor_makes_the_same_ciphertexts_as_pairs(s: int) -> None:
    key = private_key(s).public_key
    messages = [0, 1, int(key.message_modulus) - 1]
    usual = encryptor(s).encrypt(messages, entropy=stream("pairs"))
    pairs = encryptor(s).encrypt_pairs(messages, entropy=stream("pairs"))
    assert pairs == split(key, usual)
    assert [join(key, *pair) for pair in pairs] == usual


@every_s
@both
def test_total_is_the_product_of_the_ciphertexts(s: int, arithmetic: Arithmetic) -> None:
    key = private_key(s, arithmetic)
    last = int(key.public_key.message_modulus) - 1
    vectors = [
        encryptor(s, Exponents.SHORT, arithmetic).encrypt_pairs([message, last, message]) for message in (3, 4, 5)
    ]
    total = Total(key.public_key, 3)
    expected = [1, 1, 1]
    for vector in vectors:
        total.add(from_bytes(key.public_key, to_bytes(key.public_key, vector), 3))
        expected = key.public_key.add(expected, [join(key.public_key, *pair) for pair in vector])
    found = total.ciphertexts()
    assert {type(one) for one in found} == {int}
    assert found == expected
    key.public_key.check(found)
    assert key.decrypt(found) == [12, last - 2, 12]


def test_empty_total_encrypts_zeros() -> None:
    key = private_key(2)
    assert key.decrypt(Total(key.public_key, 2).ciphertexts()) == [0, 0]
    assert Total(key.public_key, 0).ciphertexts() == []


def test_vector_of_another_length_is_not_added() -> None:
    key = private_key(1)
    total = Total(key.public_key, 2)
    for count in (0, 1, 3):
        with pytest.raises(ValueError, match="expected 2 ciphertexts"):
            total.add(encryptor(1).encrypt_pairs([9] * count))
    assert key.decrypt(total.ciphertexts()) == [0, 0]


@every_s
def test_pairs_are_as_long_on_the_wire_as_ciphertexts(s: int) -> None:
    key = private_key(s).public_key
    pairs = encryptor(s).encrypt_pairs([1, 2])
    data = to_bytes(key, pairs)
    assert len(data) == 2 * key.ciphertext_bytes
    assert from_bytes(key, data, 2) == pairs
    assert from_bytes(key, memoryview(data), 2) == pairs
    assert from_bytes(key, b"", 0) == []


@every_s
@pytest.mark.parametrize("fault", ["zero", "p", "multiple of q", "n", "above n", "n^s", "above n^s"])
def test_bad_pairs_are_refused_and_pointed_at(s: int, fault: str) -> None:
    """A client sends one number among its ciphertexts that is none.

    Reading must refuse it and say which (InvalidCiphertext).
    """
    key = private_key(s).public_key
    p, q = primes()
    n = p * q
    bad = {
        "zero": Pair(0, 5),
        "p": Pair(p, 5),
        "multiple of q": Pair(q * 7, 0),
        "n": Pair(n, 5),
        "above n": Pair(n + 1, 5),
        "n^s": Pair(1, n**s),
        "above n^s": Pair(1, n**s + 1),
    }[fault]
    good = [Pair(1, 0), Pair(n - 1, n**s - 1), *encryptor(s).encrypt_pairs([4])]
    assert from_bytes(key, to_bytes(key, good), 3) == good
    for position in range(4):
        with pytest.raises(InvalidCiphertext) as caught:
            from_bytes(key, to_bytes(key, [*good[:position], bad, *good[position:]]), 4)
        assert caught.value.index == position


def test_two_bad_pairs_do_not_hide_each_other() -> None:
    """A client sends two numbers whose factors in common with n cancel in a product.

    Reading must find the first (InvalidCiphertext).
    """
    key = private_key(1).public_key
    p, q = primes()
    with pytest.raises(InvalidCiphertext) as caught:
        from_bytes(key, to_bytes(key, [Pair(p, 0), Pair(pow(p, -1, q), 0)]), 2)
    assert caught.value.index == 0


@pytest.mark.parametrize("count", [0, 1, 3, 2**40])
def test_wrong_lengths_are_refused(count: int) -> None:
    key = private_key(1).public_key
    data = to_bytes(key, encryptor(1).encrypt_pairs([1, 2]))
    with pytest.raises(InvalidCiphertext, match=r"expected \d+ bytes"):
        from_bytes(key, data, count)
    for damaged in (data[:-1], data + b"\x00", b""):
        with pytest.raises(InvalidCiphertext, match=r"expected \d+ bytes"):
            from_bytes(key, damaged, 2)


@pytest.mark.parametrize("message", [-1, None, True])
def test_bad_message_makes_no_pair(message: Any) -> None:
    with pytest.raises(InputError, match="a message: expected"):
        encryptor(1).encrypt_pairs([1, message])
