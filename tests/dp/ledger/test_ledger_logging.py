"""What a ledger logs: reservations, commitments and refusals, each with what the errors and reports tell anyway."""

import logging
from pathlib import Path

import pytest

from dp.errors import BudgetExceeded, InvalidParameter, InvalidReservation
from tests.support.ledgers import EVENT, create


def logged(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    assert {record.name for record in caplog.records} <= {"dp"}
    return [(record.levelname, record.getMessage()) for record in caplog.records]


def test_ledger_logs_reservations_and_commitments(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="dp")
    with create(path) as ledger:
        ledger.commit(ledger.reserve(EVENT, "round 1"), contributors=120)
        spent = ledger.spent().epsilon
    (first, reserved), (second, committed) = logged(caplog)
    assert (first, second) == ("INFO", "INFO")
    assert reserved.startswith("reservation 1 is recorded: round 1. Spent so far: epsilon ")
    assert committed.startswith("commitment of reservation 1 is recorded: round 1. Spent so far: epsilon ")
    for text in (reserved, committed):
        figure = float(text.partition("epsilon ")[2].partition(" of ")[0])
        assert spent <= figure <= spent + 1e-3
        assert text.endswith(" of 8")


def test_ledger_logs_what_it_refuses(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with create(path, epsilon=1e-3) as ledger:
        with pytest.raises(BudgetExceeded):
            ledger.reserve(EVENT, "round 1")
        with pytest.raises(InvalidParameter):
            ledger.reserve(EVENT, "line\nbreak")
        with pytest.raises(InvalidReservation):
            ledger.commit(1, contributors=120)
    assert [(level, text.partition(": ")[0], text.split(": ")[1]) for level, text in logged(caplog)] == [
        ("WARNING", "a reservation is refused", "BudgetExceeded"),
        ("WARNING", "a reservation is refused", "InvalidParameter"),
        ("WARNING", "a commitment is refused", "InvalidReservation"),
    ]
    assert "round 1: would bring epsilon to" in logged(caplog)[0][1]
    assert not any("\n" in text for _, text in logged(caplog))
