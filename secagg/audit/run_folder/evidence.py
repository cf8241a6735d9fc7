"""The parts of a run's folder, each read once, without writing, locking or unpickling anything.

A part that cannot be read is `Unreadable` for every check that asks for it, and a finding of one check, its owner.
"""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import msgspec

from dp.checks import printable
from dp.errors import DpError
from dp.events import PrivacyEvent
from dp.ledger.log import kept_head
from dp.ledger.sqlite_log import SqliteLog
from protocols.errors import ProtocolError
from secagg.arrays import Arrays, Shapes
from secagg.audit.account.participation import Recount
from secagg.audit.run_folder.check import Unreadable, Untested
from secagg.audit.run_folder.cohort import drawn_again, refusing_steps
from secagg.audit.run_folder.ledger_records import LedgerRecords, label_parts, reserved_events
from secagg.errors import CheckpointError, MissingExtraError, SecaggError
from secagg.paths import is_archive
from secagg.runs.comparison import ComparedRound
from secagg.runs.config import TrainingConfig
from secagg.runs.folder import CHECKPOINT, COMPARISON, CONFIG, GOAL, METRICS, REPORT, SUMMARY, RunFolder
from secagg.runs.kept_ledgers import LEDGER
from secagg.runs.kept_weights import WEIGHTS, path_of, read_weights
from secagg.runs.prepare import Prepared, prepare
from secagg.runs.summary import Summary
from secagg.training.model_state import GlobalModel
from secagg.training.records import RoundRecord

T = TypeVar("T")

READ_ERRORS: Final = (SecaggError, DpError, ProtocolError, OSError, ValueError, MemoryError, RecursionError)
"""What reading a damaged or foreign file of a run may raise."""


