"""Targets of what an audit reads: transcripts, and the folders and models of finished runs."""

import io
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Final

import numpy as np

from protocols.errors import ProtocolError
from secagg.audit.run_folder.checks import run_checks
from secagg.audit.run_folder.saved_model import saved_weights
from secagg.audit.transcript.replay import replay
from secagg.errors import CheckpointError, SecaggError
from secagg.models.softmax import SoftmaxRegression
from secagg.transcripts.chain import FRAME_BYTES, GENESIS, FrameReader, framed
from secagg.transcripts.reader import TranscriptReader
from tests.fuzz.mutate import Mutator, mutate_bytes, mutate_lines, mutate_text
from tests.fuzz.mutate_files import mutate_folder, mutate_npz, mutate_sqlite, pack_folder, unpack_folder
from tests.fuzz.mutate_tree import mutate_msgpack
from tests.fuzz.target import Entry, Finding, Target, placed
from tests.support.transcripts import recording
from tests.vectors.recorded import VECTORS

_RUN: Final = VECTORS / "checkpoint" / "run"
_TRANSCRIPT: Final = VECTORS / "transcripts" / "sessions.transcript"
_READ: Final = (
    "run.settings.read",
    "run.metrics.whole",
    "run.ledger.chain",
    "run.ledger.asked",
    "run.ledger.cap",
    "run.account.recount",
    "run.summary.read",
)
"""Checks of a run's folder that plan nothing and train nothing, and so are quick."""
_FILES: Final[dict[str, Mutator]] = {
    "config.toml": mutate_text,
    "metrics.jsonl": mutate_lines,
    "comparison.jsonl": mutate_lines,
    "summary.json": mutate_text,
    "ledger.sqlite": mutate_sqlite,
    "checkpoint.npz": mutate_npz,
    "report.html": mutate_bytes,
}


def entries() -> list[Entry]:
    """Return the targets."""
    return [
        Entry("transcript/file", 2, partial(_transcript, _sessions, mutate_bytes)),
        Entry("transcript/records", 2, partial(_transcript, _sessions, _mutate_records)),
        Entry("transcript/seeds", 2, partial(_transcript, _sessions_of_seeds, _mutate_records)),
        Entry("audit/run", 1, _run),
        Entry("audit/model", 4, _model),
    ]


def _bodies(data: bytes) -> list[bytes]:
    """Return the records of a transcript whose chain is whole."""
    reader, found = FrameReader(io.BytesIO(data), len(data), name="seed"), []
    while (body := reader.next(len(data))) is not None:
        found.append(body)
    return found


def _chained(bodies: list[bytes]) -> bytes:
    frames, previous = [], GENESIS
    for body in bodies:
        frame, previous = framed(previous, body)
        frames.append(frame)
    return b"".join(frames)


def _mutate_records(data: bytes, choices: Random, others: object) -> bytes:
    """Return a transcript with one record changed, dropped, repeated or exchanged, and a chain that fits again."""
    del others
    bodies = _bodies(data)
    at = choices.randrange(len(bodies))
    match choices.randrange(8):
        case 0:
            del bodies[at]
        case 1:
            bodies.insert(at, bodies[at])
        case 2:
            to = choices.randrange(len(bodies))
            bodies[at], bodies[to] = bodies[to], bodies[at]
        case _:
            bodies[at] = mutate_msgpack(bodies[at], choices, ())
    return _chained(bodies)


def _sessions() -> tuple[bytes, ...]:
    """Return the sessions of the recorded transcript, each as a transcript of its own."""
    header, *bodies = _bodies(_TRANSCRIPT.read_bytes())
    starts = [at for at, body in enumerate(bodies) if b"session" in body[:12]]
    ends = [*starts[1:], len(bodies)]
    return tuple(_chained([header, *bodies[start:end]]) for start, end in zip(starts, ends, strict=True))


def _sessions_of_seeds() -> tuple[bytes, ...]:
    """Return transcripts of one session each with a committee by replicated seeds."""
    return recording("seeds").data, recording("seeds-malicious").data


def _transcript(sessions: Callable[[], tuple[bytes, ...]], mutate: Mutator, folder: Path) -> Target:
    path = folder / "transcript"

    def read(data: bytes) -> None:
        found = replay(placed(path, data))
        if found.messages > len(data) // (FRAME_BYTES + 1):
            raise Finding(f"more messages than {len(data)} bytes with their digests can hold")
        with TranscriptReader(path) as reader:
            for _ in reader:
                pass

    return Target(
        seeds=sessions(),
        run=read,
        mutate=mutate,
        refusals=(SecaggError, ProtocolError),
        covers=("secagg.transcripts.reader:TranscriptReader.__iter__", "secagg.transcripts.description:_committee"),
        memory_base=2**24,
    )


def _run(folder: Path) -> Target:
    contents = {name: (_RUN / name).read_bytes() for name in _FILES if (_RUN / name).exists()}

    def read(data: bytes) -> None:
        for left in folder.iterdir():
            left.unlink()
        for name, content in unpack_folder(data).items():
            placed(folder / name, content)
        for result in run_checks(folder, retrain=False, only=_READ):
            if result.errored:
                raise Finding(f"{result.id} ended with {result.errored}")
            if result.rejected:
                raise CheckpointError(result.found)

    return Target(
        seeds=(pack_folder(contents),),
        run=read,
        mutate=mutate_folder(_FILES),
        refusals=(SecaggError,),
        covers=("secagg.audit.run_folder.checks:run_checks",),
        memory_base=2**24,
        memory_factor=4096,
    )


def _model(folder: Path) -> Target:
    model, path = SoftmaxRegression(4, 3, seed=1), folder / "model.npz"
    model.save(path)
    seed = path.read_bytes()

    def read(data: bytes) -> None:
        for array in saved_weights(placed(path, data), model):
            if not isinstance(array, np.ndarray):
                raise Finding("weights that are no arrays")

    return Target(
        seeds=(seed,),
        run=read,
        mutate=mutate_npz,
        refusals=(SecaggError, UserWarning),
        covers=("secagg.audit.run_folder.saved_model:saved_weights",),
        memory_base=2**22,
        memory_factor=4096,
    )
