"""For users of phe (python-paillier): its keys and ciphertexts to and from those of this package, for s = 1.

No other module of this package calls this one, and no other module imports phe. phe is published under the GNU General
Public License, version 3, and only the extra `phe` installs it. Anyone who distributes a program that uses this module
together with phe does so under the terms of that license.

phe's numbers have an exponent, which is sent unencrypted and reveals how large the encrypted value is. So only the
exponent 0, that of integers, is accepted. phe encodes integers of a magnitude below n / 3, and a negative m as n + m.
"""

from typing import Any

from protocols.crypto.integers import shown
from protocols.crypto.paillier.private import InvalidCiphertext, InvalidKey, PrivateKey, PublicKey
from protocols.errors import ParameterError


class MissingExtra(ParameterError, ImportError):
    """A library that an extra provides is not installed."""


def public_key_to_phe(key: PublicKey) -> Any:
    """Return the `phe.PaillierPublicKey` of a key with s = 1.

    Raises:
        InvalidKey: The key has another s.
        MissingExtra: phe is not installed.
    """
    if key.s != 1:
        raise InvalidKey(f"key: expected s = 1, the only one that phe supports, found s = {key.s}")
    return _phe().PaillierPublicKey(int(key.n))


def public_key_from_phe(key: Any) -> PublicKey:
    """Return the key of a `phe.PaillierPublicKey`.

    Raises:
        InvalidKey: The object is not a `phe.PaillierPublicKey`, or `PublicKey` refuses it; phe itself makes keys of any
            size.
        MissingExtra: phe is not installed.
    """
    if not isinstance(key, _phe().PaillierPublicKey):
        raise InvalidKey(f"expected a phe.PaillierPublicKey, found {type(key).__name__}")
    return PublicKey(key.n)


def private_key_to_phe(key: PrivateKey) -> Any:
    """Return the `phe.PaillierPrivateKey` of a key with s = 1; phe does not protect it from being printed or pickled.

    Raises:
        InvalidKey: The key has another s.
        MissingExtra: phe is not installed.
    """
    return _phe().PaillierPrivateKey(public_key_to_phe(key.public_key), *key.reveal_primes())


def private_key_from_phe(key: Any) -> PrivateKey:
    """Return the key of a `phe.PaillierPrivateKey`.

    Its primes need not be safe primes. Check `PrivateKey.suits_fixed_bases` before you make an `Encryptor` for it.

    Raises:
        InvalidKey: The object is not a `phe.PaillierPrivateKey`, or `PrivateKey.from_primes` refuses it.
        MissingExtra: phe is not installed.
    """
    if not isinstance(key, _phe().PaillierPrivateKey):
        raise InvalidKey(f"expected a phe.PaillierPrivateKey, found {type(key).__name__}")
    return PrivateKey.from_primes(int(key.p), int(key.q))


def ciphertext_to_phe(ciphertext: int, key: PublicKey) -> Any:
    """Return the `phe.EncryptedNumber` of a ciphertext, with exponent 0; phe re-randomises it when it is first read.

    Raises:
        InvalidCiphertext: The number is not a ciphertext of this key.
        InvalidKey: The key has another s.
        MissingExtra: phe is not installed.
    """
    key.check([ciphertext])
    return _phe().EncryptedNumber(public_key_to_phe(key), ciphertext, 0)


def ciphertext_from_phe(number: Any, key: PublicKey) -> int:
    """Return the ciphertext of a `phe.EncryptedNumber`, after checking it; phe re-randomises it unless it already did.

    Raises:
        InvalidCiphertext: The object is not a `phe.EncryptedNumber`, belongs to another key, has an exponent other than
            0, or is out of range.
        InvalidKey: The key has another s.
        MissingExtra: phe is not installed.
    """
    if not isinstance(number, _phe().EncryptedNumber):
        raise InvalidCiphertext(f"expected a phe.EncryptedNumber, found {type(number).__name__}")
    if key.s != 1:
        raise InvalidKey(f"key: expected s = 1, the only one that phe supports, found s = {key.s}")
    if number.public_key.n != key.n:
        raise InvalidCiphertext("number: expected a phe.EncryptedNumber under this key, found one under another key")
    if number.exponent != 0:
        raise InvalidCiphertext(f"number: expected exponent 0, that of integers, found {shown(number.exponent)}")
    key.check([number.ciphertext(be_secure=False)])
    return int(number.ciphertext())


def _phe() -> Any:
    try:
        import phe  # type: ignore[import-not-found, import-untyped, unused-ignore]  # An extra, without types.
    except ImportError:
        raise MissingExtra('phe is not installed. Install it, in a clone of secagg, by: pip install ".[phe]"') from None
    return phe
