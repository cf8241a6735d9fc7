"""A committee of members that made their own keys: its public side, and what one member holds.

There is no dealer and no common secret. A session with such a committee lasts no longer than the certificates of all of
its members. `SeedCommittee` has no clock: the maker of a session checks the dates (`SeedCommittee.check`).

Adversary: a server that puts a committee together as it likes. Clients compare the committee's `pin`, a hash of the
members' identities in order and of the numbers m, t and q. A new epoch needs no new pin. Other identities, another
order or other numbers give another pin. Certificates cannot be forged, since each identity signs its own.
"""

import hashlib
from dataclasses import dataclass
from typing import Final

from protocols.crypto.integers import is_integer, shown
from protocols.crypto.secret import Uncopyable
from protocols.errors import ParameterError
from protocols.identity import Identity
from protocols.seeds.member_key import CERTIFICATE_BYTES, EpochKey, MemberCertificate
from protocols.seeds.sets import MOST_MEMBERS, SeedSets, quorum

_LABEL: Final = b"secagg seeds committee v1\n"
_PIN_LABEL: Final = b"secagg seeds committee pin v1\n"
_RECORD_LABEL: Final = b"secagg seeds member v1\n"
_HEAD_BYTES: Final = len(_LABEL) + 3
MOST_BYTES: Final = _HEAD_BYTES + MOST_MEMBERS * CERTIFICATE_BYTES

_SEED_BITS: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SeedCommittee:
    """The public side of a committee by replicated seeds: a `protocols.committee.CommitteeKey`.

    Attributes:
        certificates: One for each member, in the order of the members, 2 to 10. Identities and HPKE keys are distinct,
            and every signature is valid. The dates are not checked: see `check`.
        colluding: The most corrupt members that learn nothing, t, from 1 to the number of members less 1.
        quorum: The number of members that must agree on the contributors of a sum, q: at least
            `protocols.seeds.sets.quorum`.

    Raises:
        ParameterError: A number is out of range, or two members have the same identity or key.
        InvalidCertificate: A certificate is not signed, or nothing can be encrypted to its key.
    """

    certificates: tuple[MemberCertificate, ...]
    colluding: int
    quorum: int

    def __post_init__(self) -> None:
        if type(self.certificates) is not tuple or any(
            type(each) is not MemberCertificate for each in self.certificates
        ):
            raise ParameterError("certificates: expected a tuple of MemberCertificate, found another value")
        least = quorum(self.members, self.colluding)
        if not is_integer(self.quorum) or not least <= self.quorum <= self.members:
            raise ParameterError(
                f"quorum: expected from {least} to {self.members} of {self.members} members, {self.colluding} of them "
                f"corrupt, found {shown(self.quorum)}. Two smaller quorums may have no honest member in common. They "
                "could open two sums of the same inputs, with any server. Use a quorum in this range."
            )
        for name, values in (("identity", self.identities), ("HPKE key", self.public_keys)):
            _check_distinct(name, values)
        for certificate in self.certificates:
            certificate.check_keys()

    def __repr__(self) -> str:
        return (
            f"SeedCommittee(members={self.members}, colluding={self.colluding}, quorum={self.quorum}, "
            f"fingerprint={self.fingerprint.hex()[:16]})"
        )

    @property
    def members(self) -> int:
        """The number of members; their indices start at 1."""
        return len(self.certificates)

    @property
    def threshold(self) -> int:
        """The number of members that must agree before any of them opens a sum: `quorum`. Any t + 1 hold all seeds."""
        return self.quorum

    @property
    def bits(self) -> int:
        """Length of a seed in bits."""
        return _SEED_BITS

    @property
    def identities(self) -> tuple[bytes, ...]:
        """The members' public identity keys, 32 bytes each, in order."""
        return tuple(certificate.identity for certificate in self.certificates)

    @property
    def public_keys(self) -> tuple[bytes, ...]:
        """The members' HPKE keys of this epoch, 1216 bytes each, in order."""
        return tuple(certificate.public_key for certificate in self.certificates)

    @property
    def sets(self) -> SeedSets:
        """The sets of members that share a seed. There, members are numbered from 0."""
        return SeedSets(self.members, self.colluding)

    @property
    def expires(self) -> int:
        """The first second, in Unix time, at which the certificate of a member has expired."""
        return min(certificate.not_after for certificate in self.certificates)

    @property
    def fingerprint(self) -> bytes:
        """32 bytes that identify the committee in this epoch with all of its parts: SHA-256 of `to_bytes`."""
        return hashlib.sha256(self.to_bytes()).digest()

    @property
    def pin(self) -> bytes:
        """32 bytes that identify the committee in every epoch: a hash of its numbers and its identities in order."""
        return hashlib.sha256(_PIN_LABEL + self._numbers + b"".join(self.identities)).digest()

    def check(self, now: float) -> None:
        """Check that every member's certificate may be used at a time.

        Args:
            now: The time in Unix seconds.

        Raises:
            InvalidCertificate: A certificate is not yet valid, or has expired.
        """
        for certificate in self.certificates:
            certificate.check(now)

    def to_bytes(self) -> bytes:
        """Return a label, the number of members, t, q (one byte each), and all certificates in order."""
        return _LABEL + self._numbers + b"".join(each.to_bytes() for each in self.certificates)

    @staticmethod
    def is_encoded(data: bytes) -> bool:
        """Return whether bytes begin like those of `to_bytes`, and not like another kind of key."""
        return data.startswith(_LABEL)

    @classmethod
    def from_bytes(cls, data: bytes) -> "SeedCommittee":
        """Return the committee that `to_bytes` wrote, after checking it like any other.

        Raises:
            ParameterError: The bytes are not a committee in this encoding, or not a valid one.
        """
        if len(data) < _HEAD_BYTES or not cls.is_encoded(data):
            raise ParameterError("these bytes are not a committee by replicated seeds of version 1")
        members, colluding, quorum = data[len(_LABEL) : _HEAD_BYTES]
        SeedSets(members, colluding)  # Before anything is read whose amount the number of members decides.
        if len(data) != _HEAD_BYTES + members * CERTIFICATE_BYTES:
            raise ParameterError(
                f"committee: expected {_HEAD_BYTES + members * CERTIFICATE_BYTES} bytes, found {len(data)}"
            )
        certificates = tuple(
            MemberCertificate.from_bytes(data[at : at + CERTIFICATE_BYTES])
            for at in range(_HEAD_BYTES, len(data), CERTIFICATE_BYTES)
        )
        return cls(certificates=certificates, colluding=colluding, quorum=quorum)

    @property
    def _numbers(self) -> bytes:
        return bytes([self.members, self.colluding, self.quorum])


