"""The transcript of tests/vectors/transcripts, which is still read, replayed and written again."""

from pathlib import Path

from secagg.audit.transcript.replay import replay
from secagg.transcripts.records import FileHeader, Kind, MessageRecord, SumRecord, WithheldRecord, decode
from tests.support.transcripts import bodies
from tests.vectors import record_transcripts as recorder
from tests.vectors.recorded import VECTORS

RECORDED = VECTORS / "transcripts" / recorder.NAME
HEAD = "3502c497b3dd9299e167cba3ac3a3d8f907ee509de5e3807286f3364d6dba152"


def test_recorded_transcript_is_replayed_up_to_its_head() -> None:
    found = replay(RECORDED, head=HEAD)
    assert {check.id: check.found for check in found.checks if check.found} == {}
    assert (found.software, found.sessions, found.head) == ("secagg-toolkit 0.1.0", 5, HEAD)


def test_recorded_transcript_has_records_of_every_kind() -> None:
    records = [decode(body) for body in bodies(RECORDED.read_bytes())]
    assert {each.kind for each in records if isinstance(each, MessageRecord)} == set(Kind)
    assert sum(isinstance(each, SumRecord) for each in records) == len(recorder.SUMMED)
    assert records[-1] == WithheldRecord("TooFewSurvivors")


def test_recorded_transcript_is_written_again_record_by_record(tmp_path: Path) -> None:
    """All but the first record, which names the version of the software."""
    recorder.main(tmp_path)
    header, *records = bodies((tmp_path / recorder.NAME).read_bytes())
    assert records == bodies(RECORDED.read_bytes())[1:]
    assert isinstance(decode(header), FileHeader)
