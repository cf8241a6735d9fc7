"""The sessions of the wire vectors: parameters of each, by protocol, and what follows from them.

A case is complete in itself: `tests.vectors.wire_parties` makes every party from what is written here, whether it
comes from `completed` or was read from a vector file.
"""

import hashlib
from typing import Any, Final

from protocols import Identity, Secret, SeedCommittee
from protocols.seeds.member_keys import MemberKeys
from protocols.seeds.sets import quorum
from protocols.testing.repeatable import fixed_identity
from tests.support import committee_keys, seed_members

Case = dict[str, Any]

CASES: Final[dict[str, list[Case]]] = {
    "secagg": [
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
            "name": "secagg_malicious_one_never_comes_one_drops_after_sharing",
            "protocol": {"name": "secagg", "adversary": "malicious"},
            "clients": [5, 2, 8, 4_294_967_294, 1],
            "threshold": 3,
            "length": 4,
            "modulus": 2**8,
            "attached": [],
            "drops": {"advertise_keys": [8], "mask_input": [2]},
        },
    ],
    "secagg-plus": [
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
            "name": "secaggplus_malicious_attached_one_drops_while_confirming",
            "protocol": {"name": "secagg-plus", "adversary": "malicious", "neighbours": 4, "share_threshold": 4},
            "clients": [1, 2, 3, 4, 5, 6],
            "threshold": 4,
            "length": 3,
            "modulus": 2**32,
            "attached": [[0, 0], [1, 2]],
            "drops": {"confirm_survivors": [3]},
        },
        {
            "name": "secaggplus_three_entries_share_a_word_one_drops_after_sharing",
            "protocol": {
                "name": "secagg-plus",
                "adversary": "curious",
                "neighbours": 4,
                "share_threshold": 3,
                "headroom": True,
            },
            "clients": [1, 2, 3, 4, 5, 6, 7],
            "threshold": 4,
            "length": 8,
            "modulus": 2**21,
            "attached": [],
            "drops": {"mask_input": [4]},
        },
    ],
    "lightsecagg": [
        {
            "name": "lightsecagg_one_drops_while_masking",
            "protocol": {"name": "lightsecagg", "privacy": 1, "responders": 2},
            "clients": [5, 0, 4_294_967_294, 17, 3],
            "threshold": 3,
            "length": 7,
            "modulus": 2**31 - 1,
            "attached": [],
            "drops": {"mask_input": [3]},
        },
        {
            "name": "lightsecagg_one_drops_in_each_step",
            "protocol": {"name": "lightsecagg", "privacy": 2, "responders": 3},
            "clients": [6, 1, 300, 70_000, 4, 2, 9],
            "threshold": 3,
            "length": 4,
            "modulus": 2**61 - 1,
            "attached": [],
            "drops": {"advertise_keys": [1], "share_masks": [300], "mask_input": [9], "aggregate_shares": [6]},
        },
    ],
    "paillier": [
        {
            "name": "paillier_one_client_and_one_member_drop",
            "protocol": {"name": "paillier", "adversary": "curious"},
            "clients": [4, 0, 9],
            "threshold": 2,
            "length": 5,
            "modulus": 2**16,
            "attached": [],
            "committee": [21, 22, 23],
            "drops": {"encrypt_input": [9], "open_sum": [23]},
        },
        {
            "name": "paillier_malicious_a_client_is_a_member",
            "protocol": {"name": "paillier", "adversary": "malicious", "value_bits": 8},
            "clients": [4, 4_294_967_294, 9],
            "threshold": 2,
            "length": 3,
            "modulus": 65_521,
            "attached": [],
            "committee": [22, 4, 23],
            "drops": {"encrypt_input": [9]},
        },
    ],
    "oneshot": [
        {
            "name": "oneshot_one_client_and_one_member_drop",
            "protocol": {"name": "oneshot", "adversary": "curious"},
            "clients": [4, 0, 9],
            "threshold": 2,
            "length": 5,
            "modulus": 2**16,
            "attached": [],
            "committee": [21, 22, 23],
            "drops": {"encrypt_input": [9], "open_sum": [23]},
        },
        {
            "name": "oneshot_malicious_a_client_is_a_member",
            "protocol": {"name": "oneshot", "adversary": "malicious", "headroom": True},
            "clients": [4, 4_294_967_294, 9],
            "threshold": 2,
            "length": 3,
            "modulus": 2**20,
            "attached": [],
            "committee": [22, 4, 23],
            "drops": {"encrypt_input": [9]},
        },
    ],
    "seeds": [
        {
            "name": "seeds_one_client_drops",
            "protocol": {"name": "seeds", "adversary": "curious"},
            "clients": [4, 0, 9],
            "threshold": 2,
            "length": 5,
            "modulus": 2**15,
            "attached": [],
            "committee": [21, 22, 23],
            "colluding": 1,
            "drops": {"mask_input": [9]},
        },
        {
            "name": "seeds_malicious_a_client_is_a_member_and_another_sends_no_sum",
            "protocol": {"name": "seeds", "adversary": "malicious"},
            "clients": [4, 4_294_967_294, 9],
            "threshold": 2,
            "length": 3,
            "modulus": 2**20,
            "attached": [],
            "committee": [22, 4, 23, 24],
            "colluding": 1,
            "drops": {"mask_input": [9], "open_sum": [23]},
        },
    ],
    "plain": [
        {
            "name": "plain_one_drops",
            "protocol": {"name": "plain"},
            "clients": [3, 4_294_967_294, 0, 12],
            "threshold": 2,
            "length": 6,
            "modulus": 1_000_003,
            "attached": [],
            "drops": {"contribute": [0]},
        },
        {
            "name": "plain_largest_modulus",
            "protocol": {"name": "plain"},
            "clients": [0, 1],
            "threshold": 2,
            "length": 3,
            "modulus": 2**64,
            "attached": [],
            "drops": {},
        },
    ],
}

