"""No correct run is rejected, wherever its folder lies; and what a folder alone cannot show is not found."""

import math
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dp.errors import InvalidParameter
from dp.ledger.ledger import Ledger
from secagg.audit.run_folder.check import RunCheck
from secagg.audit.run_folder.checks import CHECK_IDS, run_checks
from secagg.audit.run_folder.ledger_records import LedgerRecords
from secagg.audit.run_folder.limits import NOT_SHOWN
from secagg.errors import CheckpointError, ConfigurationError
from secagg.runs.folder import RunFolder
from secagg.runs.kept_weights import kept_rounds
from secagg.runs.parsing import parse
from secagg.runs.prepare import prepare
from secagg.runs.run import run_name, run_training
from secagg.training.records import RoundRecord
from tests.support.finished_runs import (
    SMALL,
    Tampering,
    arrays_edited,
    bodies_of,
    contents,
    copied_run,
    edited,
    finish,
    rebuild,
    rejected,
    silent,
    with_metrics,
    with_weights,
)

OF_COHORTS = {"run.ledger.asked", "run.ledger.cap", "run.ledger.missing", "run.account.counts"}
WITHOUT_REPORT = tuple(name for name in CHECK_IDS if not name.startswith("run.report."))


def by_id(found: tuple[RunCheck, ...]) -> dict[str, RunCheck]:
    return {check.id: check for check in found}


def untested(found: tuple[RunCheck, ...]) -> set[str]:
    return {check.id for check in found if not check.tested}


def test_untouched_run_is_not_rejected_and_not_written(finished: Path, tmp_path: Path) -> None:
    """Not where it was made, and not where it was copied."""
    run = copied_run(finished, tmp_path / "elsewhere" / "renamed")
    before, head = contents(run), msgspec.json.decode((run / "summary.json").read_bytes())["ledger_head"]
    found = run_checks(run, head=head)
    assert rejected(found) == []
    assert untested(found) == {"run.account.none", "run.noise.none"} | OF_COHORTS
    assert [check.id for check in found] == list(CHECK_IDS)
    assert contents(run) == before
    assert not {path.name for path in run.iterdir()} - {path.name for path in finished.iterdir()}


def test_untouched_run_is_read_while_its_folder_is_locked(finished: Path, tmp_path: Path) -> None:
    with RunFolder(copied_run(finished, tmp_path / "run")) as folder, Ledger.open(folder.ledger):
        assert rejected(run_checks(folder.path, only=WITHOUT_REPORT, retrain=False)) == []


CORRECT: dict[str, dict[str, Any]] = {
    "without noise": {"epsilon": math.inf},
    "without noise, weighted": {"epsilon": math.inf, "weighting": "weighted", "max_examples": 40.0},
    "weighted": {"weighting": "weighted", "max_examples": 40.0, "rounds": 2},
    "adaptive clipping": {"clipping": "adaptive", "server_momentum": 0.0},
    "per-layer clipping": {"clipping": "per-layer", "rounds": 2},
    "central noise": {"trust": "central", "rounds": 2},
    "Skellam noise with removal": {"mechanism": "skellam", "noise_removal": True, "rounds": 1},
    "LightSecAgg": {"protocol": "lightsecagg", "rounds": 1},
    "the insecure baseline": {"protocol": "plain", "rounds": 2},
    "a malicious server": {"adversary": "malicious", "rounds": 2, "dropout": 0.0},
    "cohorts without noise": {"epsilon": math.inf, "cohort": 8, "draw": "random"},
    "cohorts": {"cohort": 8, "cap": 3},
    "compressed": {"compression": 0.9, "rounds": 2},
    "a secret draw": {"cohort": 8, "draw": "poisson", "trust": "central", "rounds": 2, "dropout": 0.0},
}


UNTESTED_NOISE = ("weighted", "a secret draw", "compressed")


@pytest.mark.parametrize("name", CORRECT)
def test_correct_run_is_not_rejected(name: str, tmp_path: Path) -> None:
    run = finish(tmp_path / "run", **CORRECT[name])
    found = run_checks(run, only=WITHOUT_REPORT)
    assert rejected(found) == []
    assert "run.weights.measured" not in untested(found)
    private = CORRECT[name].get("epsilon") != math.inf
    assert ("run.noise.none" in untested(found)) == private
    assert ("run.noise.realised" in untested(found)) == (not private or name in UNTESTED_NOISE)
    assert ("run.ledger.chain" in untested(found)) == (not private)


def _next_bound(run: Path, _: Path) -> None:
    arrays_edited(run / "checkpoint.npz", lambda arrays: arrays.update(clip_bound=arrays["clip_bound"] * 1.01))


BOUNDS: dict[str, Tampering] = {
    "metrics": with_metrics(lambda lines: lines[2].update(clip_bound=lines[2]["clip_bound"] * 1.01)),
    "checkpoint": _next_bound,
}


def test_clipping_bound_of_any_round_is_named_by_the_ledger(tmp_path: Path) -> None:
    """The commitment of a round names the bound of the next one; after the last round, that of the checkpoint."""
    run = finish(tmp_path / "run", **CORRECT["adaptive clipping"])
    for name, tamper in BOUNDS.items():
        copy = copied_run(run, tmp_path / name)
        tamper(copy, copy)
        assert rejected(run_checks(copy, only=["run.weights.committed"])) == ["run.weights.committed"]


