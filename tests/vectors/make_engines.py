"""Makes the vectors of offers and parcels: good ones, and bad twins of each, with the error that refuses them.

    python -m tests.vectors.make_engines

writes tests/vectors/engines/{offer,parcel}-v1.json; README.md beside them says what rests on what.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from protocols import Adversary
from secagg.engines.wire.offer import Offer
from secagg.engines.wire.parcel import Refusal, Reply, Request
from tests.support.offers import INPUTS, SEEDS, Offered, offered
from tests.support.parcels import COORDINATOR, STRANGER, digested, signed
from tests.support.seed_world import seed_committee_of

_TEST: Final = "tests/secagg/engines/wire/test_engine_vectors.py"
FOLDER: Final = Path(__file__).parent / "engines"
OFFERS: Final = FOLDER / "offer-v1.json"
PARCELS: Final = FOLDER / "parcel-v1.json"

OFFERED: Final[dict[str, tuple[str, Adversary, str, str]]] = {
    "plain": ("plain", Adversary.CURIOUS, "none", "uniform"),
    "secagg_with_noise_from_every_client": ("secagg", Adversary.CURIOUS, "gaussian-distributed", "uniform"),
    "secagg_with_noise_that_is_enough_alone": ("secagg", Adversary.MALICIOUS, "gaussian-local", "weighted"),
    "secagg_plus_with_noise_that_is_removed": ("secagg-plus", Adversary.MALICIOUS, "skellam-removable", "uniform"),
    "lightsecagg_with_noise_from_the_server": ("lightsecagg", Adversary.CURIOUS, "skellam-central", "weighted"),
    "paillier": ("paillier", Adversary.CURIOUS, "none", "weighted"),
    "oneshot_with_noise_from_every_client": ("oneshot", Adversary.MALICIOUS, "skellam-distributed", "uniform"),
    "seeds": ("seeds", Adversary.MALICIOUS, "none", "weighted"),
}
MAX_WEIGHT: Final = 50.0
RECEIVER: Final = 70000

REQUESTS: Final[dict[str, Request]] = {
    "first_step": Request(serial=1, step=0, receiver=RECEIVER, offer=b"an offer", work=b"the work", body=b"a message"),
    "later_step": Request(serial=2**40, step=3, receiver=RECEIVER, offer=b"", work=b"", body=bytes(300)),
    "largest_numbers": Request(serial=2**64 - 1, step=2**16 - 1, receiver=RECEIVER, offer=b"", work=b"", body=b""),
}
REPLIES: Final[dict[str, Reply]] = {
    "answer": Reply(serial=1, step=0, sender=RECEIVER, body=b"an answer"),
    "long_answer": Reply(serial=2**40, step=3, sender=0, body=bytes(70_000)[:300]),
    "old": Reply(serial=4, step=0, sender=RECEIVER, refusal=Refusal.OLD, last=2**33),
    **{f"refusal_{code}": Reply(serial=1, step=1, sender=2, refusal=code) for code in Refusal if code != "old"},
}
OFFER_FIELDS: Final = Offer.__struct_fields__
REQUEST_FIELDS: Final = ("version", "serial", "step", "receiver", "signature", "offer", "work", "body")
REPLY_FIELDS: Final = ("version", "serial", "step", "sender", "refusal", "last", "digest", "body")


def case_of(name: str) -> Offered:
    """Return the session of an offer, planned anew."""
    protocol, adversary, noise, weighting = OFFERED[name]
    return offered(protocol, adversary, noise, weighting=weighting, max_weight=MAX_WEIGHT)


def plain(value: Any) -> Any:
    """Return a value as JSON has it: bytes in hex, and tuples as lists."""
    match value:
        case bytes() | memoryview():
            return value.hex()
        case list() | tuple():
            return [plain(each) for each in value]
        case _:
            return value


def bad_offers(offer: Offer) -> Iterator[tuple[str, bytes]]:
    """Yield what no party may take for an offer."""
    data = offer.to_bytes()
    elements = msgspec.msgpack.decode(data)

    def with_field(name: str, value: Any) -> bytes:
        at = 1 + OFFER_FIELDS.index(name)
        return msgspec.msgpack.encode([*elements[:at], value, *elements[at + 1 :]])

    yield "truncated", data[:-1]
    yield "trailing_byte", data + b"\x00"
    yield "next_version", msgspec.msgpack.encode([2, *elements[1:]])
    yield "extra_field", msgspec.msgpack.encode([*elements, 0])
    yield "long_header", b"\xdd" + len(elements).to_bytes(4, "big") + data[3:]
    yield "short_session_id", with_field("session_id", offer.session_id[:-1])
    yield "unknown_protocol", with_field("protocol", "no such protocol")
    yield "unknown_parameter", with_field("parameters", {**offer.parameters, "zz": 1})
    yield "repeated_client", with_field("clients", [*offer.clients[:-1], offer.clients[0]])
    yield "threshold_above_the_cohort", with_field("threshold", len(offer.clients) + 1)
    yield "empty_shape", with_field("shapes", [*offer.shapes, [0]])
    yield "too_many_coordinates", with_field("shapes", [[2**40]])
    yield "clip_that_is_no_number", with_field("clip_l2", float("nan"))
    yield "finer_grid", with_field("granularity", offer.granularity / 2**20)
    yield "coarser_grid", with_field("granularity", offer.clip_l2)
    yield "other_modulus", with_field("highest", offer.highest - 1)
    yield "other_weighting", with_field("weighting", "median")
    yield "other_law", with_field("law", "gaussian")
    yield (
        "scale_without_law" if offer.law is None else "no_scale",
        with_field("scale", 5.0 if offer.law is None else None),
    )
    yield "other_trust", with_field("trust", "nobody")
    yield "too_many_colluding", with_field("colluding", offer.threshold)
    yield "signed_otherwise", with_field("signed", not offer.signed)
    yield "short_inputs", with_field("inputs", offer.inputs[:-1])
    yield "another_committee", with_field("members", [] if offer.members else [1, 2, 3])
    if offer.epoch:
        other = seed_committee_of(4, 1, 3)
        yield "no_epoch", with_field("epoch", b"")
        yield "epoch_with_another_pin", with_field("epoch", other.to_bytes())
        yield "epoch_without_a_signature", with_field("epoch", offer.epoch[:-64] + bytes(64))
    else:
        yield "epoch_of_no_committee_by_seeds", with_field("epoch", SEEDS.to_bytes())


def bad_requests(request: Request) -> Iterator[tuple[str, str, bytes]]:
    """Yield what a node may not take for a request of its coordinator, each with the error that refuses it."""
    data = request.seal(COORDINATOR)
    fields = msgspec.msgpack.decode(data)

    def with_field(name: str, value: Any) -> bytes:
        at = REQUEST_FIELDS.index(name)
        return msgspec.msgpack.encode([*fields[:at], value, *fields[at + 1 :]])

    unsigned = [each for at, each in enumerate(fields) if at != REQUEST_FIELDS.index("signature")]
    yield "truncated", "MalformedMessage", data[:-1]
    yield "trailing_byte", "MalformedMessage", data + b"\x00"
    yield "next_version", "MalformedMessage", signed([2, *unsigned[1:]])
    yield "extra_field", "MalformedMessage", msgspec.msgpack.encode([*fields, 0])
    yield "long_header", "MalformedMessage", b"\xdc\x00\x08" + data[1:]
    yield "long_number", "MalformedMessage", data[:1] + b"\xcc\x01" + data[2:]
    yield "text_for_bytes", "MalformedMessage", with_field("body", "text")
    yield "short_signature", "MalformedMessage", with_field("signature", fields[4][:-1])
    yield "stranger", "NotSigned", request.seal(STRANGER)
    yield "no_domain", "NotSigned", with_field("signature", COORDINATOR.sign(data))
    yield "other_serial", "NotSigned", with_field("serial", 77)
    yield "other_step", "NotSigned", with_field("step", 77)
    yield "other_receiver", "NotSigned", with_field("receiver", 77)
    yield "other_offer", "NotSigned", with_field("offer", b"another")
    yield "other_work", "NotSigned", with_field("work", b"another")
    yield "other_body", "NotSigned", with_field("body", b"another")
    yield "another_node", "NotForMe", signed([*unsigned[:3], 77, *unsigned[4:]])


def bad_replies(reply: Reply) -> Iterator[tuple[str, bytes]]:
    """Yield what the coordinator may not take for a reply; those with a changed field have a digest that fits it."""
    data = reply.to_bytes()
    fields = msgspec.msgpack.decode(data)
    digest = REPLY_FIELDS.index("digest")

    def with_field(name: str, value: Any) -> bytes:
        at = REPLY_FIELDS.index(name)
        changed = [*fields[:at], value, *fields[at + 1 :]]
        return digested([*changed[:digest], *changed[digest + 1 :]])

    yield "truncated", data[:-1]
    yield "trailing_byte", data + b"\x00"
    yield "next_version", with_field("version", 2)
    yield "extra_field", msgspec.msgpack.encode([*fields, 0])
    yield "long_number", data[:1] + b"\xcc\x01" + data[2:]
    yield "other_digest", msgspec.msgpack.encode([*fields[:digest], bytes(32), *fields[digest + 1 :]])
    yield "digest_of_another_body", msgspec.msgpack.encode([*fields[:digest], fields[digest], b"another"])
    yield "digest_of_another_sender", msgspec.msgpack.encode([*fields[:3], 77, *fields[4:]])
    yield "other_code", with_field("refusal", "reason: the examples of client 3")
    yield "number_for_code", with_field("refusal", 3)
    yield "client_too_large", with_field("sender", 2**32 - 1)
    if reply.refusal is not None:
        yield "refusal_with_bytes", with_field("body", b"examples")
    if reply.refusal is not Refusal.OLD:
        yield "last_without_old", with_field("last", 5)


def offers() -> dict[str, Any]:
    """Return the whole file of offers."""
    cases = []
    for name in OFFERED:
        case = case_of(name)
        offer = case.offer
        cases.append(
            {
                "name": name,
                "fields": {field: plain(getattr(offer, field)) for field in OFFER_FIELDS},
                "data": offer.to_bytes().hex(),
                "serial": offer.serial,
                "context": offer.context().hex(),
                "digest": case.digest.hex(),
                "bad": [{"name": f"{name}_{what}", "data": data.hex()} for what, data in bad_offers(offer)],
            }
        )
    case = case_of("plain")
    return {
        "origin": {
            "description": "Offers, version 1, with the sessions that parties make from them, and bad twins.",
            "made_by": "This repository's own implementation before version 0.1.0.",
            "command": "python -m tests.vectors.make_engines",
            "independent": f"{_TEST} encodes every offer by hand from its fields.",
            "digest": "Of the session that a party makes from the offer, the roster and the committee's key below.",
            "bad": "`Offer.from_bytes` or `Offer.build` must refuse them with MalformedMessage.",
            "inputs": f"The digest of what the inputs are made for is {INPUTS.hex()}.",
        },
        "roster": {str(client): key.hex() for client, key in case.roster.items()},
        "committee_key": case.committee_key.to_bytes().hex(),
        "seed_committee": SEEDS.to_bytes().hex(),
        "cases": cases,
    }


def parcels() -> dict[str, Any]:
    """Return the whole file of parcels."""
    requests = [
        {
            "name": name,
            "fields": {field: plain(getattr(each, field)) for field in REQUEST_FIELDS if hasattr(each, field)},
            "data": each.seal(COORDINATOR).hex(),
            "bad": [
                {"name": f"{name}_{what}", "error": error, "data": data.hex()}
                for what, error, data in bad_requests(each)
            ],
        }
        for name, each in REQUESTS.items()
    ]
    replies = [
        {
            "name": name,
            "fields": {field: plain(getattr(each, field)) for field in REPLY_FIELDS if hasattr(each, field)},
            "data": each.to_bytes().hex(),
            "bad": [{"name": f"{name}_{what}", "data": data.hex()} for what, data in bad_replies(each)],
        }
        for name, each in REPLIES.items()
    ]
    return {
        "origin": {
            "description": "Requests and replies, version 1, and bad twins of each.",
            "made_by": "This repository's own implementation before version 0.1.0.",
            "command": "python -m tests.vectors.make_engines",
            "independent": f"{_TEST} encodes every parcel by hand from its fields, "
            "and checks every signature over a statement that it makes by hand.",
            "identities": "The coordinator's private key is SHA-256('coordinator'), a stranger's SHA-256('stranger').",
            "bad": f"The node {RECEIVER} must refuse a request with `error`, and the coordinator a reply with "
            "MalformedMessage.",
        },
        "coordinator": COORDINATOR.public.hex(),
        "receiver": RECEIVER,
        "requests": requests,
        "replies": replies,
    }


def text_of(document: dict[str, Any]) -> str:
    """Return a file's text."""
    return json.dumps(document, indent=1) + "\n"


if __name__ == "__main__":
    OFFERS.write_text(text_of(offers()))
    PARCELS.write_text(text_of(parcels()))
