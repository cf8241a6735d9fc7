"""Records as bytes: what is written is read back, and nothing else is accepted."""

from typing import Any

import msgspec
import pytest

from protocols.errors import MalformedMessage, TooFewSurvivors
from secagg.transcripts.description import describe
from secagg.transcripts.records import (
    FORMAT,
    FileHeader,
    Kind,
    MessageRecord,
    Record,
    SumRecord,
    WithheldRecord,
    decode,
    encode,
    joined,
    reason_of,
    separated,
)
from tests.support.transcripts import CASES

RECORDS: list[Record] = [
    FileHeader(FORMAT, "secagg-toolkit 0.1.0"),
    *(describe(case.scenario.protocol, case.scenario.session) for case in CASES.values()),
    MessageRecord(3, 2**32 - 2, Kind.REFUSED, b"some bytes"),
    SumRecord(b"total", b"0000", b""),
    WithheldRecord("RemoteError"),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_record_is_read_back(record: Record) -> None:
    assert decode(encode(record)) == record


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_truncated_and_extended_records_are_refused(record: Record) -> None:
    body = encode(record)
    for other in (body[:-1], body + b"\0", body[1:], b""):
        with pytest.raises(ValueError, match="not a record"):
            decode(other)


@pytest.mark.parametrize(
    "fields",
    [
        ["transcript", 2, "software"],
        ["transcript", 1, "s" * 65],
        ["transcript", 1, "software", 5],
        ["message", 0, 5, 3, b""],
        ["message", 0, -1, 1, b""],
        ["message", 0, 2**32 - 1, 1, b""],
        ["message", 0, 5, 1, "text"],
        ["message", True, 5, 1, b""],
        ["sum", b"", b""],
        ["withheld", "KeyError"],
        ["other"],
        [],
        {"type": "withheld"},
        None,
    ],
)
def test_record_out_of_range_is_refused(fields: Any) -> None:
    with pytest.raises(ValueError, match="not a record"):
        decode(msgspec.msgpack.encode(fields))


def test_second_encoding_of_a_record_is_refused() -> None:
    body = encode(MessageRecord(0, 5, Kind.REPLY, b"x"))
    assert body[-3:] == b"\xc4\x01x"
    with pytest.raises(ValueError, match="not the encoding"):
        decode(body[:-3] + b"\xc5\x00\x01x")


def test_nested_arrays_are_refused_without_an_untyped_error() -> None:
    with pytest.raises(ValueError, match="not a record"):
        decode(b"\x91" * 100_000)


def test_ids_are_joined_and_separated() -> None:
    ids = (5, 0, 2**32 - 2)
    assert separated(joined(ids)) == ids
    with pytest.raises(ValueError, match="whole number of ids"):
        separated(b"12345")


def test_reason_of_an_error_is_one_of_two() -> None:
    assert reason_of(TooFewSurvivors("")) == "TooFewSurvivors"
    assert reason_of(MalformedMessage("")) == "RemoteError"
