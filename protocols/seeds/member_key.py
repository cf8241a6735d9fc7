"""Keys of a committee member: a long-term identity signs an encryption key for each epoch.

A member has an Ed25519 identity (RFC 8032), which clients pin. For each epoch it makes an HPKE key
(`protocols.crypto.hpke`) and signs it together with the epoch's number and dates. The signed statement is public and is
called a certificate. Nobody else takes part: there is no dealer.

Adversary: anyone who passes a certificate on, and members that sign what they like. A certificate whose signature is
valid under an identity that is pinned was made by its owner. A member can still certify the key of somebody else, which
it cannot use, or give its own private key away. It then counts as corrupt.

Forward secrecy: once all members but at most t have deleted the private keys of an epoch, what was sent in that epoch
stays secret. Within an epoch there is no forward secrecy. A member that keeps a copy, such as a backup, counts as one
that has not deleted.

The signatures do not withstand a quantum computer. They need to be unforgeable only until the session is over.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from protocols.crypto import hpke
from protocols.crypto.hpke import HpkeKey, UnusableKey
from protocols.crypto.integers import is_integer, shown
from protocols.crypto.secret import Secret, Uncopyable
from protocols.errors import ParameterError
from protocols.identity import PUBLIC_BYTES, SIGNATURE_BYTES, Identity

LAST_EPOCH: Final = 2**63 - 1
LAST_SECOND: Final = 2**63 - 1

_LABEL: Final = b"secagg seeds member key v1"
_SECRET_LABEL: Final = b"secagg seeds epoch key v1\n"
_NUMBER_BYTES: Final = 8
_SIGNED_BYTES: Final = len(_LABEL) + PUBLIC_BYTES + 3 * _NUMBER_BYTES + hpke.PUBLIC_BYTES
CERTIFICATE_BYTES: Final = _SIGNED_BYTES + SIGNATURE_BYTES
EPOCH_KEY_BYTES: Final = len(_SECRET_LABEL) + hpke.SECRET_BYTES + CERTIFICATE_BYTES


class InvalidCertificate(ParameterError):
    """A member's certificate that must not be used; the class says why."""


class CertificateNotSigned(InvalidCertificate):
    """The signature is not one of the certificate's identity over what the certificate says."""


class CertificateExpired(InvalidCertificate):
    """The certificate's epoch is over."""


class CertificateNotYetValid(InvalidCertificate):
    """The certificate's epoch has not begun."""