def _check_distinct(name: str, values: tuple[bytes, ...]) -> None:
    """Raise `ParameterError` if two members have one identity or one key."""
    for place, value in enumerate(values):
        if (first := values.index(value)) != place:
            raise ParameterError(
                f"certificates: expected another {name} for each member, found that of member {first + 1} again as "
                f"member {place + 1}. Name each member once, with its certificate of one epoch."
            )


class MemberShare(Uncopyable):
    """What one member holds in a committee: a `protocols.committee.CommitteeShare`, repr redacted, not picklable.

    Args:
        key: The committee.
        index: The member's index, from 1.
        identity: The member's identity, that of its certificate.
        epoch_key: The private key of its certificate.

    Attributes:
        key: As given.
        index: As given.
        identity: As given.
        epoch_key: As given.

    Raises:
        ParameterError: The index is out of range, or the identity or the key is not that of the certificate.
    """

    __slots__ = ("epoch_key", "identity", "index", "key")

    def __init__(self, key: SeedCommittee, index: int, identity: Identity, epoch_key: EpochKey) -> None:
        if not is_integer(index) or not 1 <= index <= key.members:
            raise ParameterError(f"index: expected a member's index from 1 to {key.members}, found {shown(index)}")
        certificate = key.certificates[index - 1]
        if identity.public != certificate.identity:
            raise ParameterError(
                f"identity: expected that of member {index} of the committee, found another one. Use the index at "
                "which the committee names this identity."
            )
        if epoch_key.certificate != certificate:
            raise ParameterError(
                f"epoch key: expected that of epoch {certificate.epoch}, which the committee names for member {index}, "
                f"found another one, of epoch {epoch_key.certificate.epoch}. Use the key of the committee's epoch."
            )
        self.key, self.index, self.identity, self.epoch_key = key, index, identity, epoch_key

    def __repr__(self) -> str:
        return f"MemberShare(<secret>, index={self.index}, {self.key!r})"

    @property
    def record_key(self) -> bytes:
        """32 bytes under which the member records what it opens: a hash of its identity, the same in every epoch."""
        return hashlib.sha256(_RECORD_LABEL + self.identity.public).digest()
