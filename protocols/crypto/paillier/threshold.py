"""Paillier keys that only a committee can use: any t of its members can decrypt together, fewer learn nothing.

Sources: Damgard and Jurik, A generalisation, a simplification and some applications of Paillier's probabilistic
public-key system (PKC 2001), the threshold variant; Shoup, Practical threshold signatures (Eurocrypt 2000), for the
verification keys. With safe primes p = 2p' + 1 and q = 2q' + 1, n = pq and m = p'q', the dealer computes

    d = 0 mod m,  d = 1 mod n^s;   f of degree t - 1 modulo n^s m, f(0) = d, otherwise random;   s_i = f(i)

and publishes v, a random square modulo n^(s+1), and v_i = v^(s_i). The squares are a cyclic group of order n^s m. A
random square generates it, except with probability about 3 / p'. The module `partial_decryption` describes how the key
shares are used.

Adversary: up to t - 1 members, who may deviate in any way; a wrong partial decryption is noticed. The dealer is
trusted: it knows p and q, and so it can decrypt every message until it forgets them. Python cannot be made to forget
them reliably. Run the dealer once, on a machine that is switched off afterwards. Members take v and all v_i from the
key that the dealer gave them, never from each other.

Departures: the key contains h, the base with which everyone encrypts (`Encryptor`), so that all clients use one base.
The base is made as in Damgard, Jurik and Nielsen (International Journal of Information Security 9, 2010): h = -x^2
mod n for a random x. This is suitable since safe primes are 3 modulo 4 and gcd(p - 1, q - 1) = 2.
"""

import hashlib
import hmac
import math
import os
from dataclasses import dataclass
from typing import Final

from protocols.crypto.entropy import Entropy
from protocols.crypto.integers import Arithmetic, is_integer, random_below, random_unit, shown
from protocols.crypto.paillier.encryptor import check_base
from protocols.crypto.paillier.private import PrivateKey
from protocols.crypto.paillier.public import MOST_BITS, InvalidKey, PublicKey
from protocols.crypto.paillier.safe_primes import is_safe_prime
from protocols.crypto.secret import Uncopyable

LEAST_THRESHOLD: Final = 2
MOST_MEMBERS: Final = 64

