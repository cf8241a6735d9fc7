"""Whatever a folder holds, the audit ends with findings, writes nothing and runs nothing."""

import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from secagg.audit.run_folder.check import Untested
from secagg.audit.run_folder.checks import CHECK_IDS, run_checks
from secagg.audit.run_folder.evidence import Evidence
from secagg.audit.run_folder.results import DRAWING, check_report_drawings, check_report_text
from tests.support.finished_runs import arrays_edited, contents, copied_run

QUICK = tuple(name for name in CHECK_IDS if not name.startswith("run.report."))

OWNERS = {
    "config.toml": "run.settings.read",
    "metrics.jsonl": "run.metrics.whole",
    "checkpoint.npz": "run.checkpoint.read",
    "ledger.sqlite": "run.ledger.chain",
    "weights/0002.npz": "run.weights.kept",
    "model.npz": "run.model.saved",
    "summary.json": "run.summary.read",
    "goal.toml": "run.settings.read",
    "comparison.jsonl": "run.comparison.rounds",
}


class Exploit:
    """A pickle of it makes a file where it is read."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("exploited"),)  # type: ignore[return-value]


DAMAGES = {
    "a pickle": pickle.dumps(Exploit()),
    "other bytes": bytes(range(256)) * 40,
    "deep nesting": b"[" * 100_000,
    "numbers of thousands of digits": b'{"round":' + b"9" * 10_000 + b"}\n",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_evidence_that_is_damaged_is_a_finding(
    damage: str, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for place, (name, owner) in enumerate(OWNERS.items()):
        run = copied_run(finished, tmp_path / "run")
        (run / name).write_bytes(DAMAGES[damage])
        before = contents(run)
        every = place % len(DAMAGES) == list(DAMAGES).index(damage)  # All checks see one damage of each file.
        found = run_checks(run, only=QUICK if every else [owner, "run.summary.read"], retrain=False)
        assert {check.id: check.errored for check in found if check.errored} == {}, name
        caught = {check.id for check in found if check.rejected}
        assert caught & {owner, "run.summary.read"}, name
        assert owner in caught or name == "comparison.jsonl"
        assert contents(run) == before
        assert not (tmp_path / "exploited").exists()
        shutil.rmtree(run)


def test_evidence_that_is_a_folder_or_empty_is_a_finding(finished: Path, tmp_path: Path) -> None:
    for name, owner in OWNERS.items():
        run = copied_run(finished, tmp_path / "run")
        (run / name).unlink(missing_ok=True)
        (run / name).mkdir()
        found = run_checks(run, only=[owner], retrain=False)
        assert [check.errored for check in found] == [""], name
        assert found[0].rejected or name in ("goal.toml", "comparison.jsonl"), name
        shutil.rmtree(run)


def test_evidence_that_would_keep_its_reader_waiting_is_a_finding(finished: Path, tmp_path: Path) -> None:
    for name, owner in OWNERS.items():
        run = copied_run(finished, tmp_path / "run")
        (run / name).unlink(missing_ok=True)
        os.mkfifo(run / name)
        assert run_checks(run, only=[owner], retrain=False)[0].errored == "", name
        shutil.rmtree(run)


def test_evidence_of_data_that_are_not_here_is_not_tested(finished: Path, tmp_path: Path) -> None:
    run = copied_run(finished, tmp_path / "run")
    text = (run / "config.toml").read_text().replace('dataset = "breast-cancer"', 'dataset = "/gone/data.npz"')
    (run / "config.toml").write_text(text)
    found = {check.id: check for check in run_checks(run, only=QUICK, retrain=False)}
    assert found["run.settings.digest"].rejected
    assert "the file of the data set is not on this machine" in found["run.settings.plan"].untested
    assert "the file of the data set is not on this machine" in found["run.weights.measured"].untested


@pytest.mark.parametrize("part", [0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0])
def test_evidence_of_a_report_with_any_other_character_is_a_finding(
    part: float, finished: Path, tmp_path: Path
) -> None:
    """One character is changed, in the text of the report or in a drawing, each of which has a check of its own."""
    run, original = copied_run(finished, tmp_path / "run"), (finished / "report.html").read_text(encoding="utf-8")
    drawings = [place for found in DRAWING.finditer(original) for place in range(found.start(1), found.end(1))]
    text = sorted(set(range(len(original))) - set(drawings))
    for places, check in ((text, check_report_text), (drawings, check_report_drawings)):
        place = places[int(part * (len(places) - 1))]
        changed = "A" if original[place] == "B" else "B"
        (run / "report.html").write_text(original[:place] + changed + original[place + 1 :], encoding="utf-8")
        evidence = Evidence(run)
        assert evidence.rendered(lambda: original) == original
        assert check(evidence).found


def test_evidence_of_a_report_of_another_matplotlib_is_not_tested(finished: Path, tmp_path: Path) -> None:
    """Every drawing is another one, and the text is the same."""
    run, original = copied_run(finished, tmp_path / "run"), (finished / "report.html").read_text(encoding="utf-8")
    other = DRAWING.sub("data:image/svg+xml;base64,AAAA", original)
    (run / "report.html").write_text(other, encoding="utf-8")
    evidence = Evidence(run)
    assert evidence.rendered(lambda: original) == original
    assert not check_report_text(evidence).found
    with pytest.raises(Untested, match="another version of matplotlib"):
        check_report_drawings(evidence)


@pytest.mark.parametrize(
    ("file", "name", "check"),
    [
        ("weights/0001.npz", "weights_0", "run.weights.kept"),
        ("checkpoint.npz", "velocity_0", "run.checkpoint.read"),
        ("checkpoint.npz", "settings", "run.settings.digest"),
        ("model.npz", "kernel", "run.model.saved"),
    ],
)
def test_evidence_that_unpacks_to_much_more_is_not_unpacked(
    file: str, name: str, check: str, finished: Path, tmp_path: Path
) -> None:
    run = copied_run(finished, tmp_path / "run")
    arrays_edited(run / file, lambda arrays: arrays.update({name: np.zeros(2**20)}))
    (found,) = run_checks(run, only=[check])
    assert "expected at most" in found.found
