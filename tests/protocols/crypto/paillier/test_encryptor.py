"""Encryption from a table: the formula of the paper for the base it drew, fresh exponents, and re-randomisation."""

import math
from typing import Any

import pytest

from protocols.crypto.integers import PYTHON, Arithmetic, is_probable_prime
from protocols.crypto.paillier.ciphertext_pairs import join
from protocols.crypto.paillier.encryptor import Encryptor, Exponents, check_base
from protocols.crypto.paillier.private import InvalidCiphertext, InvalidKey, PrivateKey
from protocols.errors import InputError, ParameterError
from tests.support.paillier_keys import ARITHMETICS, encryptor, primes, private_key, stream

both = pytest.mark.parametrize("arithmetic", [pytest.param(value, id=name) for name, value in ARITHMETICS])
every_s = pytest.mark.parametrize("s", [1, 2, 3])
both_with_every_s = pytest.mark.parametrize(
    ("s", "arithmetic"),
    [
        pytest.param(s, value, id=f"{name}-{s}", marks=[pytest.mark.long] if s == 3 else [])
        for name, value in ARITHMETICS
        for s in (1, 2, 3)
    ],
)


def odd(size: int) -> bytes:
    """An exponent that shows the sign of the base."""
    return bytes([1]) + stream("exponent")(size - 1)


