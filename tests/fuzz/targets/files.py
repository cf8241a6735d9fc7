"""Targets of the product's other files: data sets, models, settings and the folders of runs."""

import gzip
import io
import struct
import tomllib
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from secagg.data.archive import load_archive
from secagg.data.idx import read_idx
from secagg.errors import CheckpointError, ConfigurationError, DataError, DataWarning, ModelError
from secagg.files import read_arrays
from secagg.models.softmax import SoftmaxRegression
from secagg.privacy.clipping import choose_clip
from secagg.runs.folder import RunFolder
from secagg.runs.parsing import parse, read_settings
from secagg.training.model_state import GlobalModel
from tests.fuzz.mutate import Mutator, mutate_bytes, mutate_lines, mutate_text
from tests.fuzz.mutate_files import mutate_folder, mutate_gzip, mutate_npz, pack_folder, unpack_folder
from tests.fuzz.target import Entry, Finding, Target, placed
from tests.vectors.recorded import VECTORS

_RUN: Final = VECTORS / "checkpoint" / "run"
_UNPACKED: Final = 8192
"""How many bytes may be allocated for each byte of a compressed file: deflate alone reaches 1032, and entries of one
byte become numbers of four."""

_OLD_HEADER: Final = UserWarning
"""What numpy warns with if an array's header was written by Python 2; the array is then read all the same."""


def entries() -> list[Entry]:
    """Return the targets."""
    return [
        Entry("data/archive", 20, _archive),
        Entry("data/arrays", 30, _arrays),
        Entry("data/idx/1", 40, partial(_idx, 1)),
        Entry("data/idx/3", 40, partial(_idx, 3)),
        Entry("data/model", 16, _model),
        Entry("run/settings", 30, _settings),
        Entry("run/goal", 4, partial(_part, "goal.toml", mutate_text)),
        Entry("run/metrics", 5, partial(_part, "metrics.jsonl", mutate_lines)),
        Entry("run/comparison", 5, partial(_part, "comparison.jsonl", mutate_lines)),
        Entry("run/checkpoint", 4, partial(_part, "checkpoint.npz", mutate_npz)),
        Entry("run/folder", 8, _run_folder),
    ]


def _saved(**arrays: Any) -> tuple[bytes, bytes]:
    """Return an archive of arrays, and the same compressed."""
    plain, packed = io.BytesIO(), io.BytesIO()
    np.savez(plain, **arrays)
    np.savez_compressed(packed, **arrays)
    return plain.getvalue(), packed.getvalue()


def _archive(folder: Path) -> Target:
    path = folder / "data.npz"

    def read(data: bytes) -> None:
        load_archive(placed(path, data))

    x, y = np.arange(12, dtype=np.uint8).reshape(6, 2), np.array([0, 1, 2, 0, 1, 2])
    seeds = _saved(x_train=x, y_train=y, x_test=x[:3], y_test=y[:3].reshape(3, 1))
    return Target(
        seeds=(*seeds, _saved(train_x=x / 2, train_y=y.astype(np.int8), test_x=x / 2, test_y=y)[0]),
        run=read,
        mutate=mutate_npz,
        refusals=(DataError, DataWarning, _OLD_HEADER),
        covers=("secagg.data.archive:load_archive",),
        memory_factor=_UNPACKED,
    )


def _arrays(folder: Path) -> Target:
    path = folder / "arrays.npz"

    def read(data: bytes) -> None:
        read_arrays(placed(path, data), ["weights", "round"])

    return Target(
        seeds=_saved(weights=np.arange(6.0).reshape(2, 3), round=np.int64(3), other=np.array(["a", "b"])),
        run=read,
        mutate=mutate_npz,
        refusals=(DataError, _OLD_HEADER),
        covers=("secagg.files:read_arrays",),
        memory_factor=_UNPACKED,
    )


def _idx(dimensions: int, folder: Path) -> Target:
    path = folder / "idx.gz"

    def read(data: bytes) -> None:
        read_idx(placed(path, data), dimensions)

    shape = (3, 2, 2)[:dimensions]
    content = bytes((0, 0, 8, dimensions)) + struct.pack(f">{dimensions}I", *shape) + bytes(int(np.prod(shape)))
    return Target(
        seeds=(gzip.compress(content, mtime=0),),
        run=read,
        mutate=mutate_gzip,
        refusals=(DataError,),
        covers=("secagg.data.idx:read_idx",),
        memory_factor=_UNPACKED,
    )


