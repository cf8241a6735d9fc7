"""What the wire vectors hold, computed again by hand: MessagePack, hashes, and signatures."""

import hashlib
import json
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.support.packed import packed
from tests.vectors import make_wire, wire_cases
from tests.vectors.wire_parties import keyholder_of, session_of

Case = dict[str, Any]
CASES: Final[dict[str, Case]] = {
    case["name"]: case
    for protocol in wire_cases.CASES
    for case in json.loads(make_wire.path_of(protocol).read_text())["cases"]
}
BOTH: Final = ["curious", "malicious"]
COMMITTEE: Final = {
    "adversaries": BOTH,
    "needs_committee": True,
    "exponents": "short",
    "headroom": False,
    "value_bits": None,
}
CONSTANTS: Final[dict[str, dict[str, Any]]] = {
    "secagg": {"adversaries": BOTH, "headroom": False},
    "secagg-plus": {"adversaries": BOTH, "headroom": False},
    "lightsecagg": {"adversaries": ["curious"]},
    "paillier": COMMITTEE,
    "oneshot": {**COMMITTEE, "experimental": "there is no proof against a malicious server"},
    "seeds": {
        "adversaries": BOTH,
        "needs_committee": True,
        "experimental": "its argument has not been reviewed outside the project",
        "pads": "stream",
        "headroom": False,
        "value_bits": None,
    },
    "plain": {},
}
"""What is hashed of a protocol besides the parameters that a case names: defaults, and the class's own constants."""
SIGNATURE: Final = 64


def described(case: Case) -> list[object]:
    """What all parties of a session agree on, in the order in which it is hashed."""
    protocol = {**CONSTANTS[case["protocol"]["name"]], **case["protocol"]}
    roster = [[int(client), bytes.fromhex(key)] for client, key in case["roster"].items()]
    agreed: list[object] = [
        bytes.fromhex(case["session_id"]),
        case["clients"],
        [case["threshold"], case["length"], case["modulus"] - 1],
        bytes.fromhex(case["context"]),
        sorted(roster) or None,
        case["attached"],
    ]
    if "committee" in case:
        key = bytes.fromhex(case["committee"]["key"])
        agreed += [hashlib.sha256(key).digest(), case["committee"]["members"]]
    if "expires" in case:
        agreed.append(["expires", case["expires"]])
    return ["secagg session", 1, protocol["name"], [list(each) for each in sorted(protocol.items())], agreed]


@pytest.mark.parametrize("name", CASES)
def test_digest_is_the_hash_of_what_the_parties_agree_on(name: str) -> None:
    assert hashlib.sha256(packed(described(CASES[name]))).hexdigest() == CASES[name]["digest"]


@pytest.mark.parametrize("name", CASES)
def test_messages_begin_with_version_digest_and_step(name: str) -> None:
    steps = [row["step"] for row in CASES[name]["steps"]]
    numbers = {step: number for number, step in enumerate(dict.fromkeys(steps))}  # One for a step that repeats.
    for row in CASES[name]["steps"]:
        number = numbers[row["step"]]
        header = b"\x94" + packed(1) + packed(bytes.fromhex(CASES[name]["digest"])) + packed(number)
        for data in (*row["requests"].values(), *row["replies"].values()):
            assert isinstance(data, dict) or bytes.fromhex(data).startswith(header)


@pytest.mark.parametrize("name", CASES)
def test_total_is_the_sum_of_the_contributors(name: str) -> None:
    case = CASES[name]
    columns = zip(*(case["inputs"][str(client)] for client in case["contributors"]), strict=True)
    assert case["total"] == [sum(column) % case["modulus"] for column in columns]


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case["protocol"]["name"] == "plain"])
def test_every_byte_of_a_sum_in_the_clear(name: str) -> None:
    case = CASES[name]
    header = b"\x94" + packed(1) + packed(bytes.fromhex(case["digest"])) + packed(0)
    bits = (case["modulus"] - 1).bit_length()
    (row,) = case["steps"]
    assert row["requests"] == {str(client): (header + packed([])).hex() for client in sorted(case["clients"])}
    for client in case["contributors"]:
        entries = sum(entry << bits * at for at, entry in enumerate(case["inputs"][str(client)]))
        vector = entries.to_bytes(-(-bits * case["length"] // 8), "little")
        assert row["replies"][str(client)] == (header + packed([vector])).hex()
    assert set(row["replies"]) == {str(client) for client in case["contributors"]}


def test_clients_of_a_committee_sign_what_they_send() -> None:
    case = CASES["paillier_malicious_a_client_is_a_member"]
    digest = bytes.fromhex(case["digest"])
    header = b"\x94" + packed(1) + packed(digest) + packed(0)
    for client, data in case["steps"][0]["replies"].items():
        message = bytes.fromhex(data)
        sealed = message[len(header) + len(b"\x92" + packed(b"") + b"\xc5\x00\x00") :]
        assert message == header + b"\x92" + packed(b"") + packed(sealed)
        unsigned, signature = sealed[:-SIGNATURE], sealed[-SIGNATURE:]
        payload = hashlib.sha256(b"").digest() + hashlib.sha256(unsigned).digest()
        statement = b"secagg signature v1" + digest + b"encrypt." + int(client).to_bytes(4, "big") + payload
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(case["roster"][client])).verify(signature, statement)


def test_what_stands_for_a_share_in_records_is_a_hash_of_key_and_index() -> None:
    """It is in no message, but openings are recorded under it, so it must stay what it is."""
    case = CASES["paillier_one_client_and_one_member_drop"]
    key = hashlib.sha256(bytes.fromhex(case["committee"]["key"])).digest()
    for index, member in enumerate(case["committee"]["members"], start=1):
        keyholder = keyholder_of(case, session_of(case), member)
        assert keyholder is not None
        assert keyholder.fingerprint == hashlib.sha256(b"secagg keyholder v1" + key + bytes([index])).digest()
