"""Protocol and session as a record: both are made again exactly, or the recorder refuses them."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pytest
from msgspec.structs import replace as changed

from protocols import PaillierSum, PlainSum, SecAgg, SecAggPlus
from protocols.crypto.paillier.encryptor import Exponents
from protocols.errors import UnknownProtocol
from secagg.errors import ConfigurationError, TranscriptError
from secagg.transcripts.description import describe, rebuild
from secagg.transcripts.records import ExpiringSessionHeader, SessionHeader, decode, encode
from tests.support.seed_members import ENDS, NOW
from tests.support.transcripts import CASES

SCENARIO = CASES["secagg-malicious"].scenario


@dataclass(frozen=True)
class Unregistered(PlainSum):
    """A protocol that nobody registered."""

    name: ClassVar[str] = "nobody's"


@dataclass(frozen=True)
class Nested(PlainSum):
    """A protocol with a parameter that no record can hold."""

    inner: PlainSum = PlainSum()  # noqa: RUF009  # It is frozen.


@pytest.mark.parametrize("name", CASES)
def test_protocol_and_session_are_made_again_exactly(name: str) -> None:
    scenario = CASES[name].scenario
    session = replace(scenario.session, context=b"of a round", parameters=b"of an encoding")
    header = describe(scenario.protocol, session)
    protocol, again = rebuild(header)
    assert (protocol, again) == (scenario.protocol, session)
    assert type(protocol) is type(scenario.protocol)
    assert protocol.digest(again) == header.digest == scenario.protocol.digest(session)


def test_all_parameters_are_kept() -> None:
    scenario = CASES["paillier"].scenario
    protocol = PaillierSum(value_bits=9, exponents=Exponents.STRICT)
    assert rebuild(describe(protocol, scenario.session))[0] == protocol
    assert rebuild(describe(protocol.with_headroom(), scenario.session))[0] == protocol.with_headroom()


def test_expiry_is_kept_and_no_other_session_mentions_one() -> None:
    scenario = CASES["seeds"].scenario
    header = describe(scenario.protocol, scenario.session)
    assert isinstance(header, ExpiringSessionHeader)
    assert decode(encode(header)) == header
    later = replace(scenario.session, expires=NOW)
    assert rebuild(describe(scenario.protocol, later))[1].expires == NOW
    assert type(describe(SecAgg(), CASES["secagg"].scenario.session)) is SessionHeader


@pytest.mark.parametrize("change", [{"expires": 2**40 + 1}, {"expires": ENDS + 1}, {"committee": (b"no key", b"")}])
def test_record_of_a_session_that_outlives_its_committee_is_refused(change: dict[str, Any]) -> None:
    header = describe(CASES["seeds"].scenario.protocol, CASES["seeds"].scenario.session)
    with pytest.raises(TranscriptError):
        rebuild(changed(header, **change))


@pytest.mark.parametrize("fields", [{"weights": (1, 2)}, {"batches": True}])
def test_session_with_weights_or_batches_is_refused_before_it_is_recorded(fields: dict[str, Any]) -> None:
    """A transcript has no place for them, and a header without them would be that of another session."""
    scenario = CASES["seeds"].scenario
    with pytest.raises(ConfigurationError, match="found one with weights or batches"):
        describe(scenario.protocol, replace(scenario.session, **fields))


def test_largest_modulus_is_kept() -> None:
    session = replace(CASES["secagg"].scenario.session, modulus=2**64)
    assert rebuild(describe(SecAgg(), session))[1] == session


def test_protocol_that_cannot_be_made_again_is_refused_before_it_is_recorded() -> None:
    session = CASES["plain"].scenario.session
    for protocol in (Unregistered(), Nested()):
        with pytest.raises(ConfigurationError):
            describe(protocol, session)


def test_protocol_of_another_digest_than_the_registered_one_is_refused() -> None:
    class Other(SecAgg):
        def digest(self, session: object) -> bytes:
            return bytes(32)

    with pytest.raises(ConfigurationError, match="another digest"):
        describe(Other(), CASES["secagg"].scenario.session)


@pytest.mark.parametrize(
    "fields",
    [
        {"wire": 2},
        {"threshold": 1},
        {"threshold": 99},
        {"length": 0},
        {"highest": 0},
        {"highest": 2**64 - 1 - 1},
        {"clients": b"12345"},
        {"clients": b"\0\0\0\1" * 5},
        {"roster": b"short"},
        {"roster": None},
        {"session_id": b"short"},
        {"attached": ((3, 2),)},
        {"committee": (b"no key", b"")},
        {"parameters": {"adversary": "nobody"}},
        {"parameters": {"neighbours": 3}},
        {"parameters": {}},
    ],
)
def test_record_of_no_possible_session_is_refused(fields: dict[str, object]) -> None:
    header = describe(SCENARIO.protocol, SCENARIO.session)
    with pytest.raises(TranscriptError):
        rebuild(changed(header, **fields))


def test_record_of_an_unknown_protocol_is_refused() -> None:
    header = describe(SCENARIO.protocol, SCENARIO.session)
    with pytest.raises(UnknownProtocol):
        rebuild(changed(header, protocol="another"))


def test_parameters_of_another_class_are_refused() -> None:
    header = describe(SecAggPlus(neighbours=2, share_threshold=2), CASES["secagg-plus"].scenario.session)
    with pytest.raises(TranscriptError):
        rebuild(changed(header, protocol="plain"))