@both_with_every_s
def test_ciphertext_is_the_papers_formula(s: int, arithmetic: Arithmetic) -> None:
    """With the x and the r that it draws: h = -x^2, h_s = h^(n^s), c = (1+n)^m * h_s^r, by plain exponentiations."""
    p, q = primes()
    n, draw = p * q, stream("table")
    x = int.from_bytes(draw(-(-(2048 + 128) // 8)), "little") % n
    r = int.from_bytes(odd(64), "little")
    base = pow(-x * x % n, n**s, n ** (s + 1))
    power = pow(base, r, n ** (s + 1))
    for message in (0, n**s - 1):
        expected = pow(1 + n, message, n ** (s + 1)) * power % n ** (s + 1)
        found = encryptor(s, Exponents.SHORT, arithmetic).encrypt([message], entropy=odd)
        assert type(found[0]) is int
        assert found == [expected]


@pytest.mark.parametrize("window_bits", [1, 2, 5, 7])
def test_window_width_changes_no_ciphertext(window_bits: int) -> None:
    key = private_key(1).public_key
    other = Encryptor(key, window_bits=window_bits, entropy=stream("table"))
    expected = encryptor(1).encrypt([3, 4], entropy=stream("exponent"))
    assert other.encrypt([3, 4], entropy=stream("exponent")) == expected


@pytest.mark.parametrize("fill", [b"\x00", b"\xff"])
def test_extreme_exponents_decrypt(fill: bytes) -> None:
    made = encryptor(2).encrypt([12], entropy=lambda size: fill * size)
    assert private_key(2).decrypt(made) == [12]


@every_s
@pytest.mark.parametrize("exponents", list(Exponents))
def test_messages_come_back(s: int, exponents: Exponents) -> None:
    key = private_key(s)
    last = int(key.public_key.message_modulus) - 1
    messages = [0, 1, last, last // 3, 2**2000 + 1]
    made = encryptor(s, exponents).encrypt(messages)
    key.public_key.check(made)
    assert key.decrypt(made) == messages


def test_exponents_are_as_long_as_their_names_say() -> None:
    drawn = []

    def watched(size: int) -> bytes:
        drawn.append(size)
        return bytes(size)

    encryptor(1).encrypt([1, 2], entropy=watched)
    encryptor(1, Exponents.STRICT).encrypt([1], entropy=watched)
    assert drawn == [64, 64, 128]
    assert encryptor(1).exponent_bits == 512
    assert encryptor(1, Exponents.STRICT).exponent_bits == 1024


def test_default_exponents_are_short() -> None:
    assert Encryptor(private_key().public_key, window_bits=1).exponent_bits == 512


def test_each_message_has_its_own_exponent() -> None:
    assert len(set(encryptor(1).encrypt([7] * 20))) == 20


def test_base_is_drawn_for_each_encryptor() -> None:
    key = private_key().public_key
    one, other = (Encryptor(key, window_bits=1).encrypt([1], entropy=stream("same")) for _ in range(2))
    assert one != other


@pytest.mark.parametrize("message", [-1, None, True, 1.0, "1"])
def test_bad_message_stops_the_batch(message: Any) -> None:
    calls: list[int] = []

    def watched(size: int) -> bytes:
        calls.append(size)
        return bytes(size)

    with pytest.raises(InputError, match="a message: expected"):
        encryptor(1).encrypt([1, message], entropy=watched)
    assert not calls
    with pytest.raises(InputError, match="a message: expected"):
        encryptor(1).encrypt([int(private_key().public_key.message_modulus)])


@every_s
def test_rerandomised_sums_keep_their_messages_and_nothing_else(s: int) -> None:
    key = private_key(s)
    sums = key.public_key.add(encryptor(s).encrypt([1, 2]), encryptor(s).encrypt([10, 20]))
    fresh = encryptor(s).rerandomise(sums)
    assert key.decrypt(fresh) == [11, 22]
    assert not set(fresh) & set(sums)
    assert encryptor(s).rerandomise(sums) != fresh
    # The factor is a fresh encryption of 0, and so does not depend on the sum.
    n = int(key.public_key.n)
    drawn = encryptor(s).encrypt([0], entropy=stream("fresh"))[0]
    assert encryptor(s).rerandomise(sums[:1], entropy=stream("fresh")) == [sums[0] * drawn % n ** (s + 1)]


@pytest.mark.parametrize("bad", [0, -1, "p"])
def test_bad_ciphertext_is_not_rerandomised(bad: Any) -> None:
    value = primes()[0] if bad == "p" else bad
    with pytest.raises(InvalidCiphertext):
        encryptor(1).rerandomise([1, value])


@pytest.mark.parametrize("window_bits", [0, 11, pytest.param(2**20_000, id="huge"), -1, True, 4.0])
def test_window_out_of_range_is_refused(window_bits: Any) -> None:
    with pytest.raises(ParameterError, match="from 1 to 10"):
        Encryptor(private_key().public_key, window_bits=window_bits)


def test_key_whose_primes_are_not_both_three_modulo_four_is_refused() -> None:
    p, q = primes()
    other = q + 2**1000
    while other % 4 != 1 or not is_probable_prime(other, entropy=stream("other"), arithmetic=PYTHON):
        other += 2
    with pytest.raises(InvalidKey, match="3 modulo 4"):
        Encryptor(PrivateKey.from_primes(p, other).public_key)


def test_residues_lie_in_the_group_of_the_base() -> None:
    """Every ciphertext's part modulo n has Jacobi symbol 1, as powers of -x^2 have where n is 1 modulo 4."""
    p, q = primes()
    for made in encryptor(1).encrypt([5] * 8):
        signs = {1 if pow(made, (prime - 1) // 2, prime) == 1 else -1 for prime in (p, q)}
        assert len(signs) == 1
    assert math.gcd(p - 1, q - 1) == 2


@both_with_every_s
def test_given_base_is_what_is_raised(s: int, arithmetic: Arithmetic) -> None:
    """No entropy is drawn for it, and it is no secret."""
    key = private_key(s, arithmetic).public_key
    base = int(-5 * 5 % key.n)

    def nothing(size: int) -> bytes:
        raise AssertionError(f"{size} bytes drawn")

    made = Encryptor(key, window_bits=1, base=base, entropy=nothing)
    assert made.base == base
    n, r = int(key.n), int.from_bytes(odd(64), "little")
    power = pow(arithmetic.integer(base), key.message_modulus * r, key.modulus)
    expected = [int(pow(1 + n, 3, key.modulus) * power % key.modulus)]
    assert made.encrypt([3], entropy=odd) == expected
    assert [join(key, *pair) for pair in made.encrypt_pairs_with([3], [r])] == expected
    assert join(key, *made.residue(r)) == power


def test_drawn_base_serves_another_encryptor() -> None:
    first = encryptor(1)
    assert type(first.base) is int
    second = Encryptor(private_key(1).public_key, window_bits=1, base=first.base)
    assert second.encrypt([5], entropy=stream("same")) == first.encrypt([5], entropy=stream("same"))


@pytest.mark.parametrize("base", [0, 1, -1, True, 2.0, "n - 1", "n", "n + 2", "p", "jacobi"])
@both
def test_what_is_no_base_is_refused(base: Any, arithmetic: Arithmetic) -> None:
    p, q = primes()
    n = p * q
    legendre = {prime: 1 if pow(2, (prime - 1) // 2, prime) == 1 else -1 for prime in (p, q)}
    other = 2 if legendre[p] != legendre[q] else 3
    while pow(other, (p - 1) // 2, p) == 1 or pow(other, (q - 1) // 2, q) != 1:
        other += 1
    found = {"n - 1": n - 1, "n": n, "n + 2": n + 2, "p": p, "jacobi": other}.get(base, base)
    with pytest.raises(InvalidKey, match="Jacobi" if base == "jacobi" else "coprime to n"):
        Encryptor(private_key(1, arithmetic).public_key, window_bits=1, base=found)


@both
def test_bases_of_jacobi_symbol_one_are_taken(arithmetic: Arithmetic) -> None:
    p, q = primes()
    key = private_key(1, arithmetic).public_key
    draw, taken = stream("bases"), []
    drawn = [int.from_bytes(draw(255), "little") for _ in range(64)]
    for base in drawn:
        try:
            check_base(key, base)
            taken.append(base)
        except InvalidKey:
            pass
    assert taken == [base for base in drawn if (pow(base, (p - 1) // 2, p) == 1) == (pow(base, (q - 1) // 2, q) == 1)]
    assert 16 < len(taken) < 48


def test_pairs_for_given_exponents_are_refused_alike() -> None:
    with pytest.raises(InputError, match="a message: expected"):
        encryptor(1).encrypt_pairs_with([1, -1], [5, 6])
    with pytest.raises(ValueError, match="shorter"):
        encryptor(1).encrypt_pairs_with([1, 2], [5])


def test_encryptor_shows_no_more_than_the_key() -> None:
    assert repr(encryptor(1)) == f"Encryptor({private_key().public_key!r}, exponent_bits=512)"
