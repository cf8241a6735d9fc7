"""OneShot: one message from each client, its vector under a lattice mask and the mask's key for the committee.

Sources: Willow (Bell-Clark et al., ia.cr/2024/936) for the key-additive mask and the committee that opens the sum of
keys alone; OPA (Karthikeyan and Polychroniadou, ia.cr/2024/723) for one message a client. Departure from both: the
keys are encrypted under threshold Paillier, so the committee is a few parties with long-lived keys and sends one short
message a session. `docs/oneshot.md` has the argument; it is marked experimental there.

A client masks its vector with ring-LWE samples under a fresh short key (`protocols.crypto.lattice.pad`). It encrypts
the key's 4096 coefficients in Paillier ciphertexts, proves that it knows them, and signs. That is its only message. The
server adds masked vectors and multiplies ciphertexts. The committee opens the sum of the keys. Its work and the bytes
that it receives do not depend on the vector's length. Parties, messages and adversary are those of
`protocols.encrypted.protocol`.

Security: at least 128 bits by the table of the homomorphic encryption standard. For N = 4096, the table allows a
modulus of 109 bits at 128 bits of security, and of 75 bits at 192; here log2 Q = 64. This holds for sums with at least
two honest clients, also after the sum of keys and that of errors are known (`protocols.crypto.lattice.hardness`). The
function `hardness` there computes the bound from a session's sizes.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from protocols.crypto.entropy import Entropy
from protocols.crypto.keystream import Words
from protocols.crypto.lattice.pad import LatticePad, draw_key, key_coefficients
from protocols.crypto.lattice.ring import DEGREE
from protocols.crypto.paillier.digits import Digits
from protocols.encrypted.derived import Payload, threshold_key
from protocols.encrypted.protocol import EncryptedSum
from protocols.session import Session, Vector
from protocols.values import Values

_WORD: Final = np.dtype("<u8")


class PaddedVector(Payload):
    """The vector under a lattice mask, and the mask's key in the digits of messages."""

    def __init__(self, values: Values, pad: LatticePad, digits: Digits, seed: bytes) -> None:
        self._values = values
        self._pad = pad
        self.digits = digits
        self._seed = seed
        self.padded_bytes = pad.words * _WORD.itemsize
        self.messages = digits.messages(DEGREE)

    def check(self, vector: Words) -> None:
        """See `Payload.check`."""
        self._values.check(vector)

    def wrap(self, vector: Words, entropy: Entropy) -> tuple[memoryview, list[int]]:
        """See `Payload.wrap`. The key is drawn here and is not kept."""
        key = draw_key(entropy)
        self._values.store(vector)
        padded = self._pad.seal(vector, keys=[key], seed=self._seed, entropy=entropy)
        return padded.astype(_WORD, copy=False).data.cast("B"), self.digits.pack(key_coefficients(key))

    def nothing(self) -> Words:
        """See `Payload.nothing`."""
        return np.zeros(self._pad.words, dtype=np.uint64)

    def add(self, total: Words, padded: memoryview) -> None:
        """See `Payload.add`."""
        total += np.frombuffer(padded, dtype=_WORD)

    def unwrap(self, total: Words, sums: Sequence[int], contributors: int) -> Vector:
        """See `Payload.unwrap`."""
        key_sum = self.digits.unpack(sums, DEGREE)
        opened = self._pad.open(total, key_sum=key_sum, seed=self._seed, weights=(1,) * contributors)
        opened -= np.uint64(contributors * self._values.shift % 2**64)
        return self._values.reduced(opened.view(np.int64))


@dataclass(frozen=True, kw_only=True)
class OneShot(EncryptedSum):
    """One message from each client, masked (after Willow and OPA).

    See `EncryptedSum` for its fields. At 1,000 clients two values of 16 bits share a word of 64 bits, so with
    `value_bits=16` a value takes 4 bytes. The same holds with `headroom` for any modulus of up to 26 bits.
    """

    name: ClassVar[str] = "oneshot"
    wire: ClassVar[int] = 1
    # The digest of wire version 1 hashes this text, so it stays as it is.
    experimental: ClassVar[str] = "there is no proof against a malicious server"

    def payload(self, session: Session) -> PaddedVector:
        """See `EncryptedSum.payload`."""
        clients = len(session.clients)
        values = Values(modulus=session.modulus, value_bits=self.value_bits)
        sum_bits = self.sum_bits(session, values.bound)
        pad = LatticePad(length=session.length, bound=values.bound, clients=clients, sum_bits=sum_bits)
        digits = Digits(
            reach=LatticePad.key_reach(clients),
            message_modulus=int(threshold_key(session).public_key.message_modulus),
        )
        seed = hashlib.sha256(b"secagg oneshot pads v1" + self.digest(session)).digest()
        return PaddedVector(values, pad, digits, seed)
