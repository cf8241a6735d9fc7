"""A run's folder: settings, metrics, checkpoint, ledger, model and report, each whole at any moment."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final, TypeVar

import msgspec
import numpy as np

from secagg.comparison import ComparedRound
from secagg.config import TrainingConfig, parse, read_settings
from secagg.errors import CheckpointError, ConfigurationError, DataError
from secagg.files import read_arrays, write_whole
from secagg.training import GlobalModel, RoundRecord

T = TypeVar("T")

_CONFIG, _CHECKPOINT, _METRICS = "config.toml", "checkpoint.npz", "metrics.jsonl"
_COMPARISON, _SUMMARY = "comparison.jsonl", "summary.json"
_LEDGER, _REPORT = "ledger.sqlite", "report.html"
_MODELS = ("model.keras", "model.npz")
_FILES: Final = frozenset(
    (_CONFIG, _CHECKPOINT, _METRICS, _COMPARISON, _SUMMARY, _LEDGER, f"{_LEDGER}-journal", _REPORT, *_MODELS)
)


class RunFolder:
    """The files of one run.

    Args:
        path: The folder; made by `begin`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def ledger(self) -> Path:
        """The budget ledger."""
        return self.path / _LEDGER

    def has_ledger(self) -> bool:
        """Whether there is one; a file that is still empty was interrupted before it was a ledger."""
        if self.ledger.exists() and not self.ledger.stat().st_size:
            self.ledger.unlink()
        return self.ledger.exists()

    @property
    def report(self) -> Path:
        """The report."""
        return self.path / _REPORT

    def check_free(self, *, overwrite: bool) -> None:
        """Make sure that a new run may begin here.

        Raises:
            CheckpointError: The folder holds a run already and is not to be overwritten, or holds something else.
        """
        if not self.path.exists():
            return
        if not self.path.is_dir():
            raise CheckpointError(f"{self.path} is no folder; name another one")
        found = sorted(entry.name for entry in self.path.iterdir())
        foreign = [name for name in found if not _is_of_run(name)]
        if foreign:
            raise CheckpointError(f"{self.path} holds {foreign[0]!r}, which is no part of a run; name another folder")
        if not overwrite and not _FILES.isdisjoint(found):
            raise CheckpointError(f"{self.path} holds a run; go on with --resume, or replace it with --overwrite")

    def begin(self, config: TrainingConfig) -> None:
        """Make the folder for a new run; the files of a run that it holds are removed, and nothing else."""
        self.path.mkdir(parents=True, exist_ok=True)
        for entry in list(self.path.iterdir()):
            if _is_of_run(entry.name):
                entry.unlink()
        write_whole(self.path / _CONFIG, lambda partial: partial.write_text(config.as_toml(), encoding="utf-8"))

    def config(self) -> TrainingConfig:
        """The settings that the run began with.

        Raises:
            CheckpointError: There is no run here, or its settings cannot be read.
        """
        path = self.path / _CONFIG
        if not path.is_file():
            raise CheckpointError(f"{self.path} holds no run to go on with")
        try:
            return parse(read_settings(path))
        except ConfigurationError as error:
            raise CheckpointError(f"the settings of the run are damaged: {error}") from None

    def save(self, state: GlobalModel, record: RoundRecord) -> None:
        """Add a round's line, then move the checkpoint to it."""
        with (self.path / _METRICS).open("ab") as file:
            file.write(msgspec.json.encode(record) + b"\n")
        arrays = {f"weights_{index}": array for index, array in enumerate(state.weights)}
        arrays |= {f"velocity_{index}": array for index, array in enumerate(state.velocity)}
        write_whole(self.path / _CHECKPOINT, lambda partial: np.savez(partial, round=np.int64(state.round), **arrays))

    def restore(self, like: GlobalModel) -> GlobalModel:
        """The state after the last whole round, and metrics cut back to it; `like` itself before the first one.

        Args:
            like: Weights of the shapes expected.

        Raises:
            CheckpointError: The checkpoint is damaged, or another model's.
        """
        path = self.path / _CHECKPOINT
        state = like
        if path.exists():
            shapes = {
                f"{name}_{index}": array.shape
                for name, arrays in (("weights", like.weights), ("velocity", like.velocity))
                for index, array in enumerate(arrays)
            }
            try:
                found = read_arrays(path, ["round", *shapes])
            except DataError as error:
                raise CheckpointError(f"the checkpoint is damaged: {error}") from error
            if any(found[name].shape != shape or found[name].dtype != np.float64 for name, shape in shapes.items()):
                raise CheckpointError(f"the checkpoint in {self.path} is another model's")
            count, number = len(like.weights), found["round"]
            values = [found[name] for name in shapes]
            if number.shape or number.dtype != np.int64 or number < 0 or not all(np.isfinite(v).all() for v in values):
                raise CheckpointError(f"the checkpoint in {self.path} is damaged: its numbers are no state of a run")
            state = GlobalModel(values[:count], values[count:], int(number))
        kept = [record for record in self.metrics() if record.round <= state.round]
        if [record.round for record in kept] != list(range(1, state.round + 1)):
            raise CheckpointError(f"{self.path / _METRICS} does not have the {state.round} rounds of the checkpoint")
        lines = b"".join(msgspec.json.encode(record) + b"\n" for record in kept)
        write_whole(self.path / _METRICS, lambda partial: partial.write_bytes(lines))
        return state

    def save_summary(self, summary: bytes) -> None:
        """Keep the summary, readable JSON."""
        write_whole(self.path / _SUMMARY, lambda partial: partial.write_bytes(msgspec.json.format(summary) + b"\n"))

    def metrics(self) -> list[RoundRecord]:
        """All rounds that were recorded; a last line that was cut short is left out."""
        return _read_lines(self.path / _METRICS, RoundRecord)

    def write_comparison(self, comparisons: Iterable[ComparedRound]) -> None:
        """Keep the rounds of the runs to compare with."""
        lines = b"".join(msgspec.json.encode(comparison) + b"\n" for comparison in comparisons)
        write_whole(self.path / _COMPARISON, lambda partial: partial.write_bytes(lines))

    def comparison(self) -> list[ComparedRound]:
        """The rounds of the runs to compare with; none until both have ended."""
        return _read_lines(self.path / _COMPARISON, ComparedRound)


def _is_of_run(name: str) -> bool:
    return name in _FILES or (name.startswith(".") and ".partial" in name)


def _read_lines(path: Path, kind: type[T]) -> list[T]:
    if not path.exists():
        return []
    *lines, _ = path.read_bytes().split(b"\n")
    try:
        return [msgspec.json.decode(line, type=kind) for line in lines]
    except msgspec.MsgspecError as error:
        raise CheckpointError(f"{path} is damaged: {error}") from None
