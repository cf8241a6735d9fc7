"""Exchange with phe, which is the oracle: keys and ciphertexts of s = 1, in both directions."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from protocols.crypto.paillier import phe_exchange as exchange
from protocols.crypto.paillier.encryptor import Exponents
from protocols.crypto.paillier.private import InvalidCiphertext, InvalidKey
from tests.support.paillier_keys import encryptor, primes, private_key

phe: Any = pytest.importorskip("phe")


def test_raw_encryption_is_that_of_phe() -> None:
    public = private_key().public_key
    theirs = exchange.public_key_to_phe(public)
    n = int(public.n)
    for m, r in ((0, 1), (1, 2), (n - 1, n - 2), (n // 3, n // 7)):
        assert public.encrypt_raw(m, r=r) == theirs.raw_encrypt(m, r_value=r)


@pytest.mark.parametrize("message", [0, 1, -1, 2**64, -(2**300)])
@pytest.mark.parametrize("exponents", list(Exponents))
def test_ciphertexts_are_read_by_phe(message: int, exponents: Exponents) -> None:
    key = private_key()
    made = encryptor(1, exponents).encrypt([message % int(key.public_key.n)])
    number = exchange.ciphertext_to_phe(made[0], key.public_key)
    assert exchange.private_key_to_phe(key).decrypt(number) == message
    assert exchange.private_key_to_phe(key).decrypt(number + 5) == message + 5


@pytest.mark.parametrize("message", [0, 1, -1, 2**64, -(2**300)])
def test_ciphertexts_of_phe_are_read(message: int) -> None:
    key = private_key()
    number = exchange.public_key_to_phe(key.public_key).encrypt(message)
    read = exchange.ciphertext_from_phe(number, key.public_key)
    assert key.decrypt_raw(read) == message % int(key.public_key.n)
    assert read == number.ciphertext()


def test_sums_of_phe_are_rerandomised_before_they_are_taken() -> None:
    key = private_key()
    number = exchange.public_key_to_phe(key.public_key).encrypt(4) + 3
    bare = number.ciphertext(be_secure=False)
    read = exchange.ciphertext_from_phe(number, key.public_key)
    assert read != bare
    assert key.decrypt_raw(read) == 7


def test_keys_travel_both_ways() -> None:
    key = private_key()
    theirs = exchange.private_key_to_phe(key)
    back = exchange.private_key_from_phe(theirs)
    assert set(back.reveal_primes()) == set(primes())
    assert back.public_key == key.public_key == exchange.public_key_from_phe(theirs.public_key)


def test_key_that_phe_generated_is_read() -> None:
    public, private = phe.generate_paillier_keypair(n_length=2048)
    key = exchange.private_key_from_phe(private)
    assert key.public_key == exchange.public_key_from_phe(public)
    assert key.decrypt_raw(public.encrypt(77).ciphertext()) == 77
    assert set(key.reveal_primes()) == {private.p, private.q}


def test_small_keys_of_phe_are_refused() -> None:
    public, private = phe.generate_paillier_keypair(n_length=1024)
    with pytest.raises(InvalidKey, match="2048"):
        exchange.public_key_from_phe(public)
    with pytest.raises(InvalidKey, match="2048"):
        exchange.private_key_from_phe(private)


def test_numbers_with_an_exponent_are_refused() -> None:
    public = private_key().public_key
    theirs = exchange.public_key_to_phe(public)
    for exponent in (-1_000_000_000, -32, 1):
        number = phe.EncryptedNumber(theirs, public.encrypt_raw(3), exponent)
        with pytest.raises(InvalidCiphertext, match="exponent"):
            exchange.ciphertext_from_phe(number, public)
    with pytest.raises(InvalidCiphertext, match="exponent"):
        exchange.ciphertext_from_phe(theirs.encrypt(1.5), public)


def test_bad_numbers_are_refused() -> None:
    public = private_key().public_key
    theirs = exchange.public_key_to_phe(public)
    n = int(public.n)
    for value in (0, -1, n, n**2, primes()[0]):
        with pytest.raises(InvalidCiphertext):
            exchange.ciphertext_from_phe(phe.EncryptedNumber(theirs, value, 0), public)
        with pytest.raises(InvalidCiphertext):
            exchange.ciphertext_to_phe(value, public)
    stranger = phe.PaillierPublicKey(n + 2).encrypt(1)
    with pytest.raises(InvalidCiphertext, match="another key"):
        exchange.ciphertext_from_phe(stranger, public)
    for other in (None, 7, "1"):
        with pytest.raises(InvalidCiphertext, match="EncryptedNumber"):
            exchange.ciphertext_from_phe(other, public)
        with pytest.raises(InvalidKey, match="PaillierPublicKey"):
            exchange.public_key_from_phe(other)
        with pytest.raises(InvalidKey, match="PaillierPrivateKey"):
            exchange.private_key_from_phe(other)


def test_other_s_is_refused() -> None:
    key = private_key(2)
    number = exchange.public_key_to_phe(private_key().public_key).encrypt(1)
    for attempt in (
        lambda: exchange.public_key_to_phe(key.public_key),
        lambda: exchange.private_key_to_phe(key),
        lambda: exchange.ciphertext_to_phe(1, key.public_key),
        lambda: exchange.ciphertext_from_phe(number, key.public_key),
    ):
        with pytest.raises(InvalidKey, match="expected s = 1, the only one"):
            attempt()


def test_missing_phe_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "phe", None)
    with pytest.raises(exchange.MissingExtra, match=r'in a clone of secagg, by: pip install "\.\[phe\]"'):
        exchange.public_key_to_phe(private_key().public_key)


def test_phe_is_imported_by_one_module_which_no_other_imports() -> None:
    """Its license is to bind nobody who does not ask for the exchange."""
    root, importing = (
        Path(__file__).parents[4],
        re.compile(r"^\s*(?:import|from)\s.*\bphe(?:_exchange)?\b", re.MULTILINE),
    )
    sources = [path for package in ("dp", "protocols", "secagg") for path in (root / package).rglob("*.py")]
    found = [path.name for path in sources if importing.search(path.read_text(encoding="utf-8"))]
    assert found == ["phe_exchange.py"]
