"""A run's folder: settings, metrics, weights, checkpoint, ledger, model and report, each whole at any moment.

One process at a time may write to it: the folder is a context manager that holds its lock.
"""

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from dp.checks import printable
from dp.clipping.adaptive import AdaptiveClip
from dp.errors import InvalidParameter
from dp.ledger.description import Description
from dp.version import SOFTWARE, VERSION
from secagg.errors import CheckpointError, ConfigurationError, DataError
from secagg.files import read_arrays, write_whole
from secagg.models import zoo
from secagg.runs.comparison import ComparedRound
from secagg.runs.config import TrainingConfig
from secagg.runs.kept_ledgers import LEDGER, is_kept, keep, settle
from secagg.runs.kept_weights import WEIGHTS, bytes_of, foreign_entry, keep_weights, kept_rounds, remove_weights
from secagg.runs.ledger_terms import LedgerTerms
from secagg.runs.parsing import convert_setting, parse, read_settings
from secagg.storage.folder_lock import FolderLock
from secagg.training.model_state import GlobalModel
from secagg.training.records import RoundRecord

T = TypeVar("T")

_CONTINUED: Final = "# Continued to round "

CONFIG, CHECKPOINT, METRICS = "config.toml", "checkpoint.npz", "metrics.jsonl"
COMPARISON, SUMMARY = "comparison.jsonl", "summary.json"
GOAL, REPORT = "goal.toml", "report.html"
_MODELS = tuple(f"model{suffix}" for suffix in zoo.SUFFIXES)
_LEDGER: Final = (LEDGER, f"{LEDGER}-journal")
_FILES: Final = frozenset((CONFIG, GOAL, CHECKPOINT, METRICS, COMPARISON, SUMMARY, REPORT, WEIGHTS, *_LEDGER, *_MODELS))
_HOLDER: Final = "run"
_LOCK: Final = f"{_HOLDER}.lock"
_LARGEST_SMALL: Final = 1024  # Bytes of an array of the checkpoint that is not of the model.
_PARTIAL: Final = re.compile(
    "|".join(rf"\.{re.escape(Path(name).stem)}\.[0-9]+\.partial{re.escape(Path(name).suffix)}" for name in _FILES)
)
"""Names of what an interruption may leave of `write_whole`."""


