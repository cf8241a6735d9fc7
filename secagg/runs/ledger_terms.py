"""The terms on which a run's ledger is made: its budget, whom it counts, from whom it protects, and how it accounts."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dp.accounting.lattice import dominating_gaussian
from dp.accounting.renyi_order import best_order
from dp.events import LatticeEvent, NeighbouringRelation, Observer, PrivacyEvent, PrivacyUnit
from dp.ledger.description import Description
from dp.ledger.ledger import Ledger
from dp.ledger.participation import Accounting, Participation, clients_digest
from dp.ledger.records import Budget
from secagg.privacy.example_level import RELATION, UNIT
from secagg.runs.config import TrainingConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerTerms:
    """The terms of a run's ledger; see `dp.ledger.records.Budget` for the attributes.

    Formal guarantees:
        Unit and relation: one client and zero-out, towards everybody who sees the cohorts and the released means;
        or one client and add-or-remove-one, towards readers of the released means, if clients are drawn in secret; or
        one example and add-or-remove-one. No cohort depends on results, and each round has the same event.
    """

    epsilon: float
    delta: float
    population: int
    unit: PrivacyUnit
    relation: NeighbouringRelation
    participation: Participation | None
    towards: Observer
    accounting: Accounting
    order: float | None

    @classmethod
    def of(cls, config: TrainingConfig, *, population: int, event: PrivacyEvent, data_digest: str) -> "LedgerTerms":
        """Return the terms of a run with noise.

        Args:
            config: The settings.
            population: How many privacy units there are.
            event: What each round costs.
            data_digest: The digest of the training examples, which is part of what the simulated clients are.

        Raises:
            dp.errors.InvalidParameter: A Renyi filter is asked for, and no order reaches the budget.
        """
        unit, accounting = PrivacyUnit(config.unit), accounting_of(config, event)
        order = None
        if accounting is Accounting.RENYI_FILTER:
            order = best_order(epsilon=config.epsilon, delta=config.delta, events={event: config.participations})
        return cls(
            epsilon=config.epsilon,
            delta=config.delta,
            population=population,
            unit=unit,
            relation=RELATION if unit is UNIT or config.by_poisson else NeighbouringRelation.ZERO_OUT,
            participation=_participation(config, data_digest) if config.limited else None,
            towards=Observer.READERS if config.by_poisson else Observer.SERVER,
            accounting=accounting,
            order=order,
        )

    def create(self, path: Path, *, description: Description) -> None:
        """Make the ledger.

        Raises:
            DpError: The budget is out of range, or the ledger cannot be written.
        """
        Ledger.create(path, **self._fields(), towards=self.towards, description=description).close()

    def budget(self) -> Budget:
        """Return the budget of a ledger that would be made now."""
        towards = None if self.participation is None else self.towards
        return Budget(**self._fields(), towards=towards, time_s=time.time())

    def differing(self, budget: Budget, *, chosen: bool) -> str | None:
        """Return the name of a field that a ledger's budget has otherwise; None if all are the same.

        Args:
            budget: The budget.
            chosen: Whether the settings choose the accounting. Otherwise another one is accepted if no participation is
                counted: ledgers of earlier versions are fixed.
        """
        expected = self.budget()
        names = ["epsilon", "delta", "population", "unit", "relation", "participation", "towards"]
        if chosen or self.participation is not None:
            names.append("accounting")
        return next((name for name in names if getattr(budget, name) != getattr(expected, name)), None)

    def _fields(self) -> dict[str, Any]:
        return {
            "epsilon": self.epsilon,
            "delta": self.delta,
            "population": self.population,
            "unit": self.unit,
            "relation": self.relation,
            "participation": self.participation,
            "accounting": self.accounting,
            "order": self.order,
        }


def accounting_of(config: TrainingConfig, event: PrivacyEvent) -> Accounting:
    """Return how a run's ledger accounts: as the settings say, else by the Gaussian filter where it can.

    The Gaussian filter takes noise in the sums, not sampled, that a Gaussian dominates. It costs nothing against fixed
    events.
    """
    if config.accounting is not None:
        return config.accounting
    gaussian = isinstance(event, LatticeEvent) and dominating_gaussian(event) is not None
    return Accounting.GAUSSIAN_FILTER if gaussian else Accounting.FIXED


def _participation(config: TrainingConfig, data_digest: str) -> Participation:
    """Return the population: client i is the holder of shard i, which these settings decide."""
    shards = (config.clients, config.seed, config.alpha)
    return Participation(
        clients=clients_digest([b"secagg simulated clients v1", data_digest.encode(), repr(shards).encode()]),
        cap=None if config.by_poisson else config.participations,
        size=config.clients if config.unit == "example" else None,
        adaptive=False,
    )
