"""A second implementation of what `SeedSum` derives and sends, from the formulas of docs/seeds.md, for audits.

Boxes are randomised by a library whose randomness cannot be given. So two messages of a client that draws from the same
tape differ in their boxes, and in the signature over them. The auditor made the keys of the committee itself. It opens
every box and checks every signature, and compares what it finds in their places: see `settled`.
"""

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from protocols import MemberShare, ProtocolError, SeedSum
from protocols.codec import Message
from protocols.crypto import hpke
from protocols.errors import NotSigned
from protocols.identity import SIGNATURE_BYTES, Signatures
from protocols.seeds.messages import SeedInput
from protocols.seeds.sets import SeedSets
from protocols.session import Vector
from secagg.audit.sums.codecs import codec_of
from secagg.audit.sums.cohort import Cohort

SEED_BYTES: Final = 32
HASH_BYTES: Final = 32
ENCAPSULATION_BYTES: Final = 1120
"""The first bytes of a box, which no two boxes have in common."""

INPUT: Final = 0
"""The number of the step in which clients answer."""

AGREE: Final = 2
"""The number of the step in which members sign the contributors."""

_ENTRY: Final = b"entry..."
_NOT_OPENED: Final = b"a box that does not open"
_NOT_SIGNED: Final = b"no valid signature"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Parts:
    """A client's message, taken apart.

    Attributes:
        padded: The padded vector, bit-packed.
        hashes: The hash of the seed of each set.
        boxes: The box of each member.
        signature: The signature; empty without a roster.
    """

    padded: bytes
    hashes: tuple[bytes, ...]
    boxes: tuple[bytes, ...]
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedTwin:
    """The formulas, for one session.

    Attributes:
        cohort: The session and the parties' secrets.
    """

    cohort: Cohort

    @property
    def digest(self) -> bytes:
        """The session's digest, 32 bytes."""
        return self.cohort.protocol.digest(self.cohort.session)

    @property
    def shares(self) -> tuple[MemberShare, ...]:
        """What the committee's members hold, in their order."""
        held = (self.cohort.key_shares[member] for member in self.cohort.session.committee_members)
        return tuple(each for each in held if isinstance(each, MemberShare))

    @property
    def sets(self) -> SeedSets:
        """The sets of members."""
        return self.shares[0].key.sets

    def parts(self, message: SeedInput) -> Parts:
        """Return a client's message, taken apart."""
        box_bytes = hpke.BOX_OVERHEAD_BYTES + SEED_BYTES * self.sets.held
        hashed, end = HASH_BYTES * self.sets.count, HASH_BYTES * self.sets.count + self.sets.members * box_bytes
        sealed = bytes(message.sealed)
        return Parts(
            padded=bytes(message.padded),
            hashes=tuple(sealed[at : at + HASH_BYTES] for at in range(0, hashed, HASH_BYTES)),
            boxes=tuple(sealed[at : at + box_bytes] for at in range(hashed, end, box_bytes)),
            signature=sealed[end:],
        )

    def seed_hash(self, seed: bytes, client: int, number: int) -> bytes:
        """Return the hash of a seed."""
        return self._mac(seed, b"secagg seeds hash v1", client, number)

    def wrap_key(self, seed: bytes, client: int, number: int) -> bytes:
        """Return the share of the key of a client's wrap, with lattice pads against a malicious server."""
        return self._mac(seed, b"secagg seeds wrap v1", client, number)

    def pad_key(self, seed: bytes, client: int, number: int) -> bytes:
        """Return the key of the pad of a seed."""
        return self._mac(seed, b"secagg seeds pad v1", client, number)

    def pad(self, seed: bytes, client: int, number: int) -> Vector:
        """Return the stream pad of a seed."""
        return self.expanded(self.pad_key(seed, client, number))

    def expanded(self, key: bytes) -> Vector:
        """Return the words of a keystream modulo the session's modulus."""
        session = self.cohort.session
        size = next(size for size in (1, 2, 4, 8) if 256**size >= session.modulus)
        stream = Cipher(algorithms.AES256(key), modes.CTR(bytes(16))).encryptor().update(bytes(size * session.length))
        words = np.frombuffer(stream, dtype=f"<u{size}").astype(np.uint64)
        return words & np.uint64(session.modulus - 1)

    def opened(self, client: int, parts: Parts, member: int) -> bytes | None:
        """Return what a member finds in its box, the seeds of its sets; None if it does not open."""
        label = b"secagg seeds box v1" + self.digest + client.to_bytes(4, "big") + member.to_bytes(4, "big")
        info = hashlib.sha256(label + b"".join(parts.hashes)).digest()
        try:
            return self.shares[member].epoch_key.key.open(info, parts.boxes[member])
        except hpke.BoxNotOpened:
            return None

    def entry(self, client: int, parts: Parts) -> bytes:
        """Return the entry E, which stands for everything that a client has sent."""
        signed = self.cohort.session.roster is not None
        padded = hashlib.sha256(parts.padded).digest() if signed else bytes(HASH_BYTES)
        joined = padded + hashlib.sha256(b"".join(parts.hashes)).digest()
        joined += b"".join(hashlib.sha256(box).digest() for box in parts.boxes)
        return hashlib.sha256(b"secagg seeds entry v1" + self.digest + client.to_bytes(4, "big") + joined).digest()

    def root(self, contributors: Sequence[int], entries: Iterable[bytes]) -> bytes:
        """Return the root R over contributors with these entries, each with the weight 1."""
        hashed = hashlib.sha256(b"secagg seeds set v1" + self.digest + len(contributors).to_bytes(4, "big"))
        for client, entry in zip(contributors, entries, strict=True):
            hashed.update(client.to_bytes(4, "big") + (1).to_bytes(8, "big") + entry)
        return hashed.digest()

    def is_signed(self, client: int, parts: Parts) -> bool:
        """Return whether the client's signature is valid; also if none is due and there is none."""
        signatures = Signatures(self.digest, self.cohort.session.roster)
        if self.cohort.session.roster is None:
            return not parts.signature
        try:
            signatures.check(parts.signature, client=client, purpose=_ENTRY, payload=self.entry(client, parts))
        except NotSigned:
            return False
        return len(parts.signature) == SIGNATURE_BYTES

    def _mac(self, seed: bytes, label: bytes, client: int, number: int) -> bytes:
        statement = label + self.digest + client.to_bytes(4, "big") + number.to_bytes(2, "big")
        return hmac.digest(seed, statement, "sha256")


def settled(cohort: Cohort, party: int, step: str, reply: bytes) -> bytes:
    """Return a reply with what boxes hold in the place of the boxes, and whether it is signed in that of the signature.

    Of every other protocol, and of every other step, it is the reply itself.
    """
    protocol = cohort.protocol
    if not isinstance(protocol, SeedSum) or step != protocol.steps[INPUT].name:
        return reply
    try:
        message: Message = codec_of(cohort).decode(INPUT, SeedInput, reply)
    except ProtocolError:
        return reply
    if not isinstance(message, SeedInput):
        return reply
    twin = SeedTwin(cohort=cohort)
    parts = twin.parts(message)
    found = [twin.opened(party, parts, member) or _NOT_OPENED for member in range(len(parts.boxes))]
    signed = b"" if twin.is_signed(party, parts) else _NOT_SIGNED
    return b"".join((parts.padded, *parts.hashes, *found, signed))
