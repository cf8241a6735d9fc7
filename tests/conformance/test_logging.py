"""What is logged of a session of every protocol: its steps, refusals and sum, by ids and counts; and nothing secret."""

import logging
import subprocess
import sys
from typing import ClassVar, Final

import pytest

from protocols import RemoteError, SecAgg, TooFewSurvivors
from protocols.logger import LOGGER, unlogged
from protocols.testing import ProtocolRun, Scenario
from protocols.testing.suite.logs import LogTests
from tests.conformance.cohorts import IDS, setting, settings

SMALL: Final = setting(SecAgg(), IDS[:4], 3)
SESSION: Final = SMALL.session.session_id.hex()

SCRIPT: Final = """
from protocols import ProtocolError
from tests.conformance.cohorts import IDS, setting
from protocols import SecAgg
from protocols.testing import ProtocolRun
run = ProtocolRun(setting(SecAgg(), IDS[:4], 3))
try:
    run.server.receive(IDS[0], b"no message")
except ProtocolError as error:
    print(type(error).__name__)
try:
    run.server.advance()
except ProtocolError as error:
    print(type(error).__name__)
"""


class TestLogs(LogTests):
    scenarios: ClassVar = settings()


@pytest.mark.parametrize("scenario", settings(), ids=lambda each: each.label)
def test_every_protocol_logs_under_one_name(scenario: Scenario, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    ProtocolRun(scenario).finish()
    assert {record.name for record in caplog.records} == {"protocols"}


def test_session_that_is_kept_out_of_the_log_makes_no_record(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    run = ProtocolRun(SMALL)
    caplog.clear()
    with unlogged():
        with pytest.raises(RemoteError):
            run.server.receive(5, b"no message")
        run.finish()
        with pytest.raises(ZeroDivisionError), unlogged():
            1 / 0  # noqa: B018
        LOGGER.critical("still within the outer block")
    assert not caplog.records
    LOGGER.info("another session")
    assert [record.getMessage() for record in caplog.records] == ["another session"]


def test_server_logs_steps_refusals_and_the_sum(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="protocols")
    run = ProtocolRun(SMALL)
    replies = run.replies()
    with pytest.raises(RemoteError):
        run.server.receive(5, b"no message")
    run.deliver({client: reply for client, reply in replies.items() if client != 17})
    run.finish()
    found = [(record.levelname, record.getMessage().removeprefix(f"session {SESSION}: ")) for record in caplog.records]
    assert found[0] == ("DEBUG", "step advertise_keys begins: 4 parties are asked")
    assert found[1] == ("DEBUG", "party 5 answers step advertise_keys")
    refused = (
        "a reply is refused: MalformedMessage: client 5, step advertise_keys: "
        "message: expected an envelope in MessagePack, found 10 other bytes"
    )
    assert ("WARNING", refused) in found
    assert ("DEBUG", "step advertise_keys ends: 3 answered, missing 1 (17)") in found
    assert ("DEBUG", "step share_keys begins: 3 parties are asked") in found
    assert found[-1] == ("INFO", "the sum of 3 contributors is released")
    assert [level for level, _ in found if level != "DEBUG"] == ["WARNING", "INFO"]


def test_server_logs_why_it_releases_no_sum(caplog: pytest.LogCaptureFixture) -> None:
    run = ProtocolRun(SMALL)
    with pytest.raises(TooFewSurvivors):
        run.deliver({5: run.replies()[5]})
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("protocols", "WARNING")
    assert record.getMessage().startswith(f"session {SESSION}: no sum is released: TooFewSurvivors: ")
    assert record.exc_info is None
    assert not any(isinstance(each, Exception) for each in record.args or ())


def test_logging_is_silent_unless_it_is_switched_on() -> None:
    """In a process of its own, since pytest handles all records."""
    finished = subprocess.run([sys.executable, "-c", SCRIPT], check=True, capture_output=True, text=True)
    assert finished.stdout.split() == ["MalformedMessage", "TooFewSurvivors"]
    assert finished.stderr == ""
