"""Makes pairwise_wire.json: whole sums byte for byte, and bad twins of single messages.

    python -m tests.vectors.make_pairwise_wire > tests/vectors/pairwise_wire.json

The bytes come from this package's own implementation and hold it, and any other, to its wire format; that the
cryptography inside is right is shown elsewhere, by published vectors and an independent computation of the masks.
All randomness is SHAKE-256: the n-th draw of a client, counted from 1, is the first bytes of
SHAKE-256("pairwise wire vectors" || case || client id || n), ids and n as 4 bytes, big-endian.  A client's Ed25519
private key is SHA-256("pairwise wire identity" || client id), its i-th attached secret
SHA-256("pairwise wire attached" || client id || i).
"""

import hashlib
import json
import sys
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import numpy as np

from protocols import (
    Adversary,
    Client,
    ClientTerms,
    Continue,
    Finish,
    Identity,
    MemoryRecord,
    Opening,
    Roster,
    SecAgg,
    SecAggPlus,
    Secret,
    Server,
    Session,
)
from protocols.crypto.entropy import Entropy
from protocols.pairwise.protocol import PairwiseMasking

CASES: Final[list[dict[str, Any]]] = [
    {
        "name": "secagg_nobody_drops",
        "protocol": {"name": "secagg", "adversary": "curious"},
        "clients": [0, 1, 2],
        "threshold": 2,
        "length": 3,
        "modulus": 2**16,
        "attached": [],
        "drops": {},
    },
    {
        "name": "secagg_one_drops_in_each_round",
        "protocol": {"name": "secagg", "adversary": "curious"},
        "clients": [9, 4_294_967_294, 0, 7, 3],
        "threshold": 2,
        "length": 5,
        "modulus": 2**64,
        "attached": [],
        "drops": {"share_keys": [7], "mask_input": [0], "reveal_shares": [9]},
    },
    {
        "name": "secaggplus_one_drops_after_sharing",
        "protocol": {"name": "secagg-plus", "adversary": "curious", "neighbours": 4, "share_threshold": 3},
        "clients": [1, 2, 3, 4, 5, 6, 7],
        "threshold": 4,
        "length": 9,
        "modulus": 2**20,
        "attached": [],
        "drops": {"mask_input": [4]},
    },
    {
        "name": "secagg_malicious_one_never_comes_one_drops_after_sharing",
        "protocol": {"name": "secagg", "adversary": "malicious"},
        "clients": [5, 2, 8, 4_294_967_294, 1],
        "threshold": 3,
        "length": 4,
        "modulus": 2**8,
        "attached": [],
        "drops": {"advertise_keys": [8], "mask_input": [2]},
    },
    {
        "name": "secaggplus_malicious_attached_one_drops_while_confirming",
        "protocol": {"name": "secagg-plus", "adversary": "malicious", "neighbours": 4, "share_threshold": 4},
        "clients": [1, 2, 3, 4, 5, 6],
        "threshold": 4,
        "length": 3,
        "modulus": 2**32,
        "attached": [[0, 0], [1, 2]],
        "drops": {"confirm_survivors": [3]},
    },
]


def protocol_of(case: dict[str, Any]) -> PairwiseMasking:
    """The protocol that a case names."""
    parameters = {key: value for key, value in case["protocol"].items() if key != "name"}
    return SecAgg(**parameters) if case["protocol"]["name"] == "secagg" else SecAggPlus(**parameters)


def identity_of(client: int) -> Identity:
    """A client's identity, as the module's docstring defines it."""
    return Identity(Secret(hashlib.sha256(b"pairwise wire identity" + client.to_bytes(4, "big")).digest()))


