"""One version, that of pyproject.toml, in every package, at the command and in what is written."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

import dp
import protocols
import secagg
from benchmarks.machine import Machine
from dp.version import SOFTWARE, VERSION
from secagg.errors import CheckpointError
from secagg.runs.config import TrainingConfig
from tests.secagg.runs.test_run_folder import begun, model, same
from tests.support.commands import COMMAND
from tests.support.commands import secagg as run

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_packages_and_project_agree() -> None:
    assert (PROJECT["name"], PROJECT["version"]) == (SOFTWARE, VERSION)
    assert secagg.__version__ == dp.__version__ == protocols.__version__ == VERSION
    assert Machine.here(()).software == f"{SOFTWARE} {VERSION}"


def test_command_tells_its_version(tmp_path: Path) -> None:
    found = run("--version", cwd=tmp_path)
    assert (found.returncode, found.stdout, found.stderr) == (0, f"{SOFTWARE} {VERSION}\n", "")


def test_run_folder_tells_the_version(tmp_path: Path) -> None:
    folder = begun(tmp_path, 1)
    assert f"{SOFTWARE} {VERSION}" in (folder.path / "config.toml").read_text(encoding="utf-8")
    with np.load(folder.path / "checkpoint.npz") as arrays:
        assert str(arrays["version"]) == VERSION


@pytest.mark.parametrize("version", [None, "0.0.1"])
def test_checkpoint_of_another_version_is_read_and_told_only_where_it_does_not_fit(
    version: str | None, tmp_path: Path
) -> None:
    folder = begun(tmp_path, 2)
    path = folder.path / "checkpoint.npz"
    with np.load(path) as found:
        arrays = {name: found[name] for name in found if name != "version"}
    np.savez(path, **arrays, **({} if version is None else {"version": np.asarray(version)}))
    assert same(folder.restore(model(), TrainingConfig()), model(2, seed=2))
    with pytest.raises(CheckpointError, match="expected the settings that the run began with, found others") as refused:
        folder.restore(model(), TrainingConfig(seed=7))
    told = f" The checkpoint was written by {SOFTWARE} 0.0.1; this is {VERSION}."
    assert (told in str(refused.value)) == (version is not None)
    assert ("written by" in str(refused.value)) == (version is not None)


def test_checkpoint_of_this_version_does_not_tell_it(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as refused:
        begun(tmp_path, 1).restore(model(), TrainingConfig(seed=7))
    assert "written by" not in str(refused.value)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_command_completes_itself_in_a_shell(shell: str, tmp_path: Path) -> None:
    shown = subprocess.run(
        [*COMMAND, "--show-completion", shell],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        # typer asks which shell runs it; told not to, it takes the shell's name.
        env=os.environ | {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
    )
    assert shown.returncode == 0, shown.stderr
    assert "_SECAGG_COMPLETE" in shown.stdout


def test_completion_offers_commands_and_options(tmp_path: Path) -> None:
    def completed(words: str) -> list[str]:
        found = subprocess.run(
            [sys.executable, "-P", "-m", "secagg"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
            env=os.environ
            | {"_SECAGG_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))},
        )
        return found.stdout.split()

    assert completed("secagg bud") == ["budget"]
    assert "--epsilon" in completed("secagg train --eps")
