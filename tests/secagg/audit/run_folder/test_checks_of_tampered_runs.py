"""Every tampering with a finished run is caught by the check that is meant for it."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from dp.ledger.log import head_after
from secagg.audit.run_folder.checks import run_checks
from tests.support.finished_runs import (
    Tampering,
    arrays_edited,
    bodies_of,
    contents,
    copied_run,
    edited,
    rebuild,
    rejected,
    summary_edited,
    with_metrics,
    with_weights,
)

# What each tampering does to the folder of a run; the second path is a run of the same settings.


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


def _replaced(path: Path, one: bytes, other: bytes) -> None:
    content = path.read_bytes()
    assert one in content
    path.write_bytes(content.replace(one, other, 1))


def _twice_in_the_ledger(run: Path, _: Path) -> None:
    """The ledger is rebuilt with a budget that names a smaller epsilon first, for readers that take the first."""
    with closing(sqlite3.connect(run / "ledger.sqlite")) as database, database:
        rows = database.execute("SELECT body FROM records ORDER BY sequence").fetchall()
        bodies = [bytes(row[0]) for row in rows]
        bodies[0] = bodies[0].replace(b'{"type":"budget",', b'{"type":"budget","epsilon":0.1,', 1)
        for place in range(len(bodies)):
            digest = head_after(bodies[: place + 1])
            database.execute(
                "UPDATE records SET body = ?, digest = ? WHERE sequence = ?", (bodies[place], digest, place)
            )


def _byte_of_the_ledger(run: Path, _: Path) -> None:
    content = bytearray((run / "ledger.sqlite").read_bytes())
    content[content.index(b"round 2 of run")] ^= 1
    (run / "ledger.sqlite").write_bytes(content)


def _more_noise(records: list[dict[str, Any]]) -> None:
    records[2]["realised"]["contributors"] += 1


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
        with_metrics(lambda lines: lines[1].update(epsilon=lines[1]["epsilon"] * 0.9)),
        "account.epsilons",
    ),
    "the last line of the metrics cut": (with_metrics(lambda lines: lines[:-1]), "checkpoint.round"),
    "the last line of the metrics cut short": (
        lambda run, _: (run / "metrics.jsonl").write_bytes((run / "metrics.jsonl").read_bytes()[:-9]),
        "metrics.whole",
    ),
    "two lines swapped": (with_metrics(lambda lines: _swap(lines, 0, 1)), "metrics.rounds"),
    "a contributor count raised": (
        with_metrics(lambda lines: lines[0].update(contributors=lines[0]["contributors"] + 1)),
        "ledger.contributors",
    ),
    "a contributor count above all that were left": (
        with_metrics(lambda lines: lines[0].update(contributors=16 + 1)),
        "metrics.contributors",
    ),
    "another vanished client": (with_metrics(_another_client), "metrics.dropped"),
    "a better accuracy in the metrics": (
        with_metrics(lambda lines: lines[1].update(accuracy=lines[1]["accuracy"] + 0.01)),
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
    "a changed model": (with_weights("model.npz"), "model.saved"),
    "a changed model and checkpoint": (
        _several(with_weights("model.npz"), with_weights("checkpoint.npz")),
        "weights.last",
    ),
    "a changed model, checkpoint and last round": (
        _several(with_weights("model.npz"), with_weights("checkpoint.npz"), with_weights("weights/0003.npz")),
        "weights.committed",
    ),
    "the weights of a round changed": (with_weights("weights/0001.npz"), "weights.committed"),
    "the weights of the start changed": (with_weights("weights/0000.npz"), "weights.start"),
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
    "a released round said to be withheld": (with_metrics(_withheld), "ledger.commitments"),
    "a field that occurs twice in the metrics": (
        lambda run, _: _replaced(run / "metrics.jsonl", b'{"round":1,', b'{"round":1,"epsilon":0.1,'),
        "metrics.whole",
    ),
    "another field in the metrics": (with_metrics(lambda lines: lines[0].update(certified=True)), "metrics.whole"),
    "a field that occurs twice in the ledger": (_twice_in_the_ledger, "ledger.chain"),
    "a tighter rounding bound": (
        with_metrics(lambda lines: lines[0].update(rounding_bound=lines[0]["rounding_bound"] / 2)),
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
    assert rejected(found) == [f"run.{meant}"]
    assert contents(run) == before
