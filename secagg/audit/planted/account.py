"""Planted bugs of the account."""

from collections.abc import Mapping
from typing import Any, Final

from dp.events import PrivacyEvent
from dp.ledger import records
from dp.ledger.ledger import Ledger
from dp.ledger.log import RecordLog
from dp.ledger.records import Budget
from dp.ledger.rounds import Rounds
from secagg.audit.account.accountant import AccountantSubject, toolkit_epsilon
from secagg.audit.account.averaging import AveragingSubject
from secagg.audit.account.ledger import LedgerSubject, opened
from secagg.audit.account.records import Records, RecordsLog
from secagg.audit.planted.base import Planted
from secagg.audit.planted.patch import replaced
from secagg.engines.server.release_account import ReleaseAccount
from secagg.training.averaging import SecureAveraging
from secagg.training.records import RoundRecord


def _delta_for_each_release(events: Mapping[PrivacyEvent, int], delta: float) -> float:
    """Return an epsilon at a delta that every release may have, and not all of them together."""
    return toolkit_epsilon(events, min(0.5, delta * sum(events.values())))


def _each_event_once(events: Mapping[PrivacyEvent, int], delta: float) -> float:
    """Return the epsilon of one release of each kind."""
    return toolkit_epsilon(dict.fromkeys(events, 1), delta)


class _LateLog(RecordsLog):
    """A log that says that a record is durable, and writes it only with the next one."""

    def __init__(self, records: Any) -> None:
        super().__init__(records)
        self._late: bytes | None = None

    def _keep(self, body: bytes) -> None:
        late, self._late = self._late, body
        if late is not None:
            super()._keep(late)


class _WithoutReservation(SecureAveraging):
    """Training that asks its clients without a reservation."""

    def round(self) -> RoundRecord:
        with replaced(ReleaseAccount, "reserve", lambda *_: None):
            return super().round()


class _AnyDelta(LedgerSubject):
    """A ledger that takes any delta below 1, whatever the population."""

    def begun(self, seed: bytes, **terms: Any) -> Records:
        with replaced(records, "check_delta", lambda *_, **__: None):
            return super().begun(seed, **terms)


def _ignoring_the_head(log: RecordLog, head: str | None) -> Ledger:  # noqa: ARG001
    return opened(log, None)


def _ignoring_the_cap(log: RecordLog, head: str | None) -> Ledger:
    def of_budget(budget: Budget) -> Rounds | None:
        return None if budget.participation is None else Rounds(budget.clients, cap=None, may_be_empty=False)

    with replaced(Rounds, "of_budget", of_budget):
        return opened(log, head)


PLANTED: Final[tuple[Planted, ...]] = (
    Planted(
        number=31,
        bug="delta for each release instead of all of them",
        claim="C-26",
        caught_by="account.composition.below",
        subject=lambda: AccountantSubject(_delta_for_each_release, name="planted-31"),
    ),
    Planted(
        number=32,
        bug="a composition that ignores counts",
        claim="C-26",
        caught_by="account.composition.below",
        subject=lambda: AccountantSubject(_each_event_once, name="planted-32"),
    ),
    Planted(
        number=33,
        bug="releases lost from the ledger when training goes on",
        claim="C-27",
        caught_by="account.training.crash",
        subject=lambda: AveragingSubject(name="planted-33", log=_LateLog),
    ),
    Planted(
        number=34,
        bug="a release without a reservation",
        claim="C-25",
        caught_by="account.training.order",
        subject=lambda: AveragingSubject(_WithoutReservation, name="planted-34"),
    ),
    Planted(
        number=62,
        bug="a ledger that ignores the head that was kept",
        claim="C-28",
        caught_by="account.ledger.tampering",
        subject=lambda: LedgerSubject(name="planted-62", open_ledger=_ignoring_the_head),
    ),
    Planted(
        number=63,
        bug="a ledger whose record is durable later than it says",
        claim="C-27",
        caught_by="account.ledger.crash",
        subject=lambda: LedgerSubject(name="planted-63", log=_LateLog),
    ),
    Planted(
        number=64,
        bug="a delta of 1 / population, which allows the release of one unit's data",
        claim="C-29",
        caught_by="account.ledger.refusals",
        subject=lambda: _AnyDelta(name="planted-64"),
    ),
    Planted(
        number=79,
        bug="a ledger that lets a release ask a client once more than the cap allows",
        claim="C-29",
        caught_by="account.ledger.refusals",
        subject=lambda: LedgerSubject(name="planted-79", open_ledger=_ignoring_the_cap),
    ),
)
"""Planted bugs 31 to 34, and 62 to 64 and 79 for checks that those do not reach."""
