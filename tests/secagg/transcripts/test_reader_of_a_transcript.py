"""The reader: records in an order that no recorder writes, and sizes that a file only claims."""

import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec.structs import replace as changed

from protocols.errors import UnknownProtocol
from protocols.secure_sum import Finish
from secagg.errors import TranscriptAltered, TranscriptError
from secagg.transcripts.reader import RecordedEnd, TranscriptReader, opened_bytes
from secagg.transcripts.records import Kind, MessageRecord, SessionHeader, SumRecord, WithheldRecord
from tests.support.transcripts import CASES, Change, Records, messages, rebuilt, recording, with_data

MADE = recording("secagg")


def read(path: Path, data: bytes) -> list[object]:
    (path / "transcript").write_bytes(data)
    with TranscriptReader(path / "transcript") as reader:
        return list(reader)


def test_reader_knows_the_software_and_the_kept_record(tmp_path: Path) -> None:
    (tmp_path / "transcript").write_bytes(MADE.data)
    with TranscriptReader(tmp_path / "transcript", kept=MADE.head) as reader:
        found = iter(reader)
        next(found)
        assert not reader.has_kept
        assert reader.software.startswith("secagg-toolkit ")
        for _ in found:
            pass
        assert reader.has_kept
        assert (reader.head, reader.position) == (MADE.head, len(MADE.data))


def test_secrets_that_were_opened_are_not_shown(tmp_path: Path) -> None:
    found = read(tmp_path, MADE.data)
    assert isinstance(found[-1], RecordedEnd)
    assert found[-1].result is not None
    opened = [each for client in found[-1].result.attached.values() for each in client if each is not None]
    assert opened
    assert not any(each.reveal().hex() in repr(found) or repr(each.reveal())[2:-1] in repr(found) for each in opened)


def header_of(records: Records) -> SessionHeader:
    found = records[1]
    assert isinstance(found, SessionHeader)
    return found


def huge(records: Records) -> Records:
    """Claim vectors of 8 TB."""
    return [records[0], changed(header_of(records), length=2**40, highest=2**64 - 1), *records[2:]]


def too_long(records: Records) -> Records:
    scenario = CASES["secagg"].scenario
    size = scenario.protocol.message_limit(scenario.session) + 1
    return with_data(records, messages(records, 1, Kind.REPLY)[0], bytes(size))


def too_long_refused(records: Records) -> Records:
    scenario = CASES["secagg"].scenario
    size = scenario.protocol.message_limit(scenario.session) + 2
    return [*records[:3], MessageRecord(0, 5, Kind.REFUSED, bytes(size)), *records[3:]]


def with_end(**fields: bytes) -> Change:
    def change(records: Records) -> Records:
        last = records[-1]
        assert isinstance(last, SumRecord)
        return [*records[:-1], changed(last, **fields)]

    return change


IMPOSSIBLE: dict[str, Change] = {
    "no header of the file": lambda records: records[1:],
    "header of the file twice": lambda records: [records[0], *records],
    "message before a session": lambda records: [records[0], records[2], *records[1:]],
    "message after the end": lambda records: [*records, records[-2]],
    "end twice": lambda records: [*records, records[-1]],
    "end before a session": lambda records: [records[0], WithheldRecord("RemoteError"), *records[1:]],
    "step that does not exist": lambda records: [*records[:2], MessageRecord(4, 5, Kind.REPLY, b""), *records[2:]],
    "message above the limit": too_long,
    "refused message above the limit": too_long_refused,
    "vectors of 8 TB": huge,
    "session that cannot be": lambda records: [records[0], changed(header_of(records), threshold=99), *records[2:]],
    "short total": with_end(total=b"short"),
    "contributors that are no ids": with_end(contributors=b"12345"),
    "opened secrets of another number": with_end(opened=bytes(33)),
    "opened secrets that are neither": with_end(opened=b"\2" * 33 * 2 * 3),
    "closed secrets that are not zeros": with_end(opened=bytes(32) + b"\1" + bytes(33 * 5)),
}


@pytest.mark.parametrize("what", IMPOSSIBLE)
def test_records_that_no_recorder_writes_are_refused(what: str, tmp_path: Path) -> None:
    data = rebuilt(MADE.data, IMPOSSIBLE[what])
    tracemalloc.start()
    try:
        with pytest.raises(TranscriptAltered, match="record"):
            read(tmp_path, data)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_unknown_protocol_is_named(tmp_path: Path) -> None:
    data = rebuilt(
        MADE.data, lambda records: [records[0], changed(header_of(records), protocol="another"), *records[2:]]
    )
    with pytest.raises(UnknownProtocol, match="another"):
        read(tmp_path, data)


def test_missing_file_and_folder_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(TranscriptError, match="cannot be read"):
            TranscriptReader(path)


def test_one_record_is_in_memory_at_a_time(tmp_path: Path) -> None:
    """400 refused replies of 5 kB each, of which a list would take 2 MB."""
    reply = MessageRecord(0, 5, Kind.REFUSED, bytes(5000))
    data = rebuilt(MADE.data, lambda records: [*records[:2], *[reply] * 400, *records[2:]])
    (tmp_path / "transcript").write_bytes(data)
    with TranscriptReader(tmp_path / "transcript") as reader:
        found = iter(reader)
        next(found)
        tracemalloc.start()
        try:
            assert sum(1 for _ in found) > 400
            assert tracemalloc.get_traced_memory()[1] < 200_000
        finally:
            tracemalloc.stop()


def test_attached_secrets_that_nobody_opened_are_written_as_none() -> None:
    result = replace(MADE.result, attached={})
    assert opened_bytes(result, 2) == bytes(33 * 2 * len(MADE.result.contributors))
    assert opened_bytes(MADE.result, 2) != opened_bytes(result, 2)
    assert isinstance(result, Finish)
