"""Bad twins of the messages of sums by replicated seeds.

A box that does not open is no bad message: the member complains of its client. So no twin alters a box where nobody has
signed it.
"""

from collections.abc import Iterator
from typing import Any, Final

from tests.vectors.wire_cases import Case
from tests.vectors.wire_twins_pairwise import flipped

_SIGNATURE: Final = 64
_STRANGER: Final = 4_000_000_000

Altered = tuple[str, str, list[Any]]


def seed_twins(case: Case, step: str, direction: str, body: list[Any]) -> Iterator[Altered]:
    """What one step does not take: what is wrong, the error, and the body."""
    match step, direction:
        case "mask_input", "replies":
            yield from _bad_inputs(case, *body)
        case "check_entries", "requests":
            yield from _bad_entries(*body)
        case "check_entries", "replies":
            yield from _bad_complaints(case)
        case "agree", "requests":
            yield from _bad_proposals(case, *body)
        case "agree", "replies":
            (signature,) = body
            yield "other_signature", "NotSigned", [flipped(signature, 0)]
            yield "no_signature", "NotSigned", [b""]
        case "open_sum", "requests":
            yield from _bad_certificates(case, *body)
        case "open_sum", "replies":
            yield from _bad_sums(*body)


def _bad_inputs(case: Case, padded: bytes, sealed: bytes) -> Iterator[Altered]:
    """What the server does not take of a client."""
    yield "short_padded", "MalformedMessage", [padded[1:], sealed]
    yield "long_padded", "MalformedMessage", [b"\x00" + padded, sealed]
    yield "bits_after_the_last_entry", "MalformedMessage", [padded[:-1] + b"\xff", sealed]
    yield "short_sealed", "MalformedMessage", [padded, sealed[1:]]
    yield "long_sealed", "MalformedMessage", [padded, b"\x00" + sealed]
    if not case["roster"]:
        yield "signature_without_roster", "MalformedMessage", [padded, sealed + bytes(_SIGNATURE)]
        return
    yield "other_padded", "NotSigned", [flipped(padded, 0), sealed]
    yield "other_seed_hash", "NotSigned", [padded, flipped(sealed, 0)]
    yield "other_box", "NotSigned", [padded, flipped(sealed, len(sealed) - _SIGNATURE - 1)]
    yield "other_signature", "NotSigned", [padded, flipped(sealed, len(sealed) - 1)]


def _bad_entries(clients: list[int], entries: bytes) -> Iterator[Altered]:
    """What a member does not take of the server."""
    yield "short_entries", "MalformedMessage", [clients, entries[1:]]
    yield "unordered", "RemoteError", [clients[::-1], entries]
    yield "repeated_client", "RemoteError", [[clients[0]] * len(clients), entries]
    yield "stranger", "RemoteError", [[*clients[:-1], _STRANGER], entries]


def _bad_complaints(case: Case) -> Iterator[Altered]:
    """What the server does not take of a member that has no complaint, or should have signed one."""
    client = min(case["clients"])
    yield "reason_without_client", "MalformedMessage", [[], b"\x01", b""]
    yield "signature_without_client", "MalformedMessage", [[], b"", bytes(_SIGNATURE)]
    yield "unknown_reason", "MalformedMessage", [[client], b"\x09", bytes(_SIGNATURE)]
    yield "unsigned_complaint", "NotSigned", [[client], b"\x01", bytes(_SIGNATURE)]
    yield "stranger", "RemoteError", [[_STRANGER], b"\x01", bytes(_SIGNATURE)]


def _bad_proposals(case: Case, contributors: list[int], weights: list[int]) -> Iterator[Altered]:
    """What a member does not sign."""
    dropped = case["drops"]["mask_input"][0]
    yield "none", "RemoteError", [[], []]
    yield "too_few", "RemoteError", [contributors[:1], weights[:1]]
    yield "unordered", "RemoteError", [contributors[::-1], weights]
    yield "repeated_client", "RemoteError", [[contributors[0]] * 2, weights]
    yield "stranger", "RemoteError", [[contributors[0], _STRANGER], weights]
    yield "one_that_sent_nothing", "RemoteError", [sorted([contributors[0], dropped]), weights]
    yield "other_weight", "RemoteError", [contributors, [*weights[:-1], 2]]
    yield "weight_missing", "RemoteError", [contributors, weights[:-1]]


def _bad_certificates(case: Case, signers: list[int], signatures: bytes, sets: list[int]) -> Iterator[Altered]:
    """What a member does not answer with anything that depends on a pad."""
    yield "nobody_signs", "RemoteError", [[], b"", sets]
    fewer = 1  # No quorum of these committees has fewer than 2 members.
    yield "too_few_sign", "RemoteError", [signers[:fewer], signatures[: fewer * _SIGNATURE], sets]
    yield "unordered", "RemoteError", [signers[::-1], signatures, sets]
    yield "one_signs_twice", "RemoteError", [[signers[0]] * len(signers), signatures, sets]
    yield "stranger_signs", "RemoteError", [[*signers[:-1], _STRANGER], signatures, sets]
    yield "short_signatures", "MalformedMessage", [signers, signatures[1:], sets]
    yield "other_signature", "NotSigned", [signers, flipped(signatures, 0), sets]
    yield "signatures_exchanged", "NotSigned", [
        signers, signatures[_SIGNATURE:] + signatures[:_SIGNATURE], sets
    ]  # fmt: skip
    yield "no_such_set", "RemoteError", [signers, signatures, [*sets, 250]]
    yield "set_of_others", "RemoteError", [signers, signatures, [_set_without_first_member(case)]]
    yield "one_set_twice", "RemoteError", [signers, signatures, [*sets, *sets] or [0, 0]]


def _set_without_first_member(case: Case) -> int:
    """The number of the set that lacks the member whose twins these are, the one with the least id."""
    members: list[int] = case["committee"]["members"]
    return len(members) - 1 - members.index(min(members))  # With t = 1, the last set lacks the first member.


def _bad_sums(claims: bytes, signature: bytes, sums: bytes) -> Iterator[Altered]:
    """What the server does not take of a member."""
    yield "short_claims", "MalformedMessage", [claims[1:], signature, sums]
    yield "other_claim", "NotSigned", [flipped(claims, 0), signature, sums]
    yield "other_signature", "NotSigned", [claims, flipped(signature, 0), sums]
    yield "short_sums", "MalformedMessage", [claims, signature, sums[1:]]
    yield "long_sums", "MalformedMessage", [claims, signature, sums + b"\x00"]
    yield "other_sum", "RemoteError", [claims, signature, flipped(sums, 0)]
