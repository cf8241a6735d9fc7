"""`secagg train --record`: what is written, what is refused, and what is said."""

from pathlib import Path
from typing import Any

import pytest

from secagg.audit.transcript.replay import replay
from secagg.commands.train import train_on_terminal
from secagg.errors import TranscriptAltered, TranscriptError
from tests.support.transcripts import flipped

SMALL = {"dataset": "breast-cancer", "model": "numpy-softmax", "clients": 16, "delta": 0.01, "compare": False}


def train(folder: Path, settings: dict[str, Any], *, resume: bool = False) -> None:
    """Run the command in this process."""
    train_on_terminal(
        None,
        settings,
        out=folder / "run",
        resume=resume,
        overwrite=False,
        record=folder / "transcript",
        as_json=True,
    )


def test_run_is_recorded_and_a_resumed_run_adds_to_the_transcript(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In between, the file loses its end, as in a crash."""
    file = tmp_path / "transcript"
    train(tmp_path, {**SMALL, "rounds": 2, "epsilon": float("inf")})
    begun = replay(file)
    assert (begun.sessions, begun.rejected) == (2, False)
    said = capsys.readouterr().err
    assert f"recording what the server sees into {file}, which will hold nothing that the server does not see" in said
    assert f"transcript head, to keep elsewhere: {begun.head}" in said
    file.write_bytes(file.read_bytes()[:-30])
    cut = replay(file)
    train(tmp_path, {"rounds": 3}, resume=True)
    found = replay(file, head=cut.head)
    assert (found.sessions, found.rejected) == (3, False)
    assert f"transcript head, to keep elsewhere: {found.head}" in capsys.readouterr().err
    file.write_bytes(flipped(file.read_bytes(), 5000))
    with pytest.raises(TranscriptAltered):
        train(tmp_path, {"rounds": 4}, resume=True)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"protocol": "plain", "epsilon": float("inf")}, "which will hold every client's update in the clear"),
        ({"trust": "central", "epsilon": 300.0}, "which will hold each round's sum without noise"),
        (
            {"trust": "central", "epsilon": 300.0, "draw": "poisson", "cohort": 8},
            "which will hold each round's sum without noise, and who was drawn, which must stay secret for ever",
        ),
    ],
)
def test_sensitive_transcript_is_announced(
    settings: dict[str, Any], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tmp_path, {**SMALL, "rounds": 1, **settings})
    assert said in capsys.readouterr().err
    assert not replay(tmp_path / "transcript").rejected


def test_new_run_records_into_no_existing_file(tmp_path: Path) -> None:
    (tmp_path / "transcript").write_bytes(b"something else")
    with pytest.raises(TranscriptError, match="expected no file before a new transcript, found one"):
        train(tmp_path, {**SMALL, "rounds": 1, "epsilon": 300.0})
    assert not (tmp_path / "run").exists()
    assert (tmp_path / "transcript").read_bytes() == b"something else"
