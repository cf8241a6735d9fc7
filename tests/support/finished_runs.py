"""Small finished runs, and what it takes to tamper with their files."""

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from dp.ledger.sqlite_log import SqliteLog
from secagg.audit.run_folder.check import RunCheck
from secagg.reports.report import RunReport
from secagg.runs.folder import RunFolder
from secagg.runs.parsing import parse
from secagg.runs.prepare import prepare
from secagg.runs.run import run_training
from secagg.training.records import RoundRecord

SMALL: dict[str, Any] = {
    "dataset": "breast-cancer",
    "model": "numpy-softmax",
    "clients": 16,
    "rounds": 3,
    "epochs": 1,
    "epsilon": 60.0,
    "delta": 1e-2,
    "dropout": 0.13,
    "modulus_bits": 24,
    "compare": False,
}


Tampering = Callable[[Path, Path], object]
"""Does something to the folder of a run; the second path is another run with the same settings."""


def silent(kind: str | None, record: RoundRecord) -> None:
    """Observe nothing."""


def finish(path: Path, *, resume: bool = False, report: bool = False, observe: Any = silent, **changes: Any) -> Path:
    """Make a whole run, or resume one, and return its folder."""
    folder, settings = RunFolder(path), parse(SMALL | changes)
    if not resume:
        folder.begin(settings)
    prepared = prepare(settings)
    summary = run_training(prepared, folder, resume=resume, observe=observe)
    if report:
        folder.save_report(RunReport.of(folder, prepared, summary).as_html())
    return path


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Return every file of a folder with the time of its last change."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def edited(path: Path, old: str, new: str) -> None:
    """Replace a text that occurs in a file."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def lines_edited(path: Path, edit: Callable[[list[dict[str, Any]]], Iterable[dict[str, Any]] | None]) -> None:
    """Change the lines of the metrics."""
    lines = [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]
    changed = edit(lines)
    path.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in (lines if changed is None else changed)))


def summary_edited(folder: Path, **changes: Any) -> None:
    """Change fields of the summary, written as a run writes it."""
    summary = msgspec.json.decode((folder / "summary.json").read_bytes()) | changes
    (folder / "summary.json").write_bytes(msgspec.json.format(msgspec.json.encode(summary)) + b"\n")


def bodies_of(ledger: Path) -> list[dict[str, Any]]:
    """Return the records of a ledger."""
    with SqliteLog.open(ledger, writable=False) as log:
        return [msgspec.json.decode(body) for body in log.bodies]


def rebuild(ledger: Path, bodies: list[dict[str, Any]]) -> None:
    """Write a ledger again from records, with a chain of its own."""
    ledger.unlink()
    with SqliteLog.create(ledger, msgspec.json.encode(bodies[0])) as log:
        for body in bodies[1:]:
            log.append(msgspec.json.encode(body))


def arrays_edited(path: Path, edit: Callable[[dict[str, NDArray[Any]]], object]) -> None:
    """Change arrays of an archive."""
    with np.load(path, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    edit(arrays)
    np.savez(path, **arrays)


def copied_run(run: Path, target: Path) -> Path:
    """Copy a run, so that a test may tamper with it."""
    return Path(shutil.copytree(run, target))


def with_metrics(edit: Callable[[list[dict[str, Any]]], Any]) -> Tampering:
    """Return the tampering that changes the lines of the metrics."""
    return lambda run, _: lines_edited(run / "metrics.jsonl", edit)


def with_weights(name: str) -> Tampering:
    """Return the tampering that changes the first matrix of an archive by a percent."""

    def edit(arrays: dict[str, NDArray[Any]]) -> None:
        next(array for array in arrays.values() if array.ndim == 2).__imul__(1.01)

    return lambda run, _: arrays_edited(run / name, edit)


def rejected(found: tuple[RunCheck, ...]) -> list[str]:
    """Return the ids of the checks that reject; none may have ended with an error."""
    assert {check.id: check.errored for check in found if check.errored} == {}
    return [check.id for check in found if check.rejected]
