"""A whole training run: from settings to a model, its ledger, and what it is compared with."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import msgspec

from dp.errors import BudgetExceeded
from dp.ledger.ledger import Ledger
from secagg.errors import CheckpointError, CohortsExhausted
from secagg.runs.comparison import ComparedRound, ComparisonProcess
from secagg.runs.config import TrainingConfig
from secagg.runs.folder import RunFolder
from secagg.runs.prepare import Prepared
from secagg.runs.summary import BUDGET_EXCEEDED, COHORTS_EXHAUSTED, Account, Summary, summarise
from secagg.training.averaging import SecureAveraging
from secagg.training.model_state import GlobalModel, evaluate
from secagg.training.records import RoundRecord
from secagg.transcripts.recorder import Recorder

Observer = Callable[[str | None, RoundRecord], None]
"""Called after each round: the kind of the run to compare with (None for the run itself), and the round."""


def run_training(
    prepared: Prepared, folder: RunFolder, *, resume: bool, observe: Observer, recorder: Recorder | None = None
) -> Summary:
    """Run, or resume, a run whose folder has been begun, and leave the folder complete.

    An interruption leaves the checkpoint of the last whole round, and a ledger that counts every release. The folder
    is locked meanwhile. A recorder records what the server sees in each round.

    Raises:
        CheckpointError: The folder is damaged, in use, or belongs to a run with other settings.
        DpError: The ledger cannot be opened or written.
        SecaggError: Training has diverged, or the runs to compare with have failed.
    """
    with folder:
        return _run(prepared, folder, resume=resume, observe=observe, recorder=recorder)


def _run(
    prepared: Prepared, folder: RunFolder, *, resume: bool, observe: Observer, recorder: Recorder | None
) -> Summary:
    config, cohort, rounds = prepared.config, prepared.cohort, folder.goal(prepared.config)
    model = prepared.devices.model
    initial = GlobalModel.initial(model, prepared.clip)
    _, accuracy_before = evaluate(model, initial.weights, prepared.test)
    made = max(folder.rounds_done(), len(folder.metrics())) if resume else 0
    state, compared = _restored(folder, initial, config, observe) if resume else (initial, [])
    folder.keep_start(initial)
    # The runs to compare with go as far as the run does.
    wanted = config.compare and (not compared or compared[-1].record.round != rounds)
    if not wanted:
        _tell(compared, observe)
    with (
        _ledger(prepared, folder, rounds=made, resume=resume) as ledger,
        _comparison(config, rounds=rounds, wanted=wanted) as process,
    ):
        training = SecureAveraging(
            engine=replace(prepared.engine, recorder=recorder),
            model=model,
            test=prepared.test,
            mean=prepared.mean,
            local=None if prepared.example_level is None else prepared.example_level.event,
            ledger=ledger,
            cohorts=prepared.cohorts,
            mean_of=prepared.mean_of,
            step=config.server_step,
            state=state,
            run=run_name(config),
            colluding=cohort.colluding,
        )
        stopped_because = _train(training, config, rounds, folder, process, observe)
        if process is not None:
            _tell(process.awaited(), observe)
            folder.write_comparison(process.received)
        account = None if ledger is None else Account.of(ledger)
    model_name = f"model{model.suffix}"
    model.set_weights(training.state.weights)
    model.save(folder.path / model_name)
    records = folder.metrics()
    summary = summarise(
        prepared,
        records,
        loss_and_accuracy=evaluate(model, training.state.weights, prepared.test),
        accuracy_before=accuracy_before,
        compared=folder.comparison(),
        account=account,
        stopped_because=stopped_because,
        saved_model=model_name,
    )
    folder.save_summary(msgspec.json.encode(summary))
    return summary


def _restored(
    folder: RunFolder, initial: GlobalModel, config: TrainingConfig, observe: Observer
) -> tuple[GlobalModel, list[ComparedRound]]:
    """Return the state after the last whole round, and the compared rounds; observe all rounds that were made."""
    state, compared = folder.restore(initial, config), folder.comparison()
    for record in folder.metrics():
        observe(None, record)
    return state, compared


def _train(
    training: SecureAveraging,
    config: TrainingConfig,
    rounds: int,
    folder: RunFolder,
    process: ComparisonProcess | None,
    observe: Observer,
) -> str | None:
    """Run all rounds that the budget and the cap allow, and return what ended them early; None if nothing did."""
    while training.state.round < rounds:
        try:
            record = training.round()
        except BudgetExceeded:
            return BUDGET_EXCEEDED
        except CohortsExhausted:
            return COHORTS_EXHAUSTED
        folder.save(training.state, record, config)
        observe(None, record)
        if process is not None:
            _tell(process.arrived(), observe)
    return None


def _tell(compared: Iterable[ComparedRound], observe: Observer) -> None:
    for line in compared:
        observe(line.kind, line.record)


def _ledger(
    prepared: Prepared, folder: RunFolder, *, rounds: int, resume: bool
) -> AbstractContextManager[Ledger | None]:
    """Return the run's ledger: a new one only if no round has been made."""
    config = prepared.config
    if not config.private:
        if resume and folder.has_ledger():
            raise CheckpointError(
                f"{folder.path}: expected a run without noise, as in its settings, found {folder.ledger}, which counts "
                "its releases. Put the settings back that the run began with."
            )
        return nullcontext()
    if resume and (rounds or folder.has_ledger()):
        if not folder.ledger.exists():
            raise CheckpointError(
                f"{folder.ledger}: expected the ledger of the {rounds} rounds that were made, found no file. Bring the "
                "file back: without it nobody knows what was spent."
            )
        done = folder.metrics()
        ledger = Ledger.open(folder.ledger, head=done[-1].ledger_head if done else None)
        try:
            _check_ledger(ledger, prepared, folder)
        except BaseException:
            ledger.close()
            raise
        return ledger
    make_ledger(prepared, folder)
    ledger = Ledger.open(folder.ledger)
    if ledger.entries():
        ledger.close()
        raise CheckpointError(
            f"{folder.ledger}: expected no releases before a new run, found some. Begin the new run in another folder. "
            "Its cost adds to this run's if the data are the same; add both with secagg budget report A B."
        )
    return ledger


