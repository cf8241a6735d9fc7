"""What an operator sees of a round: lines of JSON and Prometheus metrics, and no secret in them."""

import json
import logging
import stat
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dp.accounting.guarantee import Claim
from dp.ledger.ledger import Ledger
from dp.ledger.participation import Accounting
from protocols import SecAggPlus
from protocols.errors import RemoteError
from secagg.engines.base import Update
from secagg.engines.node.home import Home
from secagg.engines.node.station import Station
from secagg.engines.server.channel import ChannelEngine
from secagg.engines.server.coordinator import Coordinator
from secagg.engines.server.plans import averaging
from secagg.engines.server.round_report import JsonLines, Metrics, RoundReport
from secagg.engines.wire.work import Work
from secagg.errors import MissingExtraError, NothingReleased
from secagg.storage.node_keys import create_coordinator
from secagg.storage.public_line import coordinator_line
from tests.support.coordinators import CLIENTS, TARGET, Nodes, coordinator_of, folder_at, plan_with, work_of
from tests.support.direct_channel import DirectChannel
from tests.support.homes import exact_text, homes


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
    assert lines[-1]["privacy"]["epsilon"] == spent > lines[0]["privacy"]["epsilon"] > 0
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
        spent = ledger.spent()
        used = spent.epsilon / ledger.budget.epsilon
        assert spent.claim is Claim.SPENT
    lines = metrics.text().splitlines()
    assert 'secagg_rounds_total{outcome="withheld"} 1.0' in lines
    assert 'secagg_rounds_total{outcome="released"} 1.0' in lines
    assert "secagg_contributors 5.0" in lines
    assert f'secagg_epsilon{{claim="spent"}} {spent.epsilon}' in lines
    assert f"secagg_budget_used_ratio {used}" in lines


def test_metrics_of_a_filter_show_its_budget_as_such_and_how_much_is_used(tmp_path: Path) -> None:
    metrics, folder = Metrics(), folder_at(tmp_path / "c")
    Ledger.create(
        folder / "ledger.sqlite",
        epsilon=TARGET.epsilon,
        delta=TARGET.delta,
        population=len(CLIENTS),
        accounting=Accounting.GAUSSIAN_FILTER,
    ).close()
    with coordinator_of(folder, observers=[metrics]) as (coordinator, ledger):
        coordinator.run(work_of(1), CLIENTS, Nodes())
        assert ledger is not None
        used = ledger.spent().used
    assert used is not None
    assert 0 < used < 1
    lines = metrics.text().splitlines()
    assert f'secagg_epsilon{{claim="budget"}} {TARGET.epsilon:.1f}' in lines
    assert f"secagg_budget_used_ratio {used}" in lines
    assert not any(line.startswith('secagg_epsilon{claim="spent"}') for line in lines)


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


def test_reports_metrics_and_logs_of_both_ends_hold_no_secret(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Rounds between a coordinator and real stations; the training of one fails with a record of its data."""
    caplog.set_level(logging.DEBUG)
    folder, path, metrics = tmp_path / "coordinator", tmp_path / "rounds.jsonl", Metrics()
    identity = create_coordinator(folder)
    made = homes(tmp_path / "nodes", 5, text=exact_text(encrypted_live_folder=str(tmp_path / "live")))
    for home in made:
        (home / "coordinator.pub").write_text(f"{coordinator_line(identity.public)}\n")
    updates = {node: np.full(3, 0.4137 + node / 7) for node in range(5)}

    def answer_of(node: int) -> Any:
        def train(work: Work) -> Update:
            if (node, work.round) == (3, 2):
                raise ValueError(f"row of patient Ada Lovelace: {updates[node][0]}")
            return Update([updates[node]])

        station = Station(made[node])
        return lambda parcel: station.answer(parcel, train)

    channel = DirectChannel({node: answer_of(node) for node in range(5)})
    plan = averaging(SecAggPlus, clip_l2=5.0, adversarial=0.0, dropout=0.2)
    with Coordinator(folder, plan, observers=[JsonLines(path), metrics]) as coordinator:
        engine = ChannelEngine(channel, clock=channel.clock, step_s=10.0)
        means = [coordinator.run(Work("run", number, [np.zeros(3)]), range(5), engine).mean[0] for number in (1, 2)]
    first, second = (json.loads(line) for line in path.read_text().splitlines())
    assert (first["contributors"], second["contributors"]) == (5, 4)
    assert [(step["asked"], step["answered"]) for step in second["steps"]] == [(5, 4), (4, 4), (4, 4), (4, 4)]
    assert second["steps"][0]["refused"] == {"failed": 1}
    assert all(step["seconds"] > 0 and step["received_bytes"] for step in second["steps"])
    assert 'secagg_refused_total{reason="failed",step="advertise_keys"} 1.0' in metrics.text()

    shown = path.read_text() + metrics.text() + "".join(map(repr_of, caplog.records))
    assert "session" in shown
    assert "policy" not in second["steps"][0]["refused"]
    keys = [identity.secret.reveal(), *(Home.open(home).identity.secret.reveal() for home in made)]
    for secret in keys:
        assert secret.hex() not in shown
        assert repr(secret)[2:-1] not in shown
    values = [value for array in (*updates.values(), *means) for value in array.tolist()]
    assert not any(f"{value:.4f}" in shown for value in values)
    assert "Lovelace" not in shown


def repr_of(record: logging.LogRecord) -> str:
    """Return all that a record can show: its text, its arguments, and the error that it carries."""
    return f"{record.getMessage()} {record.args!r} {logging.Formatter().format(record)}\n"
