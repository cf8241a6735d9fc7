"""A disk that is full or fails, at any call, ends in a refusal; a kill at any call loses nothing that was told."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tests.support.failing_disk import FAULTS, ROUNDS, FaultOutcome

REPOSITORY = Path(__file__).parents[3]
COMPILER = shutil.which("cc")
STEPS = 1 + 2 * ROUNDS

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or COMPILER is None, reason="preloads a library that is compiled by cc"
)


@pytest.fixture(scope="module")
def fault_outcomes(memory: Path) -> list[FaultOutcome]:
    library, folder = memory / "faults.so", memory / "faulty"
    folder.mkdir()
    source = REPOSITORY / "tests" / "support" / "failing_disk.c"
    subprocess.run([str(COMPILER), "-Wall", "-Werror", "-O1", "-shared", "-fPIC", "-o", library, source], check=True)
    run = subprocess.run(
        [sys.executable, "-m", "tests.support.failing_disk", library, folder],
        env=os.environ | {"LD_PRELOAD": str(library)},
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
    )
    # After each fault it also made sure that the ledger opens, holds what was told, and goes on.
    assert run.returncode == 0, run.stderr
    return [msgspec.json.decode(line, type=FaultOutcome) for line in run.stdout.splitlines()]


# Whatever fails in closing, when every step has returned, concerns nobody.
@pytest.mark.parametrize("fault", [fault.name for fault in FAULTS if fault.lasting or "write" in fault.name])
def test_failing_disk_refuses_every_release(fault_outcomes: list[FaultOutcome], fault: str) -> None:
    struck = [one for one in fault_outcomes if one.fault == fault]
    for one in struck:
        assert one.steps_after == 0
        assert (one.refusal is None) == (one.steps_before == STEPS)
        assert one.refusal is None or "Release nothing" in one.refusal or "cannot be created" in one.refusal
    assert {one.steps_before for one in struck if one.refusal} >= ({0, 1} if "folders" in fault else set(range(STEPS)))


# Having made a file, SQLite closes it with another sync of its journal, which was synced already: that one may fail.
def test_failed_fsync_refuses_the_release(fault_outcomes: list[FaultOutcome]) -> None:
    struck = [one for one in fault_outcomes if one.fault == "an fsync fails"]
    unnoticed = [one for one in struck if one.refusal is None]
    assert [one.steps_before for one in unnoticed] == [0, STEPS]
    for step in range(STEPS):
        assert sum(one.steps_before == step and one.refusal is not None for one in struck) >= 3
    assert all(one.steps_after == 0 for one in struck if one.refusal)


def test_kill_at_any_call_loses_nothing(fault_outcomes: list[FaultOutcome]) -> None:
    killed = [one for one in fault_outcomes if one.fault == "a kill"]
    assert [one.call for one in killed] == list(range(len(killed)))
    assert [one.steps_before for one in killed] == sorted(one.steps_before for one in killed)
    assert {one.steps_before for one in killed} == set(range(STEPS + 1))
    assert len(killed) > 40
