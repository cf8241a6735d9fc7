"""Makes the wire vectors: for each protocol whole sums byte for byte, snapshots, and bad twins of single messages.

    PYTHONHASHSEED=0 python -m tests.vectors.make_wire

writes tests/vectors/<protocol>/v<wire version>.json; README.md beside this file says what rests on what. Under that
seed a state's sets of byte strings come out in the same order again, and so do the server's snapshots.
"""

import json
from pathlib import Path
from typing import Any, Final

import msgspec

from tests.vectors.wire_boxes import boxes_of, recorded_boxes, remember
from tests.vectors.wire_cases import CASES, Case, completed
from tests.vectors.wire_parties import protocol_of, session_of
from tests.vectors.wire_sessions import play, written_steps
from tests.vectors.wire_twins import bad_twins

FOLDER: Final = Path(__file__).parent
WIRE_VERSION: Final = 1


def path_of(protocol: str) -> Path:
    """The file of a protocol's vectors."""
    return FOLDER / protocol / f"v{WIRE_VERSION}.json"


def origin(protocol: str) -> dict[str, str]:
    """Where a protocol's vectors come from, and how to read them."""
    label = "pairwise" if protocol.startswith("secagg") else protocol
    made_at = {"pairwise": "commit 10f8a04", "seeds": "commit 5d39ff0b"}.get(label, "commit b9f1118")
    found = {
        "description": f"{protocol}, wire version {WIRE_VERSION}: whole sums byte for byte, snapshots, and bad twins.",
        "made_by": f"This repository's own implementation at {made_at}, before version 0.1.0.",
        "command": "PYTHONHASHSEED=0 python -m tests.vectors.make_wire",
        "independent": INDEPENDENT[label],
        "randomness": "The n-th draw of a party, counted from 1, is the first bytes of "
        f"SHAKE-256('{label} wire vectors' || case || party || n); "
        "party and n have 4 bytes, big-endian. The server's party number is -1.",
        "identities": f"Ed25519 private keys are SHA-256('{label} wire identity' || client).",
        "attached": f"Attached secrets are SHA-256('{label} wire attached' || client || index). "
        "Their rules are written as [least, most] dropped.",
        "messages": "In hex. A message of more than 4096 bytes is given by its length and its SHA-256.",
        "snapshots": "Sealed under the key SHA-256('wire vectors: key of snapshots'). A snapshot of a party is taken "
        "before it answers `step`, after `draws` draws of its randomness; one of the server in `step`, after the "
        "replies in `received`.",
        "bad": "`refused_by` must refuse the message in `step`, instead of the honest message to or from `party`, with "
        "`error`, when the call `refused_at` is made. The message is `data` in hex, or the honest message without the "
        "`cut` bytes from `at` on, with `put` in their place.",
    }
    if label == "seeds":
        found["committee"] = (
            "The key is the committee in its public encoding; the shares are each member's identity and private key of "
            "the epoch, in clear. They are those of tests/support/seed_members.py and protect nothing. All clocks show "
            "`now`."
        )
        found["boxes"] = (
            "HPKE draws from the operating system. So the boxes of clients for members are recorded, by the `info` to "
            "which each is bound. Whoever plays the session again sends these boxes; everything else is computed."
        )
    if label in ("paillier", "oneshot"):
        found["committee"] = (
            "The key and the shares are in clear, as their `to_bytes` writes them. They were dealt from the public "
            "test primes of tests/protocols/committee_keys.py and protect nothing."
        )
    return found


INDEPENDENT: Final = {
    "pairwise": "The sums and the sessions' digests are computed anew by tests/protocols/test_wire_derivations.py. The "
    "masks are computed anew by tests/protocols/test_pairwise_masks.py.",
    "lightsecagg": "The sums and the sessions' digests are computed anew by tests/protocols/test_wire_derivations.py.",
    "paillier": "The sums, the sessions' digests and the signatures are computed anew by "
    "tests/protocols/test_wire_derivations.py.",
    "oneshot": "The sums, the sessions' digests and the signatures are computed anew by "
    "tests/protocols/test_wire_derivations.py.",
    "seeds": "The sums and the sessions' digests are computed anew by tests/protocols/test_wire_derivations.py. "
    "Derived values are computed anew by tests/protocols/seeds/test_derived.py.",
    "plain": "Every byte of every message is computed anew by tests/protocols/test_wire_derivations.py.",
}


def recorded(spec: Case) -> dict[str, Any]:
    """A case with every message of its sum, its snapshots, and its bad twins."""
    case = completed(spec)
    case["digest"] = protocol_of(case).digest(session_of(case)).hex()
    played = play(case)
    case["steps"] = written_steps(played.steps)
    if boxes := boxes_of(case, played.steps):
        case["boxes"] = boxes
    case["contributors"] = list(played.outcome.contributors)
    case["total"] = played.outcome.total.tolist()
    case["opened"] = {
        str(client): [secret and secret.reveal().hex() for secret in secrets]
        for client, secrets in sorted(played.outcome.attached.items())
    }
    case["snapshots"] = list(played.snapshots)
    case["bad"] = list(bad_twins(case, played.steps))
    versions = {msgspec.msgpack.decode(data)[0] for step in played.steps for data in step.requests.values()}
    if versions != {WIRE_VERSION}:
        raise AssertionError(f"messages of wire versions {versions}, where the files are of version {WIRE_VERSION}")
    return case


def document(protocol: str) -> str:
    """The whole file of a protocol."""
    path = path_of(protocol)
    for earlier in json.loads(path.read_text())["cases"] if path.exists() else ():
        remember(earlier)
    with recorded_boxes():
        cases = [recorded(spec) for spec in CASES[protocol]]
    return json.dumps({"origin": origin(protocol), "cases": cases}, indent=1) + "\n"


if __name__ == "__main__":
    for protocol in CASES:
        path_of(protocol).parent.mkdir(exist_ok=True)
        path_of(protocol).write_text(document(protocol))
