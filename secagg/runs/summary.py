"""What a run came to, in one record: `summary.json`, and the table at the end of `secagg train`."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import msgspec
import numpy as np

from dp.accounting.guarantee import Claim, Guarantee
from dp.events import Observer, Trust
from dp.ledger.view import LedgerView
from dp.version import SOFTWARE, VERSION
from protocols import Adversary
from secagg.runs.comparison import ComparedRound
from secagg.runs.prepare import Prepared
from secagg.training.cohorts import Draw
from secagg.training.records import CommitteeCost, RoundRecord, none, written

BUDGET_EXCEEDED: Final = "the budget does not allow another release"
COHORTS_EXHAUSTED: Final = "too few clients are below the cap on participation"


class AskedRounds(msgspec.Struct, frozen=True, kw_only=True):
    """In how many rounds clients were asked, rounds that were given up or repeated included.

    Attributes:
        least: The least, over all clients of the population.
        median: The median, rounded up.
        most: The most.
    """

    least: int
    median: int
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What a run's ledger says in the end.

    Attributes:
        spent: The guarantee for every unit.
        asked: In how many rounds clients were asked; None if the ledger does not count that, or if the draws are
            secret.
    """

    spent: Guarantee
    asked: AskedRounds | None

    @classmethod
    def of(cls, ledger: LedgerView) -> "Account":
        """Read a ledger."""
        budget, asked = ledger.budget, None
        if budget.participation is not None and budget.towards is Observer.SERVER:
            counts = np.sort(ledger.rounds_by_client())
            asked = AskedRounds(least=int(counts[0]), median=int(counts[len(counts) // 2]), most=int(counts[-1]))
        return cls(spent=ledger.spent(), asked=asked)


class Summary(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a run came to; also written as `summary.json`.

    Attributes:
        dataset: The data set of the settings.
        model: The model of the settings.
        clients: The number of clients.
        cohort: The number of clients that a round asks; with draw = poisson, the expected number. None if a round asks
            all.
        draw: How the clients of a round are drawn; None if every round asks all.
        cap: The most rounds that may ask one client; None without a cap.
        asked: In how many rounds clients were asked; None if nobody counts that, or if the draws are secret.
        protocol: The protocol of the settings.
        adversary: The server that is assumed.
        trust: Who adds the noise, if there is any.
        unit: What the budget protects.
        rounds: The number of rounds that were made.
        released: The number of rounds that released a mean.
        loss: Loss of the final model on the test examples.
        accuracy: Accuracy of the final model on the test examples.
        accuracy_before: Accuracy of the initial model on the test examples.
        compared: Final accuracy of each run that this one is compared with, by kind.
        epsilon_spent: Epsilon that the run guarantees for every unit: what was spent, or the budget, as `claim` says.
            Under zero-out for clients, towards the server too; under add-or-remove-one for examples, and, towards
            readers of the models only, for clients that are drawn in secret. None without noise.
        claim: Whether `epsilon_spent` is what was spent or the budget; None without noise.
        used: The part of the budget that the ledger's filter has charged; None without a filter.
        epsilon_budget: Epsilon of the budget; None without noise.
        delta: Delta of the budget; None without noise.
        noise_multiplier: Standard deviation of the least noise over the sensitivity, in a sum of updates or, if the
            unit is an example, in each step of local training; None without noise.
        minimum_contributors: The least number of contributors of a release.
        contributors: Mean number of contributors of the released rounds.
        dropped: Mean number of clients that dropped out of a round, by step of the protocol.
        sent_bytes: Mean number of bytes that a client sent in a released round.
        received_bytes: Mean number of bytes that a client received in a released round.
        client_s: Mean CPU seconds of a client for secure aggregation in a released round.
        server_s: Mean CPU seconds of the server for secure aggregation in a released round.
        committee: Mean cost of a committee member in a released round; None without a committee.
        hides_updates: Whether the protocol protects single updates from any server at all; false of a baseline, with
            which the server assumed is one that is trusted with every update.
        ledger_head: Head of the ledger after the last round, to be kept elsewhere; None without noise.
        colluding: Clients that may collude with the server; None if the protocol hides nothing from it.
        noise_colluding: Clients whose shares of the noise are not counted; None if none are shared.
        vanishing: Clients that may drop out of a round that still releases a mean.
        stopped_early: Whether the budget, or the places below the cap, ended before the rounds did, which may happen
            after an interruption.
        stopped_because: What ended the run early; None if nothing did.
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
    committee: CommitteeCost | None = written(none)
    cohort: int | None = None
    draw: Draw | None = None
    cap: int | None = None
    asked: AskedRounds | None = None
    claim: Claim | None = None
    used: float | None = None
    stopped_because: str | None = None
    hides_updates: bool = written(bool)
    ledger_head: str | None = written(none)
    colluding: int | None = written(none)
    noise_colluding: int | None = written(none)
    vanishing: int = written(int)
    software: str = written(lambda: SOFTWARE)
    version: str = written(lambda: VERSION)


def summarise(
    prepared: Prepared,
    records: Sequence[RoundRecord],
    *,
    loss_and_accuracy: tuple[float, float],
    accuracy_before: float,
    compared: Iterable[ComparedRound],
    account: Account | None,
    stopped_because: str | None,
    saved_model: str,
) -> Summary:
    """Return the summary of a run.

    Args:
        prepared: The run.
        records: All of its rounds.
        loss_and_accuracy: The loss and the accuracy of the final model on the test examples.
        accuracy_before: Accuracy of the initial model on the test examples.
        compared: The rounds of the runs that it is compared with.
        account: What the ledger says; None without noise.
        stopped_because: What ended the run early; None if nothing did.
        saved_model: File name of the model in the run's folder.
    """
    config, cohort, mean = prepared.config, prepared.cohort, prepared.mean
    released = [record for record in records if record.contributors]
    loss, accuracy = loss_and_accuracy
    return Summary(
        dataset=config.dataset,
        model=config.model,
        clients=config.clients,
        protocol=config.protocol,
        adversary=config.adversary,
        trust=config.trust,
        unit=config.unit,
        rounds=len(records),
        released=len(released),
        loss=loss,
        accuracy=accuracy,
        accuracy_before=accuracy_before,
        compared={line.kind: line.record.accuracy for line in compared},
        epsilon_spent=None if account is None else account.spent.epsilon,
        epsilon_budget=config.epsilon if config.private else None,
        delta=config.delta if config.private else None,
        noise_multiplier=prepared.noise_multiplier,
        minimum_contributors=mean.minimum_contributors,
        contributors=_mean(record.contributors for record in released),
        dropped=_mean_drops(records),
        sent_bytes=_mean(record.sent_bytes for record in released),
        received_bytes=_mean(record.received_bytes for record in released),
        client_s=_mean(record.client_s for record in released),
        server_s=_mean(record.server_s for record in released),
        stopped_early=stopped_because is not None,
        saved_model=saved_model,
        committee=_mean_committee(released),
        cohort=config.cohort,
        draw=None if config.cohort is None else config.drawing,
        cap=config.participations if config.limited and not config.by_poisson else None,
        asked=None if account is None else account.asked,
        claim=None if account is None else account.spent.claim,
        used=None if account is None else account.spent.used,
        stopped_because=stopped_because,
        hides_updates=mean.protocol.protects,
        ledger_head=records[-1].ledger_head if records else None,
        colluding=cohort.colluding,
        noise_colluding=cohort.noise_colluding,
        vanishing=cohort.vanishing,
    )


def _mean(values: Iterable[float]) -> float:
    kept = list(values)
    return sum(kept) / len(kept) if kept else 0.0


def _mean_committee(records: Sequence[RoundRecord]) -> CommitteeCost | None:
    costs = [record.committee for record in records if record.committee is not None]
    if not costs:
        return None
    return CommitteeCost(
        members=costs[-1].members,
        sent_bytes=_mean(cost.sent_bytes for cost in costs),
        received_bytes=_mean(cost.received_bytes for cost in costs),
        member_s=_mean(cost.member_s for cost in costs),
    )


def _mean_drops(records: Sequence[RoundRecord]) -> dict[str, float]:
    totals = Counter[str]()
    for record in records:
        totals.update({name: len(clients) for name, clients in record.dropped.items()})
    return {name: total / len(records) for name, total in totals.items()}
