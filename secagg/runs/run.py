"""A whole training run: from settings to a model, its ledger, and what it is compared with."""

from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import msgspec

from dp.errors import BudgetExceeded
from dp.events import Trust
from dp.ledger.ledger import Ledger
from dp.version import SOFTWARE, VERSION
from protocols import Adversary
from secagg.errors import CheckpointError
from secagg.runs.comparison import ComparedRound, ComparisonProcess
from secagg.runs.config import TrainingConfig
from secagg.runs.folder import RunFolder
from secagg.runs.prepare import Prepared
from secagg.training.averaging import SecureAveraging
from secagg.training.model_state import GlobalModel, evaluate
from secagg.training.records import CommitteeCost, RoundRecord

Observer = Callable[[str | None, RoundRecord], None]
"""Called after each round: the kind of the run to compare with (None for the run itself), and the round."""


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What a run came to; also written as `summary.json`.

    Attributes:
        dataset: As in the settings.
        model: As in the settings.
        clients: As in the settings.
        protocol: As in the settings.
        adversary: As in the settings: the server assumed.
        trust: As in the settings: who adds the noise, where there is any.
        unit: As in the settings: what the budget protects.
        rounds: Done in all.
        released: Rounds that released a mean.
        loss: Of the final model, on the test examples.
        accuracy: Likewise.
        accuracy_before: Of the initial model.
        compared: Final accuracy of each run to compare with, by kind.
        epsilon_spent: Of every unit, under zero-out for clients and add-or-remove-one for examples; None without noise.
        epsilon_budget: Likewise.
        delta: Likewise.
        noise_multiplier: Standard deviation of the least noise over the sensitivity, in a sum of updates or, where the
            unit is an example, in each step of local training; None without noise.
        minimum_contributors: Fewer release nothing.
        contributors: Mean over the released rounds.
        dropped: Clients that vanished a round, mean, by round of the protocol.
        sent_bytes: A client's, each released round, mean.
        received_bytes: Likewise.
        client_s: A client's CPU seconds of secure aggregation, each released round, mean.
        server_s: The server's, likewise.
        committee: A committee member's part, each released round, mean; None where there is no committee.
        hides_updates: Whether the protocol protects single updates from any server at all; false of a baseline, with
            which the server assumed is one that is trusted with every update.
        ledger_head: Of the ledger after the last round, to be kept elsewhere; None without noise.
        colluding: Clients that may collude with the server; None where the protocol hides nothing from it.
        noise_colluding: Clients whose shares of the noise are not counted; None where none are shared.
        vanishing: Clients that may vanish from a round before it releases nothing.
        stopped_early: Whether the budget ended before the rounds did, as it may after an interruption.
        saved_model: File name of the model in the run's folder.
        software: The name of the software that ended the run.
        version: Its version.
    """

    dataset: str
    model: str
    clients: int
    protocol: str
    adversary: Adversary
    trust: Trust
    unit: Literal["client", "example"]
    rounds: int
    released: int
    loss: float
    accuracy: float
    accuracy_before: float
    compared: dict[str, float]
    epsilon_spent: float | None
    epsilon_budget: float | None
    delta: float | None
    noise_multiplier: float | None
    minimum_contributors: int
    contributors: float
    dropped: dict[str, float]
    sent_bytes: float
    received_bytes: float
    client_s: float
    server_s: float
    stopped_early: bool
    saved_model: str
    committee: CommitteeCost | None = None
    hides_updates: bool = False
    ledger_head: str | None = None
    colluding: int | None = None
    noise_colluding: int | None = None
    vanishing: int = 0
    software: str = SOFTWARE
    version: str = VERSION


def run_training(prepared: Prepared, folder: RunFolder, *, resume: bool, observe: Observer) -> Summary:
    """Run, or go on with, a run whose folder has been begun, and leave the folder complete.

    An interruption leaves the checkpoint of the last whole round, and a ledger that counts every release.  The folder
    is locked meanwhile.

    Raises:
        CheckpointError: The folder is damaged, in use, or of a run with other settings.
        DpError: The ledger cannot be opened or written.
        SecaggError: Training has diverged, or the runs to compare with have failed.
    """
    with folder:
        return _run(prepared, folder, resume=resume, observe=observe)


def _run(prepared: Prepared, folder: RunFolder, *, resume: bool, observe: Observer) -> Summary:
    config, cohort, rounds = prepared.config, prepared.cohort, folder.goal(prepared.config)
    model = prepared.devices.model
    initial = GlobalModel.initial(model, prepared.clip)
    _, accuracy_before = evaluate(model, initial.weights, prepared.test)
    state, compared = initial, list[ComparedRound]()
    made = max(folder.rounds_done(), len(folder.metrics())) if resume else 0
    if resume:
        state, compared = folder.restore(initial, config), folder.comparison()
        for record in folder.metrics():
            observe(None, record)
    # The runs to compare with go as far as the run does.
    wanted = config.compare and (not compared or compared[-1].record.round != rounds)
    if not wanted:
        _tell(compared, observe)
    with (
        _ledger(prepared, folder, rounds=made, resume=resume) as ledger,
        _comparison(config, rounds=rounds, wanted=wanted) as process,
    ):
        training = SecureAveraging(
            engine=prepared.engine,
            model=model,
            test=prepared.test,
            mean=prepared.mean,
            local=None if prepared.example_level is None else prepared.example_level.event,
            ledger=ledger,
            step=config.server_step,
            state=state,
            run=run_name(config),
            colluding=cohort.colluding,
        )
        stopped_early = _train(training, config, rounds, folder, process, observe)
        if process is not None:
            _tell(process.awaited(), observe)
            folder.write_comparison(process.received)
        spent = None if ledger is None else ledger.spent().epsilon
    model_name = f"model{model.suffix}"
    model.set_weights(training.state.weights)
    model.save(folder.path / model_name)
    records = folder.metrics()
    released = [record for record in records if record.contributors]
    final = evaluate(model, training.state.weights, prepared.test)
    summary = Summary(
        dataset=config.dataset,
        model=config.model,
        clients=config.clients,
        protocol=config.protocol,
        adversary=config.adversary,
        trust=config.trust,
        unit=config.unit,
        rounds=len(records),
        released=len(released),
        loss=final[0],
        accuracy=final[1],
        accuracy_before=accuracy_before,
        compared={line.kind: line.record.accuracy for line in folder.comparison()},
        epsilon_spent=spent,
        epsilon_budget=config.epsilon if config.private else None,
        delta=config.delta if config.private else None,
        noise_multiplier=prepared.noise_multiplier,
        minimum_contributors=prepared.mean.minimum_contributors,
        contributors=_mean(record.contributors for record in released),
        dropped=_mean_drops(records),
        sent_bytes=_mean(record.sent_bytes for record in released),
        received_bytes=_mean(record.received_bytes for record in released),
        client_s=_mean(record.client_s for record in released),
        server_s=_mean(record.server_s for record in released),
        stopped_early=stopped_early,
        saved_model=model_name,
        committee=_mean_committee(released),
        hides_updates=prepared.mean.protocol.adversaries != (),
        ledger_head=records[-1].ledger_head if records else None,
        colluding=cohort.colluding,
        noise_colluding=cohort.noise_colluding,
        vanishing=cohort.vanishing,
    )
    folder.save_summary(msgspec.json.encode(summary))
    return summary


def _train(
    training: SecureAveraging,
    config: TrainingConfig,
    rounds: int,
    folder: RunFolder,
    process: ComparisonProcess | None,
    observe: Observer,
) -> bool:
    """All rounds that the budget allows; whether it ended them early."""
    while training.state.round < rounds:
        try:
            record = training.round()
        except BudgetExceeded:
            return True
        folder.save(training.state, record, config)
        observe(None, record)
        if process is not None:
            _tell(process.arrived(), observe)
    return False


def _tell(compared: Iterable[ComparedRound], observe: Observer) -> None:
    for line in compared:
        observe(line.kind, line.record)


def _ledger(
    prepared: Prepared, folder: RunFolder, *, rounds: int, resume: bool
) -> AbstractContextManager[Ledger | None]:
    """The run's ledger: a new one only where no round has been run."""
    config = prepared.config
    if not config.private:
        if resume and folder.has_ledger():
            raise CheckpointError(f"the run in {folder.path} began with noise, and {folder.ledger} is its account")
        return nullcontext()
    if resume and (rounds or folder.has_ledger()):
        if not folder.ledger.exists():
            raise CheckpointError(f"{rounds} rounds were run, but what they spent is lost: {folder.ledger} is gone")
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
            f"{folder.ledger} counts releases already; a new run begins in another folder. Its cost adds to this run's "
            "if the data are the same; add both with secagg budget report A B."
        )
    return ledger


