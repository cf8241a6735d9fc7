"""The runs to compare with, in a process of their own: without noise, and in the clear.

Neither is private; a simulation can afford them because its data are public.  The process takes the settings as TOML
on standard input and writes one line of JSON for each round; `python -m secagg.runs.comparison ROUNDS` is that process.
"""

import contextlib
import math
import queue
import subprocess
import sys
import tempfile
import threading
import tomllib
from collections.abc import Iterator
from functools import partial
from types import TracebackType
from typing import IO, Final, Literal, Self

import msgspec

from secagg.errors import SecaggError
from secagg.interruption import raising
from secagg.runs.config import TrainingConfig
from secagg.runs.parsing import parse
from secagg.runs.prepare import prepare
from secagg.training.averaging import SecureAveraging
from secagg.training.model_state import GlobalModel
from secagg.training.plain import PlainAveraging
from secagg.training.records import RoundRecord

Kind = Literal["without noise", "plain"]
WITHOUT_NOISE: Final = "without noise"
PLAIN: Final = "plain"


class ComparedRound(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A round of a run to compare with; a line of `comparison.jsonl`.

    Attributes:
        kind: "without noise" or "plain".
        record: The round.
    """

    kind: Kind
    record: RoundRecord


class ComparisonProcess:
    """A context manager: the process runs beside the block, and is ended with it.

    Args:
        config: Settings of the run, which have been checked.
        rounds: How many the run has, where they are not those of its settings.
    """

    def __init__(self, config: TrainingConfig, *, rounds: int | None = None) -> None:
        self._rounds = config.rounds if rounds is None else rounds
        self._received: list[ComparedRound] = []
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        # A session of its own, so that a Ctrl-C at the terminal is the parent's to handle; -P, so that nothing in the
        # current folder is taken for a module.
        self._process = subprocess.Popen(  # noqa: S603 - this module, by this interpreter
            [sys.executable, "-P", "-m", "secagg.runs.comparison", str(self._rounds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            start_new_session=True,
        )
        self._write(config.as_toml().encode())
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        _stream(self._process.stdout).close()
        self._errors.close()

    def arrived(self) -> list[ComparedRound]:
        """Return the rounds that have arrived since the last call."""
        fresh = []
        while len(self._received) < 2 * self._rounds and not self._lines.empty():
            fresh.append(self._decode(self._lines.get()))
        return fresh

    def rest(self) -> list[ComparedRound]:
        """All rounds that have not arrived yet; waits for them.

        Raises:
            SecaggError: The process has failed.
        """
        return list(self.awaited())

    def awaited(self) -> Iterator[ComparedRound]:
        """Yield each round that has not arrived yet, as it arrives.

        Raises:
            SecaggError: The process has failed.
        """
        while len(self._received) < 2 * self._rounds:
            yield self._decode(self._lines.get())

    @property
    def received(self) -> list[ComparedRound]:
        """All rounds that have arrived and were asked for."""
        return self._received

    def _decode(self, line: bytes) -> ComparedRound:
        if not line:
            self._lines.put(line)  # The next call is told again.
            self._errors.seek(0)
            reason = self._errors.read().decode(errors="replace").strip().rpartition("\n")[2]
            raise SecaggError(
                f"compared runs: expected rounds, found that they failed: {reason or 'their process was ended'}. Use "
                "--no-compare to train without them."
            )
        try:
            compared = msgspec.json.decode(line, type=ComparedRound)
        except msgspec.MsgspecError as error:
            raise SecaggError(f"compared runs: expected rounds, found something else: {error}.") from None
        self._received.append(compared)
        return compared

    def _write(self, settings: bytes) -> None:
        # If the process has already ended, waiting for its rounds tells why.
        with contextlib.suppress(BrokenPipeError), _stream(self._process.stdin) as stdin:
            stdin.write(settings)

    def _read(self) -> None:
        for line in _stream(self._process.stdout):
            self._lines.put(line)
        self._lines.put(b"")


def _stream(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise SecaggError("compared runs: expected a pipe to their process, found none.")
    return stream


def main() -> None:
    """Run both, in step: who contributed to the secure round contributes to the plain one.

    Cohorts in turn and at random follow from the settings: they are those of the run, unless it had to repeat a round.
    Secret draws are drawn anew.
    """
    config = parse(tomllib.load(sys.stdin.buffer))
    if config.unit == "example":  # there the noise is in the devices' training
        config = msgspec.structs.replace(config, epsilon=math.inf)
    prepared = prepare(config)
    secure = SecureAveraging(
        engine=prepared.engine,
        model=prepared.devices.model,
        test=prepared.test,
        mean=prepared.noiseless,
        cohorts=prepared.cohorts,
        mean_of=partial(prepared.mean_of, noiseless=True),
        step=config.server_step,
        state=GlobalModel.initial(prepared.devices.model, prepared.clip),
    )
    plain = PlainAveraging(
        devices=prepared.devices,
        test=prepared.test,
        clip_l2=config.clip_l2,
        max_weight=config.max_examples,
        divisor=config.asked if config.by_poisson and config.max_examples is None else None,
        step=config.server_step,
        state=GlobalModel.initial(prepared.devices.model, prepared.clip),
    )
    for _ in range(int(sys.argv[1])):
        record = secure.round()
        _emit(ComparedRound(kind=WITHOUT_NOISE, record=record))
        _emit(ComparedRound(kind=PLAIN, record=plain.round(secure.contributors, asked=secure.asked)))


def _emit(compared: ComparedRound) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(compared) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    with raising():
        main()
