"""Wire vectors played: every message of a case's session, its snapshots, and how they are written in JSON."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, NamedTuple

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from protocols import Client, Continue, Finish, Server
from tests.vectors.wire_cases import Case
from tests.vectors.wire_parties import (
    SNAPSHOT_KEY,
    Entropy,
    parties_of,
    party_of,
    server_of,
)

SERVER: Final = -1
_INLINE_BYTES: Final = 4096
_MADE_BY_PLAYING: Final = ("digest", "steps", "boxes", "contributors", "total", "opened", "snapshots", "bad")


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of a session: what the server sent to whom, and what came back."""

    name: str
    requests: dict[int, bytes]
    replies: dict[int, bytes]


class ReplayedParty(NamedTuple):
    """A party's machine after some steps, and its randomness."""

    machine: Client
    entropy: Entropy


@dataclass(frozen=True, kw_only=True)
class PlayedSession:
    """All steps of a session, with its outcome and snapshots."""

    steps: tuple[Step, ...]
    outcome: Finish
    snapshots: tuple[dict[str, Any], ...]


def play(case: Case) -> PlayedSession:
    """A case's session as its parties play it, with snapshots of one party and of the server in each step.

    A snapshot draws its nonce from its party's randomness, so it is taken of a copy of the party, and not of the
    party that goes on.
    """
    agreed = {name: value for name, value in case.items() if name not in _MADE_BY_PLAYING}
    return _play(json.dumps(agreed))


@cache
def _play(agreed: str) -> PlayedSession:
    case: Case = json.loads(agreed)
    entropy = {party: Entropy(case, party) for party in parties_of(case)}
    parties = {party: party_of(case, party, entropy[party]) for party in entropy}
    server, steps, gone, snapshots = server_of(case), list[Step](), set[int](), list[dict[str, Any]]()
    turn: Continue | Finish = server.start()
    while isinstance(turn, Continue):
        requests = dict(turn.requests)
        gone |= set(case["drops"].get(turn.step, []))
        answering = [party for party in sorted(requests) if party not in gone]
        first = answering[0] if turn.step not in names_of(steps) else None
        if first is not None:
            replayed = replayed_party(case, steps, first)
            snapshots.append(
                {
                    "step": turn.step,
                    "party": first,
                    "draws": replayed.entropy.drawn,
                    "answered": [number for number, step in enumerate(steps) if first in step.replies],
                    "data": replayed.machine.snapshot(SNAPSHOT_KEY).hex(),
                }
            )
        replies = {party: parties[party].handle(requests[party]) for party in answering}
        for party, reply in replies.items():
            server.receive(party, reply)
            if party == first:
                sealed = server.snapshot(SNAPSHOT_KEY, entropy=Entropy(case, SERVER))
                snapshots.append({"step": turn.step, "party": "server", "received": [party], "data": sealed.hex()})
        steps.append(Step(name=turn.step, requests=requests, replies=replies))
        turn = server.advance()
    return PlayedSession(steps=tuple(steps), outcome=turn, snapshots=tuple(snapshots))


def names_of(steps: Sequence[Step]) -> list[str]:
    """The names of the steps in order, each once: a step that repeats has one number."""
    return list(dict.fromkeys(step.name for step in steps))


def replayed_party(case: Case, steps: Sequence[Step], party: int) -> ReplayedParty:
    """A party that has answered these steps as recorded."""
    entropy = Entropy(case, party)
    machine = party_of(case, party, entropy)
    for step in steps:
        if party in step.replies and machine.handle(step.requests[party]) != step.replies[party]:
            raise AssertionError(f"party {party} answers step {step.name} with other bytes than recorded")
    return ReplayedParty(machine, entropy)


def replayed_server(case: Case, steps: Sequence[Step]) -> Server:
    """A server that has taken in the replies of these steps, in the step after them."""
    server = server_of(case)
    server.start()
    for step in steps:
        for party, reply in step.replies.items():
            server.receive(party, reply)
        server.advance()
    return server


def written(data: bytes) -> str | dict[str, Any]:
    """A message as JSON has it: in hex, or its length and hash where it is long."""
    if len(data) <= _INLINE_BYTES:
        return data.hex()
    return {"length": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def written_steps(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """All messages of a session as JSON has them."""
    return [
        {
            "step": step.name,
            "requests": {str(party): written(data) for party, data in sorted(step.requests.items())},
            "replies": {str(party): written(data) for party, data in sorted(step.replies.items())},
        }
        for step in steps
    ]


def recorded_steps(case: Case) -> list[Step]:
    """The messages of a case that was read from JSON; a long one is made by a session played anew, and compared."""
    rows = case["steps"]
    if all(isinstance(data, str) for row in rows for side in ("requests", "replies") for data in row[side].values()):
        return [
            Step(name=row["step"], requests=_from_hex(row["requests"]), replies=_from_hex(row["replies"]))
            for row in rows
        ]
    steps = list(play(case).steps)
    if written_steps(steps) != rows:
        raise AssertionError(f"{case['name']}: a session with other messages than recorded")
    return steps


def _from_hex(messages: Mapping[str, str]) -> dict[int, bytes]:
    return {int(party): bytes.fromhex(data) for party, data in messages.items()}


def opened_snapshot(case: Case, data: bytes) -> list[Any]:
    """What a snapshot holds, opened by hand; a set of byte strings, which has no order of its own, is sorted."""
    associated = b"secagg snapshot v1" + bytes.fromhex(case["digest"])
    *kept, state = msgspec.msgpack.decode(AESGCM(SNAPSHOT_KEY.reveal()).decrypt(data[:12], data[12:], associated))
    if "seen" in state:
        state["seen"] = sorted(state["seen"])
    return [data[:12], *kept, state]
