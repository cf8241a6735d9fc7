import math
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dp.errors import LedgerLocked
from dp.events import GaussianEvent, NeighbouringRelation, PrivacyUnit
from dp.ledger.journal import MAGIC
from dp.ledger.ledger import Ledger
from secagg.errors import CheckpointError
from secagg.privacy.several_ledgers import together
from secagg.runs.config import TrainingConfig
from secagg.runs.folder import RunFolder
from secagg.runs.kept_ledgers import EarlierLedgers, keep, kept_ledgers, settle
from tests.support.commands import SMALL, secagg

JOURNAL = bytes(600) + MAGIC  # It names a super-journal, and nobody opens its ledger.
EVENT = GaussianEvent(noise_multiplier=3.0)


def write(path: Path, releases: int, **changes: Any) -> Path:
    settings: dict[str, Any] = {"epsilon": 60.0, "delta": 1e-2, "population": 16}
    with Ledger.create(path, **settings | changes) as ledger:
        event = GaussianEvent(noise_multiplier=3.0, relation=ledger.budget.relation, unit=ledger.budget.unit)
        for number in range(releases):
            ledger.reserve(event, f"round {number}")
    return path


def releases(path: Path) -> int:
    with Ledger.open_to_read(path) as ledger:
        return len(ledger.entries())


