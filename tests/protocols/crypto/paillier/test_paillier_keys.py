"""Paillier: the scheme of the papers for s = 1, 2, 3, the same from both arithmetics, and bad input refused."""

import copy
import math
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.crypto.integers import PYTHON, Arithmetic, fastest, is_probable_prime
from protocols.crypto.paillier.private import InvalidCiphertext, InvalidKey, PrivateKey, PublicKey
from protocols.errors import InputError, ParameterError, ProtocolError
from tests.support.paillier_keys import ARITHMETICS, primes, private_key, stream

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


def test_both_arithmetics_are_tested() -> None:
    pytest.importorskip("gmpy2")
    assert [name for name, _ in ARITHMETICS] == ["gmpy2", "python"]


@both_with_every_s
def test_encryption_is_the_papers_formula(s: int, arithmetic: Arithmetic) -> None:
    """Computed as written, with plain exponentiations, for the last message and one in the middle."""
    p, q = primes()
    n, key = p * q, private_key(s, arithmetic)
    for m, r in ((n**s // 3, n - 2), (n**s - 1, n // 5)):
        expected = pow(1 + n, m, n ** (s + 1)) * pow(r, n**s, n ** (s + 1)) % n ** (s + 1)
        found = key.public_key.encrypt_raw(m, r=r)
        assert type(found) is int
        assert found == expected


@both_with_every_s
def test_decryption_gives_the_message(s: int, arithmetic: Arithmetic) -> None:
    key = private_key(s, arithmetic)
    n = int(key.public_key.n)
    messages = [0, 1, n - 1, n**s - n, n**s - 1, n**s // 7]
    unit = pow(3, n**s, n ** (s + 1))
    found = key.decrypt([unit * pow(1 + n, m, n ** (s + 1)) % n ** (s + 1) for m in messages])
    assert found == messages
    assert {type(message) for message in found} == {int}


@every_s
def test_decryption_reads_what_was_written_as_residues_of_any_unit(s: int) -> None:
    """A ciphertext that is a power of 1 + n alone, and one whose r is above n."""
    key = private_key(s)
    n = int(key.public_key.n)
    big = n ** (s + 1)
    for m, r in ((5, 1), (n**s - 1, big - 1)):
        assert key.decrypt_raw(pow(1 + n, m, big) * pow(r, n**s, big) % big) == m


@every_s
def test_products_decrypt_to_sums(s: int) -> None:
    key = private_key(s)
    public = key.public_key
    one, other = [3, public.message_modulus - 1], [4, 5]
    left = [public.encrypt_raw(int(m)) for m in one]
    right = [public.encrypt_raw(int(m)) for m in other]
    assert key.decrypt(public.add(left, right)) == [7, 4]
    with pytest.raises(ValueError, match="shorter"):
        public.add(left, right[:1])


@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_any_messages_add_up(data: st.DataObject) -> None:
    key = private_key(2)
    limit = int(key.public_key.message_modulus)
    one, other = (data.draw(st.integers(0, limit - 1)) for _ in range(2))
    total = key.public_key.add([key.public_key.encrypt_raw(one)], [key.public_key.encrypt_raw(other)])
    assert key.decrypt(total) == [(one + other) % limit]


def test_encryption_is_randomised() -> None:
    public = private_key().public_key
    assert len({public.encrypt_raw(7) for _ in range(4)}) == 4


def test_generated_key_has_what_the_papers_ask_for() -> None:
    key = PrivateKey.generate(2048, 2, allow_only_112_bits_of_security=True, entropy=stream("generate"))
    p, q = key.reveal_primes()
    assert math.gcd(p - 1, q - 1) == 2
    assert p.bit_length() == q.bit_length() == 1024
    assert (p * q).bit_length() == 2048
    assert abs(p - q) > 2 ** (1024 - 100)
    primes_and_halves = (p, q, p // 2, q // 2)
    assert all(is_probable_prime(one, entropy=stream("check"), arithmetic=fastest()) for one in primes_and_halves)
    assert key.suits_fixed_bases
    assert key.decrypt_raw(key.public_key.encrypt_raw(11)) == 11


@pytest.mark.parametrize(
    "bits", [0, -2, 1024, 2046, 2048, 3070, 3073, 8194, pytest.param(2**20_000, id="huge"), True, 3072.0, "3072"]
)
def test_key_of_a_wrong_size_is_not_generated(bits: Any) -> None:
    with pytest.raises(InvalidKey, match="from 3072 to 8192"):
        PrivateKey.generate(bits)


@pytest.mark.parametrize("bits", [1024, 2046, 2049])
def test_allowing_112_bits_of_security_allows_no_less(bits: int) -> None:
    with pytest.raises(InvalidKey, match="from 2048 to 8192"):
        PrivateKey.generate(bits, allow_only_112_bits_of_security=True)


@pytest.mark.parametrize("s", [0, 4, -1, pytest.param(2**20_000, id="huge"), True, 1.0, None])
def test_s_out_of_range_is_refused(s: Any) -> None:
    for make in (
        lambda: PublicKey(math.prod(primes()), s),
        lambda: PrivateKey.from_primes(*primes(), s),
        lambda: PrivateKey.generate(3072, s),
    ):
        with pytest.raises(InvalidKey, match="from 1 to 3"):
            make()


def next_prime(number: int) -> int:
    number |= 1
    while not is_probable_prime(number, entropy=stream("next"), arithmetic=PYTHON):
        number += 2
    return number


P, Q = primes()
BAD_PRIMES: dict[str, Callable[[], tuple[Any, Any]]] = {
    "equal": lambda: (P, P),
    "close": lambda: (P, next_prime(P + 2**600)),
    "even": lambda: (P, Q + 1),
    "small": lambda: (P, 1_000_003),
    "tiny": lambda: (3, Q),
    "composite": lambda: (P, Q - 2**40),
    "square": lambda: (P, math.isqrt(Q) ** 2),
    "product of primes": lambda: (P, next_prime(2**511 + 2**500) * next_prime(2**512 + 2**499)),
    "short": lambda: (next_prime(2**511), next_prime(2**511 + 2**500)),
    "64 bits": lambda: (4_294_967_291, 4_294_967_279),
    "unbalanced": lambda: (next_prime(2**900 + 3), next_prime(2**1160)),
    "long": lambda: (2**5000 + 1, 2**5001 + 1),
    "endless": lambda: (2**100_000 + 1, Q),
    "zero": lambda: (P, 0),
    "one": lambda: (1, Q),
    "negative": lambda: (-P, -Q),
    "float": lambda: (P, 7.0),
    "truth": lambda: (True, Q),
    "text": lambda: (P, str(Q)),
    "missing": lambda: (P, None),
}


@pytest.mark.parametrize("fault", list(BAD_PRIMES))
def test_bad_primes_are_refused(fault: str) -> None:
    with pytest.raises(InvalidKey) as caught:
        PrivateKey.from_primes(*BAD_PRIMES[fault]())
    assert isinstance(caught.value, ParameterError)
    assert str(P) not in str(caught.value)


def test_primes_that_divide_each_others_order_are_refused() -> None:
    """With p = 1 modulo q, 1 + n has no order coprime to the rest, and messages would not be unique."""
    factor = 2
    while not is_probable_prime(factor * Q + 1, entropy=stream("chain"), arithmetic=PYTHON):
        factor += 2
    with pytest.raises(InvalidKey, match="no common factor"):
        PrivateKey.from_primes(factor * Q + 1, Q)


@pytest.mark.parametrize("remainder", [1, 3])
def test_primes_that_are_not_safe_decrypt_but_are_told_apart(remainder: int) -> None:
    p = next_prime(Q + 2**1000)
    while p % 4 != remainder:
        p = next_prime(p + 2**1000)
    key = PrivateKey.from_primes(p, P)
    assert not key.suits_fixed_bases
    assert private_key().suits_fixed_bases
    assert key.decrypt_raw(key.public_key.encrypt_raw(99)) == 99


BAD_MODULI: dict[str, Callable[[], Any]] = {
    "even": lambda: P * Q + 1,
    "small factor": lambda: 4093 * P * Q,
    "prime": lambda: next_prime(2**2047 + 2**2000),
    "square": lambda: P * P,
    "short": lambda: P,
    "long": lambda: (P * Q) ** 5,
    "negative": lambda: -P * Q,
    "zero": lambda: 0,
    "truth": lambda: True,
    "float": lambda: 3.0,
}


@pytest.mark.parametrize("fault", list(BAD_MODULI))
def test_bad_public_keys_are_refused(fault: str) -> None:
    with pytest.raises(InvalidKey):
        PublicKey(BAD_MODULI[fault]())


@every_s
@pytest.mark.parametrize("fault", ["0", "p", "q", "n", "n^2", "n^s", "n^(s+1)", "above", "negative", "multiple of p"])
def test_bad_ciphertexts_are_refused_and_pointed_at(s: int, fault: str) -> None:
    key = private_key(s)
    public, n = key.public_key, P * Q
    bad = {
        "0": 0,
        "p": P,
        "q": Q,
        "n": n,
        "n^2": n**2,
        "n^s": n**s,
        "n^(s+1)": n ** (s + 1),
        "above": n ** (s + 1) + 1,
        "negative": -1,
        "multiple of p": 12 * P,
    }[fault]
    good = [public.encrypt_raw(5), 1, n ** (s + 1) - 1]
    public.check(good)
    for position in range(4):
        with pytest.raises(InvalidCiphertext) as caught:
            public.check([*good[:position], bad, *good[position:]])
        assert caught.value.index == position
    assert isinstance(caught.value, ProtocolError)
    with pytest.raises(InvalidCiphertext):
        key.decrypt_raw(bad)
    with pytest.raises(InvalidCiphertext):
        key.decrypt([*good, bad])


def test_two_bad_ciphertexts_do_not_hide_each_other() -> None:
    """p * q = 0 modulo n, and an inverse pair's product is 1: neither makes the product coprime."""
    public = private_key().public_key
    for pair in ([P, Q], [Q, P], [P, pow(P, -1, Q)]):
        with pytest.raises(InvalidCiphertext) as caught:
            public.check(pair)
        assert caught.value.index == 0


@pytest.mark.parametrize("bad", [pytest.param(2**20_000, id="huge"), True, 1.0, "1", None, b"\x01"])
def test_ciphertexts_and_messages_of_other_types_are_refused(bad: Any) -> None:
    public = private_key().public_key
    with pytest.raises(InvalidCiphertext):
        public.check([bad])
    with pytest.raises(InputError):
        public.encrypt_raw(bad)


@every_s
def test_messages_and_randomness_out_of_range_are_refused(s: int) -> None:
    public = private_key(s).public_key
    for message in (-1, int(public.message_modulus)):
        with pytest.raises(InputError, match="a message: expected"):
            public.encrypt_raw(message)
    r: Any
    for r in (0, -1, P, 2 * Q, P * Q, P * Q + 1, True, 1.5):
        with pytest.raises(InputError, match="coprime to n"):
            public.encrypt_raw(1, r=r)


@every_s
def test_ciphertexts_survive_the_wire(s: int) -> None:
    public = private_key(s).public_key
    sent = [public.encrypt_raw(m) for m in (0, 1)] + [1]
    data = public.to_bytes(sent)
    assert len(data) == 3 * public.ciphertext_bytes == 3 * 256 * (s + 1)
    assert public.from_bytes(data, 3) == sent
    assert public.from_bytes(memoryview(data), 3) == sent
    assert public.from_bytes(b"", 0) == []
    for damaged in (data[:-1], data + b"\x00", b"", bytes(len(data)), b"\xff" * len(data)):
        with pytest.raises(InvalidCiphertext):
            public.from_bytes(damaged, 3)


def test_entropy_that_runs_short_is_refused() -> None:
    with pytest.raises(ValueError, match="bytes of entropy"):
        private_key().public_key.encrypt_raw(1, entropy=lambda size: bytes(size - 1))


def test_private_key_keeps_its_secret() -> None:
    key = private_key(2)
    shown = f"{key!r} {key} {key.public_key!r}"
    assert "<secret>" in shown
    assert all(str(secret) not in shown and f"{secret:x}" not in shown for secret in primes())
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be pickled or copied"):
            leak(key)
    with pytest.raises(TypeError, match="unhashable"):
        hash(key)
    assert not hasattr(key, "__dict__")


def test_public_keys_are_told_apart() -> None:
    one, same = private_key(1).public_key, PublicKey(P * Q, arithmetic=PYTHON)
    other = private_key(2).public_key
    assert one == same
    assert hash(one) == hash(same)
    assert one.fingerprint == same.fingerprint
    assert one != other
    assert one.fingerprint != other.fingerprint
    assert len(one.fingerprint) == 32
