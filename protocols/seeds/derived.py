"""What all parties of a `SeedSum` derive from the session, each by itself: hashes, keys, statements, sizes.

D is the session's digest, H is SHA-256, and MAC(k, x) is HMAC-SHA256 (RFC 2104). Numbers have a fixed width and are
big-endian: four bytes for a party, two for a set, eight for a weight. Each hash begins with a label of its own, and
each of its fields has a fixed length or is itself a hash. So no two statements have the same bytes.

    hash of seed a       MAC(seed, "secagg seeds hash v1" | D | client | a)
    key of pad a         MAC(seed, "secagg seeds pad v1" | D | client | a)
    wrap's key share a   MAC(seed, "secagg seeds wrap v1" | D | client | a)
    info of a box        H("secagg seeds box v1" | D | client | member | all seed hashes)
    entry E              H("secagg seeds entry v1" | D | client | H(padded) | H(seed hashes) | H(box 0) | ...)
    root R               H("secagg seeds set v1" | D | number of contributors | (client | weight | E) ...)
    claim for set a      H("secagg seeds claim v1" | D | R | a | opening of the set)

The opening of a set is the sum of its pads over the contributors. With lattice pads against a malicious server, the
contributors' shares of the wraps' keys follow, ascending by contributor (`protocols.seeds.lattice_pads`).

All values that are derived from a seed depend on the session and the client. So if a machine was copied and draws the
same seeds in two sessions, the two padded vectors do not show the difference of the vectors.

Source: the project's own design; docs/seeds.md has the argument.
"""

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from protocols.committee import Committee
from protocols.crypto import hpke
from protocols.crypto.secret import Secret
from protocols.errors import MalformedMessage, ParameterError
from protocols.identity import SIGNATURE_BYTES, Roster, Signatures
from protocols.seeds.committee import SeedCommittee
from protocols.seeds.pads import Pads, SetKeys
from protocols.seeds.sets import SeedSets
from protocols.session import Session

SEED_BYTES: Final = 32
HASH_BYTES: Final = 32
NO_HASH: Final = bytes(HASH_BYTES)
"""What stands for the hash of a padded vector where nothing is signed."""

_CLAIM: Final = b"secagg seeds claim v1"
_PARTY_BYTES: Final = 4
_SET_BYTES: Final = 2
_WEIGHT_BYTES: Final = 8


def seed_committee(session: Session) -> SeedCommittee:
    """Return the committee of member keys of a session.

    Raises:
        ParameterError: The session has no committee, or one whose key is of another kind.
    """
    key = None if session.committee is None else session.committee.key
    if not isinstance(key, SeedCommittee):
        raise ParameterError(
            f"committee: expected one with a SeedCommittee, found {type(key).__name__}. `secagg keys member` makes the "
            "keys of its members."
        )
    return key


@dataclass(frozen=True, slots=True)
class Entry:
    """A client's part of a session as a member receives it.

    Attributes:
        padded_hash: The hash of the padded vector; zeros where nothing is signed.
        seed_hashes: The hash of each seed, joined.
        box_hashes: The hash of each member's box, joined.
        box: The box of one member.
        signature: The client's signature; empty where nothing is signed.
    """

    padded_hash: bytes
    seed_hashes: bytes
    box_hashes: bytes
    box: bytes
    signature: bytes


class PaddedHasher:
    """The hash of a padded vector that comes in pieces; zeros where nothing is signed."""

    def __init__(self, hasher: "hashlib._Hash | None") -> None:
        self._hasher = hasher

    def update(self, piece: bytes | memoryview) -> None:
        """Take the next piece."""
        if self._hasher is not None:
            self._hasher.update(piece)

    def digest(self) -> bytes:
        """Return the hash of all pieces so far."""
        return NO_HASH if self._hasher is None else self._hasher.digest()


