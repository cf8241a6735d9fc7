import io
import sys

import pytest

from secagg.commands.round_lines import FailedClients, RoundLines
from secagg.training.records import RoundRecord


def record(number: int, **changes: object) -> RoundRecord:
    settings: dict[str, object] = {"accuracy": 0.5, "loss": 1.0, "contributors": 7, "epsilon": 0.25, "dropped": {}}
    return RoundRecord(round=number, **(settings | changes))  # type: ignore[arg-type]  # plain values for its fields


def test_progress_is_a_line_a_round_with_what_it_cost(capsys: pytest.CaptureFixture[str]) -> None:
    with RoundLines(2, []) as lines:
        lines.observe(None, record(1))
        lines.observe("without noise", record(1))
        lines.observe("plain", record(1))
        lines.observe(None, record(2, contributors=0, withheld="too few"))
        lines.observe("without noise", record(2, epsilon=None))
        lines.observe("plain", record(2, epsilon=None, accuracy=0.25))
    assert capsys.readouterr().err.splitlines() == [
        "round 1 of 2: accuracy 50.00%, epsilon 0.25000, 7 contributors, elapsed 0:00:00",
        "round 2 of 2: accuracy 50.00%, epsilon 0.25000, 0 contributors, nothing released (too few), elapsed 0:00:00",
        "runs to compare with, round 2 of 2: accuracy 50.00% without noise, 25.00% in the clear, elapsed 0:00:00",
    ]


def test_progress_of_a_secret_draw_says_that_the_number_is_the_expected_one(capsys: pytest.CaptureFixture[str]) -> None:
    with RoundLines(1, [], secret=True) as lines:
        lines.observe(None, record(1))
    assert "epsilon 0.25000, about 7 clients drawn, elapsed" in capsys.readouterr().err


@pytest.mark.parametrize("secret", [False, True])
def test_client_whose_training_failed_is_told_once_and_with_what_the_line_reveals(*, secret: bool) -> None:
    said = list[str]()
    failed = FailedClients(said.append, secret=secret)
    for number in (1, 2):
        failed.observe(None, record(number, failed={3: "no examples"}))
        failed.observe("plain", record(number, failed={4: "no examples"}))
    assert len(said) == 1
    assert said[0].startswith("round 1: the training of client 3 has failed, and it takes part with zeros: no examples")
    assert ("it names a client that was drawn in secret" in said[0]) == secret
    assert ("metrics.jsonl" in said[0]) != secret


def test_progress_does_not_repeat_the_rounds_of_before(capsys: pytest.CaptureFixture[str]) -> None:
    earlier: list[tuple[str | None, RoundRecord]] = [(None, record(1)), (None, record(2)), ("plain", record(2))]
    with RoundLines(2, earlier) as lines:
        lines.observe(None, record(1))
        lines.observe(None, record(2, accuracy=0.75))  # Its checkpoint was never written, and it was made again.
        lines.observe("plain", record(2))
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "the last round, 2 of 2, was made before, elapsed 0:00:00"
    assert [line.partition(":")[0] for line in said[1:]] == ["round 2 of 2"]


def test_progress_goes_on_where_nobody_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class BrokenPipe(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", BrokenPipe())
    with RoundLines(2, []) as lines:
        lines.observe(None, record(1))
        lines.observe(None, record(2))
