"""Bad twins: messages of a session, altered so that their receiver must refuse them in that step, with that error."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from tests.vectors.wire_cases import Case
from tests.vectors.wire_sessions import Step, names_of
from tests.vectors.wire_twins_committee import committee_twins
from tests.vectors.wire_twins_lightsecagg import lightsecagg_twins
from tests.vectors.wire_twins_pairwise import pairwise_twins
from tests.vectors.wire_twins_seeds import seed_twins

INLINE_BYTES: Final = 200
"""Longer twins are recorded as an edit of the honest message."""

Altered = tuple[str, str, list[Any]]
"""What is wrong, the error, and the body."""


def bad_twins(case: Case, steps: Sequence[Step]) -> Iterator[dict[str, Any]]:
    """Every bad twin of a session: of the first request and the first reply of each step."""
    for number, name in enumerate(names_of(steps)):
        step = next(each for each in steps if each.name == name)
        for direction, sent in (("requests", step.requests), ("replies", step.replies)):
            party = min(sent, key=str) if case["protocol"]["name"].startswith("secagg") else min(sent)
            honest = sent[party]
            spoilt = [(what, "MalformedMessage", bad) for what, bad in _bad_envelopes(honest, number)]
            version, digest, _, body = msgspec.msgpack.decode(honest)
            for what, error, changed in _bad_bodies(case, steps, number, direction, party, body):
                spoilt.append((what, error, msgspec.msgpack.encode([version, digest, number, changed])))
            for what, error, bad in spoilt:
                late = what.endswith("_noticed_late")
                yield {
                    "name": f"{case['name']}_bad_{step.name}_{direction}_{what}",
                    "step": step.name,
                    "direction": direction,
                    "party": party,
                    "refused_by": "server" if direction == "replies" else f"party {party}",
                    "refused_at": "handle" if direction == "requests" else "advance" if late else "receive",
                    "error": error,
                    **written_twin(honest, bad),
                }


def written_twin(honest: bytes, bad: bytes) -> dict[str, Any]:
    """A twin as JSON has it: in hex, or, where it is long, as what to cut out of the honest message and put there."""
    if len(bad) <= INLINE_BYTES:
        return {"data": bad.hex()}
    shorter = min(len(honest), len(bad))
    start = next((at for at in range(shorter) if honest[at] != bad[at]), shorter)
    end = next((at for at in range(shorter - start) if honest[-1 - at] != bad[-1 - at]), shorter - start)
    put = bad[start : len(bad) - end]
    edit = {"at": start, "cut": len(honest) - end - start, "put": put.hex()}
    return {"edit": edit, "sha256": hashlib.sha256(bad).hexdigest()}


def read_twin(twin: dict[str, Any], honest: bytes) -> bytes:
    """The bytes of a twin, from its JSON and from the honest message."""
    if "data" in twin:
        return bytes.fromhex(twin["data"])
    at, cut = twin["edit"]["at"], twin["edit"]["cut"]
    bad = honest[:at] + bytes.fromhex(twin["edit"]["put"]) + honest[at + cut :]
    if hashlib.sha256(bad).hexdigest() != twin["sha256"]:
        raise AssertionError(f"{twin['name']}: the edit gives other bytes than recorded")
    return bad


def _bad_envelopes(honest: bytes, number: int) -> Iterator[tuple[str, bytes]]:
    """What no step takes."""
    version, digest, _, body = msgspec.msgpack.decode(honest)
    yield "truncated", honest[:-1]
    yield "trailing_byte", honest + b"\x00"
    yield "next_round", msgspec.msgpack.encode([version, digest, number + 1, body])
    yield "next_version", msgspec.msgpack.encode([version + 1, digest, number, body])
    yield "other_session", msgspec.msgpack.encode([version, hashlib.sha256(digest).digest(), number, body])
    yield "long_header", b"\xdc\x00\x04" + honest[1:]
    yield "extra_field", msgspec.msgpack.encode([version, digest, number, _with_another_field(body)])


def _with_another_field(body: list[Any]) -> list[Any]:
    """A body with one field too many: at its end, or, where it is long, at its beginning, which makes a short edit."""
    return [*body, 0] if len(msgspec.msgpack.encode(body)) < 4096 else [0, *body]


def _bad_bodies(
    case: Case, steps: Sequence[Step], number: int, direction: str, party: int, body: list[Any]
) -> Iterator[Altered]:
    """What one step of a protocol does not take."""
    match case["protocol"]["name"]:
        case "secagg" | "secagg-plus":
            malicious = case["protocol"]["adversary"] == "malicious"
            yield from pairwise_twins(steps[number].name, direction, body, malicious=malicious)
        case "lightsecagg":
            spare = len(steps[number].replies) - case["protocol"]["responders"]
            yield from lightsecagg_twins(steps[number].name, direction, party, body, answers_to_spare=spare)
        case "paillier" | "oneshot":
            yield from committee_twins(case, steps[number], direction, party, body)
        case "seeds":
            yield from seed_twins(case, steps[number].name, direction, body)
        case "plain" if direction == "replies":
            (packed,) = body
            yield "short_vector", "MalformedMessage", [packed[1:]]
            yield "long_vector", "MalformedMessage", [packed + b"\x00"]
            yield "text_for_bytes", "MalformedMessage", ["vector"]
            if case["modulus"] < 2**64:
                yield "entry_out_of_range", "MalformedMessage", [b"\xff" * len(packed)]
                yield "entry_equal_to_modulus", "MalformedMessage", [_first_entry_replaced(packed, case["modulus"])]


def _first_entry_replaced(packed: bytes, modulus: int) -> bytes:
    """A packed vector whose first entry is the modulus itself, which is one too many."""
    bits = (modulus - 1).bit_length()
    entries = int.from_bytes(packed, "little") >> bits << bits | modulus
    return entries.to_bytes(len(packed), "little")
