"""The operations that a sum's CPU time is made of: they are counted by the models and measured by the calibration."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeAlias


class Operation(StrEnum):
    """An operation that has one duration on one machine; what is counted is in its comment."""

    MESSAGE = "message"  # One message, encoded or decoded, and its step in the machine.
    MESSAGE_BYTE = "message-byte"  # One byte of a message.
    ENTRY = "entry"  # One coordinate of an input, checked and copied.
    PACK = "pack"  # One coordinate, bit-packed.
    ADD_PACKED = "add-packed"  # One packed coordinate, added modulo a power of two.
    ADD_PACKED_PRIME = "add-packed-prime"  # One packed coordinate, added modulo a prime.
    MASK_BYTE = "mask-byte"  # One byte of a mask, expanded from its seed and added.
    KEY_PAIR = "key-pair"  # One X25519 key pair.
    AGREE = "agree"  # One X25519 agreement.
    DERIVE = "derive"  # One key by HKDF.
    SEAL = "seal"  # One short AES-GCM message, sealed or opened.
    SEAL_BYTE = "seal-byte"  # One byte of a long one.
    HASH = "hash"  # SHA-256 of a short text.
    HASH_BYTE = "hash-byte"  # One byte of a long one.
    MAC = "mac"  # HMAC-SHA256 of a short text.
    HPKE_SEAL = "hpke-seal"  # One short message, sealed under a member's key.
    HPKE_OPEN = "hpke-open"  # One such message, opened.
    SIGN = "sign"  # One Ed25519 signature.
    VERIFY = "verify"  # One check of a signature.
    SHARE_TERM = "share-term"  # One coefficient of a Shamir polynomial, at one point.
    COMBINE_TERM = "combine-term"  # One Shamir share, weighted and added.
    WEIGHT_TERM = "weight-term"  # One factor of a Lagrange weight.
    DIRECTORY_ENTRY = "directory-entry"  # One client in the directory, the circle and the bitmaps.
    PEER = "peer"  # What a client does for each other client that it shares with, beside what is counted.
    EDGE = "edge"  # What the server does for each pair of such clients, in either order, beside what is counted.
    UNIFORM_ENTRY = "uniform-entry"  # One uniform field element from a seed.
    FIELD_TERM = "field-term"  # One product of a matrix product over the field.
    FIELD_ENTRY = "field-entry"  # One entry of the result of a matrix product, reduced.
    KNOT_TERM = "knot-term"  # One factor of an interpolation matrix.
    CIRCLE_ENTRY = "circle-entry"  # One client of LightSecAgg's circle, passed once.
    LATTICE_WORD = "lattice-word"  # One word of a vector under a lattice mask.
    LATTICE_OPEN_WORD = "lattice-open-word"  # One word whose lattice mask is removed.
    SLOT = "slot"  # One coordinate, packed into a Paillier message.
    SLOT_OPEN = "slot-open"  # One coordinate, read from the sum of messages.
    TABLE = "table"  # The table of powers of a Paillier key, once a process.
    ENCRYPT = "encrypt"  # One Paillier encryption.
    PROOF = "proof"  # What a proof of plaintext knowledge takes beside its ciphertexts.
    PROOF_CHECK = "proof-check"  # The same for its check alone.
    PROOF_CHECK_TERM = "proof-check-term"  # One ciphertext in that check.
    BATCH_TERM = "batch-term"  # One ciphertext in a check of many proofs at once.
    PARSE = "parse"  # One ciphertext, read, checked and multiplied into the sum.
    POWER = "power"  # One ciphertext, raised to a key share.
    OPENING_PROOF = "opening-proof"  # A member's proof of its powers.
    OPENING_CHECK = "opening-check"  # The check of that proof.
    OPEN_TERM = "open-term"  # One member's power of one ciphertext in the opened message.


Counts: TypeAlias = Mapping[Operation, float]
"""How often each operation is carried out."""


def cpu_seconds(counts: Counts, durations: Mapping[Operation, float]) -> float:
    """Return the CPU time of counted operations, given the duration of each."""
    return sum(count * durations[operation] for operation, count in counts.items())
