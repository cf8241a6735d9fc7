"""A ledger's records that crash when the auditor wants it, and the training that is watched."""

import pytest

from dp.errors import LedgerUnavailable
from dp.events import GaussianEvent
from dp.ledger.ledger import Ledger
from dp.ledger.records import first_record
from secagg.audit.account.averaging import AveragingSubject
from secagg.audit.account.records import Crash, Records, RecordsLog

EVENT = GaussianEvent(noise_multiplier=4.0)


def begun() -> Records:
    """Return the records of a new ledger."""
    return Records(
        first_record(epsilon=8.0, delta=1e-5, population=1000, clock=lambda: 1.0, entropy=lambda size: bytes(size))
    )


def opened(records: Records) -> Ledger:
    return Ledger.over(RecordsLog(records), clock=lambda: 1.0)


@pytest.mark.parametrize(("instant", "kept"), [("crash_before", 0), ("crash_after", 1)])
def test_crash_comes_before_or_after_the_record_is_durable(instant: str, kept: int) -> None:
    records = begun()
    setattr(records, instant, 1)
    with opened(records) as ledger, pytest.raises(Crash):
        ledger.reserve(EVENT, "a release")
    with opened(records) as ledger:
        assert len(ledger.entries()) == kept


def test_log_that_is_closed_takes_no_record() -> None:
    log = RecordsLog(begun())
    log.close()
    with pytest.raises(LedgerUnavailable):
        log.append(b"late")


def test_watched_training_notes_the_records_when_clients_are_asked() -> None:
    subject = AveragingSubject()
    records = subject.records(b"seed")
    engine = subject.train(records, b"seed", rounds=2)
    assert engine.reserved == [2, 4], "the budget and the reservation; then the commitment and the next reservation"
    assert engine.released == 2


def test_training_that_crashes_releases_only_what_it_reserved() -> None:
    subject = AveragingSubject()
    records = subject.records(b"seed")
    records.crash_before = 3
    engine = subject.train(records, b"seed", rounds=3)
    assert engine.released == 1
    with subject.ledger(records) as ledger:
        assert len(ledger.entries()) == 1
