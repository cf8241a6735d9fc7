"""Signals, sent at instants that the test chooses: when a module is imported, or from inside a callback."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from secagg.interruption import Interrupted, exit_code, raising
from tests.support.commands import SMALL, lines_of, stopped

BY = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
AT_IMPORT = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
def send(event, arguments):
    if event == "import" and arguments[0] == {name!r}:
        os.kill(os.getpid(), {by})
sys.addaudithook(send)
sys.argv[1:] = {arguments!r}
from secagg.cli import main
main()
"""
IN_A_CALLBACK = """
import os, signal, sys, time, weakref
from secagg.interruption import raising
class Collected: pass
with raising():
    collected = Collected()
    kept = weakref.ref(collected, lambda _: os.kill(os.getpid(), {by}))
    del collected
    time.sleep(30)
"""


def run(code: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-P", "-c", code], cwd=cwd, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("by", BY)
@pytest.mark.parametrize(
    "name", ["msgspec", "typer", "numpy", "dp.errors", "protocols", "rich.console", "secagg.errors"]
)
def test_interruption_among_the_imports_is_silent(name: str, by: signal.Signals, tmp_path: Path) -> None:
    found = run(AT_IMPORT.format(name=name, by=int(by), arguments=["protocols"]), tmp_path)
    assert (found.returncode, found.stdout, found.stderr) == (exit_code(by), "", "")


@pytest.mark.parametrize("name", ["secagg.commands.train", "secagg.runs.config", "sklearn.datasets._base"])
def test_interruption_before_a_run_has_begun_leaves_nothing(name: str, tmp_path: Path) -> None:
    code = AT_IMPORT.format(name=name, by=int(signal.SIGINT), arguments=["train", *SMALL, "--out", "run"])
    found = run(code, tmp_path)
    assert (found.returncode, found.stdout, found.stderr) == (130, "", "")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("by", BY)
def test_interruption_inside_a_callback_comes_again_where_python_drops_it(by: signal.Signals, tmp_path: Path) -> None:
    found = run(IN_A_CALLBACK.format(by=int(by)), tmp_path)
    assert (found.returncode, found.stderr) == (exit_code(by), "")


def test_interruption_is_left_to_who_ignores_or_handles_it() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with raising():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_interruption_is_raised_with_the_exit_code_of_shells() -> None:
    before = {number: signal.getsignal(number) for number in BY}
    try:
        with pytest.raises(Interrupted) as raised, raising():
            os.kill(os.getpid(), signal.SIGTERM)
        assert (raised.value.code, raised.value.number) == (143, signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGHUP])
def test_train_that_is_terminated_says_how_to_go_on(by: signal.Signals, tmp_path: Path) -> None:
    options = ("train", *SMALL, "--rounds", "400", "--epsilon", "300", "--no-compare", "--out", "a run")
    metrics = tmp_path / "a run" / "metrics.jsonl"
    found = stopped(*options, cwd=tmp_path, when=lambda: lines_of(metrics) >= 3, after_s=0, by=by)
    assert found.returncode == exit_code(by)
    whole = lines_of(metrics)
    assert f"interrupted after {whole} whole rounds. A round that had begun" in found.stderr
    assert "Go on with: secagg train --out 'a run' --resume" in found.stderr
    assert f"round {whole - 1} of 400: accuracy " in found.stderr
    assert "Traceback" not in found.stderr