class RunFolder:
    """The files of one run; a context manager, inside which nobody else writes to them.

    Args:
        path: The folder; made on entering, or by `begin`.

    Raises:
        CheckpointError: On entering: another run is using the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = FolderLock(path, _HOLDER)

    def __enter__(self) -> Self:
        self._lock.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._lock.__exit__(kind, error, at)

    @property
    def ledger(self) -> Path:
        """The budget ledger."""
        return self.path / LEDGER

    def create_ledger(self, terms: LedgerTerms, config: TrainingConfig, *, data_digest: str | None = None) -> None:
        """Make a ledger for these settings, in one step: no interruption leaves half of one.

        Args:
            terms: The terms of the ledger.
            config: The settings.
            data_digest: The digest of the training examples, by which later runs on them are found.

        Raises:
            CheckpointError: There is one already, whose account must not be lost.
            DpError: The budget is out of range, or the ledger cannot be written.
        """
        if self.ledger.exists():
            raise CheckpointError(
                f"{self.ledger}: expected no ledger before a new run, found one. Begin the new run in another folder. "
                "Its cost adds to this run's if the data are the same; add both with secagg budget report A B."
            )

        for left in self.path.glob(f".{self.ledger.stem}.*.partial.*"):
            left.unlink()
        terms.create(
            self.ledger,
            description=Description(
                run=printable(self.path.absolute().name) or None,
                data=printable(Path(config.dataset).name) or None,
                organisation=config.organisation,
                data_digest=data_digest,
            ),
        )

    def has_ledger(self) -> bool:
        """Return whether there is one; a file that is still empty was interrupted before it was a ledger."""
        if self.ledger.exists() and not self.ledger.stat().st_size:
            self.ledger.unlink()
        return self.ledger.exists()

    @property
    def report(self) -> Path:
        """The report."""
        return self.path / REPORT

    def check_free(self, *, overwrite: bool) -> None:
        """Make sure that a new run may begin here.

        Raises:
            CheckpointError: The folder holds a run already and is not to be overwritten, or holds something else.
        """
        if not self.path.exists():
            return
        if not self.path.is_dir():
            raise CheckpointError(f"{self.path}: expected a folder, found a file. Name another folder.")
        found = sorted(entry.name for entry in self.path.iterdir())
        foreign = next((name for name in found if not _is_of_run(name)), None) or foreign_entry(self.path)
        if foreign:
            raise CheckpointError(
                f"{self.path}: expected an empty folder or one of a run, found {foreign!r} in it. Name another folder."
            )
        if not overwrite and not _FILES.isdisjoint(found):
            raise CheckpointError(
                f"{self.path}: expected no run in the folder, found one. Continue it with --resume, or replace it with "
                "--overwrite, which keeps its ledger."
            )

    def begin(self, config: TrainingConfig) -> None:
        """Make the folder for a new run; the files of a run that it holds are removed, and nothing else.

        Its ledger is kept (`secagg.runs.kept_ledgers`), unless it counts nothing: what was spent stays spent.

        Args:
            config: The settings as `secagg.runs.prepare.prepare` returns them, with all that it has chosen.

        Raises:
            CheckpointError: Another run is using the folder.
            DpError: The ledger is in use, or cannot be written; nothing has been removed.
        """
        with self:
            settle(self.ledger)
            # The settings first, so that no interruption leaves a run that seems whole without its ledger.
            (self.path / CONFIG).unlink(missing_ok=True)
            keep(self.ledger)
            remove_weights(self.path)
            for entry in list(self.path.iterdir()):
                if _is_of_run(entry.name) and entry.name not in (_LOCK, WEIGHTS) and not is_kept(entry.name):
                    entry.unlink()
            settings = f"# Begun by {SOFTWARE} {VERSION}.\n{config.as_toml()}"
            write_whole(self.path / CONFIG, lambda partial: partial.write_text(settings, encoding="utf-8"))

    def has_begun(self) -> bool:
        """Return whether there is a run here, even if of no round yet."""
        return (self.path / CONFIG).is_file()

    def config(self) -> TrainingConfig:
        """Return the settings that the run began with.

        Raises:
            CheckpointError: There is no run here, or its settings cannot be read.
        """
        if not self.has_begun():
            raise CheckpointError(f"{self.path}: expected a run to resume, found none. Name its folder with --out.")
        try:
            return parse(read_settings(self.path / CONFIG))
        except ConfigurationError as error:
            raise CheckpointError(
                f"{self.path / CONFIG}: expected the settings of a run, found damaged ones: {error}"
            ) from None

    def goal(self, config: TrainingConfig) -> int:
        """Return the round that the run is to end with: that of its settings, or a later choice (`set_goal`).

        Raises:
            CheckpointError: The file of the later choice is damaged.
        """
        if not (self.path / GOAL).is_file():
            return config.rounds
        try:
            rounds = read_settings(self.path / GOAL).get("rounds")
            found: int = convert_setting("rounds", rounds)
        except ConfigurationError as error:
            raise CheckpointError(f"{self.path / GOAL}: expected the rounds of a run, found: {error}") from None
        return found

    def set_goal(self, rounds: int) -> None:
        """Keep the round that the run is to end with; its settings, and its noise, stay what it began with.

        A comment in the file of the settings says so too.
        """
        write_whole(self.path / GOAL, lambda partial: partial.write_text(f"rounds = {rounds}\n", encoding="utf-8"))
        settings = (self.path / CONFIG).read_text(encoding="utf-8").splitlines()
        kept = "\n".join(line for line in settings if not line.startswith(_CONTINUED))
        text = f"{_CONTINUED}{rounds} (goal.toml). The noise stays sized for the rounds below.\n{kept}\n"
        write_whole(self.path / CONFIG, lambda partial: partial.write_text(text, encoding="utf-8"))

    def rounds_done(self) -> int:
        """Return how many whole rounds the run has made: those of its checkpoint.

        Raises:
            CheckpointError: The checkpoint is damaged.
        """
        if not (self.path / CHECKPOINT).exists():
            return 0
        try:
            return int(read_arrays(self.path / CHECKPOINT, ["round"], largest=_LARGEST_SMALL)["round"])
        except (DataError, TypeError, ValueError, OverflowError) as error:
            raise CheckpointError(
                f"{self.path / CHECKPOINT}: expected a whole checkpoint, found a damaged one: {error}"
            ) from error

    def keep_start(self, state: GlobalModel) -> None:
        """Keep the weights that the run begins with, unless they are kept already."""
        if 0 not in kept_rounds(self.path):
            keep_weights(self.path, 0, state.weights)

    def save(self, state: GlobalModel, record: RoundRecord, config: TrainingConfig) -> None:
        """Keep a round's weights, add its line, then move the checkpoint to it.

        If clients are drawn in secret, the line leaves out whose training failed, since only clients that were drawn
        train.

        Args:
            state: After the round.
            record: The record of the round.
            config: The settings that it was run with, which `restore` asks for again.
        """
        keep_weights(self.path, state.round, state.weights)
        if config.by_poisson:
            record = msgspec.structs.replace(record, failed={})
        with (self.path / METRICS).open("ab") as file:
            file.write(msgspec.json.encode(record) + b"\n")
        arrays: dict[str, NDArray[Any]] = {"version": np.asarray(VERSION)}
        arrays |= {f"weights_{index}": array for index, array in enumerate(state.weights)}
        arrays |= {f"velocity_{index}": array for index, array in enumerate(state.velocity)}
        if isinstance(state.clip, AdaptiveClip):
            arrays["clip_bound"] = np.asarray(np.float64(state.clip.bound))
        arrays |= {"round": np.asarray(np.int64(state.round)), "settings": _digest(config)}
        write_whole(self.path / CHECKPOINT, lambda partial: np.savez(partial, **arrays))

    def restore(self, like: GlobalModel, config: TrainingConfig) -> GlobalModel:
        """Return the state after the last whole round; `like` itself before the first.

        Metrics and weights are cut back to that round.

        Args:
            like: Weights of the shapes expected, and the first round's clip.
            config: The settings to go on with.

        Raises:
            CheckpointError: The checkpoint is damaged, missing, another model's, or of a run with other settings.
        """
        try:
            state = self.checkpoint(like, config) if (self.path / CHECKPOINT).exists() else like
        except CheckpointError as error:
            raise CheckpointError(f"{error}{self._written_by_another()}") from error
        records = self.metrics()
        kept, numbers = records[: state.round], [record.round for record in records]
        # A round's line is written before its checkpoint, so that one of them may be ahead, and no more.
        if numbers != list(range(1, len(numbers) + 1)) or len(numbers) - state.round not in (0, 1):
            raise CheckpointError(
                f"{self.path / METRICS}: expected the {state.round} rounds of the checkpoint and at most one more, "
                f"found {len(numbers)}. One of the two files was changed, removed or is an older copy. Bring back the "
                "files that belong together."
            )
        lines = b"".join(msgspec.json.encode(record) + b"\n" for record in kept)
        write_whole(self.path / METRICS, lambda partial: partial.write_bytes(lines))
        remove_weights(self.path, after=state.round)
        return state

    def checkpoint(self, like: GlobalModel, config: TrainingConfig) -> GlobalModel:
        """Return the state in the checkpoint, of which nothing else is read or written; as for `restore`.

        Raises:
            CheckpointError: As from `restore`.
        """
        shapes = {
            f"{name}_{index}": array.shape
            for name, arrays in (("weights", like.weights), ("velocity", like.velocity))
            for index, array in enumerate(arrays)
        }
        if isinstance(like.clip, AdaptiveClip):
            shapes["clip_bound"] = ()
        try:
            largest = max(_LARGEST_SMALL, *map(bytes_of, shapes.values()))
            found = read_arrays(self.path / CHECKPOINT, ["round", "settings", *shapes], largest=largest)
        except DataError as error:
            raise CheckpointError(
                f"{self.path / CHECKPOINT}: expected a whole checkpoint, found a damaged one: {error}"
            ) from error
        if not np.array_equal(found["settings"], _digest(config)):
            raise CheckpointError(
                f"{self.path / CONFIG}: expected the settings that the run began with, found others. Put them back, "
                "or begin another run."
            )
        if any(found[name].shape != shape or found[name].dtype != np.float64 for name, shape in shapes.items()):
            raise CheckpointError(
                f"{self.path / CHECKPOINT}: expected a checkpoint of this model, found another model's."
            )
        count, number = len(like.weights), found["round"]
        values = [found[name] for name in shapes]
        # What training never changes is as the model began, and need not be finite there.
        are_numbers = all(
            np.isfinite(value).all() or np.array_equal(value, first, equal_nan=True)
            for value, first in zip(values, [*like.weights, *like.velocity], strict=False)
        )
        if number.shape or number.dtype != np.int64 or number < 0 or not are_numbers:
            raise CheckpointError(
                f"{self.path / CHECKPOINT}: expected the state of a run, found numbers that are none."
            )
        clip = like.clip
        if isinstance(clip, AdaptiveClip):
            try:
                clip = replace(clip, bound=float(found["clip_bound"]))
            except InvalidParameter as error:
                raise CheckpointError(
                    f"{self.path / CHECKPOINT}: expected the state of a run, found: {error}"
                ) from None
        return GlobalModel(values[:count], values[count : 2 * count], int(number), clip)

    def _written_by_another(self) -> str:
        """Return what to add to the refusal of a checkpoint; nothing if this version wrote it or it is unknown."""
        try:
            found = printable(str(read_arrays(self.path / CHECKPOINT, ["version"], largest=_LARGEST_SMALL)["version"]))
        except DataError:
            return ""
        return "" if found == VERSION else f" The checkpoint was written by {SOFTWARE} {found}; this is {VERSION}."

    def save_summary(self, summary: bytes) -> None:
        """Keep the summary, readable JSON."""
        write_whole(self.path / SUMMARY, lambda partial: partial.write_bytes(msgspec.json.format(summary) + b"\n"))

    def save_report(self, page: str) -> None:
        """Keep the report, HTML."""
        write_whole(self.report, lambda partial: partial.write_text(page, encoding="utf-8"))

    def metrics(self) -> list[RoundRecord]:
        """All rounds that were recorded; a last line that was cut short is left out."""
        return _read_lines(self.path / METRICS, RoundRecord)

    def write_comparison(self, comparisons: Iterable[ComparedRound]) -> None:
        """Keep the rounds of the runs to compare with."""
        lines = b"".join(msgspec.json.encode(comparison) + b"\n" for comparison in comparisons)
        write_whole(self.path / COMPARISON, lambda partial: partial.write_bytes(lines))

    def comparison(self) -> list[ComparedRound]:
        """Return the rounds of the runs to compare with; none until both have ended."""
        return _read_lines(self.path / COMPARISON, ComparedRound)


def _is_of_run(name: str) -> bool:
    return name in _FILES or name == _LOCK or is_kept(name) or _PARTIAL.fullmatch(name) is not None


def _digest(config: TrainingConfig) -> NDArray[np.uint8]:
    return np.frombuffer(config.digest(), dtype=np.uint8)


def _read_lines(path: Path, kind: type[T]) -> list[T]:
    if not path.exists():
        return []
    *lines, _ = path.read_bytes().split(b"\n")
    try:
        return [msgspec.json.decode(line, type=kind) for line in lines]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise CheckpointError(f"{path}: expected whole lines of JSON, found: {error}.") from None
