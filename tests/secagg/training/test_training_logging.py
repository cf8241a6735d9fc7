"""What training logs of its rounds: what was released, or why nothing was."""

import logging

import pytest

from secagg.engines.memory import InMemory
from secagg.training.averaging import SecureAveraging
from secagg.training.records import RoundRecord, log_round
from tests.support.federation import devices, examples, mean_for


def logged(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(record.levelname, record.getMessage()) for record in caplog.records if record.name == "secagg"]


def test_training_logs_what_each_round_releases(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="secagg")
    federation = devices()
    engine, mean = InMemory(federation, dropping=1), mean_for(federation)
    training = SecureAveraging(engine=engine, model=federation.model, test=examples(20, 99), mean=mean)
    record = training.round()
    expected = f"round 1 releases the mean of {record.contributors} contributors (dropped out: 1)"
    assert logged(caplog) == [("INFO", expected)]


def test_training_logs_why_a_round_releases_nothing(caplog: pytest.LogCaptureFixture) -> None:
    record = RoundRecord(round=3, accuracy=0.5, loss=1.0, contributors=0, withheld="too few", dropped={"mask": [1, 2]})
    log_round(record)
    assert logged(caplog) == [("WARNING", "round 3 releases nothing: too few (dropped out: 2)")]


def test_training_logs_epsilon_and_not_whose_training_failed(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="secagg")
    log_round(RoundRecord(round=2, accuracy=0.5, loss=1.0, contributors=7, epsilon=1.25, failed={41: "its data"}))
    expected = "round 2 releases the mean of 7 contributors (dropped out: 0); epsilon 1.2500 is spent"
    assert logged(caplog) == [("INFO", expected)]
