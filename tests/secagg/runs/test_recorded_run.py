"""The run of tests/vectors/checkpoint/run: a later version has to read it, write it again and go on with it."""

import io
import json
import zipfile
from pathlib import Path

import msgspec
import numpy as np
import pytest

from dp import Ledger
from dp.clipping.adaptive import AdaptiveClip
from dp.version import VERSION
from secagg.models.softmax import SoftmaxRegression
from secagg.runs.config import TrainingConfig
from secagg.runs.folder import RunFolder
from secagg.runs.parsing import parse
from secagg.runs.prepare import prepare
from secagg.runs.run import run_training
from secagg.runs.summary import Summary
from secagg.training.model_state import GlobalModel
from tests.vectors import record_reports as reports
from tests.vectors.record_run import GOAL, SETTINGS, observe
from tests.vectors.recorded import VECTORS, copied

RUN = VECTORS / "checkpoint" / "run"
HEAD = "27f89a294d05891b028e71d97bdb59e71ac90696fb6d373b8f80c60659de2b35"


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(copied(RUN, tmp_path / "run"))


def initial(config: TrainingConfig) -> GlobalModel:
    prepared = prepare(config)
    return GlobalModel.initial(prepared.devices.model, prepared.clip)


def members(content: bytes) -> dict[str, bytes]:
    """The files of an archive, in their order."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {entry.filename: archive.read(entry) for entry in archive.infolist()}


def test_recorded_run_has_its_settings_and_its_goal(folder: RunFolder) -> None:
    config = folder.config()
    assert config == parse(SETTINGS)
    assert (folder.goal(config), folder.rounds_done()) == (GOAL, 2)
    _, settings = (RUN / "config.toml").read_text(encoding="utf-8").split("\n", 1)
    assert config.as_toml() == settings


def test_recorded_checkpoint_is_read_exactly(folder: RunFolder) -> None:
    config = folder.config()
    state = folder.restore(initial(config), config)
    with np.load(RUN / "checkpoint.npz", allow_pickle=False) as archive:
        expected = {name: archive[name] for name in archive.files}
    assert [array.shape for array in state.weights] == [(64, 10), (10,)]
    for name, arrays in (("weights", state.weights), ("velocity", state.velocity)):
        for index, array in enumerate(arrays):
            assert array.dtype == np.float64
            assert array.tobytes() == expected[f"{name}_{index}"].tobytes()
    assert isinstance(state.clip, AdaptiveClip)
    assert state.clip.bound == expected["clip_bound"] == 0.6050373323654954
    assert state.round == 2
    saved = SoftmaxRegression.load(RUN / "model.npz").get_weights()
    assert all(np.array_equal(one, other) for one, other in zip(saved, state.weights, strict=True))


def test_recorded_checkpoint_is_written_again_byte_for_byte(folder: RunFolder) -> None:
    """All but the version that wrote it."""
    config = folder.config()
    state = folder.restore(initial(config), config)
    last = folder.metrics()[-1]
    folder.save(state, last, config)
    found, recorded = (members((path / "checkpoint.npz").read_bytes()) for path in (folder.path, RUN))
    assert list(found) == list(recorded)
    version = np.load(io.BytesIO(found.pop("version.npy")))
    assert (str(version), str(np.load(io.BytesIO(recorded.pop("version.npy"))))) == (VERSION, "0.1.0")
    assert found == recorded


def test_recorded_metrics_and_comparison_are_written_again_byte_for_byte(folder: RunFolder) -> None:
    lines = (RUN / "metrics.jsonl").read_bytes()
    assert b"".join(msgspec.json.encode(record) + b"\n" for record in folder.metrics()) == lines
    assert [record.round for record in folder.metrics()] == [1, 2]
    folder.write_comparison(folder.comparison())
    assert (folder.path / "comparison.jsonl").read_bytes() == (RUN / "comparison.jsonl").read_bytes()


def test_recorded_summary_is_written_again_byte_for_byte(folder: RunFolder) -> None:
    content = (RUN / "summary.json").read_bytes()
    folder.save_summary(msgspec.json.encode(msgspec.json.decode(content, type=Summary)))
    assert (folder.path / "summary.json").read_bytes() == content


def test_recorded_run_is_gone_on_with(folder: RunFolder) -> None:
    config = folder.config()
    folder.set_goal(3)
    summary = run_training(prepare(config), folder, resume=True, observe=observe)
    assert (summary.rounds, summary.released, summary.stopped_early) == (3, 3, False)
    with Ledger.open_to_read(folder.ledger, head=HEAD) as ledger:
        assert len(ledger.entries()) == 3
        first, second, third = (entry.reservation.event for entry in ledger.entries())
        assert first == second
        assert ledger.records_after(HEAD) == 2
        assert third.noise_multiplier < first.noise_multiplier  # An earlier version needed more noise for the budget.
        assert ledger.spent().epsilon <= ledger.budget.epsilon


def test_recorded_page_of_the_run_is_made_again(folder: RunFolder) -> None:
    page = reports.as_page(reports.run_report(folder.path))
    assert page.html == reports.recorded("run.html")
    expected = json.loads(reports.recorded(reports.DRAWINGS))
    if expected["matplotlib"] == reports.MATPLOTLIB:
        assert reports.digests(page.drawings) == expected["run"]
