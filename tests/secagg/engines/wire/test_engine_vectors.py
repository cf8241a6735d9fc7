"""Offers and parcels, byte for byte, against tests/vectors/engines."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from protocols import Roster, SeedCommittee, errors
from protocols.committee import CommitteeKey
from protocols.crypto.paillier.threshold import ThresholdKey
from protocols.errors import MalformedMessage
from protocols.registry import available
from secagg.engines.wire import parcel
from secagg.engines.wire.offer import Offer
from secagg.engines.wire.parcel import Limits, Refusal, Reply, Request, open_reply, open_request
from tests.support.packed import packed
from tests.support.parcels import COORDINATOR, statement_of
from tests.vectors.make_engines import OFFER_FIELDS, OFFERED, OFFERS, PARCELS, REPLY_FIELDS, parcels, text_of

_OFFERS: Final[dict[str, Any]] = json.loads(OFFERS.read_text())
_PARCELS: Final[dict[str, Any]] = json.loads(PARCELS.read_text())
_CASES: Final[dict[str, dict[str, Any]]] = {case["name"]: case for case in _OFFERS["cases"]}
_REQUESTS: Final[dict[str, dict[str, Any]]] = {case["name"]: case for case in _PARCELS["requests"]}
_REPLIES: Final[dict[str, dict[str, Any]]] = {case["name"]: case for case in _PARCELS["replies"]}
_ROSTER: Final = Roster({int(client): bytes.fromhex(key) for client, key in _OFFERS["roster"].items()})
_KEY: Final = ThresholdKey.from_bytes(bytes.fromhex(_OFFERS["committee_key"]))
_SEEDS: Final = SeedCommittee.from_bytes(bytes.fromhex(_OFFERS["seed_committee"]))
_LIMITS: Final = Limits(work_bytes=1000, body_bytes=1000)
_BYTES: Final = ("session_id", "inputs", "epoch", "offer", "work", "body")


def fields_of(case: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a case, with bytes in the place of hex."""
    return {name: bytes.fromhex(value) if name in _BYTES else value for name, value in case["fields"].items()}


def opened(data: bytes) -> Request:
    key = bytes.fromhex(_PARCELS["coordinator"])
    return open_request(data, coordinator=key, receiver=_PARCELS["receiver"], limits=_LIMITS)


def pinned_for(case: dict[str, Any]) -> CommitteeKey:
    """Return the committee that a party has pinned for the protocol of a case."""
    return _SEEDS if case["fields"]["protocol"] == "seeds" else _KEY


def twins(cases: dict[str, dict[str, Any]]) -> Iterator[Any]:
    for case in cases.values():
        for twin in case["bad"]:
            yield pytest.param(case, twin, id=twin["name"])


@pytest.mark.parametrize("name", _CASES)
def test_recorded_offer_builds_the_recorded_session(name: str) -> None:
    case = _CASES[name]
    data = bytes.fromhex(case["data"])
    offer = Offer.from_bytes(data)
    assert offer.to_bytes() == data
    mean, session = offer.build(_ROSTER, pinned_for(case))
    assert mean.protocol.digest(session).hex() == case["digest"]
    assert (offer.serial, offer.context().hex()) == (case["serial"], case["context"])
    assert Offer.of(mean, session, offer.serial, offer.inputs) == offer


@pytest.mark.parametrize("name", _CASES)
def test_recorded_offer_is_its_fields_by_hand(name: str) -> None:
    fields = fields_of(_CASES[name])
    assert tuple(fields) == OFFER_FIELDS
    assert packed([1, *fields.values()]).hex() == _CASES[name]["data"]


def test_every_protocol_has_a_recorded_offer() -> None:
    assert {case["fields"]["protocol"] for case in _CASES.values()} == set(available())
    assert list(_CASES) == list(OFFERED)


@pytest.mark.parametrize(("case", "twin"), twins(_CASES))
def test_bad_offer_is_refused(case: dict[str, Any], twin: dict[str, Any]) -> None:
    assert twin["data"] != case["data"]
    with pytest.raises(MalformedMessage):
        Offer.from_bytes(bytes.fromhex(twin["data"])).build(_ROSTER, pinned_for(case))


@pytest.mark.parametrize("name", _REQUESTS)
def test_recorded_request_is_opened(name: str) -> None:
    data, fields = bytes.fromhex(_REQUESTS[name]["data"]), fields_of(_REQUESTS[name])
    request = Request(**fields)
    assert opened(data) == request
    assert request.seal(COORDINATOR) == data


@pytest.mark.parametrize("name", _REQUESTS)
def test_recorded_request_is_its_fields_by_hand(name: str) -> None:
    fields = fields_of(_REQUESTS[name])
    numbers = [1, fields["serial"], fields["step"], fields["receiver"]]
    parts = [fields["offer"], fields["work"], fields["body"]]
    signature = COORDINATOR.sign(statement_of(numbers, parts))
    assert packed([*numbers, signature, *parts]).hex() == _REQUESTS[name]["data"]
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(_PARCELS["coordinator"]))
    key.verify(signature, statement_of(numbers, parts))


@pytest.mark.parametrize(("case", "twin"), twins(_REQUESTS))
def test_bad_request_is_refused(case: dict[str, Any], twin: dict[str, Any]) -> None:
    assert twin["data"] != case["data"]
    error = getattr(errors, twin["error"], None) or getattr(parcel, twin["error"])
    with pytest.raises(errors.RemoteError) as refused:
        opened(bytes.fromhex(twin["data"]))
    assert type(refused.value) is error


@pytest.mark.parametrize("name", _REPLIES)
def test_recorded_reply_is_opened(name: str) -> None:
    data, fields = bytes.fromhex(_REPLIES[name]["data"]), fields_of(_REPLIES[name])
    code = fields["refusal"]
    reply = Reply(**fields | {"refusal": None if code is None else Refusal(code)})
    assert open_reply(data, 1000) == reply
    assert reply.to_bytes() == data
    numbers, body = [1, *(fields[each] for each in REPLY_FIELDS[1:-2])], fields["body"]
    said = b"secagg reply v1" + packed([*numbers, hashlib.sha256(body).digest()])
    assert packed([*numbers, hashlib.sha256(said).digest(), body]) == data


@pytest.mark.parametrize(("case", "twin"), twins(_REPLIES))
def test_bad_reply_is_refused(case: dict[str, Any], twin: dict[str, Any]) -> None:
    assert twin["data"] != case["data"]
    with pytest.raises(MalformedMessage):
        open_reply(bytes.fromhex(twin["data"]), 1000)


def test_every_code_has_a_recorded_reply() -> None:
    assert {case["fields"]["refusal"] for case in _REPLIES.values()} == {None, *Refusal}


def test_parcels_are_what_the_script_makes() -> None:
    assert PARCELS.read_text() == text_of(parcels())
