"""Values that both sides of LightSecAgg derive from the session, each by itself."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise

from protocols import packing
from protocols.crypto import sealing
from protocols.crypto.key_agreement import X25519, KeyAgreement
from protocols.errors import MalformedMessage
from protocols.lightsecagg.coding import MaskCode
from protocols.session import Session

_PREFIX = b"secagg lightsecagg v1"


@dataclass(frozen=True, kw_only=True)
class Derived:
    """Values that both sides derive from the session, each by itself.

    Attributes:
        session: The session.
        digest: The session's digest, 32 bytes.
        code: The code of the masks.
        agreement: The key agreement.
    """

    session: Session
    digest: bytes
    code: MaskCode
    agreement: KeyAgreement = X25519

    @cached_property
    def positions(self) -> dict[int, int]:
        """The position of each client's share in the code, by id."""
        return {client: position for position, client in enumerate(self.session.clients)}

    @property
    def share_length(self) -> int:
        """Number of field elements in a share."""
        return self.code.piece_length(self.session.length)

    @property
    def share_bytes(self) -> int:
        """Number of bytes of a bit-packed share that is not sent as a seed."""
        return packing.packed_bytes(self.share_length, self.session.modulus)

    @property
    def vector_bytes(self) -> int:
        """Number of bytes of a bit-packed masked vector."""
        return packing.packed_bytes(self.session.length, self.session.modulus)

    @property
    def sealed_bytes(self) -> int:
        """Number of bytes of all sealed shares that a client sends or receives if no client has dropped out."""
        computed = len(self.session.clients) - 1 - self.code.privacy
        contents = computed * self.share_bytes + self.code.privacy * sealing.KEY_BYTES
        return contents + (computed + self.code.privacy) * sealing.SEAL_OVERHEAD_BYTES

    def seeded(self, members: Collection[int], owner: int) -> frozenset[int]:
        """Return who gets a share of an owner's mask as a seed: the T members that follow the owner in a circle."""
        circle = sorted(members)
        start = circle.index(owner) + 1
        return frozenset((circle + circle)[start : start + self.code.privacy])

    def cut(self, joined: memoryview, seeds: Sequence[bool]) -> list[memoryview]:
        """Cut joined sealed shares into single ones, given which of them are seeds.

        Raises:
            MalformedMessage: The total length is wrong.
        """
        lengths = [sealing.SEAL_OVERHEAD_BYTES + (sealing.KEY_BYTES if seed else self.share_bytes) for seed in seeds]
        ends = list(accumulate(lengths, initial=0))
        if len(joined) != ends[-1]:
            raise MalformedMessage(f"sealed shares: expected {ends[-1]} bytes, found {len(joined)}")
        return [joined[start:end] for start, end in pairwise(ends)]

    def directory(self, members: Mapping[int, bytes]) -> bytes:
        """Return 32 bytes that identify everyone's public keys."""
        entries = b"".join(client.to_bytes(4, "big") + members[client] for client in sorted(members))
        return hashlib.sha256(_PREFIX + self.digest + b"keys." + entries).digest()

    def info(self, purpose: bytes, one: int, other: int) -> bytes:
        """Return the context of a derived key: unambiguous, since everything before the end has a fixed length."""
        return _PREFIX + self.digest + purpose + one.to_bytes(4, "big") + other.to_bytes(4, "big")
