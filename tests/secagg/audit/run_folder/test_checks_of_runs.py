"""Every tampering with a finished run is caught by the check that is meant for it, and no correct run is rejected."""

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
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
    arrays_edited,
    bodies_of,
    contents,
    copied_run,
    edited,
    finish,
    lines_edited,
    rebuild,
    silent,
    summary_edited,
)

WITHOUT_REPORT = tuple(name for name in CHECK_IDS if not name.startswith("run.report."))
Tampering = Callable[[Path, Path], object]


def by_id(found: tuple[RunCheck, ...]) -> dict[str, RunCheck]:
    return {check.id: check for check in found}


def rejected(found: tuple[RunCheck, ...]) -> dict[str, str]:
    assert {check.id: check.errored for check in found if check.errored} == {}
    return {check.id: check.found for check in found if check.rejected}


def untested(found: tuple[RunCheck, ...]) -> set[str]:
    return {check.id for check in found if not check.tested}


# What each tampering does to the folder of a run; the second path is a run of the same settings.


def _metrics(edit: Callable[[list[dict[str, Any]]], Any]) -> Tampering:
    return lambda run, _: lines_edited(run / "metrics.jsonl", edit)


def _ledger(edit: Callable[[list[dict[str, Any]]], Any]) -> Tampering:
    def tamper(run: Path, _: Path) -> None:
        bodies = bodies_of(run / "ledger.sqlite")
        edit(bodies)
        rebuild(run / "ledger.sqlite", bodies)

    return tamper


def _set(place: int, **changes: Any) -> Callable[[list[dict[str, Any]]], None]:
    return lambda records: records[place].update(changes)


def _swap(records: list[dict[str, Any]], one: int, other: int) -> None:
    records[one], records[other] = records[other], records[one]


def _another_client(lines: list[dict[str, Any]]) -> None:
    gone = {client for found in lines[0]["dropped"].values() for client in found}
    step = next(name for name, found in lines[0]["dropped"].items() if found)
    lines[0]["dropped"][step][0] = next(client for client in range(16) if client not in gone)


def _byte_of_the_ledger(run: Path, _: Path) -> None:
    content = bytearray((run / "ledger.sqlite").read_bytes())
    content[content.index(b"round 2 of run")] ^= 1
    (run / "ledger.sqlite").write_bytes(content)


def _more_noise(records: list[dict[str, Any]]) -> None:
    records[2]["realised"]["contributors"] += 1


def _changed(name: str) -> Tampering:
    def tamper(run: Path, _: Path) -> None:
        arrays_edited(
            run / name, lambda arrays: arrays[next(key for key in arrays if arrays[key].ndim == 2)].__imul__(1.01)
        )

    return tamper


def _several(*tamperings: Tampering) -> Tampering:
    def tamper(run: Path, twin: Path) -> None:
        for one in tamperings:
            one(run, twin)

    return tamper


def _earlier_checkpoint(run: Path, _: Path) -> None:
    def edit(arrays: dict[str, Any]) -> None:
        with np.load(run / "weights" / "0002.npz") as kept:
            arrays.update({name: kept[name] for name in kept.files})
        arrays["round"] = np.asarray(np.int64(2))

    arrays_edited(run / "checkpoint.npz", edit)


def _another_head_in_the_report(run: Path, _: Path) -> None:
    head = msgspec.json.decode((run / "summary.json").read_bytes())["ledger_head"]
    edited(run / "report.html", head, head[::-1])


def _withheld(lines: list[dict[str, Any]]) -> None:
    lines[1].update(contributors=0, withheld="too few survivors", rounding_bound=None)


def _velocity(run: Path, _: Path) -> None:
    arrays_edited(run / "checkpoint.npz", lambda arrays: arrays["velocity_0"].__imul__(1 + 1e-12))


