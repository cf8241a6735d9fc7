"""PaillierSum: vectors packed into Paillier ciphertexts, whose product a committee opens.

Sources: Damgard and Jurik's threshold cryptosystem (PKC 2001); packing as in `protocols.crypto.paillier.slots`.
Parties, messages, adversary and departures are those of `protocols.encrypted.protocol`.

A vector of 10^6 entries of 16 bits takes 5.1 MB among 1,000 clients, at 3072 bits and s = 2. The committee's work
grows with the vector. A member needs one long exponentiation for each ciphertext, and receives all clients' ciphertexts
to check them. For long vectors use `OneShot`, whose committee opens keys only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from protocols.crypto.entropy import Entropy
from protocols.crypto.keystream import Words
from protocols.crypto.paillier.slots import Slots
from protocols.encrypted.derived import Payload, threshold_key
from protocols.encrypted.protocol import EncryptedSum
from protocols.session import Session, Vector
from protocols.values import Values


class PackedVector(Payload):
    """The whole vector in the slots of messages, without a masked vector."""

    padded_bytes = 0

    def __init__(self, values: Values, slots: Slots, length: int) -> None:
        self._values = values
        self._slots = slots
        self._length = length
        self._modulus = slots.message_modulus
        self.messages = slots.messages(length)

    @cached_property
    def _shifts(self) -> list[int]:
        """What slots add to signed values; subtracted before a message is sent, so that sums can be shifted by less."""
        return self._slots.pack(np.zeros(self._length, dtype=np.int64))

    def check(self, vector: Words) -> None:
        """See `Payload.check`."""
        self._values.check(vector)

    def wrap(self, vector: Words, entropy: Entropy) -> tuple[memoryview, list[int]]:  # noqa: ARG002  # Nothing is drawn.
        """See `Payload.wrap`."""
        self._values.store(vector)
        packed = self._slots.pack(vector.astype(np.int64) - np.int64(self._values.shift))
        return memoryview(b""), [
            (message - shift) % self._modulus for message, shift in zip(packed, self._shifts, strict=True)
        ]

    def nothing(self) -> Words:
        """See `Payload.nothing`."""
        return np.empty(0, dtype=np.uint64)

    def add(self, total: Words, padded: memoryview) -> None:
        """See `Payload.add`."""

    def unwrap(self, total: Words, sums: Sequence[int], contributors: int) -> Vector:  # noqa: ARG002  # There are no masks.
        """See `Payload.unwrap`."""
        shared = min(contributors, self._slots.clients)
        shifted = [(each + shared * shift) % self._modulus for each, shift in zip(sums, self._shifts, strict=True)]
        return self._values.reduced(self._slots.unpack(shifted, self._length, clients=shared))


@dataclass(frozen=True, kw_only=True)
class PaillierSum(EncryptedSum):
    """Packed threshold Paillier (Damgard and Jurik 2001).

    See `EncryptedSum` for its fields.
    """

    name: ClassVar[str] = "paillier"
    wire: ClassVar[int] = 1

    def payload(self, session: Session) -> PackedVector:
        """See `EncryptedSum.payload`."""
        values = Values(modulus=session.modulus, value_bits=self.value_bits)
        modulus = int(threshold_key(session).public_key.message_modulus)
        sum_bits = self.sum_bits(session, values.bound)
        if sum_bits is None:
            value_bits = (values.bound - 1).bit_length()
            slots = Slots(value_bits=value_bits, clients=len(session.clients), message_modulus=modulus)
        else:
            slots = Slots(value_bits=sum_bits, clients=1, guard_bits=0, message_modulus=modulus)
        return PackedVector(values, slots, session.length)
