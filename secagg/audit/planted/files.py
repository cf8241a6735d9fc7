"""Planted bugs of what is written to files: the folder of a run, and a transcript."""

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from protocols import SecAgg
from protocols.secure_sum import Finish
from secagg.audit.planted.base import Planted
from secagg.audit.planted.patch import replaced
from secagg.audit.run_folder.subject import RunSubject
from secagg.audit.seeds import Tape
from secagg.audit.sums.subject import SumSubject
from secagg.audit.transcript.subject import TranscriptSubject
from secagg.runs import run
from secagg.runs.folder import RunFolder
from secagg.runs.parsing import parse
from secagg.runs.prepare import prepare
from secagg.runs.summary import Summary, summarise
from secagg.transcripts.recorder import Recorder

SETTINGS: Final[Mapping[str, Any]] = {
    "dataset": "breast-cancer",
    "model": "numpy-softmax",
    "clients": 16,
    "rounds": 2,
    "epochs": 1,
    "epsilon": 60.0,
    "delta": 1e-2,
    "compare": False,
}
"""The settings of a small run."""

_KEPT: Final[list[tempfile.TemporaryDirectory[str]]] = []
"""The folders of this process, which are removed when it ends."""


def kept_folder() -> Path:
    """Return a new folder, which is removed when this process ends."""
    _KEPT.append(tempfile.TemporaryDirectory(prefix="secagg-audit-"))
    return Path(_KEPT[-1].name)


@cache
def _run_with_a_better_accuracy() -> RunSubject:
    """Return the folder of a run whose summary states one percentage point more than was measured."""
    folder = RunFolder(kept_folder() / "planted-65")
    settings = parse(dict(SETTINGS))
    folder.begin(settings)

    def flattered(*arguments: Any, loss_and_accuracy: tuple[float, float], **named: Any) -> Summary:
        loss, accuracy = loss_and_accuracy
        return summarise(*arguments, loss_and_accuracy=(loss, accuracy + 0.01), **named)

    with replaced(run, "summarise", flattered):
        run.run_training(prepare(settings), folder, resume=False, observe=lambda *_: None)
    return RunSubject(folder.path)


@cache
def _transcript_with_another_sum() -> TranscriptSubject:
    """Return a transcript in whose result one entry of the sum is larger by 1."""
    path = kept_folder() / "planted-66"
    cohort = SumSubject.of(SecAgg()).cohort(3, length=4)
    inputs = {client: np.arange(4) for client in cohort.session.clients}
    with Recorder.create(path) as recorder, recorder.session(cohort.protocol, cohort.session) as message:
        outcome = cohort.sum(inputs, Tape(b"planted 66"), tap=message)
        total = outcome.total.copy()
        total[0] += 1
        recorder.end(replace(Finish(outcome.total, outcome.contributors, outcome.attached), total=total))
    return TranscriptSubject(path)


PLANTED: Final[tuple[Planted, ...]] = (
    Planted(
        number=65,
        bug="a run whose summary states a better accuracy than was measured",
        claim="C-30",
        caught_by="run.summary.fields",
        subject=_run_with_a_better_accuracy,
    ),
    Planted(
        number=66,
        bug="a transcript whose recorded sum is not that of its messages",
        claim="C-31",
        caught_by="transcript.replay.result",
        subject=_transcript_with_another_sum,
    ),
)
"""Planted bugs 65 and 66, for the targets that are files."""