def test_earlier_ledgers_survive_every_new_run(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    for number in range(1, 12):
        folder.begin(TrainingConfig(seed=number))
        write(folder.ledger, number)
    folder.begin(TrainingConfig(epsilon=math.inf))
    assert [path.name for path in kept_ledgers(folder.path)] == [f"ledger-{number}.sqlite" for number in range(1, 12)]
    assert [releases(path) for path in kept_ledgers(folder.path)] == list(range(1, 12))
    folder.check_free(overwrite=True)
    assert not folder.has_ledger()


def test_earlier_ledger_of_nothing_is_not_kept(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.begin(TrainingConfig())
    write(folder.ledger, 0)
    folder.begin(TrainingConfig())
    folder.ledger.touch()
    folder.begin(TrainingConfig())
    assert {entry.name for entry in folder.path.iterdir()} == {"config.toml", "run.lock"}


def test_earlier_ledger_that_is_in_use_stays_with_its_run(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.begin(TrainingConfig(seed=5))
    write(folder.ledger, 2)
    with Ledger.open(folder.ledger), pytest.raises(LedgerLocked):
        folder.begin(TrainingConfig())
    assert folder.config().seed == 5
    assert releases(folder.ledger) == 2


def test_earlier_ledger_is_rolled_back_first_where_its_writer_was_killed(tmp_path: Path) -> None:
    """Its journal would else be left behind, and applied to another ledger or to none."""
    folder = RunFolder(tmp_path / "run")
    folder.begin(TrainingConfig())
    write(folder.ledger, 1)
    code = (
        "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); "
        "c.execute('PRAGMA cache_size = 1'); c.execute('PRAGMA synchronous = EXTRA'); c.execute('BEGIN EXCLUSIVE'); "
        "c.execute('INSERT INTO records VALUES (2, zeroblob(200000), x\\'00\\')'); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(folder.ledger)], timeout=60).returncode == 9
    assert folder.ledger.with_name("ledger.sqlite-journal").stat().st_size
    folder.begin(TrainingConfig())
    assert {entry.name for entry in folder.path.iterdir()} == {"config.toml", "run.lock", "ledger-1.sqlite"}
    assert releases(folder.path / "ledger-1.sqlite") == 1


def test_earlier_ledger_that_is_damaged_is_kept_with_its_journal_and_named(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.sqlite"
    ledger.write_bytes(b"damaged")
    ledger.with_name("ledger.sqlite-journal").write_bytes(JOURNAL)
    settle(ledger)
    assert keep(ledger) == tmp_path / "ledger-1.sqlite"
    assert (tmp_path / "ledger-1.sqlite").read_bytes() == b"damaged"
    assert (tmp_path / "ledger-1.sqlite-journal").read_bytes() == JOURNAL
    found = EarlierLedgers.of(tmp_path)
    assert (found.counted, found.apart) == ((), ("ledger-1.sqlite (cannot be read)",))
    assert found.in_words(private=True) == (
        "Not included in this figure: ledger-1.sqlite (cannot be read). Their cost comes on top for everyone whose "
        "data are in them too."
    )


@pytest.mark.parametrize("moved", [False, True])
def test_earlier_ledger_is_there_wherever_the_replacement_is_killed(moved: bool, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.begin(TrainingConfig())
    write(folder.ledger, 3)
    (folder.path / "metrics.jsonl").write_text("")
    (folder.path / "config.toml").unlink()
    if moved:
        keep(folder.ledger)
    with pytest.raises(CheckpointError, match="expected a run to resume, found none"):
        folder.config()
    with pytest.raises(CheckpointError, match="--overwrite"):
        folder.check_free(overwrite=False)
    folder.begin(TrainingConfig())
    assert [releases(path) for path in kept_ledgers(folder.path)] == [3]


def test_earlier_ledgers_of_one_unit_are_added_up_and_others_named(tmp_path: Path) -> None:
    write(tmp_path / "ledger-2.sqlite", 2)
    write(tmp_path / "ledger-10.sqlite", 1, delta=1e-3)
    write(tmp_path / "ledger-1.sqlite", 1, unit=PrivacyUnit.EXAMPLE, relation=NeighbouringRelation.ADD_OR_REMOVE_ONE)
    write(tmp_path / "ledger.sqlite", 3)
    found = EarlierLedgers.of(tmp_path, planned={EVENT: 4})
    assert found.counted == ("ledger-2.sqlite", "ledger-10.sqlite")
    assert found.apart == ("ledger-1.sqlite (unit example, relation add-or-remove-one)",)
    with Ledger.create(tmp_path / "all.sqlite", epsilon=60, delta=1e-3, population=16) as ledger:
        for number in range(10):
            ledger.reserve(EVENT, f"round {number}")
        epsilon = ledger.spent().epsilon
    assert f"3 ledgers together: epsilon {epsilon:.3f}" in (found.cost or "")
    assert "at delta 0.001" in (found.cost or "")


def test_earlier_ledgers_are_none_in_a_new_folder(tmp_path: Path) -> None:
    assert EarlierLedgers.of(tmp_path / "absent").in_words(private=True) == ""


def test_train_that_overwrites_keeps_the_account_and_adds_it_up(tmp_path: Path) -> None:
    options = ("train", *SMALL, "--rounds", "1", "--epsilon", "60", "--no-compare", "--out", "run")
    first = secagg(*options, cwd=tmp_path)
    assert (first.returncode, "earlier" in first.stdout + first.stderr) == (0, False)
    shutil.copy(tmp_path / "run" / "ledger.sqlite", tmp_path / "first.sqlite")
    second = secagg(*options, "--overwrite", cwd=tmp_path)
    assert second.returncode == 0, second.stderr
    run = tmp_path / "run"
    assert (run / "ledger-1.sqlite").read_bytes() == (tmp_path / "first.sqlite").read_bytes()
    cost = together([run / "ledger.sqlite", run / "ledger-1.sqlite"]).sums[0].in_words
    total = float(re.findall(r"epsilon ([0-9.]+)", cost)[0])
    assert 60 < total < 120
    said = f"Ledgers of earlier runs here are kept: ledger-1.sqlite. Together with this run: {cost}."
    assert said in second.stderr
    assert str(total) in second.stdout
    third = secagg(*options[:-4], "inf", "--no-compare", "--out", "run", "--overwrite", cwd=tmp_path)
    assert third.returncode == 0, third.stderr
    assert f"Together these earlier runs cost: {cost}. This run has no noise: nothing bounds" in third.stderr
    assert [path.name for path in kept_ledgers(run)] == ["ledger-1.sqlite", "ledger-2.sqlite"]


@pytest.mark.parametrize("point", ["unlink", "rename"])
def test_train_killed_while_it_overwrites_loses_no_ledger(point: str, tmp_path: Path) -> None:
    """By the process itself, at each step of the folder's replacement that the operating system sees."""
    run = tmp_path / "run"
    RunFolder(run).begin(TrainingConfig())
    write(run / "ledger.sqlite", 2)
    for count in range(1, 4):
        code = (
            "import os, signal, sys; left = [int(sys.argv[1])]\n"
            "def end(event, arguments):\n"
            f"    if event == {'os.remove' if point == 'unlink' else 'os.rename'!r}:\n"
            "        left[0] -= 1\n"
            f"        if not left[0]: os.kill(os.getpid(), {int(signal.SIGKILL)})\n"
            "from pathlib import Path\nfrom secagg.runs.config import TrainingConfig\n"
            "from secagg.runs.folder import RunFolder\nsys.addaudithook(end)\n"
            "RunFolder(Path(sys.argv[2])).begin(TrainingConfig())\n"
        )
        ended = subprocess.run(
            [sys.executable, "-P", "-c", code, str(count), str(run)], timeout=120, env={**os.environ}
        ).returncode
        assert ended in (0, -signal.SIGKILL)
        files = [*kept_ledgers(run), *([run / "ledger.sqlite"] if (run / "ledger.sqlite").exists() else [])]
        assert [releases(path) for path in files] == [2]
    RunFolder(run).begin(TrainingConfig())
    assert [releases(path) for path in kept_ledgers(run)] == [2]


def test_earlier_ledger_that_is_a_link_to_nowhere_is_not_replaced(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.begin(TrainingConfig(seed=5))
    write(tmp_path / "account.sqlite", 2)
    folder.ledger.symlink_to(tmp_path / "account.sqlite")
    (tmp_path / "account.sqlite").rename(tmp_path / "away.sqlite")
    with pytest.raises(CheckpointError, match="a link to a missing file"):
        folder.begin(TrainingConfig())
    assert folder.config().seed == 5
    assert folder.ledger.is_symlink()
