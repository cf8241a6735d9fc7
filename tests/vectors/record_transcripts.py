"""Makes the transcript of tests/vectors/transcripts: python -m tests.vectors.record_transcripts FOLDER.

It takes a folder without a transcript, since the recorded one is to be kept: a later version has to read what this one
wrote.
"""

import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from protocols import TooFewSurvivors
from protocols.testing import ProtocolRun, Scenario
from secagg.transcripts.recorder import Recorder
from tests.support.transcripts import CASES, Case, ask, send, simulated

NAME: Final = "sessions.transcript"

SUMMED: Final = ("secagg", "secagg-malicious", "lightsecagg", "paillier-malicious")
"""The cases whose sessions end with a sum."""

WITHHELD: Final = "plain"
"""The case whose session ends without a sum, after the server has refused a reply."""


def case(name: str) -> Case:
    """Return a case with a session id of its own."""
    scenario, drops = CASES[name]
    session = replace(scenario.session, session_id=b"recorded session of " + name.encode())
    return Case(replace(scenario, session=session), drops)


def main(folder: Path) -> None:
    """Make the transcript."""
    with Recorder.create(folder / NAME) as recorder:
        for name in SUMMED:
            scenario, drops = case(name)
            simulated(recorder, scenario, drops, seed=name.encode())
        with suppress(TooFewSurvivors):
            _withheld(recorder, case(WITHHELD).scenario)


def _withheld(recorder: Recorder, scenario: Scenario) -> None:
    """Record a session in which one client answers with something else, and nobody else answers."""
    run = ProtocolRun(scenario)
    with recorder.session(scenario.protocol, scenario.session):
        ask(run, recorder)
        send(run, recorder, scenario.session.clients[0], b"no message")
        run.server.advance()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
