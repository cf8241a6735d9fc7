"""Bad twins of the messages of sums that a committee opens."""

import hashlib
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from tests.vectors.wire_cases import Case, identity_of
from tests.vectors.wire_sessions import Step
from tests.vectors.wire_twins_pairwise import flipped

_HASH: Final = 32
_SIGNATURE: Final = 64
_NUMBER: Final = 256  # bytes below n, for the key of 2048 bits of the tests
_STRANGER: Final = 4_000_000_000
_SHORT_BODY: Final = 4096  # from here on, no twin repeats much of another message

Altered = tuple[str, str, list[Any]]


def committee_twins(case: Case, step: Step, direction: str, party: int, body: list[Any]) -> Iterator[Altered]:
    """What one step does not take: what is wrong, the error, and the body."""
    match step.name, direction:
        case "encrypt_input", "replies":
            yield from _bad_inputs(case, step, party, body)
        case "open_sum", "requests":
            yield from _bad_contributions(case, body)
        case "open_sum", "replies":
            yield from _bad_openings(step, party, body)


def _bad_inputs(case: Case, step: Step, client: int, body: list[Any]) -> Iterator[Altered]:
    """What the server does not take of a client."""
    padded, sealed = body
    signature = _SIGNATURE if case["roster"] else 0
    unsigned = sealed[: len(sealed) - signature]
    yield "short_sealed", "MalformedMessage", [padded, sealed[1:]]
    yield "long_sealed", "MalformedMessage", [padded, b"\x00" + sealed]
    yield "long_padded", "MalformedMessage", [b"\x00" + padded, sealed]
    yield "other_ciphertext", "RemoteError", [padded, flipped(sealed, 2 * _NUMBER - 1)]
    yield "other_proof", "RemoteError", [padded, flipped(sealed, len(unsigned) - 1)]
    if padded:
        yield "other_padded", "RemoteError", [flipped(padded, 0), sealed]
    if not signature:
        yield "zero_residue", "MalformedMessage", [padded, bytes(_NUMBER) + sealed[_NUMBER:]]
        yield "residue_out_of_range", "MalformedMessage", [padded, b"\xff" * _NUMBER + sealed[_NUMBER:]]
        yield "logarithm_out_of_range", "MalformedMessage", [
            padded, sealed[:_NUMBER] + b"\xff" * _NUMBER + sealed[2 * _NUMBER :]
        ]  # fmt: skip
        yield "signature_without_roster", "MalformedMessage", [padded, bytes(_SIGNATURE) + sealed]
    else:
        yield "other_signature", "RemoteError", [padded, flipped(sealed, len(sealed) - 1)]
        yield "shorter_by_a_signature", "MalformedMessage", [padded, sealed[_SIGNATURE:]]
        yield "signed_other_proof", "RemoteError", [
            padded, signed(case, client, body, flipped(unsigned, len(unsigned) - 1))
        ]  # fmt: skip
        stranger = next(other for other in case["clients"] if other != client)
        yield "signed_by_another", "RemoteError", [padded, signed(case, client, body, unsigned, signer=stranger)]
    if len(sealed) <= _SHORT_BODY:
        other = next(data for sender, data in step.replies.items() if sender != client)
        yield "of_another_client", "RemoteError", msgspec.msgpack.decode(other)[3]
        if signature:
            yield "signed_residue_out_of_range", "MalformedMessage", [
                padded, signed(case, client, body, b"\xff" * _NUMBER + unsigned[_NUMBER:])
            ]  # fmt: skip


def signed(case: Case, client: int, body: list[Any], unsigned: bytes, *, signer: int | None = None) -> bytes:
    """What a client seals, with a signature made here by hand: of this client, or of another that speaks for it."""
    payload = hashlib.sha256(body[0]).digest() + hashlib.sha256(unsigned).digest()
    statement = b"secagg signature v1" + bytes.fromhex(case["digest"]) + b"encrypt." + client.to_bytes(4, "big")
    return unsigned + identity_of(case, client if signer is None else signer).sign(statement + payload)


def _bad_contributions(case: Case, body: list[Any]) -> Iterator[Altered]:
    """What a committee member does not open."""
    contributors, contributions = body
    size = len(contributions) // len(contributors)
    proof_end = size - (_SIGNATURE if case["roster"] else 0)
    yield "too_few", "RemoteError", [contributors[-1:], contributions[-size:]]
    yield "none", "RemoteError", [[], b""]
    yield "unordered", "RemoteError", [contributors[::-1], contributions]
    yield "repeated_client", "RemoteError", [[contributors[0], contributors[0]], contributions]
    yield "stranger", "RemoteError", [[contributors[0], _STRANGER], contributions]
    yield "other_client", "RemoteError", [sorted({*case["clients"]} - {contributors[0]}), contributions]
    yield "short_contributions", "MalformedMessage", [contributors, contributions[1:]]
    yield "other_hash", "RemoteError", [contributors, flipped(contributions, 0)]
    yield "other_ciphertext", "RemoteError", [contributors, flipped(contributions, _HASH + 2 * _NUMBER - 1)]
    yield "other_proof", "RemoteError", [contributors, flipped(contributions, proof_end - 1)]
    if case["roster"]:
        yield "other_signature", "RemoteError", [contributors, flipped(contributions, size - 1)]
    else:
        outside = contributions[:_HASH] + b"\xff" * _NUMBER + contributions[_HASH + _NUMBER :]
        yield "residue_out_of_range", "MalformedMessage", [contributors, outside]
    if len(contributions) <= _SHORT_BODY:
        yield "exchanged", "RemoteError", [contributors, contributions[size:] + contributions[:size]]
        yield "one_twice", "RemoteError", [contributors, contributions[:size] * 2]


def _bad_openings(step: Step, party: int, body: list[Any]) -> Iterator[Altered]:
    """What the server does not take of a committee member."""
    (opening,) = body
    yield "other_value", "RemoteError", [flipped(opening, len(opening) - 1)]
    yield "value_out_of_range", "RemoteError", [opening[: -2 * _NUMBER] + b"\xff" * 2 * _NUMBER]
    yield "zero_value", "RemoteError", [opening[: -2 * _NUMBER] + bytes(2 * _NUMBER)]
    yield "other_proof", "RemoteError", [flipped(opening, 0)]
    yield "short_opening", "RemoteError", [opening[1:]]
    if len(opening) <= _SHORT_BODY:
        other = next(data for sender, data in step.replies.items() if sender != party)
        yield "of_another_member", "RemoteError", msgspec.msgpack.decode(other)[3]
