"""Makes pairwise_wire.json: whole sums byte for byte, and bad twins of single messages.

    python -m tests.vectors.make_pairwise_wire > tests/vectors/pairwise_wire.json

The bytes come from this package's own implementation and hold it, and any other, to its wire format; that the
cryptography inside is right is shown elsewhere, by published vectors and an independent computation of the masks.
All randomness is SHAKE-256: the n-th draw of a client, counted from 1, is the first bytes of
SHAKE-256("pairwise wire vectors" || case || client id || n), ids and n as 4 bytes, big-endian.
"""

import hashlib
import json
import sys
from typing import Any, Final

import msgspec

from protocols import Client, Continue, SecAgg, SecAggPlus, Server, Session
from protocols.pairwise import PairwiseMasking
from protocols.session import Entropy

CASES: Final[list[dict[str, Any]]] = [
    {
        "name": "secagg_nobody_drops",
        "protocol": {"name": "secagg"},
        "clients": [0, 1, 2],
        "threshold": 2,
        "length": 3,
        "modulus": 2**16,
        "drops": {},
    },
    {
        "name": "secagg_one_drops_in_each_round",
        "protocol": {"name": "secagg"},
        "clients": [9, 4_294_967_294, 0, 7, 3],
        "threshold": 2,
        "length": 5,
        "modulus": 2**64,
        "drops": {"share_keys": [7], "mask_input": [0], "reveal_shares": [9]},
    },
    {
        "name": "secaggplus_one_drops_after_sharing",
        "protocol": {"name": "secagg-plus", "neighbours": 4, "share_threshold": 3},
        "clients": [1, 2, 3, 4, 5, 6, 7],
        "threshold": 4,
        "length": 9,
        "modulus": 2**20,
        "drops": {"mask_input": [4]},
    },
]


def protocol_of(case: dict[str, Any]) -> PairwiseMasking:
    """The protocol that a case names."""
    parameters = {key: value for key, value in case["protocol"].items() if key != "name"}
    return SecAggPlus(**parameters) if parameters else SecAgg()


def session_of(case: dict[str, Any]) -> Session:
    """The session that a case describes."""
    return Session(
        session_id=b"wire vector: " + case["name"].encode(),
        clients=tuple(case["clients"]),
        threshold=case["threshold"],
        length=case["length"],
        modulus=case["modulus"],
        context=b"pairwise_wire.json",
    )


def entropy_of(case: dict[str, Any], client: int) -> Entropy:
    """A client's repeatable randomness, as the module's docstring defines it."""
    label = b"pairwise wire vectors" + case["name"].encode() + client.to_bytes(4, "big")
    calls = 0

    def draw(size: int) -> bytes:
        nonlocal calls
        calls += 1
        return hashlib.shake_256(label + calls.to_bytes(4, "big")).digest(size)

    return draw


def input_of(case: dict[str, Any], client: int) -> list[int]:
    """A client's vector: powers of its id plus 2, reduced."""
    return [pow(client + 2, exponent, case["modulus"]) for exponent in range(1, case["length"] + 1)]


def played(case: dict[str, Any]) -> dict[str, Any]:
    """A case with every message of its sum, and bad twins."""
    protocol, session = protocol_of(case), session_of(case)
    clients = {c: Client(protocol, session, c, input_of(case, c), entropy=entropy_of(case, c)) for c in session.clients}
    server, rounds, gone = Server(protocol, session), [], set[int]()
    step = server.start()
    while isinstance(step, Continue):
        gone |= set(case["drops"].get(step.round, []))
        replies = {c: clients[c].handle(request) for c, request in step.requests.items() if c not in gone}
        rounds.append({"round": step.round, "requests": in_hex(step.requests), "replies": in_hex(replies)})
        for client, reply in replies.items():
            server.receive(client, reply)
        step = server.advance()  # type: ignore[assignment]  # the loop ends on a Finish
    return {
        **case,
        "session_id": session.session_id.hex(),
        "context": session.context.hex(),
        "digest": protocol.digest(session).hex(),
        "inputs": {str(client): input_of(case, client) for client in session.clients},
        "rounds": rounds,
        "contributors": list(step.contributors),
        "total": step.total.tolist(),
        "bad": [twin for number in range(len(rounds)) for twin in bad_twins(case["name"], rounds, number)],
    }


def in_hex(sent: dict[int, bytes]) -> dict[str, str]:
    """Messages by client as JSON has them."""
    return {str(client): data.hex() for client, data in sorted(sent.items())}


def bad_twins(name: str, rounds: list[dict[str, Any]], number: int) -> list[dict[str, Any]]:
    """Single messages of one round, spoilt; each must be refused in that round by its receiver."""
    twins = []
    for direction in ("requests", "replies"):
        client, data = next(iter(rounds[number][direction].items()))
        honest = bytes.fromhex(data)
        version, digest, _, body = msgspec.msgpack.decode(honest)
        spoilt = {
            "truncated": honest[:-1],
            "trailing_byte": honest + b"\x00",
            "next_round": msgspec.msgpack.encode([version, digest, number + 1, body]),
            "next_version": msgspec.msgpack.encode([version + 1, digest, number, body]),
            "other_session": msgspec.msgpack.encode([version, hashlib.sha256(digest).digest(), number, body]),
            "long_header": b"\xdc\x00\x04" + honest[1:],
            "extra_field": msgspec.msgpack.encode([version, digest, number, [*body, 0]]),
        }
        if direction == "requests" and rounds[number]["round"] == "reveal_shares":
            left_out = bytes(len(body[0]))
            spoilt["nobody_survives"] = msgspec.msgpack.encode([version, digest, number, [left_out]])
        if direction == "requests" and rounds[number]["round"] == "mask_input":
            swapped = [body[1][1], body[1][0], *body[1][2:]]
            spoilt["swapped_shares"] = msgspec.msgpack.encode([version, digest, number, [body[0], swapped]])
        if direction == "requests" and rounds[number]["round"] == "share_keys":
            repeated = [body[1][0], body[1][0], *body[1][2:]]
            spoilt["repeated_keys"] = msgspec.msgpack.encode([version, digest, number, [body[0], repeated]])
        if direction == "replies" and rounds[number]["round"] == "advertise_keys":
            spoilt["low_order_key"] = msgspec.msgpack.encode([version, digest, number, [bytes(32), body[1]]])
        twins += [
            {
                "name": f"{name}_bad_{rounds[number]['round']}_{direction}_{what}",
                "round": rounds[number]["round"],
                "direction": direction,
                "client": int(client),
                "data": bad.hex(),
            }
            for what, bad in spoilt.items()
        ]
    return twins


def document() -> str:
    """The whole file."""
    provenance = {
        "description": "Pairwise masking (SecAgg and SecAgg+), wire version 1: messages byte for byte, and bad twins.",
        "source": "tests/vectors/make_pairwise_wire.py of this repository",
        "entropy": "SHAKE-256('pairwise wire vectors' || case || client || n): see the source",
        "format": "bytes in hex; in `bad`, the receiver must refuse `data` in `round` instead of the honest message",
    }
    return json.dumps({"provenance": provenance, "cases": [played(case) for case in CASES]}, indent=1) + "\n"


if __name__ == "__main__":
    sys.stdout.write(document())
