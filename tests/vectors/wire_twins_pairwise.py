"""Bad twins of pairwise masking's messages."""

from collections.abc import Iterator
from typing import Any


def flipped(data: bytes, position: int) -> bytes:
    """The data with one bit changed."""
    changed = bytearray(data)
    changed[position] ^= 1
    return bytes(changed)


def pairwise_twins(
    name: str, direction: str, body: list[Any], *, malicious: bool
) -> Iterator[tuple[str, str, list[Any]]]:
    """What one step does not take: what is wrong, the error, and the body."""
    match name, direction:
        case "advertise_keys", "replies":
            sealing, masking, signature = body
            yield "low_order_key", "RemoteError", [bytes(32), masking, signature]
            yield "one_key_twice", "RemoteError", [sealing, sealing, signature]
            yield "long_key", "RemoteError", [sealing, masking + b"\x00", signature]
            yield "other_signature", "RemoteError", [sealing, masking, flipped(signature or b"\x00", 0)]
        case "share_keys", "requests":
            leaves, keys = body
            yield "repeated_keys", "RemoteError", [leaves, [keys[0], keys[0], *keys[2:]]]
            yield "exchanged_key", "RemoteError", [leaves, [[keys[0][1], keys[0][0], keys[0][2]], *keys[1:]]]
            yield "short_directory", "RemoteError", [leaves[:-32], keys]
            yield "other_directory", "RemoteError", [bytes(len(leaves)), keys]
            yield "missing_neighbour", "RemoteError", [leaves, keys[1:]]
        case "share_keys", "replies":
            commitments, fingerprints, ciphertexts, signature = body
            yield "short_commitment", "MalformedMessage", [commitments[1:], fingerprints, ciphertexts, signature]
            yield "missing_fingerprint", "MalformedMessage", [commitments, fingerprints[32:], ciphertexts, signature]
            yield "missing_share", "MalformedMessage", [commitments, fingerprints, ciphertexts[1:], signature]
            yield "short_share", "MalformedMessage", [
                commitments, fingerprints, [ciphertexts[0][1:], *ciphertexts[1:]], signature
            ]  # fmt: skip
            if malicious:
                yield "other_commitment", "RemoteError", [flipped(commitments, 0), *body[1:]]
                yield "other_share", "RemoteError", [
                    commitments, fingerprints, [flipped(ciphertexts[0], 0), *ciphertexts[1:]], signature
                ]  # fmt: skip
        case "mask_input", "requests":
            members, fingerprints, ciphertexts = body
            yield "nobody_has_shared", "RemoteError", [bytes(len(members)), fingerprints, ciphertexts]
            yield "stranger_has_shared", "MalformedMessage", [b"\xff" * len(members), fingerprints, ciphertexts]
            yield "missing_share", "RemoteError", [members, fingerprints, ciphertexts[1:]]
        case "mask_input", "replies":
            view, packed, unopened = body
            yield "other_view", "RemoteError", [flipped(view, 0), packed, unopened]
            yield "short_vector", "MalformedMessage", [view, packed[1:], unopened]
            yield "repeated_complaint", "MalformedMessage", [view, packed, [2, 2]]
            yield "stranger_unopened", "MalformedMessage", [view, packed, [4_000_000_000]]
        case ("confirm_survivors", "requests") | ("reveal_shares", "requests") if len(body) == 1:
            yield "nobody_survives", "RemoteError", [bytes(len(body[0]))]
            yield "stranger_survives", "MalformedMessage", [b"\xff" * len(body[0])]
        case "confirm_survivors", "replies":
            yield "other_signature", "RemoteError", [flipped(body[0], 0)]
            yield "no_signature", "RemoteError", [b""]
        case "reveal_shares", "requests":
            signers, signatures = body
            yield "nobody_confirms", "RemoteError", [bytes(len(signers)), b""]
            yield "forged_confirmation", "RemoteError", [signers, flipped(signatures, 0)]
            yield "missing_confirmation", "RemoteError", [signers, signatures[:-64]]
        case "reveal_shares", "replies":
            yield "forged_share", "RemoteError", [flipped(body[0], 0)]
            yield "missing_share", "MalformedMessage", [body[0][33:]]
            yield "swapped_shares", "RemoteError", [body[0][33:66] + body[0][:33] + body[0][66:]]