TAMPERINGS: dict[str, tuple[Tampering, str]] = {
    "a lower epsilon in the settings": (
        lambda run, _: edited(run / "config.toml", "epsilon = 60.0", "epsilon = 50.0"),
        "settings.digest",
    ),
    "another seed": (lambda run, _: edited(run / "config.toml", "seed = 1", "seed = 2"), "settings.digest"),
    "a model that does not fit the data": (
        lambda run, _: edited(run / "config.toml", 'model = "numpy-softmax"', 'model = "cnn"'),
        "settings.plan",
    ),
    "no noise in the settings": (
        lambda run, _: edited(run / "config.toml", "epsilon = 60.0", "epsilon = inf"),
        "account.none",
    ),
    "an epsilon in the metrics scaled down": (
        _metrics(lambda lines: lines[1].update(epsilon=lines[1]["epsilon"] * 0.9)),
        "account.epsilons",
    ),
    "the last line of the metrics cut": (_metrics(lambda lines: lines[:-1]), "checkpoint.round"),
    "the last line of the metrics cut short": (
        lambda run, _: (run / "metrics.jsonl").write_bytes((run / "metrics.jsonl").read_bytes()[:-9]),
        "metrics.whole",
    ),
    "two lines swapped": (_metrics(lambda lines: _swap(lines, 0, 1)), "metrics.rounds"),
    "a contributor count raised": (
        _metrics(lambda lines: lines[0].update(contributors=lines[0]["contributors"] + 1)),
        "ledger.contributors",
    ),
    "a contributor count above all that were left": (
        _metrics(lambda lines: lines[0].update(contributors=16 + 1)),
        "metrics.contributors",
    ),
    "another vanished client": (_metrics(_another_client), "metrics.dropped"),
    "a better accuracy in the metrics": (
        _metrics(lambda lines: lines[1].update(accuracy=lines[1]["accuracy"] + 0.01)),
        "weights.measured",
    ),
    "a byte of the ledger altered": (_byte_of_the_ledger, "ledger.chain"),
    "a larger sigma in a reservation, chain rebuilt": (
        _ledger(lambda records: records[3]["event"].update(local_sigma=records[3]["event"]["local_sigma"] * 1.1)),
        "ledger.chain",  # Its commitment then has less noise than was reserved.
    ),
    "a larger sigma in a reservation and its commitment, chain rebuilt": (
        _ledger(
            lambda records: [
                event.update(local_sigma=event["local_sigma"] * 1.1)
                for event in (records[3]["event"], records[4]["realised"])
            ]
        ),
        "ledger.events",
    ),
    "the last two records cut": (_ledger(lambda records: records.__delitem__(slice(-2, None))), "ledger.order"),
    "the last commitment cut": (_ledger(lambda records: records.pop()), "ledger.commitments"),
    "two records swapped, chain rebuilt": (_ledger(lambda records: _swap(records, 2, 3)), "ledger.order"),
    "a commitment twice": (_ledger(lambda records: records.append(records[-1])), "ledger.chain"),
    "a larger budget, chain rebuilt": (_ledger(_set(0, epsilon=61.0)), "ledger.budget"),
    "a smaller budget than was spent, chain rebuilt": (_ledger(_set(0, epsilon=30.0)), "account.budget"),
    "a larger population": (_ledger(_set(0, population=17)), "ledger.budget"),
    "more realised noise than contributors give": (_ledger(_more_noise), "ledger.realised"),
    "a label of another run": (
        _ledger(lambda records: records[1].update(label="round 1 of run 0123456789abcdef")),
        "ledger.labels",
    ),
    "a clock that runs backwards": (
        _ledger(lambda records: records[3].update(time_s=records[0]["time_s"] - 1)),
        "ledger.clock",
    ),
    "the ledger of another run": (
        lambda run, twin: shutil.copy(twin / "ledger.sqlite", run / "ledger.sqlite"),
        "ledger.heads",
    ),
    "a changed model": (_changed("model.npz"), "model.saved"),
    "a changed model and checkpoint": (_several(_changed("model.npz"), _changed("checkpoint.npz")), "weights.last"),
    "a changed model, checkpoint and last round": (
        _several(_changed("model.npz"), _changed("checkpoint.npz"), _changed("weights/0003.npz")),
        "weights.committed",
    ),
    "the weights of a round changed": (_changed("weights/0001.npz"), "weights.committed"),
    "the weights of the start changed": (_changed("weights/0000.npz"), "weights.start"),
    "the weights of a round removed": (lambda run, _: (run / "weights" / "0002.npz").unlink(), "weights.kept"),
    "the weights of a round cut short": (
        lambda run, _: (run / "weights" / "0002.npz").write_bytes((run / "weights" / "0002.npz").read_bytes()[:-40]),
        "weights.kept",
    ),
    "the server's velocity changed": (_velocity, "weights.velocity"),
    "a commitment without the model": (
        _ledger(lambda records: records[2]["details"].pop("model")),
        "weights.committed",
    ),
    "another number of colluding clients": (
        _ledger(lambda records: records[2]["details"].update({"colluding-sum": 5})),
        "ledger.details",
    ),
    "a checkpoint of an earlier round": (_earlier_checkpoint, "checkpoint.round"),
    "a better accuracy in the summary": (lambda run, _: summary_edited(run, accuracy=0.999), "summary.fields"),
    "a larger noise multiplier in the summary": (
        lambda run, _: summary_edited(run, noise_multiplier=9.0),
        "summary.fields",
    ),
    "another field in the summary": (lambda run, _: summary_edited(run, certified=True), "summary.read"),
    "another head in the report": (_another_head_in_the_report, "report.text"),
    "a missing report": (lambda run, _: (run / "report.html").unlink(), "report.present"),
    "a missing ledger": (lambda run, _: (run / "ledger.sqlite").unlink(), "ledger.present"),
    "a released round said to be withheld": (_metrics(_withheld), "ledger.commitments"),
    "a tighter rounding bound": (
        _metrics(lambda lines: lines[0].update(rounding_bound=lines[0]["rounding_bound"] / 2)),
        "metrics.bounds",
    ),
}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_tampering_is_caught_by_the_check_that_is_meant_for_it(
    name: str, finished: Path, twin: Path, tmp_path: Path
) -> None:
    tamper, meant = TAMPERINGS[name]
    run = copied_run(finished, tmp_path / "run")
    tamper(run, twin)
    before = contents(run)
    found = run_checks(run, only=[f"run.{meant}"])
    assert list(rejected(found)) == [f"run.{meant}"]
    assert contents(run) == before


