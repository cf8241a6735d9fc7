"""What must be new in each session and for each client: session ids, public keys, masked vectors and ciphertexts.

Of replicated seeds, each box is a ciphertext. Its first part comes from the library's randomness alone, so no two boxes
of the file begin alike.

A protocol whose keys and ciphertexts are not named here is not tested for them.
"""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Final

from protocols import SeedCommittee
from protocols.codec import Message
from protocols.crypto.hpke import BOX_OVERHEAD_BYTES
from protocols.seeds.derived import HASH_BYTES, SEED_BYTES
from protocols.seeds.messages import SeedInput
from protocols.seeds.sets import SeedSets
from secagg.audit.sums.seed_twin import ENCAPSULATION_BYTES
from secagg.audit.transcript.catalogue import KEYS, SESSION_IDS, VECTORS, Notes
from secagg.transcripts.reader import RecordedSession

_Fields = Mapping[str, tuple[str, ...]]

_KEYS: Final[Mapping[str, _Fields]] = {
    "secagg": {"advertise_keys": ("sealing", "masking")},
    "secagg-plus": {"advertise_keys": ("sealing", "masking")},
    "lightsecagg": {"advertise_keys": ("key",)},
    "paillier": {},
    "oneshot": {},
    "seeds": {},
}
"""By protocol and step, the fields of replies that hold public keys of one session."""

_VECTORS: Final[Mapping[str, _Fields]] = {
    "secagg": {"share_keys": ("ciphertexts",), "mask_input": ("packed",)},
    "secagg-plus": {"share_keys": ("ciphertexts",), "mask_input": ("packed",)},
    "lightsecagg": {"share_masks": ("ciphertexts",), "mask_input": ("packed",)},
    "paillier": {"encrypt_input": ("sealed",)},
    "oneshot": {"encrypt_input": ("padded", "sealed")},
    "seeds": {"mask_input": ("padded", "sealed")},
}
"""By protocol and step, the fields of replies that hold masked vectors and ciphertexts."""

_SHORTEST: Final = 16  # Bytes: values of fewer may be equal by chance.
_HASH_BYTES: Final = 16


class Freshness:
    """Hashes of what has been seen: in the whole file, and of fields that hold a list only in the session.

    Args:
        notes: Where repetitions are noted.
    """

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._ids: dict[bytes, int] = {}
        self._seen: dict[bytes, int] = {}
        self._listed: dict[bytes, int] = {}
        self._number = 0
        self._protocol = ""
        self._sets: SeedSets | None = None

    def begin(self, begun: RecordedSession) -> None:
        """Take in a session's id."""
        self._number, self._protocol, self._listed = begun.number, begun.protocol.name, {}
        committee = begun.session.committee
        self._sets = committee.key.sets if committee and isinstance(committee.key, SeedCommittee) else None
        earlier = self._ids.setdefault(begun.session.session_id, begun.number)
        if earlier != begun.number:
            self._notes.found(SESSION_IDS, f"sessions {earlier} and {begun.number} have the same id")
        if not begun.protocol.protects:
            self._notes.not_tested(KEYS, f"clients of {self._protocol} have no keys of a session")
            self._notes.not_tested(VECTORS, f"{self._protocol} protects nobody: equal vectors may be equal inputs")
        elif self._protocol not in _KEYS:
            for check in (KEYS, VECTORS):
                self._notes.not_tested(
                    check, f"it is not known which fields of {self._protocol} hold keys and ciphertexts"
                )
        elif not _KEYS[self._protocol]:
            self._notes.not_tested(KEYS, f"clients of {self._protocol} have no keys of a session")

    def reply(self, step: str, party: int, message: Message) -> None:
        """Take in a reply that the server has accepted."""
        for check, table in ((KEYS, _KEYS), (VECTORS, _VECTORS)):
            for name in table.get(self._protocol, {}).get(step, ()):
                value = getattr(message, name)
                listed = isinstance(value, tuple)
                for each in value if listed else (value,):
                    self._take(check, name, each, party, self._listed if listed else self._seen)
        if isinstance(message, SeedInput) and self._sets is not None:
            for begins in _encapsulations(message, self._sets):
                self._take(VECTORS, "box", begins, party, self._seen)

    def _take(self, check: str, name: str, value: bytes | memoryview, party: int, seen: dict[bytes, int]) -> None:
        if len(value) < _SHORTEST:
            why = f"{name} has fewer than {_SHORTEST} bytes and may be equal by chance (session {self._number})"
            self._notes.not_tested(check, why)
            return
        found = hashlib.sha256(value).digest()[:_HASH_BYTES]
        if found in seen:
            self._notes.found(
                check,
                f"session {self._number}, client {party}: its {name} occurred before, in session {seen[found]}",
            )
        seen[found] = self._number


def _encapsulations(message: SeedInput, sets: SeedSets) -> Iterator[memoryview]:
    """Yield the beginning of each box of a client's message."""
    first, size = HASH_BYTES * sets.count, BOX_OVERHEAD_BYTES + SEED_BYTES * sets.held
    for member in range(sets.members):
        start = first + member * size
        yield message.sealed[start : start + ENCAPSULATION_BYTES]
