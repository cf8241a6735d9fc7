"""What an operator sees of a round: lines of JSON and Prometheus metrics, and no secret in them."""

import json
import logging
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from protocols.errors import RemoteError
from secagg.engines.coordinator import Coordinator
from secagg.engines.round_report import JsonLines, Metrics, RoundReport
from secagg.errors import MissingExtraError, NothingReleased
from tests.support.coordinators import CLIENTS, TARGET, Nodes, coordinator_of, folder_at, plan_with, work_of


def test_each_attempt_is_one_line_of_json(tmp_path: Path) -> None:
    path = tmp_path / "rounds.jsonl"
    nodes = Nodes(silent=set(CLIENTS[:3]), errors=[RemoteError("a bad reply", culprits=[4, 3])])
    with coordinator_of(folder_at(tmp_path / "c"), observers=[JsonLines(path)]) as (coordinator, ledger):
        with pytest.raises(NothingReleased):
            coordinator.run(work_of(1), CLIENTS, nodes)
        nodes.silent = set()
        with pytest.raises(RemoteError):
            coordinator.run(work_of(1), CLIENTS, nodes)
        coordinator.run(work_of(1), CLIENTS, nodes)
        coordinator.run(work_of(2), CLIENTS, nodes)
        assert ledger is not None
        spent = ledger.spent().epsilon
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["outcome"] for line in lines] == ["withheld", "failed", "released", "released"]
    assert [line["serial"] for line in lines] == [1, 2, 2, 3]
    assert [line["round"] for line in lines] == [1, 1, 1, 2]
    assert lines[1]["reason"] == "RemoteError"
    assert lines[1]["culprits"] == [3, 4]
    assert lines[-1]["epsilon"] == spent > lines[0]["epsilon"] > 0
    assert [line["contributors"] for line in lines[:2]] == [0, 0]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_observer_that_fails_changes_no_round_and_is_logged_by_its_class(caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: RoundReport) -> None:
        raise ValueError("a secret text")

    seen: list[RoundReport] = []
    with Coordinator(None, plan_with(None), observers=[fail, seen.append]) as coordinator:
        coordinator.run(work_of(1), CLIENTS, Nodes())
    assert [report.contributors for report in seen] == [len(CLIENTS)]
    assert "ValueError" in caplog.text
    assert "a secret text" not in caplog.text


def test_metrics_count_rounds_steps_and_epsilon(tmp_path: Path) -> None:
    metrics, nodes = Metrics(), Nodes(silent=set(CLIENTS[:3]))
    with coordinator_of(folder_at(tmp_path / "c"), observers=[metrics]) as (coordinator, ledger):
        with pytest.raises(NothingReleased):
            coordinator.run(work_of(1), CLIENTS, nodes)
        nodes.silent = {2}
        coordinator.run(work_of(1), CLIENTS, nodes)
        assert ledger is not None
        spent = ledger.spent().epsilon
    lines = metrics.text().splitlines()
    assert 'secagg_rounds_total{outcome="withheld"} 1.0' in lines
    assert 'secagg_rounds_total{outcome="released"} 1.0' in lines
    assert "secagg_contributors 5.0" in lines
    assert f"secagg_epsilon_spent {spent}" in lines


def test_metrics_without_their_package_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(MissingExtraError, match=r"\[metrics\]"):
        Metrics()


@pytest.mark.parametrize("target", [TARGET, None], ids=["noise", "exact"])
def test_reports_and_logs_hold_no_key_and_no_value(
    target: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    path, folder = tmp_path / "rounds.jsonl", folder_at(tmp_path / "c")
    with coordinator_of(folder, target=target, observers=[JsonLines(path)]) as (coordinator, _):
        release = coordinator.run(work_of(1), CLIENTS, Nodes())
        secret = coordinator.identity.secret.reveal()
    shown = path.read_text() + caplog.text
    assert secret.hex() not in shown
    assert repr(secret) not in shown
    assert not any(str(value) in shown for value in release.mean[0].tolist())