def test_untouched_run_is_not_rejected_and_not_written(finished: Path, tmp_path: Path) -> None:
    """Not where it was made, and not where it was copied."""
    run = copied_run(finished, tmp_path / "elsewhere" / "renamed")
    before, head = contents(run), msgspec.json.decode((run / "summary.json").read_bytes())["ledger_head"]
    found = run_checks(run, head=head)
    assert rejected(found) == {}
    assert untested(found) == {"run.account.none", "run.noise.none"}
    assert [check.id for check in found] == list(CHECK_IDS)
    assert contents(run) == before
    assert not {path.name for path in run.iterdir()} - {path.name for path in finished.iterdir()}


def test_untouched_run_is_read_while_its_folder_is_locked(finished: Path, tmp_path: Path) -> None:
    with RunFolder(copied_run(finished, tmp_path / "run")) as folder, Ledger.open(folder.ledger):
        assert rejected(run_checks(folder.path, only=WITHOUT_REPORT, retrain=False)) == {}


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
}


@pytest.mark.parametrize("name", CORRECT)
def test_correct_run_is_not_rejected(name: str, tmp_path: Path) -> None:
    run = finish(tmp_path / "run", **CORRECT[name])
    found = run_checks(run, only=WITHOUT_REPORT)
    assert rejected(found) == {}
    assert "run.weights.measured" not in untested(found)
    private = CORRECT[name].get("epsilon") != math.inf
    assert ("run.noise.none" in untested(found)) == private
    assert ("run.noise.realised" in untested(found)) == (not private or name == "weighted")
    assert ("run.ledger.chain" in untested(found)) == (not private)


def _next_bound(run: Path, _: Path) -> None:
    arrays_edited(run / "checkpoint.npz", lambda arrays: arrays.update(clip_bound=arrays["clip_bound"] * 1.01))


BOUNDS: dict[str, Tampering] = {
    "metrics": _metrics(lambda lines: lines[2].update(clip_bound=lines[2]["clip_bound"] * 1.01)),
    "checkpoint": _next_bound,
}


def test_clipping_bound_of_any_round_is_named_by_the_ledger(tmp_path: Path) -> None:
    """The commitment of a round names the bound of the next one; after the last round, that of the checkpoint."""
    run = finish(tmp_path / "run", **CORRECT["adaptive clipping"])
    for name, tamper in BOUNDS.items():
        copy = copied_run(run, tmp_path / name)
        tamper(copy, copy)
        assert list(rejected(run_checks(copy, only=["run.weights.committed"]))) == ["run.weights.committed"]


def test_correct_run_with_withheld_rounds_is_not_rejected(tmp_path: Path) -> None:
    """The noise is so large that the total weight of about every other round is below 0."""
    run = finish(tmp_path / "run", **DROWNED)
    lines = [msgspec.json.decode(line) for line in (run / "metrics.jsonl").read_bytes().splitlines()]
    withheld = [line["round"] for line in lines if not line["contributors"]]
    assert 0 < len(withheld) < 20
    assert rejected(run_checks(run, only=WITHOUT_REPORT)) == {}
    _changed(f"weights/{withheld[-1]:04d}.npz")(run, run)
    assert list(rejected(run_checks(run, only=["run.weights.withheld"]))) == ["run.weights.withheld"]


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
    assert rejected(found) == {}
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
    assert rejected(run_checks(path, only=WITHOUT_REPORT)) == {}


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
    assert without_report == {}
    kept = ["run.ledger.kept_head"]
    assert list(rejected(run_checks(run, head=head, only=kept))) == kept
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