class Evidence:
    """Everything that the folder of a run holds, and the plan that its settings lead to.

    Args:
        path: The folder.
        head: A head of its ledger that was kept elsewhere.

    Raises:
        CheckpointError: The path is not a folder, or nothing in it is of a run.
        dp.errors.InvalidParameter: The head is not 64 hexadecimal digits.
    """

    def __init__(self, path: Path, *, head: str | None = None) -> None:
        if not path.is_dir():
            found = "a file" if path.exists() else "nothing"
            raise CheckpointError(f"{path}: expected the folder of a run, found {found}. Check the path.")
        if not any((path / name).exists() for name in (CONFIG, METRICS, CHECKPOINT, LEDGER, SUMMARY)):
            raise CheckpointError(
                f"{path}: expected the folder of a run, found none of its files. Name the folder that secagg train "
                "wrote."
            )
        if head is not None:
            kept_head(head)
        self.path = path
        self.head = head
        self.folder = RunFolder(path)
        self._known: dict[str, object] = {}

    @property
    def config(self) -> TrainingConfig:
        """The settings."""
        return self._once(CONFIG, "run.settings.read", self.folder.config)

    @property
    def goal(self) -> int:
        """The round that the run was to end with."""
        return self._once(GOAL, "run.settings.read", lambda: self.folder.goal(self.config))

    @property
    def prepared(self) -> Prepared:
        """What the settings lead to.

        Raises:
            Untested: Data, key files or packages that the settings name are not on this machine.
        """
        return self._once("the plan of the settings", "run.settings.plan", self._prepared)

    @property
    def initial(self) -> GlobalModel:
        """The state that the settings begin with."""
        prepared = self.prepared
        return self._once(
            "the initial model",
            "run.settings.plan",
            lambda: GlobalModel.initial(prepared.devices.model, prepared.clip),
        )

    @property
    def shapes(self) -> Shapes:
        """The shapes of the model's arrays."""
        return tuple(array.shape for array in self.initial.weights)

    @property
    def records(self) -> list[RoundRecord]:
        """The whole lines of the metrics."""
        return self._once(METRICS, "run.metrics.whole", lambda: self._lines(METRICS, self.folder.metrics))

    @property
    def refusing(self) -> frozenset[str]:
        """The steps of the protocol in which a client that drops out does not contribute."""
        prepared, records = self.prepared, self.records
        return self._once(
            "the steps of the protocol", "run.metrics.contributors", lambda: refusing_steps(prepared, records)
        )

    def asked(self, number: int) -> tuple[int, ...]:
        """Return the clients that were asked in a round, the last time that it was made.

        Raises:
            Untested: Clients were drawn in secret, and there is no ledger that names them; or the ledger has no
                reservation of this round.
        """
        prepared = self.prepared
        if not prepared.config.limited:
            return tuple(prepared.devices.clients)
        if prepared.config.private:
            return self._asked_by_ledger(number)
        if prepared.config.by_poisson:
            raise Untested("Clients were drawn in secret, and nothing says who.")
        count = len(self.records)
        drawn = self._once("the cohorts", "run.metrics.dropped", lambda: drawn_again(prepared, count))
        return drawn[number - 1]

    @property
    def state(self) -> GlobalModel:
        """The state in the checkpoint."""
        initial, config = self.initial, self.config
        return self._once(CHECKPOINT, "run.checkpoint.read", lambda: self.folder.checkpoint(initial, config))

    @property
    def ledger(self) -> LedgerRecords:
        """The records of the ledger.

        Raises:
            Untested: The run has no noise, so that it has no ledger.
        """
        if not self.config.private:
            raise Untested("The run has no noise, and so no ledger.")
        return self._once(LEDGER, "run.ledger.chain", lambda: LedgerRecords.read(self.folder.ledger))

    @property
    def bodies(self) -> tuple[bytes, ...]:
        """The records of the ledger as they were written, with a chain that is whole.

        Raises:
            Untested: The run has no noise, so that it has no ledger.
        """
        if not self.config.private:
            raise Untested("The run has no noise, and so no ledger.")
        return self._once("the chain of the ledger", "run.ledger.chain", lambda: _bodies(self.folder.ledger))

    @property
    def reserved(self) -> dict[int, PrivacyEvent]:
        """The event of each reservation, by its number.

        Raises:
            Untested: The run has no noise, so that it has no ledger.
        """
        bodies = self.bodies
        return self._once("the ledger's reservations", "run.ledger.chain", lambda: reserved_events(bodies))

    @property
    def recount(self) -> Recount:
        """What the ledger records of participation, read without the toolkit's own counts.

        Raises:
            Untested: The run has no noise, so that it has no ledger.
        """
        bodies = self.bodies
        return self._once("who was asked", "run.ledger.asked", lambda: Recount.of(bodies))

    @property
    def compared(self) -> list[ComparedRound]:
        """The rounds of the runs that it is compared with."""
        return self._once(COMPARISON, "run.summary.read", lambda: self._lines(COMPARISON, self.folder.comparison))

    @property
    def summary(self) -> Summary:
        """The summary."""
        return self._once(SUMMARY, "run.summary.read", lambda: _decoded(self.bytes_of(SUMMARY)))

    @property
    def report(self) -> str:
        """The text of the report."""
        return self._once(REPORT, "run.report.present", lambda: self.bytes_of(REPORT).decode("utf-8"))

    def weights(self, number: int) -> Arrays:
        """Return the weights that were kept after a round; round 0 is the start."""
        name, shapes = f"{WEIGHTS}/{path_of(self.path, number).name}", self.shapes
        return self._once(name, "run.weights.kept", lambda: read_weights(self.path, number, shapes))

    def rendered(self, render: Callable[[], str]) -> str:
        """Return the report that is made again, by the function of the first call."""
        return self._once("what the report is made of", "run.summary.fields", render)

    def _asked_by_ledger(self, number: int) -> tuple[int, ...]:
        """Return whom the last reservation of a round asked."""
        for asking in reversed(self.recount.askings):
            if label_parts(asking.label)[0] == number and asking.clients is not None:
                return asking.clients
        raise Untested(f"No reservation says who was asked in round {number}.")

    def bytes_of(self, name: str) -> bytes:
        """Return the content of a file.

        Raises:
            OSError: It cannot be read.
        """
        path = self.path / name
        if not path.is_file():
            raise CheckpointError(f"{name}: expected a file, found {'something else' if path.exists() else 'none'}.")
        return path.read_bytes()

    def _lines(self, name: str, read: Callable[[], list[T]]) -> list[T]:
        """Return the lines of a file, which may be missing; anything but a file could keep its reader waiting."""
        path = self.path / name
        if path.exists() and not path.is_file():
            raise CheckpointError(f"{name}: expected a file, found something else.")
        return read()

    def _prepared(self) -> Prepared:
        config = self.config
        if is_archive(config.dataset) and not Path(config.dataset).is_file():
            raise Untested("The settings cannot be planned again: the file of the data set is not on this machine.")
        if config.committee is not None and not Path(config.committee).is_dir():
            raise Untested("The settings cannot be planned again: the committee's key files are not on this machine.")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return prepare(config)
        except MissingExtraError as error:
            raise Untested(f"The settings cannot be planned again: {error}") from None

    def _once(self, name: str, owner: str, read: Callable[[], T]) -> T:
        if name not in self._known:
            try:
                self._known[name] = read()
            except Untested as untested:
                self._known[name] = untested
            except READ_ERRORS as error:
                self._known[name] = Unreadable(name, in_words(error, self.path), owner=owner)
        found = self._known[name]
        if isinstance(found, Untested | Unreadable):
            raise found
        return cast(T, found)


def in_words(error: BaseException, folder: Path) -> str:
    """Return an error in one line, with paths as seen from the run's folder."""
    text: Any = str(error) or type(error).__name__
    return printable(text.replace(f"{folder}/", ""))


def _bodies(ledger: Path) -> tuple[bytes, ...]:
    with SqliteLog.open(ledger, writable=False) as log:
        return tuple(log.bodies)


def _decoded(content: bytes) -> Summary:
    try:
        return msgspec.json.decode(content, type=Summary)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{SUMMARY}: expected the summary of a run, found: {error}.") from None
