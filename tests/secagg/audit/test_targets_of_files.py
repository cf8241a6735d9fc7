"""Files and folders as targets: the folder of a run, a transcript, and what is neither."""

from pathlib import Path

import pytest

from dp import Ledger
from secagg.audit.attack import Level
from secagg.audit.finding import Finding, Verdict
from secagg.audit.run_folder import subject as run_folder
from secagg.audit.runner import findings
from secagg.audit.subject import Subject
from secagg.audit.targets import target_of
from secagg.audit.transcript import subject as transcript
from secagg.errors import ConfigurationError, SecaggError
from secagg.transcripts.reader import TranscriptReader
from tests.support.audit_checks import MASTER
from tests.support.commands import SMALL, secagg


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder in which a run and its transcript were made."""
    path = tmp_path_factory.mktemp("audited")
    options = ("train", *SMALL, "--rounds", "2", "--epsilon", "20", "--no-compare", "--out", "run")
    found = secagg(*options, "--record", "server.transcript", cwd=path)
    assert found.returncode == 0, found.stderr
    return path


def found(path: Path) -> dict[str, Finding]:
    """Return what all checks find about a folder or file, by their ids."""
    checks = (*run_folder.CHECKS, *transcript.CHECKS)
    subjects = target_of(str(path)).subjects
    return {each.attack: each for each in findings(subjects, checks, level=Level.QUICK, master=MASTER)}


@pytest.mark.parametrize(("name", "kind"), [("run", "run"), ("server.transcript", "transcript")])
def test_target_as_it_was_written_is_not_rejected(name: str, kind: str, folder: Path) -> None:
    target = target_of(str(folder / name))
    assert (target.kind, target.name) == (kind, name)
    assert target.limits
    results = found(folder / name)
    assert {each.verdict for each in results.values()} <= {Verdict.NOT_REJECTED, Verdict.NOT_APPLICABLE}
    assert sum(each.verdict is Verdict.NOT_REJECTED for each in results.values()) >= 9


def test_run_with_a_better_accuracy_is_rejected(folder: Path) -> None:
    path = folder / "run" / "summary.json"
    before = path.read_bytes()
    path.write_bytes(before.replace(b'"accuracy": 0.', b'"accuracy": 1.', 1))
    try:
        results = found(folder / "run")
    finally:
        path.write_bytes(before)
    rejected = [each for each in results.values() if each.verdict is Verdict.REJECTED]
    assert rejected
    assert all(each.claims == ("C-30",) and each.evidence for each in rejected)


def test_transcript_with_an_altered_byte_is_rejected(folder: Path, tmp_path: Path) -> None:
    data = bytearray((folder / "server.transcript").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "altered").write_bytes(data)
    results = found(tmp_path / "altered")
    assert results["transcript.records"].verdict is Verdict.REJECTED
    assert Verdict.ERRORED not in {each.verdict for each in results.values()}


def test_head_that_was_kept_elsewhere_shows_another_file(folder: Path) -> None:
    run, file, other = folder / "run", folder / "server.transcript", "00" * 32
    with Ledger.open_to_read(run / "ledger.sqlite") as ledger:
        last = ledger.head
    with TranscriptReader(file) as reader:
        for _ in reader:
            pass
        end = reader.head.hex()
    subjects: list[Subject] = [run_folder.RunSubject(run, head=head) for head in (last, other)]
    subjects += [transcript.TranscriptSubject(file, head=head) for head in (end, other)]
    checks = [
        each
        for each in (*run_folder.CHECKS, *transcript.CHECKS)
        if each.id in ("run.ledger.kept_head", "transcript.head")
    ]
    verdicts = [each.verdict for each in findings(subjects, checks, level=Level.QUICK, master=MASTER)]
    assert verdicts == 2 * [Verdict.NOT_REJECTED, Verdict.REJECTED]


@pytest.mark.parametrize("name", ["empty folder", "text.txt", "empty"])
def test_what_is_no_target_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if "folder" in name:
        path.mkdir()
    else:
        path.write_bytes(b"" if name == "empty" else b"some text that is longer than the header of anything\n" * 9)
    with pytest.raises((ConfigurationError, SecaggError), match="expected the folder of"):
        target_of(str(path))