def _model(folder: Path) -> Target:
    path = folder / "model.npz"

    def read(data: bytes) -> None:
        model = SoftmaxRegression.load(placed(path, data))
        model.save(folder / "again.npz")

    return Target(
        seeds=((_RUN / "model.npz").read_bytes(), *_saved(kernel=np.ones((2, 3)), bias=np.ones(3), learning_rate=0.5)),
        run=read,
        mutate=mutate_npz,
        refusals=(DataError, ModelError, _OLD_HEADER),
        covers=("secagg.models.softmax:SoftmaxRegression.load",),
        memory_factor=_UNPACKED,
        memory_base=2**22,
    )


def _settings(folder: Path) -> Target:
    path = folder / "config.toml"

    def read(data: bytes) -> None:
        config = parse(read_settings(placed(path, data)))
        again = parse(tomllib.loads(config.as_toml()))
        if again != config or again.digest() != config.digest():
            raise Finding("settings are not read back as they were written")

    examples = sorted((VECTORS.parents[1] / "examples").glob("*.toml"))
    return Target(
        seeds=((_RUN / "config.toml").read_bytes(), *(example.read_bytes() for example in examples)),
        run=read,
        mutate=mutate_text,
        refusals=(ConfigurationError,),
        covers=("secagg.runs.parsing:read_settings", "secagg.runs.parsing:parse"),
    )


def _initial() -> GlobalModel:
    with np.load(_RUN / "checkpoint.npz", allow_pickle=False) as archive:
        weights = [np.asarray(archive[f"weights_{index}"]) for index in range(2)]
    config = parse(read_settings(_RUN / "config.toml"))
    clip = choose_clip(
        config.clipping,
        clip_l2=config.clip_l2,
        quantile=config.clip_quantile,
        arrays=len(weights),
        contributors=10,
        noise_multiplier=1.0,
    )
    return GlobalModel([np.zeros_like(each) for each in weights], [np.zeros_like(each) for each in weights], clip=clip)


def _read_run(path: Path, like: GlobalModel) -> None:
    """Read a run's folder as a run that is continued does."""
    with RunFolder(path) as run:
        run.check_free(overwrite=True)
        config = run.config()
        run.goal(config)
        run.rounds_done()
        run.metrics()
        run.comparison()
        run.has_ledger()
        run.restore(like, config)


_RUN_FILES: Final[dict[str, Mutator]] = {
    "config.toml": mutate_text,
    "goal.toml": mutate_text,
    "metrics.jsonl": mutate_lines,
    "comparison.jsonl": mutate_lines,
    "checkpoint.npz": mutate_npz,
}


def _part(name: str, mutate: Mutator, folder: Path) -> Target:
    """One file of a run's folder; all others are as they were."""
    contents = {each: (_RUN / each).read_bytes() for each in _RUN_FILES}
    like = _initial()
    for each, content in contents.items():
        placed(folder / each, content)

    def read(data: bytes) -> None:
        placed(folder / "metrics.jsonl", contents["metrics.jsonl"])  # `restore` writes it again.
        placed(folder / name, data)
        _read_run(folder, like)

    return Target(
        seeds=(contents[name],),
        run=read,
        mutate=mutate,
        refusals=(CheckpointError, _OLD_HEADER),
        covers=("secagg.runs.folder:RunFolder.restore",),
        memory_base=2**22,
        memory_factor=_UNPACKED,
    )


def _run_folder(folder: Path) -> Target:
    contents = {each: (_RUN / each).read_bytes() for each in _RUN_FILES}
    like = _initial()

    def read(data: bytes) -> None:
        for left in folder.iterdir():
            left.unlink()
        for name, content in unpack_folder(data).items():
            placed(folder / name, content)
        _read_run(folder, like)

    return Target(
        seeds=(pack_folder(contents),),
        run=read,
        mutate=mutate_folder(_RUN_FILES | {"run.lock": mutate_bytes}),
        refusals=(CheckpointError, _OLD_HEADER),
        covers=(
            "secagg.runs.folder:RunFolder.config",
            "secagg.runs.folder:RunFolder.restore",
            "secagg.storage.folder_lock:FolderLock.__enter__",
        ),
        memory_base=2**22,
        memory_factor=_UNPACKED,
    )
