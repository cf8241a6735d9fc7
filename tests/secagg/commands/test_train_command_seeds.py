"""Training with sums by replicated seeds: a committee that is drawn for the run, or the one of a folder."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from protocols import Adversary, SeedCommittee, SeedSum
from protocols.errors import UnsafeSession
from secagg.audit.transcript.replay import replay
from secagg.errors import ConfigurationError
from secagg.reports.report import RunReport
from secagg.runs.config import TrainingConfig
from secagg.runs.folder import RunFolder
from secagg.runs.parsing import parse
from secagg.runs.prepare import prepare
from secagg.runs.run import run_training
from secagg.storage.seed_keys import COMMITTEE_NAME, add_epoch, write_seed_committee
from secagg.training.records import RoundRecord
from tests.support.commands import SMALL as OPTIONS
from tests.support.commands import secagg
from tests.support.seed_folders import seed_folder

SMALL: dict[str, Any] = {
    "dataset": "breast-cancer",
    "model": "numpy-softmax",
    "clients": 12,
    "rounds": 2,
    "epochs": 1,
    "epsilon": 60.0,
    "delta": 1e-2,
    "dropout": 0.2,
    "protocol": "seeds",
    "compare": False,
}


class Interruption(Exception):
    """Raised by an observer, as a Ctrl-C would be."""


def silent(kind: str | None, record: RoundRecord) -> None:
    """Observe nothing."""


def interrupt(kind: str | None, record: RoundRecord) -> None:
    raise Interruption


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return seed_folder(tmp_path / "committee", 4)


def config(**changes: Any) -> TrainingConfig:
    return parse(SMALL | changes)


def stopped_after_a_round(path: Path, settings: TrainingConfig) -> RunFolder:
    """A run that begins with these settings and is interrupted when its first round has been saved."""
    prepared, folder = prepare(settings), RunFolder(path)
    folder.begin(prepared.config)
    with pytest.raises(Interruption):
        run_training(prepared, folder, resume=False, observe=interrupt)
    return folder


@pytest.mark.parametrize("adversary", ["curious", "malicious"])
def test_run_with_a_drawn_committee_reports_what_it_did(adversary: str, tmp_path: Path) -> None:
    prepared, folder = prepare(config(adversary=adversary)), RunFolder(tmp_path / "run")
    folder.begin(prepared.config)
    report = RunReport.of(folder, prepared, run_training(prepared, folder, resume=False, observe=silent))
    assert report.summary.released == 2
    assert set(report.summary.dropped) == {"mask_input"}
    assert report.corruptible == 1
    assert (prepared.config.committee, prepared.config.committee_fingerprint) == (None, None)
    for record in folder.metrics():
        assert record.committee is not None
        assert record.committee.members == 5
        assert record.committee.received_bytes > record.sent_bytes
    key = prepared.mean.committee.key if prepared.mean.committee else None
    assert isinstance(key, SeedCommittee)
    page = " ".join(report.as_html().split())
    assert "NOT verified" not in page
    assert "any 4 of 5 members agree on a sum; at least 3 answers decide it, so every sum is verified" in page
    assert key.pin.hex() in page
    assert "and 1 of the committee&#39;s 5 members" in page or "and 1 of the committee's 5 members" in page


def test_run_tells_that_sums_of_a_small_committee_are_not_verified(tmp_path: Path) -> None:
    """With two members of whom one may be corrupt, nothing shows a lie. The records, lines and report must say so."""
    committee = seed_folder(tmp_path / "committee", members=2, colluding=1)
    prepared, folder = prepare(config(committee=str(committee))), RunFolder(tmp_path / "run")
    folder.begin(prepared.config)
    report = RunReport.of(folder, prepared, run_training(prepared, folder, resume=False, observe=silent))
    records = folder.metrics()
    assert [record.verified for record in records] == [False, False]
    assert all("the sum is NOT verified: a committee member that lies could have changed it" in str(r) for r in records)
    page = " ".join(report.as_html().split())
    assert "2 sums are NOT verified: a committee member that lies could have changed them" in page


def test_clients_and_members_pin_each_other_against_a_malicious_server() -> None:
    prepared = prepare(config(adversary="malicious"))
    assert isinstance(prepared.mean.protocol, SeedSum)
    assert prepared.mean.protocol.adversary is Adversary.MALICIOUS
    assert prepared.terms is not None
    assert prepared.keyholders is not None
    assert prepared.mean.committee is not None
    assert {each.committee and each.committee.pin for each in prepared.terms.values()} == {
        prepared.mean.committee.key.pin
    }
    assert {each.roster for each in prepared.keyholders.values()} == {prepared.mean.roster}


def test_run_with_a_drawn_committee_is_resumed_with_another_one(tmp_path: Path) -> None:
    folder = stopped_after_a_round(tmp_path / "run", config())
    summary = run_training(prepare(folder.config()), folder, resume=True, observe=silent)
    assert (summary.rounds, summary.released) == (2, 2)


def test_run_notes_the_pin_of_its_folder_and_goes_on_in_another_epoch_alone(folder: Path, tmp_path: Path) -> None:
    run = stopped_after_a_round(tmp_path / "run", config(committee=str(folder)))
    prepared = prepare(run.config())
    assert prepared.mean.committee is not None
    assert run.config().committee_fingerprint == prepared.mean.committee.key.pin.hex()
    now = int(time.time())
    keys = [
        add_epoch(path, not_before=now - 60, not_after=now + 10**6)
        for path in sorted(folder.iterdir())
        if path.is_dir()
    ]
    (folder / COMMITTEE_NAME).unlink()
    key = SeedCommittee(certificates=tuple(each.epochs[-1].certificate for each in keys), colluding=1, quorum=3)
    write_seed_committee(folder / COMMITTEE_NAME, key)
    summary = run_training(prepare(run.config()), run, resume=True, observe=silent)
    assert (summary.rounds, summary.released) == (2, 2)
    folder.rename(tmp_path / "spare")
    seed_folder(folder, 4)
    with pytest.raises(ConfigurationError, match=r"committee_fingerprint: .* A run goes on with that committee only"):
        prepare(run.config())


def test_committee_of_which_too_many_may_be_corrupt_is_refused(folder: Path) -> None:
    settings = {"adversary": "malicious", "adversarial": 0.5, "dropout": 0.0, "minimum_contributors": 11}
    with pytest.raises(UnsafeSession, match="one that withstands 2 corrupt members of 4, found one that withstands 1"):
        prepare(config(committee=str(folder), **settings))


def test_training_from_the_command_is_recorded_and_replayed(tmp_path: Path) -> None:
    options = ("--rounds", "1", "--epsilon", "60", "--protocol", "seeds", "--out", "run", "--record", "transcript")
    found = secagg("train", *OPTIONS, *options, "--no-compare", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert "each of 5 committee members" in found.stdout
    assert "gmpy2" not in found.stderr
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (summary["released"], summary["committee"]["members"]) == (1, 5)
    replayed = replay(tmp_path / "transcript")
    assert (replayed.sessions, replayed.rejected) == (1, False)
