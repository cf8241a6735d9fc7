"""`secagg engine warm`: Flower's command in a fork of a process that has it imported."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from secagg.commands.engine_warm import warm_until_stopped
from secagg.errors import MissingExtraError
from tests.support.commands import COMMAND


def test_engine_warm_names_the_extra_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "flwr", None)
    with pytest.raises(MissingExtraError, match="flower"):
        warm_until_stopped(tmp_path / "warm")
    assert not (tmp_path / "warm").exists()


@pytest.mark.skipif(
    sys.platform == "win32" or importlib.util.find_spec("flwr") is None, reason="needs fork and the extra flower"
)
def test_engine_warm_runs_the_command_of_flower_and_removes_its_socket(tmp_path: Path) -> None:
    folder = tmp_path / "warm"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [*COMMAND, "engine", "warm", str(folder)], stderr=subprocess.PIPE, text=True, env=environment
    )
    try:
        assert process.stderr is not None
        assert process.stderr.readline().startswith(f"Flower is imported. Start the SuperNode with PATH={folder}:$PATH")
        done = subprocess.run(
            [folder / "flwr-clientapp", "--no-such-option"],
            env=environment | {"PATH": os.pathsep.join([str(folder), str(Path(sys.executable).parent), "/bin"])},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, "usage: flwr-clientapp" in done.stderr) == (2, True)
    finally:
        process.terminate()
        _, told = process.communicate(timeout=60)
    assert told == "", "the real command ran"
    assert process.returncode == 143
    assert not (folder / "socket").exists()