def make_ledger(prepared: Prepared, folder: RunFolder) -> None:
    """Make the ledger of a run that has begun, if it needs one and has none yet.

    Raises:
        DpError: The budget is out of range, or the ledger cannot be written.
    """
    terms = prepared.ledger_terms
    if terms is not None and not folder.has_ledger():
        folder.create_ledger(terms, prepared.config, data_digest=prepared.data_digest)


def _check_ledger(ledger: Ledger, prepared: Prepared, folder: RunFolder) -> None:
    config, terms, entries = prepared.config, prepared.ledger_terms, ledger.entries()
    if terms is None or terms.differing(ledger.budget, chosen=config.accounting is not None) is not None:
        raise CheckpointError(
            f"{folder.ledger}: expected the budget of the run's settings, found another one. Put the ledger and the "
            "settings back that the run began with."
        )
    # Before the first checkpoint, only the ledger can tell that the settings were changed.
    if not all(entry.reservation.label.endswith(f" of run {run_name(config)}") for entry in entries):
        raise CheckpointError(
            f"{folder.ledger}: expected releases of the settings in {folder.path}, found some of others. Put the "
            "settings back that the run began with."
        )


def run_name(config: TrainingConfig) -> str:
    """Return what the ledger's labels call a run with these settings."""
    return config.digest().hex()[:16]


def _comparison(
    config: TrainingConfig, *, rounds: int, wanted: bool
) -> AbstractContextManager[ComparisonProcess | None]:
    return ComparisonProcess(config, rounds=rounds) if wanted else nullcontext()