_KEY_LABEL = b"secagg threshold key v1\n"
_SHARE_LABEL = b"secagg threshold share v1\n"
_RECORD_LABEL = b"secagg keyholder v1"
_FINGERPRINT_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ThresholdKey:
    """The public side of a committee's key.

    Attributes:
        public_key: The key that encrypts, adds and checks.
        base: h, in (1, n - 1); encryptors use powers of h^(n^s).
        threshold: t, the number of members that decrypt together; from 2 to the number of members.
        verification_base: v, in (1, n^(s+1)).
        verification_keys: v_1, v_2, ... of all members, 2 to 64 numbers in [1, n^(s+1)).

    Raises:
        InvalidKey: A number is out of range or shares a factor with n, or a verification key or v is 1 or -1 modulo n;
            h does not have Jacobi symbol 1; or n is 3 modulo 4, so that its primes are not both safe primes.
    """

    public_key: PublicKey
    base: int
    threshold: int
    verification_base: int
    verification_keys: tuple[int, ...]

    def __post_init__(self) -> None:
        _check_committee(self.members, self.threshold)
        key = self.public_key
        if key.n % 4 != 1:
            raise InvalidKey("n: expected the product of two safe primes, which is 1 modulo 4, found 3 modulo 4")
        check_base(key, self.base)
        numbers = (self.verification_base, *self.verification_keys)
        if not all(is_integer(number) and 1 <= number < key.modulus for number in numbers):
            raise InvalidKey(f"verification keys: expected integers in [1, n^{key.s + 1}), found another value")
        product = key.arithmetic.integer(1)
        for number in numbers:
            product = product * (number % key.n) % key.n
        if math.gcd(product, key.n) != 1 or any(number % key.n in (1, key.n - 1) for number in numbers):
            raise InvalidKey(
                "verification keys and their base: expected integers coprime to n but for 1 and n - 1, found another"
            )

    def __repr__(self) -> str:
        return (
            f"ThresholdKey({self.public_key!r}, members={self.members}, threshold={self.threshold}, "
            f"fingerprint={self.fingerprint.hex()[:16]})"
        )

    @property
    def members(self) -> int:
        """Number of members; their indices start at 1."""
        return len(self.verification_keys)

    @property
    def bits(self) -> int:
        """Length of n in bits."""
        return int(self.public_key.n).bit_length()

    @property
    def fingerprint(self) -> bytes:
        """32 bytes that identify the key with all of its parts: SHA-256 of `to_bytes`."""
        return hashlib.sha256(self.to_bytes()).digest()

    @property
    def colluding(self) -> int:
        """The most corrupt members that learn nothing: one fewer than decrypt together."""
        return self.threshold - 1

    @property
    def expires(self) -> None:
        """Such a key has no dates."""

    @property
    def pin(self) -> bytes:
        """32 bytes that clients pin: the fingerprint, since the key never changes."""
        return self.fingerprint

    def to_bytes(self) -> bytes:
        """Return a label, s, t, the number of members, the length of n, n, h, v and all v_i.

        Numbers are big-endian and have fixed sizes. The length of n is in bytes.
        """
        key = self.public_key
        size = _bytes(key.n)
        head = bytes([key.s, self.threshold, self.members]) + size.to_bytes(2, "big")
        numbers = int(key.n).to_bytes(size, "big") + self.base.to_bytes(size, "big")
        return _KEY_LABEL + head + numbers + key.to_bytes((self.verification_base, *self.verification_keys))

    @classmethod
    def from_bytes(cls, data: bytes, *, arithmetic: Arithmetic | None = None) -> "ThresholdKey":
        """Return the key that `to_bytes` wrote.

        Args:
            data: The bytes.
            arithmetic: The implementation of long integers; by default, the fastest that is installed.

        Raises:
            InvalidKey: The bytes are not a threshold key in the encoding of `to_bytes`.
        """
        start = len(_KEY_LABEL) + 5
        if len(data) < start or data[: len(_KEY_LABEL)] != _KEY_LABEL:
            raise InvalidKey("a threshold key: expected bytes of version 1, found others")
        s, threshold, members = data[start - 5 : start - 2]
        size = int.from_bytes(data[start - 2 : start], "big")
        n = int.from_bytes(data[start : start + size], "big")
        if not 0 < 8 * size <= MOST_BITS or _bytes(n) != size:
            raise InvalidKey(f"the length of n: expected that of its bytes, at most {MOST_BITS // 8}, found {size}")
        _check_committee(members, threshold)
        public_key = PublicKey(n, s, arithmetic=arithmetic)
        each, first = public_key.ciphertext_bytes, start + 2 * size
        if len(data) != first + (1 + members) * each:
            raise InvalidKey(f"threshold key: expected {first + (1 + members) * each} bytes, found {len(data)}")
        numbers = [int.from_bytes(data[at : at + each], "big") for at in range(first, len(data), each)]
        return cls(
            public_key=public_key,
            base=int.from_bytes(data[start + size : first], "big"),
            threshold=threshold,
            verification_base=numbers[0],
            verification_keys=tuple(numbers[1:]),
        )


class KeyShare(Uncopyable):
    """One member's share of the key: repr redacted, not picklable, not hashable, compared in constant time.

    Args:
        key: The committee's key.
        index: The member's index, from 1.
        value: s_i, in [0, n^(s+1)).

    Attributes:
        key: As given.
        index: As given.

    Raises:
        InvalidKey: The index or the value is out of range.
    """

    __slots__ = ("_value", "index", "key")
    __hash__ = None  # type: ignore[assignment]  # A table with a hash of a secret has a copy of it.

    def __init__(self, key: ThresholdKey, index: int, value: int) -> None:
        if not is_integer(index) or not 1 <= index <= key.members:
            raise InvalidKey(f"a member's index: expected from 1 to {key.members}, found {shown(index)}")
        if not is_integer(value) or not 0 <= value < key.public_key.modulus:
            raise InvalidKey(f"a key share: expected an integer in [0, n^{key.public_key.s + 1}), found another value")
        self.key, self.index, self._value = key, index, value

    def __repr__(self) -> str:
        return f"KeyShare(<secret>, index={self.index}, {self.key!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, KeyShare) and hmac.compare_digest(self.to_bytes(), other.to_bytes())

    @property
    def record_key(self) -> bytes:
        """32 bytes under which the member records what it opens: a hash of the committee's key and the index."""
        return hashlib.sha256(_RECORD_LABEL + self.key.fingerprint + bytes([self.index])).digest()

    def reveal(self) -> int:
        """Return s_i, for the arithmetic that needs it."""
        return self._value

    def to_bytes(self) -> bytes:
        """Return the key share unencrypted, for storage: a label, the key's fingerprint, the index, s_i."""
        value = self._value.to_bytes(self.key.public_key.ciphertext_bytes, "big")
        return _SHARE_LABEL + self.key.fingerprint + bytes([self.index]) + value

    @classmethod
    def from_bytes(cls, data: bytes, key: ThresholdKey) -> "KeyShare":
        """Return the key share that `to_bytes` wrote, after checking it against its member's verification key.

        Raises:
            InvalidKey: The bytes are not a key share, belong to another key, or are not the share that the dealer gave
                to this member.
        """
        public_key, start = key.public_key, len(_SHARE_LABEL) + _FINGERPRINT_BYTES
        if len(data) != start + 1 + public_key.ciphertext_bytes or data[: len(_SHARE_LABEL)] != _SHARE_LABEL:
            raise InvalidKey(
                "these bytes are not a share of this key. They may belong to another committee or another version."
            )
        if not hmac.compare_digest(data[len(_SHARE_LABEL) : start], key.fingerprint):
            raise InvalidKey("a key share: expected one of this threshold key, found one of another key")
        share = cls(key, data[start], int.from_bytes(data[start + 1 :], "big"))
        base = public_key.arithmetic.integer(key.verification_base)
        if pow(base, share.reveal(), public_key.modulus) != key.verification_keys[share.index - 1]:
            raise InvalidKey(
                f"a key share: expected the one that fits the verification key of member {share.index}, found another"
            )
        return share