def session_of(case: dict[str, Any]) -> Session:
    """The session that a case describes."""
    malicious = protocol_of(case).adversary is Adversary.MALICIOUS
    return Session(
        session_id=hashlib.sha256(b"wire vector: " + case["name"].encode()).digest(),
        clients=tuple(case["clients"]),
        threshold=case["threshold"],
        length=case["length"],
        modulus=case["modulus"],
        context=b"pairwise_wire.json",
        roster=Roster({client: identity_of(client).public for client in case["clients"]}) if malicious else None,
        attached=tuple(Opening(least_dropped=least, most_dropped=most) for least, most in case["attached"]),
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


def attached_of(case: dict[str, Any], client: int) -> tuple[Secret, ...]:
    """A client's attached secrets, as the module's docstring defines them."""
    label = b"pairwise wire attached" + client.to_bytes(4, "big")
    return tuple(
        Secret(hashlib.sha256(label + index.to_bytes(4, "big")).digest()) for index in range(len(case["attached"]))
    )


def client_of(case: dict[str, Any], client: int) -> Client:
    """A client's machine, at its beginning."""
    session = session_of(case)
    member = None
    if session.roster is not None:
        member = ClientTerms(
            identity=identity_of(client),
            roster=session.roster,
            sessions=MemoryRecord(),
            adversarial=0.0,
            minimum_contributors=session.threshold,
        )
    return Client(
        protocol_of(case),
        session,
        client,
        np.array(input_of(case, client), dtype=np.uint64),
        entropy=entropy_of(case, client),
        attached=attached_of(case, client),
        terms=member,
    )


def played(case: dict[str, Any]) -> dict[str, Any]:
    """A case with every message of its sum, and bad twins."""
    protocol, session = protocol_of(case), session_of(case)
    clients = {client: client_of(case, client) for client in session.clients}
    server, rounds, gone = Server(protocol, session), list[dict[str, Any]](), set[int]()
    step: Continue | Finish = server.start()
    while isinstance(step, Continue):
        gone |= set(case["drops"].get(step.step, []))
        replies = {c: clients[c].handle(request) for c, request in step.requests.items() if c not in gone}
        rounds.append({"round": step.step, "requests": in_hex(dict(step.requests)), "replies": in_hex(replies)})
        for client, reply in replies.items():
            server.receive(client, reply)
        step = server.advance()
    attached = {
        str(client): [secret and secret.reveal().hex() for secret in secrets]
        for client, secrets in sorted(step.attached.items())
    }
    return {
        **case,
        "session_id": session.session_id.hex(),
        "context": session.context.hex(),
        "roster": {str(client): key.hex() for client, key in (session.roster or {}).items()},
        "digest": protocol.digest(session).hex(),
        "inputs": {str(client): input_of(case, client) for client in session.clients},
        "rounds": rounds,
        "contributors": list(step.contributors),
        "total": step.total.tolist(),
        "opened": attached,
        "bad": [twin for number in range(len(rounds)) for twin in bad_twins(case, rounds, number)],
    }


def in_hex(sent: dict[int, bytes]) -> dict[str, str]:
    """Messages by client as JSON has them."""
    return {str(client): data.hex() for client, data in sorted(sent.items())}


def bad_twins(case: dict[str, Any], rounds: list[dict[str, Any]], number: int) -> Iterator[dict[str, Any]]:
    """Single messages of one round, spoilt; each must be refused in that round by its receiver, with that error."""
    name, malicious = rounds[number]["round"], case["protocol"]["adversary"] == "malicious"
    for direction in ("requests", "replies"):
        client, data = next(iter(rounds[number][direction].items()))
        honest = bytes.fromhex(data)
        spoilt = [(what, "MalformedMessage", bad) for what, bad in bad_envelopes(honest, number)]
        version, digest, _, body = msgspec.msgpack.decode(honest)
        for what, error, changed in bad_bodies(name, direction, body, malicious=malicious):
            spoilt.append((what, error, msgspec.msgpack.encode([version, digest, number, changed])))
        for what, error, bad in spoilt:
            yield {
                "name": f"{case['name']}_bad_{name}_{direction}_{what}",
                "round": name,
                "direction": direction,
                "client": int(client),
                "error": error,
                "data": bad.hex(),
            }


def bad_envelopes(honest: bytes, number: int) -> Iterator[tuple[str, bytes]]:
    """What no round takes."""
    version, digest, _, body = msgspec.msgpack.decode(honest)
    yield "truncated", honest[:-1]
    yield "trailing_byte", honest + b"\x00"
    yield "next_round", msgspec.msgpack.encode([version, digest, number + 1, body])
    yield "next_version", msgspec.msgpack.encode([version + 1, digest, number, body])
    yield "other_session", msgspec.msgpack.encode([version, hashlib.sha256(digest).digest(), number, body])
    yield "long_header", b"\xdc\x00\x04" + honest[1:]
    yield "extra_field", msgspec.msgpack.encode([version, digest, number, [*body, 0]])


def flipped(data: bytes, position: int) -> bytes:
    """The data with one bit changed."""
    changed = bytearray(data)
    changed[position] ^= 1
    return bytes(changed)


def bad_bodies(name: str, direction: str, body: list[Any], *, malicious: bool) -> Iterator[tuple[str, str, list[Any]]]:
    """What one round does not take: what is wrong, the error, and the body."""
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


def document() -> str:
    """The whole file."""
    provenance = {
        "description": "Pairwise masking (SecAgg and SecAgg+), wire version 1: messages byte for byte, and bad twins.",
        "source": "tests/vectors/make_pairwise_wire.py of this repository",
        "entropy": "SHAKE-256('pairwise wire vectors' || case || client || n): see the source",
        "identities": "Ed25519 private keys SHA-256('pairwise wire identity' || client)",
        "attached": "secrets SHA-256('pairwise wire attached' || client || index); rules as [least, most] dropped",
        "format": "bytes in hex; in `bad`, the receiver must refuse `data` in `round` instead of the honest message, "
        "with `error`",
    }
    return json.dumps({"provenance": provenance, "cases": [played(case) for case in CASES]}, indent=1) + "\n"


if __name__ == "__main__":
    sys.stdout.write(document())