class CertificateKeyUnusable(InvalidCertificate):
    """Nothing can be encrypted safely to the certificate's HPKE key."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class MemberCertificate:
    """A member's public keys for one epoch. `check` says whether they may be used.

    Attributes:
        identity: The member's public identity key, 32 bytes.
        epoch: The number of the epoch, in [0, 2^63 - 1].
        not_before: The first second of the epoch in Unix time, in [0, 2^63 - 1].
        not_after: The first second after the epoch in Unix time, above `not_before`.
        public_key: The public HPKE key of the epoch, 1216 bytes.
        signature: 64 bytes, made by the identity over all of this.

    Raises:
        InvalidCertificate: A field has another type or length, or is out of its range.
    """

    identity: bytes
    epoch: int
    not_before: int
    not_after: int
    public_key: bytes
    signature: bytes

    def __post_init__(self) -> None:
        for name, size in (
            ("identity", PUBLIC_BYTES),
            ("public_key", hpke.PUBLIC_BYTES),
            ("signature", SIGNATURE_BYTES),
        ):
            value = getattr(self, name)
            if type(value) is not bytes or len(value) != size:
                found = f"{len(value)}" if type(value) is bytes else f"a {type(value).__name__}"
                raise InvalidCertificate(f"{name} of a member's certificate: expected {size} bytes, found {found}")
        _check_epoch(self.epoch, self.not_before, self.not_after)

    def __repr__(self) -> str:
        return (
            f"MemberCertificate(identity={self.identity.hex()[:16]}, epoch={self.epoch}, "
            f"not_before={self.not_before}, not_after={self.not_after}, fingerprint={self.fingerprint.hex()[:16]})"
        )

    @classmethod
    def issue(
        cls, identity: Identity, epoch: int, not_before: int, not_after: int
    ) -> "tuple[MemberCertificate, EpochKey]":
        """Return a certificate of a new key, and the private key. The key is the operating system's randomness.

        Args:
            identity: The member's identity, which signs.
            epoch: The number of the epoch, which the member has not used before.
            not_before: The first second of the epoch in Unix time.
            not_after: The first second after the epoch in Unix time.

        Raises:
            InvalidCertificate: A number is out of its range.
        """
        _check_epoch(epoch, not_before, not_after)
        key = HpkeKey.generate()
        signature = identity.sign(_statement(identity.public, epoch, not_before, not_after, key.public))
        certificate = cls(
            identity=identity.public,
            epoch=epoch,
            not_before=not_before,
            not_after=not_after,
            public_key=key.public,
            signature=signature,
        )
        return certificate, EpochKey(certificate, key)

    @property
    def fingerprint(self) -> bytes:
        """32 bytes that identify the certificate: SHA-256 of `to_bytes`."""
        return hashlib.sha256(self.to_bytes()).digest()

    def check(self, now: float) -> None:
        """Check that the certificate may be used at a time: its signature, its key and its dates.

        It says nothing about whose identity this is: compare the identity with the one that is pinned.

        Args:
            now: The time in Unix seconds.

        Raises:
            CertificateNotSigned: The signature is not valid.
            CertificateKeyUnusable: Nothing can be encrypted safely to the key.
            CertificateNotYetValid: The epoch has not begun.
            CertificateExpired: The epoch is over.
        """
        self.check_keys()
        if not self.not_before <= now:
            raise CertificateNotYetValid(
                f"{self._name}: expected one that is valid at {_when(now)}, found one that begins at "
                f"{_when(self.not_before)}. Check the clock, or use the member's certificate of the epoch before."
            )
        if not now < self.not_after:
            raise CertificateExpired(
                f"{self._name}: expected one that is valid at {_when(now)}, found one that ended at "
                f"{_when(self.not_after)}. Ask the member for a certificate of its next epoch."
            )

    def check_keys(self) -> None:
        """Check the signature and the HPKE key, but no dates.

        Raises:
            CertificateNotSigned: The signature is not valid.
            CertificateKeyUnusable: Nothing can be encrypted safely to the key.
        """
        _check_keys(self)

    def to_bytes(self) -> bytes:
        """Return the certificate in its one encoding of 1362 bytes: what is signed, then the signature.

        Signed are a label, the identity, the epoch, both dates (8 bytes each, big-endian) and the HPKE key.
        """
        return self._signed + self.signature

    @classmethod
    def from_bytes(cls, data: bytes) -> "MemberCertificate":
        """Return the certificate that `to_bytes` wrote. It is not verified: see `check`.

        Raises:
            InvalidCertificate: The bytes are not a certificate in this encoding.
        """
        if len(data) != CERTIFICATE_BYTES or data[: len(_LABEL)] != _LABEL:
            raise InvalidCertificate(
                f"member's certificate: expected {CERTIFICATE_BYTES} bytes that begin with its label, found "
                f"{len(data)} others. They may be of another version."
            )
        numbers, key = len(_LABEL) + PUBLIC_BYTES, _SIGNED_BYTES - hpke.PUBLIC_BYTES
        epoch, not_before, not_after = (
            int.from_bytes(data[at : at + _NUMBER_BYTES], "big") for at in range(numbers, key, _NUMBER_BYTES)
        )
        return cls(
            identity=data[len(_LABEL) : numbers],
            epoch=epoch,
            not_before=not_before,
            not_after=not_after,
            public_key=data[key:_SIGNED_BYTES],
            signature=data[_SIGNED_BYTES:],
        )

    @property
    def _signed(self) -> bytes:
        return _statement(self.identity, self.epoch, self.not_before, self.not_after, self.public_key)

    @property
    def _name(self) -> str:
        return f"certificate of member {self.identity.hex()[:16]} for epoch {self.epoch}"


class EpochKey(Uncopyable):
    """A member's private key of one epoch: repr redacted, not picklable.

    Args:
        certificate: The certificate of the key.
        key: The private key.

    Attributes:
        certificate: As given.
        key: As given.

    Raises:
        InvalidCertificate: The certificate is for another key.
    """

    __slots__ = ("certificate", "key")

    def __init__(self, certificate: MemberCertificate, key: HpkeKey) -> None:
        if certificate.public_key != key.public:
            raise InvalidCertificate("epoch key: expected the private key of this certificate, found another key")
        self.certificate, self.key = certificate, key

    def __repr__(self) -> str:
        return f"EpochKey(<secret>, {self.certificate!r})"

    def to_bytes(self) -> bytes:
        """Return the key unencrypted, for storage: a label, the private key, the certificate."""
        return _SECRET_LABEL + self.key.secret.reveal() + self.certificate.to_bytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> "EpochKey":
        """Return the key that `to_bytes` wrote, after checking it against its certificate.

        Raises:
            InvalidCertificate: The bytes are not an epoch's key in this encoding, or belong to another certificate.
        """
        if len(data) != EPOCH_KEY_BYTES or data[: len(_SECRET_LABEL)] != _SECRET_LABEL:
            raise InvalidCertificate(
                f"epoch key: expected {EPOCH_KEY_BYTES} bytes that begin with its label, found {len(data)} others"
            )
        at = len(_SECRET_LABEL) + hpke.SECRET_BYTES
        certificate = MemberCertificate.from_bytes(data[at:])
        return cls(certificate, HpkeKey(Secret(data[len(_SECRET_LABEL) : at])))


def _statement(identity: bytes, epoch: int, not_before: int, not_after: int, public_key: bytes) -> bytes:
    numbers = b"".join(number.to_bytes(_NUMBER_BYTES, "big") for number in (epoch, not_before, not_after))
    return _LABEL + identity + numbers + public_key


@lru_cache(maxsize=1024)  # What is valid stays valid, and each party asks before each of its replies.
def _check_keys(certificate: MemberCertificate) -> None:
    try:
        Ed25519PublicKey.from_public_bytes(certificate.identity).verify(certificate.signature, certificate._signed)
    except (InvalidSignature, ValueError):
        raise CertificateNotSigned(
            f"{certificate._name}: expected the signature of its identity, found one that is not valid. Ask the member "
            "for its certificate over another channel."
        ) from None
    try:
        hpke.check(certificate.public_key)
    except UnusableKey as error:
        raise CertificateKeyUnusable(f"{certificate._name}: {error}. Ask the member for another key.") from None


def _when(seconds: float) -> str:
    """Return a time in UTC; its number where no calendar has it."""
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, ValueError, OSError):
        return f"{seconds} (Unix seconds)"


def _check_epoch(epoch: int, not_before: int, not_after: int) -> None:
    if not is_integer(epoch) or not 0 <= epoch <= LAST_EPOCH:
        raise InvalidCertificate(f"epoch: expected an int from 0 to 2^63 - 1, found {shown(epoch)}")
    if not is_integer(not_before) or not is_integer(not_after) or not 0 <= not_before < not_after <= LAST_SECOND:
        raise InvalidCertificate(
            "not_before, not_after: expected two ints from 0 to 2^63 - 1, the second one larger, found "
            f"{shown(not_before)} and {shown(not_after)}"
        )