def deal(
    p: int,
    q: int,
    s: int = 1,
    *,
    members: int,
    threshold: int,
    entropy: Entropy = os.urandom,
    arithmetic: Arithmetic | None = None,
) -> tuple[ThresholdKey, tuple[KeyShare, ...]]:
    """Return a committee's key and the key share of each member.

    The caller must forget p, q and all key shares afterwards.

    Args:
        p: A safe prime (`safe_prime`).
        q: Another safe prime of the same length; p * q has 2048 to 8192 bits.
        s: Messages are integers modulo n^s; 1, 2 or 3.
        members: Number of members, 2 to 64.
        threshold: Number of members that decrypt together, from 2 to `members`.
        entropy: Source of the polynomial, v and h; any source other than the operating system's is for tests.
        arithmetic: The implementation of long integers; by default, the fastest that is installed.

    Raises:
        InvalidKey: `members` or `threshold` is out of range; p or q is not a safe prime; one is longer than the other;
            or `PrivateKey.from_primes` refuses p, q or s.
    """
    _check_committee(members, threshold)
    public_key = PrivateKey.from_primes(p, q, s, arithmetic=arithmetic).public_key
    if p.bit_length() != q.bit_length():
        raise InvalidKey(f"p and q: expected the same size, found {p.bit_length()} and {q.bit_length()} bits")
    if not all(is_safe_prime(prime, entropy=os.urandom, arithmetic=public_key.arithmetic) for prime in (p, q)):
        raise InvalidKey(
            "p and q: expected safe primes, so that (p - 1) / 2 and (q - 1) / 2 are prime too, found another number"
        )
    half_order = (p >> 1) * (q >> 1)
    order = int(public_key.message_modulus) * half_order
    constant = half_order * pow(half_order, -1, int(public_key.message_modulus))
    coefficients = [constant, *(random_below(order, entropy) for _ in range(threshold - 1))]
    values = [_evaluate(coefficients, index, order) for index in range(1, members + 1)]
    root = public_key.arithmetic.integer(random_unit(int(public_key.modulus), entropy))
    square = root * root % public_key.modulus
    residue = random_unit(int(public_key.n), entropy)
    key = ThresholdKey(
        public_key=public_key,
        base=int(-residue * residue % public_key.n),
        threshold=threshold,
        verification_base=int(square),
        verification_keys=tuple(int(pow(square, value, public_key.modulus)) for value in values),
    )
    return key, tuple(KeyShare(key, index, value) for index, value in enumerate(values, start=1))


def _evaluate(coefficients: list[int], point: int, modulus: int) -> int:
    """Return the value at a point of the polynomial with these coefficients, the constant one first."""
    value = 0
    for coefficient in reversed(coefficients):
        value = (value * point + coefficient) % modulus
    return value


def _check_committee(members: int, threshold: int) -> None:
    if not is_integer(members) or not LEAST_THRESHOLD <= members <= MOST_MEMBERS:
        raise InvalidKey(
            f"members of a committee: expected {LEAST_THRESHOLD} to {MOST_MEMBERS}, found {shown(members)}"
        )
    if not is_integer(threshold) or not LEAST_THRESHOLD <= threshold <= members:
        raise InvalidKey(f"the threshold: expected from {LEAST_THRESHOLD} to {members}, found {shown(threshold)}")


def _bytes(number: int) -> int:
    return -(-number.bit_length() // 8)