@dataclass(frozen=True)
class Derived:
    """Values that all parties derive from the session.

    Attributes:
        session: The session.
        digest: The session's digest, 32 bytes.
        pads: The pads of the session's vectors.
    """

    session: Session
    digest: bytes
    pads: Pads

    @cached_property
    def key(self) -> SeedCommittee:
        """The certificates of the committee's members, and its parameters."""
        return seed_committee(self.session)

    @property
    def committee(self) -> Committee:
        """The parties that are the committee."""
        if self.session.committee is None:
            raise ParameterError("committee: expected a session with one, found none")
        return self.session.committee

    @cached_property
    def sets(self) -> SeedSets:
        """The sets of members that have a seed in common."""
        return self.key.sets

    @cached_property
    def signatures(self) -> Signatures:
        """The signer and verifier of the clients' statements."""
        return Signatures(self.digest, self.session.roster)

    @cached_property
    def member_signatures(self) -> Signatures:
        """The signer and verifier of the members' statements. Members sign them against a curious server too."""
        return Signatures(self.digest, Roster(dict(zip(self.committee.members, self.key.identities, strict=True))))

    @property
    def quorum(self) -> int:
        """The number of members that must answer in each step.

        It is at least the committee's quorum. If the committee has at least 2t + 1 members, it is also at least 2t + 1,
        so that their claims decide. Otherwise the sum is not verified.
        """
        return max(self.key.threshold, self.sets.needed)

    def number_of(self, member: int) -> int:
        """Return the place of a party in the committee, from 0."""
        return self.committee.index(member) - 1

    @cached_property
    def box_bytes(self) -> int:
        """Number of bytes of one member's box."""
        return hpke.BOX_OVERHEAD_BYTES + SEED_BYTES * self.sets.held

    @cached_property
    def hashes_bytes(self) -> int:
        """Number of bytes of a client's seed hashes."""
        return HASH_BYTES * self.sets.count

    @property
    def signature_bytes(self) -> int:
        """Number of bytes of a client's signature."""
        return SIGNATURE_BYTES if self.session.roster is not None else 0

    @cached_property
    def sealed_bytes(self) -> int:
        """Number of bytes of a client's hashes, boxes and signature."""
        return self.hashes_bytes + self.key.members * self.box_bytes + self.signature_bytes

    @cached_property
    def entry_bytes(self) -> int:
        """Number of bytes of a client's entry for one member."""
        boxes = HASH_BYTES * self.key.members + self.box_bytes
        return HASH_BYTES + self.hashes_bytes + boxes + self.signature_bytes

    def padded_hash(self, padded: bytes | memoryview) -> bytes:
        """Return the hash of a padded vector; zeros where nothing is signed, since only a signature covers it."""
        hasher = self.padded_hasher()
        hasher.update(padded)
        return hasher.digest()

    def padded_hasher(self) -> "PaddedHasher":
        """Return what hashes a padded vector that comes in pieces."""
        return PaddedHasher(None if self.session.roster is None else hashlib.sha256())

    def seed_hash(self, seed: Secret, *, client: int, number: int) -> bytes:
        """Return the public hash of a client's seed for one set."""
        return self._mac(seed, b"secagg seeds hash v1", client, number)

    def pad_key(self, seed: Secret, *, client: int, number: int) -> Secret:
        """Return the key of the pad that a client's seed for one set expands to."""
        return Secret(self._mac(seed, b"secagg seeds pad v1", client, number))

    def wrap_key(self, seed: Secret, *, client: int, number: int) -> Secret:
        """Return the share of the key of a client's wrap that its seed for one set gives."""
        return Secret(self._mac(seed, b"secagg seeds wrap v1", client, number))

    def set_keys(self, seed: Secret, *, client: int, number: int) -> SetKeys:
        """Return both keys of a client's seed for one set."""
        return SetKeys(
            pad=self.pad_key(seed, client=client, number=number), wrap=self.wrap_key(seed, client=client, number=number)
        )

    def box_info(self, seed_hashes: bytes, *, client: int, member: int) -> bytes:
        """Return what a client's box for a member is bound to, besides the member's key.

        Args:
            seed_hashes: The hash of each of the client's seeds, joined.
            client: The client's id.
            member: The member's place in the committee, from 0.
        """
        label = b"secagg seeds box v1" + self.digest
        return hashlib.sha256(label + _party(client) + _party(member) + seed_hashes).digest()

    def entry(self, client: int, padded_hash: bytes, seed_hashes: bytes, box_hashes: bytes) -> bytes:
        """Return E, which stands for everything that a client has sent."""
        label = b"secagg seeds entry v1" + self.digest
        hashed = hashlib.sha256(seed_hashes).digest()
        return hashlib.sha256(label + _party(client) + padded_hash + hashed + box_hashes).digest()

    def root(self, contributors: Sequence[int], weights: Sequence[int], entries: Iterable[bytes]) -> bytes:
        """Return R, which stands for a proposal: the contributors with their weights and entries."""
        hashed = hashlib.sha256(b"secagg seeds set v1" + self.digest + len(contributors).to_bytes(4, "big"))
        for client, weight, entry in zip(contributors, weights, entries, strict=True):
            hashed.update(_party(client) + weight.to_bytes(_WEIGHT_BYTES, "big") + entry)
        return hashed.digest()

    def claim(self, root: bytes, number: int, opening: bytes | memoryview) -> bytes:
        """Return the hash that stands for the opening of one set for the contributors of a root."""
        return self.claim_of_pieces(root, number, (opening,))

    def claim_of_pieces(self, root: bytes, number: int, opening: Iterable[bytes | memoryview]) -> bytes:
        """Return the claim for an opening that is given in pieces."""
        hashed = hashlib.sha256(_CLAIM + self.digest + root + number.to_bytes(_SET_BYTES, "big"))
        for piece in opening:
            hashed.update(piece)
        return hashed.digest()

    def split_sealed(self, sealed: memoryview) -> tuple[bytes, list[bytes], bytes]:
        """Return the seed hashes, the boxes and the signature of a client's message.

        Raises:
            MalformedMessage: The length is wrong.
        """
        if len(sealed) != self.sealed_bytes:
            raise MalformedMessage(f"sealed part: expected {self.sealed_bytes} bytes, found {len(sealed)}")
        starts = range(self.hashes_bytes, self.sealed_bytes - self.signature_bytes, self.box_bytes)
        boxes = [bytes(sealed[start : start + self.box_bytes]) for start in starts]
        return bytes(sealed[: self.hashes_bytes]), boxes, bytes(sealed[self.sealed_bytes - self.signature_bytes :])

    def split_entry(self, entry: memoryview) -> Entry:
        """Return the parts of an entry of `entry_bytes` bytes."""
        ends = [HASH_BYTES, self.hashes_bytes, HASH_BYTES * self.key.members, self.box_bytes, self.signature_bytes]
        parts, start = list[bytes](), 0
        for size in ends:
            parts.append(bytes(entry[start : start + size]))
            start += size
        return Entry(*parts)

    def _mac(self, seed: Secret, label: bytes, client: int, number: int) -> bytes:
        statement = label + self.digest + _party(client) + number.to_bytes(_SET_BYTES, "big")
        return hmac.digest(seed.reveal(), statement, "sha256")


def hash_of(data: bytes | memoryview) -> bytes:
    """Return SHA-256 of some bytes."""
    return hashlib.sha256(data).digest()


def _party(number: int) -> bytes:
    return number.to_bytes(_PARTY_BYTES, "big")
