"""Keys and ciphertexts to and from phe (python-paillier), for s = 1; the only module that imports it.

phe is published under the GNU General Public License, version 3, and installed with the extra `phe` alone: whoever
distributes a program that uses this module, together with phe, does so under the terms of that license.

phe's numbers have an exponent, sent in clear, which tells how large the encrypted value is; so only the exponent 0 is
taken, that of integers.  phe keeps integers of a magnitude below n / 3, and a negative one, m, as n + m.
"""

from typing import Any

from protocols.crypto.integers import shown
from protocols.crypto.paillier.private import InvalidCiphertext, InvalidKey, PrivateKey, PublicKey
from protocols.errors import ParameterError


class MissingExtra(ParameterError, ImportError):
    """A library is not installed that an extra brings."""


def public_key_to_phe(key: PublicKey) -> Any:
    """The `phe.PaillierPublicKey` of a key with s = 1.

    Raises:
        InvalidKey: The key has another s.
        MissingExtra: phe is not installed.
    """
    if key.s != 1:
        raise InvalidKey(f"phe knows s = 1 alone; this key has s = {key.s}")
    return _phe().PaillierPublicKey(int(key.n))


def public_key_from_phe(key: Any) -> PublicKey:
    """The key of a `phe.PaillierPublicKey`.

    Raises:
        InvalidKey: It is none, or one that `PublicKey` refuses; phe itself makes keys of any size.
        MissingExtra: phe is not installed.
    """
    if not isinstance(key, _phe().PaillierPublicKey):
        raise InvalidKey(f"expected a phe.PaillierPublicKey, found {type(key).__name__}")
    return PublicKey(key.n)


def private_key_to_phe(key: PrivateKey) -> Any:
    """The `phe.PaillierPrivateKey` of a key with s = 1; phe does not protect it from being printed or pickled.

    Raises:
        InvalidKey: The key has another s.
        MissingExtra: phe is not installed.
    """
    return _phe().PaillierPrivateKey(public_key_to_phe(key.public_key), *key.reveal_primes())


def private_key_from_phe(key: Any) -> PrivateKey:
    """The key of a `phe.PaillierPrivateKey`.

    Its primes need not be safe ones: see `PrivateKey.suits_fixed_bases` before an `Encryptor` is made for it.

    Raises:
        InvalidKey: It is none, or one that `PrivateKey.from_primes` refuses.
        MissingExtra: phe is not installed.
    """
    if not isinstance(key, _phe().PaillierPrivateKey):
        raise InvalidKey(f"expected a phe.PaillierPrivateKey, found {type(key).__name__}")
    return PrivateKey.from_primes(int(key.p), int(key.q))


def ciphertext_to_phe(ciphertext: int, key: PublicKey) -> Any:
    """The `phe.EncryptedNumber` of a ciphertext, with exponent 0; phe re-randomises it when it is first read.

    Raises:
        InvalidCiphertext: It is none of this key.
        InvalidKey: The key has another s than 1.
        MissingExtra: phe is not installed.
    """
    key.check([ciphertext])
    return _phe().EncryptedNumber(public_key_to_phe(key), ciphertext, 0)


def ciphertext_from_phe(number: Any, key: PublicKey) -> int:
    """The ciphertext of a `phe.EncryptedNumber`, checked, and re-randomised by phe unless it has done so before.

    Raises:
        InvalidCiphertext: It is none, of another key, has an exponent other than 0, or is out of range.
        InvalidKey: The key has another s than 1.
        MissingExtra: phe is not installed.
    """
    if not isinstance(number, _phe().EncryptedNumber):
        raise InvalidCiphertext(f"expected a phe.EncryptedNumber, found {type(number).__name__}")
    if key.s != 1:
        raise InvalidKey(f"phe knows s = 1 alone; this key has s = {key.s}")
    if number.public_key.n != key.n:
        raise InvalidCiphertext("a phe.EncryptedNumber under another key")
    if number.exponent != 0:
        raise InvalidCiphertext(f"a phe.EncryptedNumber with exponent {shown(number.exponent)}, where integers have 0")
    key.check([number.ciphertext(be_secure=False)])
    return int(number.ciphertext())


def _phe() -> Any:
    try:
        import phe  # type: ignore[import-not-found, import-untyped, unused-ignore]  # an extra, without types
    except ImportError:
        raise MissingExtra('phe is not installed. Install it, in a clone of secagg, by: pip install ".[phe]"') from None
    return phe