def test_correct_run_with_withheld_rounds_is_not_rejected(tmp_path: Path) -> None:
    """The noise is so large that the total weight of about every other round is below 0."""
    run = finish(tmp_path / "run", **DROWNED)
    lines = [msgspec.json.decode(line) for line in (run / "metrics.jsonl").read_bytes().splitlines()]
    withheld = [line["round"] for line in lines if not line["contributors"]]
    assert 0 < len(withheld) < 20
    assert rejected(run_checks(run, only=WITHOUT_REPORT)) == []
    with_weights(f"weights/{withheld[-1]:04d}.npz")(run, run)
    assert rejected(run_checks(run, only=["run.weights.withheld"])) == ["run.weights.withheld"]


DROWNED: dict[str, Any] = {
    "weighting": "weighted",
    "max_examples": 40.0,
    "epsilon": 0.1,
    "rounds": 20,
    "dropout": 0.0,
    "protocol": "plain",
}


class Interruption(Exception):
    """Raised by an observer, as a Ctrl-C would be."""


def test_correct_run_that_was_interrupted_and_resumed_is_not_rejected(tmp_path: Path) -> None:
    """The second round is reserved twice, so that the budget ends before the rounds do."""

    def stop(kind: str | None, record: RoundRecord) -> None:
        raise Interruption

    path, settings = tmp_path / "run", parse(SMALL)
    with pytest.raises(Interruption):
        finish(path, observe=stop)
    noise = prepare(settings).mean.noise
    assert noise is not None
    with Ledger.open(path / "ledger.sqlite") as ledger:
        ledger.reserve(noise.event, f"round 2 of run {run_name(settings)}")
    finish(path, resume=True)
    assert msgspec.json.decode((path / "summary.json").read_bytes())["stopped_early"]
    found = run_checks(path, only=WITHOUT_REPORT)
    assert rejected(found) == []
    assert by_id(found)["run.ledger.order"].shown.startswith("Rounds that were reserved more than once")


def test_correct_run_that_was_continued_past_its_end_is_not_rejected(tmp_path: Path) -> None:
    path, settings = tmp_path / "run", parse(SMALL)
    folder = RunFolder(path)
    folder.begin(settings)
    folder.set_goal(1)
    run_training(prepare(settings), folder, resume=False, observe=silent)
    assert kept_rounds(path) == (0, 1)
    folder.set_goal(2)
    finish(path, resume=True)
    assert kept_rounds(path) == (0, 1, 2)
    assert rejected(run_checks(path, only=WITHOUT_REPORT)) == []


def test_ledger_that_was_rebuilt_is_shown_by_a_kept_head_alone(finished: Path, tmp_path: Path) -> None:
    """As in `NOT_SHOWN`: with new times, and heads replaced in metrics, summary and report."""
    run = copied_run(finished, tmp_path / "run")
    head = msgspec.json.decode((run / "summary.json").read_bytes())["ledger_head"]
    heads = [msgspec.json.decode(line)["ledger_head"] for line in (run / "metrics.jsonl").read_bytes().splitlines()]
    bodies = bodies_of(run / "ledger.sqlite")
    rebuild(run / "ledger.sqlite", [body | {"time_s": body["time_s"] + 1000} for body in bodies])
    fresh = LedgerRecords.read(run / "ledger.sqlite").heads[1::2]
    for old, new in zip(heads, fresh, strict=True):
        edited(run / "metrics.jsonl", old, new)
    edited(run / "summary.json", heads[-1], fresh[-1])
    without_report = rejected(run_checks(run, only=WITHOUT_REPORT, retrain=False))
    assert without_report == []
    kept = ["run.ledger.kept_head"]
    assert rejected(run_checks(run, head=head, only=kept)) == kept
    assert "Only a head that was kept elsewhere shows it." in NOT_SHOWN[0]


def test_checks_refuse_what_is_no_run_and_what_is_no_check(tmp_path: Path, finished: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("mine")
    for path, said in (("gone", "found nothing"), ("file", "found a file"), ("empty", "found none of its files")):
        with pytest.raises(CheckpointError, match=said):
            run_checks(tmp_path / path)
    with pytest.raises(ConfigurationError, match=r"checks: expected some of run\.settings\.read"):
        run_checks(finished, only=["run.settings.reed"])
    with pytest.raises(InvalidParameter, match="head: expected 64 hexadecimal digits"):
        run_checks(finished, head="abc")


def test_head_of_any_record_may_have_been_kept(finished: Path) -> None:
    ledger = LedgerRecords.read(finished / "ledger.sqlite")
    for head in (ledger.first_head, *ledger.heads):
        (found,) = run_checks(finished, head=head.upper(), only=["run.ledger.kept_head"])
        assert found.tested
        assert not found.rejected


def test_checks_say_that_nothing_was_trained_again(finished: Path) -> None:
    found = by_id(run_checks(finished, only=["run.noise.realised"], retrain=False))
    assert "not trained again" in found["run.noise.realised"].untested
