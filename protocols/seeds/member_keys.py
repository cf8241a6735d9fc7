"""All secret keys of one committee member: its identity, and its private keys of the epochs that are not deleted.

A member makes a key for each epoch, and deletes it once its certificate has expired and the last session under it is
over. From then on, nobody can open the boxes of that epoch with what this member has. Numbers of epochs are never used
again, also after their keys are deleted.
"""

import itertools
from collections.abc import Iterator
from typing import Final

from protocols.crypto.integers import shown
from protocols.crypto.secret import Secret, Uncopyable
from protocols.errors import ParameterError
from protocols.identity import Identity
from protocols.seeds.committee import MemberShare, SeedCommittee
from protocols.seeds.member_key import EPOCH_KEY_BYTES, LAST_EPOCH, EpochKey, MemberCertificate

MOST_EPOCHS: Final = 256
"""The most epochs whose keys a member keeps at a time."""

_LABEL: Final = b"secagg seeds member keys v1\n"
_IDENTITY_BYTES: Final = 32
_HEAD_BYTES: Final = len(_LABEL) + _IDENTITY_BYTES + 8 + 2


class MemberKeys(Uncopyable):
    """A member's identity and its private keys: repr redacted, not picklable. Methods return changed keys.

    Args:
        identity: The member's identity.
        next_epoch: The number of the next epoch, above those of all epochs so far.
        epochs: The private keys, with ascending epochs; at most 256.

    Attributes:
        identity: As given.
        next_epoch: As given.
        epochs: As given.

    Raises:
        ParameterError: A key is not certified by the identity, the epochs do not ascend to below `next_epoch`, or there
            are too many.
    """

    __slots__ = ("epochs", "identity", "next_epoch")

    def __init__(self, identity: Identity, next_epoch: int, epochs: tuple[EpochKey, ...]) -> None:
        if any(key.certificate.identity != identity.public for key in epochs):
            raise ParameterError("member's keys: expected keys that this identity has certified, found another's")
        numbers = [*(key.certificate.epoch for key in epochs), next_epoch]
        if not 0 <= next_epoch <= LAST_EPOCH or any(one >= other for one, other in itertools.pairwise(numbers)):
            raise ParameterError(
                f"member's keys: expected ascending epochs below {shown(next_epoch)}, the next one, found others"
            )
        if len(epochs) > MOST_EPOCHS:
            raise ParameterError(
                f"member's keys: expected keys of at most {MOST_EPOCHS} epochs, found {len(epochs)}. Delete those of "
                "expired epochs."
            )
        self.identity, self.next_epoch, self.epochs = identity, next_epoch, epochs

    def __repr__(self) -> str:
        return (
            f"MemberKeys(<secret>, identity={self.identity.public.hex()[:16]}, next_epoch={self.next_epoch}, "
            f"epochs={[key.certificate.epoch for key in self.epochs]})"
        )

    @classmethod
    def generate(cls) -> "MemberKeys":
        """Return a new identity without any epoch, drawn from the operating system's randomness."""
        return cls(Identity.generate(), 0, ())

    def with_epoch(self, not_before: int, not_after: int) -> "MemberKeys":
        """Return these keys and a new one, for the next epoch, which is the last of `epochs`.

        Args:
            not_before: The first second of the epoch in Unix time.
            not_after: The first second after the epoch in Unix time.

        Raises:
            ParameterError: The dates are out of range, or there are keys of 256 epochs.
        """
        _, key = MemberCertificate.issue(self.identity, self.next_epoch, not_before, not_after)
        return MemberKeys(self.identity, self.next_epoch + 1, (*self.epochs, key))

    def without_expired(self, now: float) -> "MemberKeys":
        """Return these keys without those whose certificates have expired at a time, in Unix seconds."""
        kept = tuple(key for key in self.epochs if now < key.certificate.not_after)
        return MemberKeys(self.identity, self.next_epoch, kept)

    def share(self, committee: SeedCommittee) -> MemberShare:
        """Return what this member holds in a committee.

        Raises:
            ParameterError: The identity is not a member's, or the key of the committee's epoch is not here.
        """
        if self.identity.public not in committee.identities:
            raise ParameterError(
                "member's keys: expected the identity of one of the committee's members, found another one. Use the "
                "keys of a member, or the committee that this member is in."
            )
        index = committee.identities.index(self.identity.public) + 1
        certificate = committee.certificates[index - 1]
        for key in self.epochs:
            if key.certificate == certificate:
                return MemberShare(committee, index, self.identity, key)
        raise ParameterError(
            f"member's keys: expected the key of epoch {certificate.epoch}, which the committee names, found those of "
            f"epochs {[key.certificate.epoch for key in self.epochs]}. A deleted key cannot be had back: make a "
            "committee of the member's newest certificate."
        )

    def to_bytes(self) -> bytes:
        """Return the keys unencrypted, for storage.

        They are a label, the identity's secret, the next epoch (8 bytes), the number of keys (2 bytes) and the keys.
        """
        numbers = self.next_epoch.to_bytes(8, "big") + len(self.epochs).to_bytes(2, "big")
        return b"".join((_LABEL, self.identity.secret.reveal(), numbers, *(key.to_bytes() for key in self.epochs)))

    @classmethod
    def from_bytes(cls, data: bytes) -> "MemberKeys":
        """Return the keys that `to_bytes` wrote, after checking each against its certificate.

        Raises:
            ParameterError: The bytes are not a member's keys in this encoding, or the keys do not fit together.
        """
        if len(data) < _HEAD_BYTES or data[: len(_LABEL)] != _LABEL:
            raise ParameterError("these bytes are not the keys of a committee member of version 1")
        at = len(_LABEL) + _IDENTITY_BYTES
        count = int.from_bytes(data[at + 8 : _HEAD_BYTES], "big")
        if count > MOST_EPOCHS or len(data) != _HEAD_BYTES + count * EPOCH_KEY_BYTES:
            raise ParameterError(
                f"member's keys: expected {_HEAD_BYTES} bytes and {EPOCH_KEY_BYTES} for each of at most {MOST_EPOCHS} "
                f"keys, found {len(data)} for {count} keys"
            )
        identity = Identity(Secret(data[len(_LABEL) : at]))
        return cls(identity, int.from_bytes(data[at : at + 8], "big"), tuple(_epoch_keys(data)))


def _epoch_keys(data: bytes) -> Iterator[EpochKey]:
    for at in range(_HEAD_BYTES, len(data), EPOCH_KEY_BYTES):
        yield EpochKey.from_bytes(data[at : at + EPOCH_KEY_BYTES])
