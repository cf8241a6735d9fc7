"""A log of somebody else that loses, alters or invents records: the ledger relies on none of its answers alone."""

import contextlib
from contextlib import AbstractContextManager
from typing import Any

import pytest

from dp.errors import LedgerCorrupt, LedgerStale, LedgerUnavailable
from dp.ledger.ledger import Ledger
from dp.ledger.log import head_after
from dp.ledger.records import first_record
from tests.support.ledgers import EVENT


class Log:
    """An honest log in memory."""

    name = "other log"

    def __init__(self, *records: bytes) -> None:
        self.records = list(records)
        self.closed = False

    @property
    def bodies(self) -> Any:
        return tuple(self.records)

    @property
    def head(self) -> Any:
        return head_after(self.records)

    def append(self, body: bytes) -> None:
        self.records.append(body)

    def check_writable(self) -> None:
        pass

    def exclusively(self) -> AbstractContextManager[object]:
        return contextlib.nullcontext()

    def close(self) -> None:
        self.closed = True


FIRST = first_record(epsilon=1e6, delta=1e-6, population=1000)


def written() -> Log:
    """Return a log of two committed releases."""
    log = Log(FIRST)
    with Ledger.over(log) as ledger:
        for label in ("one", "two"):
            ledger.commit(ledger.reserve(EVENT, label), contributors=100)
    return log


class Changing(Log):
    """It returns the budget alone when it is first asked, and all records later."""

    asked = False

    @property
    def bodies(self) -> Any:
        asked, self.asked = self.asked, True
        return tuple(self.records) if asked else tuple(self.records[:1])


class OtherHead(Log):
    head = b"h" * 32


class TextHead(Log):
    head = "0" * 64


class Lists(Log):
    @property
    def bodies(self) -> Any:
        return list(self.records)


class Texts(Log):
    @property
    def bodies(self) -> Any:
        return tuple(record.decode() for record in self.records)


class Nothing(Log):
    bodies = None


def test_lost_records_are_shown_by_the_kept_head_whatever_the_log_says() -> None:
    """The log answers for the kept head itself, so that the budget could be spent again."""
    log = written()
    shortened = Log(FIRST)
    with pytest.raises(LedgerStale, match="the kept head"):
        Ledger.over(shortened, head=log.head.hex())
    assert shortened.closed
    with Ledger.over(Log(*log.records)) as ledger, pytest.raises(LedgerStale):
        ledger.records_after("0" * 64)


@pytest.mark.parametrize("kind", [Changing, OtherHead, TextHead, Lists, Texts, Nothing])
def test_log_that_contradicts_itself_is_no_ledger(kind: type[Log]) -> None:
    """Its head stands for other records than it returns, or what it returns are no records."""
    log = kind(*written().records)
    with pytest.raises(LedgerCorrupt, match=r"^other log: expected .*, found .*\. Restore"):
        Ledger.over(log)
    assert log.closed


class Losing(Log):
    def append(self, body: bytes) -> None:
        pass


class Altering(Log):
    def append(self, body: bytes) -> None:
        super().append(body.replace(b"one", b"two"))


class Reordering(Log):
    def append(self, body: bytes) -> None:
        self.records.insert(1, body)


@pytest.mark.parametrize("kind", [Losing, Altering, Reordering])
def test_record_that_is_not_at_the_end_of_the_log_is_no_reservation(kind: type[Log]) -> None:
    """The log returns from `append` without an error; a release would be forgotten when it is opened again."""
    log = kind(*written().records)
    ledger = Ledger.over(log)
    before = (ledger.head, ledger.entries())
    with pytest.raises(LedgerUnavailable, match=r"expected the record that was just added .* Do not release\."):
        ledger.reserve(EVENT, "one")
    assert log.closed
    assert (ledger.head, ledger.entries()) == before
