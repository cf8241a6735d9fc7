"""The parts of a ledger that a joint cost with other ledgers needs."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from dp.accounting.guarantee import Claim, Guarantee
from dp.events import PrivacyEvent
from dp.ledger.description import Description
from dp.ledger.ledger import Ledger
from dp.ledger.participation import Accounting
from dp.ledger.records import Budget
from dp.reporting.assumptions import State
from dp.reporting.collect import conditions
from dp.reporting.filters import whole_limit
from dp.reporting.participation import charged_events
from dp.reporting.spending import event_counts
from dp.reporting.wording import amount


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadLedger:
    """The parts of a ledger that the joint cost needs.

    Attributes:
        path: The ledger's file.
        budget: The ledger's budget.
        spent: The guarantee of its releases, at the delta of its own budget.
        releases: The number of reserved releases.
        charged: The events of its releases, with the number of each. If releases ask some of the clients, it is the
            greatest number for which any one client was asked, so that it bounds the account of every client.
        head: The digest of its last record.
        failed: The conditions of its guarantee that this software found false, as sentences.
        planned: Releases that are still to come, with the number of each.
    """

    path: Path
    budget: Budget
    spent: Guarantee
    releases: int
    charged: Mapping[PrivacyEvent, int]
    head: str
    failed: tuple[str, ...]
    planned: Mapping[PrivacyEvent, int]

    @classmethod
    def of(cls, path: Path) -> "ReadLedger":
        """Read a ledger.

        Raises:
            dp.errors.DpError: It cannot be read.
        """
        with Ledger.open_to_read(path) as ledger:
            spent, entries = ledger.spent(), ledger.entries()
            return cls(
                path=path,
                budget=ledger.budget,
                spent=spent,
                releases=len(entries),
                charged=event_counts(charged_events(entries, ledger.budget)),
                head=ledger.head,
                failed=tuple(each.text for each in conditions(ledger, spent) if each.state is State.FAILED),
                planned={},
            )

    def with_planned(self, planned: Mapping[PrivacyEvent, int]) -> "ReadLedger":
        """Return the ledger with releases that are still to come."""
        return replace(self, planned=planned)

    @property
    def description(self) -> Description:
        """What the ledger says it is about."""
        return self.budget.description or Description()

    @property
    def claims_budget(self) -> bool:
        """Whether its guarantee is its budget, because results may decide on its releases."""
        return self.spent.claim is Claim.BUDGET

    @property
    def counts_whole(self) -> bool:
        """Whether its whole budget counts in a joint cost: it is the guarantee, and there are releases."""
        return self.claims_budget and (self.releases > 0 or bool(self.planned))

    @property
    def is_added(self) -> bool:
        """Whether its epsilon and its delta are added to those of other ledgers, since no events stand for its budget.

        A Gaussian filter keeps all that it admits post-processing of one release with Gaussian noise, which is composed
        with the releases of other ledgers. For the other budgets there is no such release.
        """
        return self.counts_whole and self.budget.accounting is not Accounting.GAUSSIAN_FILTER

    @property
    def events(self) -> Mapping[PrivacyEvent, int]:
        """The events that count in a joint cost, with the number of each; none if the budget is added."""
        if self.is_added:
            return {}
        if self.counts_whole:
            whole = whole_limit(self.budget)
            # A file that no ledger wrote may be beyond its limit.
            noise = whole.noise_multiplier / math.sqrt(max(1.0, self.spent.used or 1.0))
            return {msgspec.structs.replace(whole, noise_multiplier=noise): 1}
        found = Counter(self.charged) + Counter(self.planned)
        known = self.budget.participation
        if known is None or known.cap is None:
            return found
        return {event: min(count, known.cap) for event, count in found.items()}

    @property
    def in_words(self) -> str:
        """What is spent or guaranteed, as a phrase."""
        count = f"{self.releases:,} release" if self.releases == 1 else f"{self.releases:,} releases"
        beyond = "; BEYOND ITS BUDGET" if self.spent.epsilon > self.budget.epsilon else ""
        return f"{amount(self.spent, self.budget)}, {count}{beyond}"
