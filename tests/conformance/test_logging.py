"""What is logged of a session of every protocol: its steps, refusals and sum, by ids and counts; and nothing secret."""

import base64
import logging
import subprocess
import sys
from typing import Final

import pytest

from protocols import Continue, ProtocolError, RemoteError, SecAgg, TooFewSurvivors, packing
from protocols.crypto.entropy import Entropy
from tests.conformance.cohorts import IDS, SNAPSHOT_KEY, Checkpoint, Run, Setting, setting, stream
from tests.conformance.test_secrets import IDENTITIES, gives_away, outliving, secrets_in

SMALL: Final = setting(SecAgg(), IDS[:4], 3)
SESSION: Final = SMALL.session.session_id.hex()

SCRIPT: Final = """
from protocols import ProtocolError
from tests.conformance.cohorts import IDS, Run, setting
from protocols import SecAgg
run = Run(setting(SecAgg(), IDS[:4], 3))
try:
    run.server.receive(IDS[0], b"no message")
except ProtocolError as error:
    print(type(error).__name__)
try:
    run.server.advance()
except ProtocolError as error:
    print(type(error).__name__)
"""


def remembering(entropy: Entropy, drawn: set[bytes]) -> Entropy:
    """The same source, all of whose answers are kept."""

    def draw(size: int) -> bytes:
        answer = entropy(size)
        drawn.add(answer)
        return answer

    return draw


def printed(run: Run) -> list[str]:
    """Each input as it may be printed: its first entries in decimal, and a window of its bytes."""
    modulus = run.setting.session.modulus
    return [
        text
        for vector in run.inputs.values()
        for text in (str(vector.tolist()[1:4])[1:-1], str(vector[1:4])[1:-1], packing.pack(vector, modulus)[8:24].hex())
    ]


def provoke(run: Run, replies: dict[int, bytes]) -> None:
    """Let a copy of the server refuse altered replies of everyone asked, and end the step with nobody's reply."""
    checkpoint = Checkpoint(run)
    for client, reply in replies.items():
        server = checkpoint.resume(clients=[]).server
        for position in (0, 40, len(reply) // 2, len(reply) - 1):
            altered = reply[:position] + bytes([reply[position] ^ 1]) + reply[position + 1 :]
            try:
                server.receive(client, altered)
            except RemoteError:
                continue
            break
    with pytest.raises(ProtocolError):
        checkpoint.resume(clients=[]).server.advance()


def test_no_secret_is_logged_at_any_level(setting: Setting, caplog: pytest.LogCaptureFixture) -> None:
    """Parties are asked for all their secrets in each step, and what they have drawn is remembered."""
    caplog.set_level(logging.DEBUG)
    run, secrets = Run(setting), set[bytes]()
    run.clients = {
        party: setting.client(
            party,
            run.inputs.get(party),
            remembering(stream(b"logged %d" % party), secrets),
            run.records[party],
            run.openings[party],
        )
        for party in setting.parties
    }
    while isinstance(run.step, Continue):
        replies = run.replies()
        for machine in (*run.clients.values(), run.server):
            secrets |= secrets_in(machine)
        provoke(run, replies)
        run.deliver(replies)
    secrets |= outliving(setting) | IDENTITIES | {SNAPSHOT_KEY.reveal()}
    logged = "\n".join(f"{record.getMessage()} {vars(record)}" for record in caplog.records)
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) >= 2 * len(setting.protocol.steps)
    assert {record.name for record in caplog.records} == {"protocols"}
    long = [secret for secret in secrets if len(secret) >= 12]  # of a few bytes any text may have some form
    assert not any(gives_away(logged, secret) for secret in long)
    assert not any(base64.b64encode(secret).decode().rstrip("=") in logged for secret in long)
    assert not any(text in logged for text in printed(run))


def test_server_logs_steps_refusals_and_the_sum(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="protocols")
    run = Run(SMALL)
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
    run = Run(SMALL)
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
