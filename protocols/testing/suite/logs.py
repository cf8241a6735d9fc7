"""The log of a session names parties and counts, and shows nothing secret at any level."""

import base64
import logging

import pytest

from protocols.crypto.entropy import Entropy
from protocols.errors import ProtocolError, RemoteError
from protocols.machine import Continue
from protocols.testing.repeatable import SNAPSHOT_KEY, repeatable_entropy
from protocols.testing.run import Checkpoint, ProtocolRun
from protocols.testing.scenario import Scenario
from protocols.testing.suite.base import Suite
from protocols.testing.suite.malformed import flipped
from protocols.testing.suite.reachable import gives_away, outliving, secrets_in, shows_input


class LogTests(Suite):
    """Tests of what is logged."""

    def test_no_secret_is_logged_at_any_level(self, scenario: Scenario, caplog: pytest.LogCaptureFixture) -> None:
        """The parties' secrets are collected in each step, together with everything that they have drawn."""
        caplog.set_level(logging.DEBUG)
        run, secrets = ProtocolRun(scenario), set[bytes]()
        run.clients = {
            party: scenario.client(
                party,
                run.inputs.get(party),
                _remembering(repeatable_entropy(b"logged %d" % party), secrets),
                run.records[party],
                run.openings[party],
            )
            for party in scenario.parties
        }
        while isinstance(run.progress, Continue):
            replies = run.replies()
            for machine in (*run.clients.values(), run.server):
                secrets |= secrets_in(machine)
            _provoke(run, replies)
            run.deliver(replies)
        secrets |= outliving(scenario) | {SNAPSHOT_KEY.reveal()}
        logged = "\n".join(f"{record.getMessage()} {vars(record)}" for record in caplog.records)
        warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
        assert len(warnings) >= 2 * len(scenario.protocol.steps)
        long = [secret for secret in secrets if len(secret) >= 12]  # A few bytes may turn up in any text.
        assert not any(gives_away(logged, secret) for secret in long)
        assert not any(base64.b64encode(secret).decode().rstrip("=") in logged for secret in long)
        assert not any(shows_input(logged, each, scenario.session.modulus) for each in run.inputs.values())


def _remembering(entropy: Entropy, drawn: set[bytes]) -> Entropy:
    """Return the same source; all of its answers are added to `drawn`."""

    def draw(size: int) -> bytes:
        answer = entropy(size)
        drawn.add(answer)
        return answer

    return draw


def _provoke(run: ProtocolRun, replies: dict[int, bytes]) -> None:
    """Let a copy of the server refuse altered replies of all parties, and another end the step with no reply."""
    checkpoint = Checkpoint(run)
    for client, reply in replies.items():
        server = checkpoint.resume(clients=[]).server
        for position in (0, 40, len(reply) // 2, len(reply) - 1):
            try:
                server.receive(client, flipped(reply, position % len(reply), 0))
            except RemoteError:
                continue
            break
    with pytest.raises(ProtocolError):
        checkpoint.resume(clients=[]).abandon()