_PAIRWISE: Final = ("secagg", "secagg-plus")


def label_of(case: Case) -> bytes:
    """What every label of a case's randomness begins with."""
    name = case["protocol"]["name"]
    return b"pairwise wire" if name in _PAIRWISE else f"{name} wire".encode()


def identity_of(case: Case, client: int) -> Identity:
    """A client's identity: SHA-256 of a label and its id is the Ed25519 private key."""
    return Identity(Secret(hashlib.sha256(label_of(case) + b" identity" + client.to_bytes(4, "big")).digest()))


def completed(spec: Case) -> Case:
    """A case with everything that its parties are made from."""
    case = dict(spec)
    malicious = case["protocol"].get("adversary") == "malicious"
    context = b"pairwise_wire.json" if case["protocol"]["name"] in _PAIRWISE else b"wire vectors"
    case["session_id"] = hashlib.sha256(b"wire vector: " + case["name"].encode()).hexdigest()
    case["context"] = context.hex()
    case["roster"] = {
        str(client): identity_of(case, client).public.hex() for client in sorted(case["clients"]) if malicious
    }
    if case["protocol"]["name"] == "seeds":
        case |= _of_seeds(case)
    elif "committee" in case:
        members, key, shares = case["committee"], committee_keys.threshold_key(), committee_keys.key_shares()
        case["committee"] = {
            "members": members,
            "key": key.to_bytes().hex(),
            "shares": {str(member): share.to_bytes().hex() for member, share in zip(members, shares, strict=True)},
        }
    case["inputs"] = {str(client): _input(case, client) for client in case["clients"]}
    return case


def _of_seeds(case: Case) -> Case:
    """A committee of replicated seeds with the secret keys of its members, and the session's times."""
    members, colluding = case["committee"], case["colluding"]
    least = quorum(len(members), colluding)
    key = SeedCommittee(certificates=seed_members.certificates(len(members)), colluding=colluding, quorum=least)
    keys = [MemberKeys(fixed_identity(place), 1, (seed_members.issued(place)[1],)) for place in range(len(members))]
    return {
        "committee": {
            "members": members,
            "key": key.to_bytes().hex(),
            "shares": {str(member): own.to_bytes().hex() for member, own in zip(members, keys, strict=True)},
        },
        "expires": seed_members.ENDS,
        "now": seed_members.NOW,
    }


def _input(case: Case, client: int) -> list[int]:
    """A client's vector: powers of its id plus 2, reduced; centred on 0 where the protocol limits the values."""
    protocol, modulus = case["protocol"], int(case["modulus"])
    limited = "value_bits" in protocol or bool(protocol.get("headroom"))
    bound = 2 ** protocol["value_bits"] if "value_bits" in protocol else modulus // 8 if limited else modulus
    powers = [pow(client + 2, exponent, bound) for exponent in range(1, case["length"] + 1)]
    return [(power - bound // 2 * limited) % modulus for power in powers]
