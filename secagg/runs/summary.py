"""What a run came to, in one record: `summary.json`, and the table at the end of `secagg train`."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from dp.events import Trust
from dp.version import SOFTWARE, VERSION
from protocols import Adversary
from secagg.runs.comparison import ComparedRound
from secagg.runs.prepare import Prepared
from secagg.training.records import CommitteeCost, RoundRecord


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What a run came to; also written as `summary.json`.

    Attributes:
        dataset: The data set of the settings.
        model: The model of the settings.
        clients: The number of clients.
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
        epsilon_spent: Epsilon that the run spent for every unit, under zero-out for clients and add-or-remove-one for
            examples; None without noise.
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
        stopped_early: Whether the budget ended before the rounds did, which may happen after an interruption.
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


def summarise(
    prepared: Prepared,
    records: Sequence[RoundRecord],
    *,
    loss_and_accuracy: tuple[float, float],
    accuracy_before: float,
    compared: Iterable[ComparedRound],
    epsilon_spent: float | None,
    stopped_early: bool,
    saved_model: str,
) -> Summary:
    """Return the summary of a run.

    Args:
        prepared: The run.
        records: All of its rounds.
        loss_and_accuracy: Of the final model, on the test examples.
        accuracy_before: Accuracy of the initial model on the test examples.
        compared: The rounds of the runs that it is compared with.
        epsilon_spent: What the ledger counts; None without noise.
        stopped_early: Whether the budget ended before the rounds did.
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
        epsilon_spent=epsilon_spent,
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
        stopped_early=stopped_early,
        saved_model=saved_model,
        committee=_mean_committee(released),
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