def make_ledger(prepared: Prepared, folder: RunFolder) -> None:
    """Make the ledger of a run that has begun, where it needs one and has none yet.

    Raises:
        DpError: The budget is out of range, or the ledger cannot be written.
    """
    if prepared.config.private and not folder.has_ledger():
        folder.create_ledger(prepared.config, population=prepared.population, data_digest=prepared.data_digest)


def _check_ledger(ledger: Ledger, prepared: Prepared, folder: RunFolder) -> None:
    config, kept, entries = prepared.config, ledger.budget, ledger.entries()
    found = (kept.epsilon, kept.delta, kept.population, kept.unit.value)
    if found != (config.epsilon, config.delta, prepared.population, config.unit):
        raise CheckpointError(f"the budget in {folder.ledger} is not that of the run's settings")
    # Before the first checkpoint, only the ledger can tell that the settings were changed.
    if not all(entry.reservation.label.endswith(f" of run {run_name(config)}") for entry in entries):
        raise CheckpointError(f"{folder.ledger} counts releases of other settings than those in {folder.path}")


def run_name(config: TrainingConfig) -> str:
    """What the ledger's labels call a run with these settings."""
    return config.digest().hex()[:16]


def _comparison(
    config: TrainingConfig, *, rounds: int, wanted: bool
) -> AbstractContextManager[ComparisonProcess | None]:
    return ComparisonProcess(config, rounds=rounds) if wanted else nullcontext()


def _mean(values: Iterable[float]) -> float:
    kept = list(values)
    return sum(kept) / len(kept) if kept else 0.0


def _mean_committee(records: list[RoundRecord]) -> CommitteeCost | None:
    costs = [record.committee for record in records if record.committee is not None]
    if not costs:
        return None
    return CommitteeCost(
        members=costs[-1].members,
        sent_bytes=_mean(cost.sent_bytes for cost in costs),
        received_bytes=_mean(cost.received_bytes for cost in costs),
        member_s=_mean(cost.member_s for cost in costs),
    )


def _mean_drops(records: list[RoundRecord]) -> dict[str, float]:
    totals = Counter[str]()
    for record in records:
        totals.update({name: len(clients) for name, clients in record.dropped.items()})
    return {name: total / len(records) for name, total in totals.items()}
