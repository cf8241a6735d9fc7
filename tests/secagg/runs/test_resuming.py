import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dp.ledger.ledger import Ledger
from secagg.data.load import load_dataset
from secagg.errors import CheckpointError, ConfigurationError
from secagg.reports.report import RunReport
from secagg.runs.config import TrainingConfig
from secagg.runs.folder import RunFolder
from secagg.runs.goal import choose_goal
from secagg.runs.parsing import parse
from secagg.runs.prepare import prepare
from secagg.runs.resuming import check_given_again
from secagg.runs.run import run_name, run_training
from tests.secagg.runs.test_run import Interruption, config, run, stopping_at
from tests.support.commands import SMALL, secagg


def interrupted(path: Path, number: int, **changes: Any) -> tuple[RunFolder, TrainingConfig]:
    folder, settings = RunFolder(path), config(**changes)
    with pytest.raises(Interruption):
        run(folder, settings, observe=stopping_at(number))
    return folder, settings


def test_resumed_settings_may_be_given_again() -> None:
    began = parse({"dataset": "/data/mine.npz", "epsilon": 8, "clients": 100, "alpha": 0.5})
    again = {"dataset": "/data/../data/mine.npz", "epsilon": 8, "clients": 100, "rounds": 30, "weighting": "uniform"}
    assert check_given_again(again, began) == 30
    assert check_given_again({}, began) is None
    assert check_given_again({"epsilon": math.inf}, parse({"epsilon": math.inf})) is None


def test_resumed_run_keeps_its_bits_if_the_settings_say_auto() -> None:
    began = parse({"modulus_bits": 17})
    assert check_given_again({"modulus_bits": "auto"}, began) is None
    assert check_given_again({"modulus_bits": 17}, began) is None
    with pytest.raises(ConfigurationError, match="found modulus_bits = 18 instead of 17"):
        check_given_again({"modulus_bits": 18}, began)


@pytest.mark.slow
def test_run_records_the_bits_that_it_began_with(tmp_path: Path) -> None:
    """The settings, the ledger's labels and the report name one number; a later choice of bits does not change it."""
    options = ("train", *SMALL, "--rounds", "2", "--no-compare", "--out", "run")
    begun = secagg(*options, cwd=tmp_path)
    assert begun.returncode == 0, begun.stderr
    folder = RunFolder(tmp_path / "run")
    bits = folder.config().modulus_bits
    assert isinstance(bits, int)
    assert bits < 20
    assert f"coordinates of {bits} bits" in begun.stderr
    assert "(rounding to integers makes the noise 1.00" in begun.stderr
    assert f"modulus_bits = {bits}\n" in (folder.path / "config.toml").read_text(encoding="utf-8")
    with Ledger.open_to_read(folder.ledger) as ledger:
        labels = {entry.reservation.label for entry in ledger.entries()}
    assert all(label.endswith(f" of run {run_name(folder.config())}") for label in labels)
    for given in ("auto", str(bits)):
        again = secagg(*options, "--resume", "--modulus-bits", given, cwd=tmp_path)
        assert again.returncode == 0, again.stderr
    assert folder.config().modulus_bits == bits
    refused = secagg(*options, "--resume", "--modulus-bits", str(bits + 1), cwd=tmp_path)
    assert refused.returncode != 0
    assert f"found modulus_bits = {bits + 1} instead of {bits}" in refused.stderr


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"epsilon": 4}, "found epsilon = 4 instead of 8. Leave them out, or begin another run"),
        ({"clients": 50, "alpha": 0.5}, "found clients = 50 instead of 300, alpha = 0.5 instead of not set. Leave"),
        ({"compare": False}, "found compare = false instead of true"),
        ({"dataset": "breast-cancer"}, "found dataset = breast-cancer instead of digits"),
        ({"trust": "local"}, "found trust = local instead of distributed"),
        ({"trust": "me"}, "trust: expected one of distributed, local, central, found 'me'"),
        ({"clients": "many"}, "clients: expected an integer from 2 to 100,000, found 'many'"),
        ({"rounds": 0}, "rounds: expected an integer from 1 to 100,000, found 0"),
        ({"epochz": 1}, "found epochz; did you mean epochs"),
    ],
)
def test_resumed_settings_that_differ_are_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as refused:
        check_given_again(given, TrainingConfig())
    assert "\n" not in str(refused.value)


def test_resumed_run_without_noise_goes_on_to_more_rounds_as_if_it_had_begun_with_them(tmp_path: Path) -> None:
    folder, settings = RunFolder(tmp_path / "run"), config(rounds=2, epsilon=math.inf, compare=True)
    first = run(folder, settings)
    assert len(folder.comparison()) == 4
    assert choose_goal(prepare(settings), folder, 4).rounds == 4
    folder.set_goal(4)
    more = run(folder, settings, resume=True)
    assert (first.rounds, more.rounds) == (2, 4)
    assert [line.record.round for line in folder.comparison()] == [1, 1, 2, 2, 3, 3, 4, 4]
    assert folder.config() == settings
    whole = run(RunFolder(tmp_path / "whole"), config(rounds=4, epsilon=math.inf))
    assert more.accuracy == whole.accuracy
    assert run(folder, settings, resume=True).rounds == 4


def test_resumed_run_with_a_budget_goes_as_far_as_that_allows(tmp_path: Path) -> None:
    folder, settings = interrupted(tmp_path / "run", 2)
    prepared = prepare(settings)
    assert prepared.event is not None
    goal = choose_goal(prepared, folder, 3)
    assert (goal.rounds, goal.done) == (3, 2)
    assert "of the budget of epsilon 60 is used, and epsilon 60 is guaranteed" in (goal.cost or "")
    assert "the budget allows 4 rounds in all" in (goal.cost or "")
    folder.set_goal(3)
    summary = run_training(prepared, folder, resume=True, observe=lambda *_: None)
    assert (summary.rounds, summary.stopped_early) == (3, False)
    with Ledger.open_to_read(folder.ledger) as ledger:
        assert {entry.reservation.event for entry in ledger.entries()} == {prepared.event}
        assert len(ledger.entries()) == 3
    with pytest.raises(ConfigurationError, match=r"at most the 4 that the budget allows, found 5: 7.* of epsilon 60"):
        choose_goal(prepared, folder, 5)
    with pytest.raises(ConfigurationError, match="at least the 3 that the run has made, found 2"):
        choose_goal(prepared, folder, 2)
    assert choose_goal(prepared, folder, 3).cost is None
    assert choose_goal(prepared, folder, None).rounds == 3
    folder.set_goal(choose_goal(prepared, folder, 4).rounds)
    report = RunReport.of(folder, prepared, run_training(prepared, folder, resume=True, observe=lambda *_: None))
    assert (report.summary.rounds, report.goal) == (4, 4)
    assert choose_goal(prepared, folder, 4).rounds == 4


def test_resumed_run_that_has_lost_a_release_may_be_asked_for_its_first_rounds_again(tmp_path: Path) -> None:
    folder, settings = interrupted(tmp_path / "run", 2)
    prepared = prepare(settings)
    with Ledger.open(folder.ledger) as ledger:
        assert prepared.event is not None
        ledger.reserve(prepared.event, ledger.entries()[0].reservation.label.replace("round 1", "round 3"))
    assert "allows 3 rounds in all" in (choose_goal(prepared, folder, 4).cost or "")
    with pytest.raises(ConfigurationError, match="at most the 3 that the budget allows, found 5"):
        choose_goal(prepared, folder, 5)


def test_resumed_run_before_its_ledger_was_made_is_held_to_its_budget(tmp_path: Path) -> None:
    folder, settings = RunFolder(tmp_path / "run"), config()
    folder.begin(settings)
    assert choose_goal(prepare(settings), folder, 3).rounds == 3
    with pytest.raises(ConfigurationError, match="at most the 4 that the budget allows, found 9"):
        choose_goal(prepare(settings), folder, 9)


def test_resumed_run_whose_goal_is_damaged_is_refused(tmp_path: Path) -> None:
    folder, settings = interrupted(tmp_path / "run", 2)
    for text in ("rounds = 0\n", "rounds = 'x'\n", "garbage", ""):
        (folder.path / "goal.toml").write_text(text)
        with pytest.raises(CheckpointError, match=r"goal\.toml: expected"):
            run(folder, settings, resume=True)


def test_train_command_is_repeated_with_resume_from_another_folder(tmp_path: Path) -> None:
    """A relative data set and settings file; the run's own `Run it again` holds from the run's folder."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    data = load_dataset("breast-cancer", seed=1)
    np.savez(here / "mine.npz", x_train=data.train_x, y_train=data.train_y, x_test=data.test_x, y_test=data.test_y)
    (here / "settings.toml").write_text("dataset = 'mine.npz'\nepsilon = inf\nepochs = 1\n")
    options = ("train", "settings.toml", *SMALL[2:], "--rounds", "2", "--no-compare", "--json", "--out", "run")
    begun = secagg(*options, cwd=here)
    assert begun.returncode == 0, begun.stderr
    again = secagg(*options, "--resume", cwd=here)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["accuracy"] == json.loads(begun.stdout)["accuracy"]
    more = secagg("train", "--resume", "--out", str(here / "run"), "--rounds", "3", "--json", cwd=there)
    assert more.returncode == 0, more.stderr
    assert json.loads(more.stdout)["rounds"] == 3
    assert "going on after round 2 of 3" in more.stderr
    page = (here / "run" / "report.html").read_text(encoding="utf-8")
    assert "mine.npz" in page
    assert str(tmp_path) not in page
    repeated = secagg("train", "config.toml", "--out", "again", cwd=here / "run")
    assert repeated.returncode == 0, repeated.stderr
    assert str(tmp_path) not in repeated.stdout


def test_train_resumes_what_an_earlier_version_began_with_a_relative_path(tmp_path: Path) -> None:
    data = load_dataset("breast-cancer", seed=1)
    arrays = {"x_train": data.train_x, "y_train": data.train_y, "x_test": data.test_x, "y_test": data.test_y}
    np.savez(tmp_path / "mine.npz", **arrays)  # type: ignore[arg-type]  # as numpy's stubs of 1.26 have it
    folder, settings = RunFolder(tmp_path / "run"), config(dataset="mine.npz", rounds=1, epsilon=math.inf)
    folder.begin(settings)
    options = ("train", "--resume", "--dataset", "mine.npz", "--out", "run", "--json")
    found = secagg(*options, cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    shutil.copy(tmp_path / "run" / "checkpoint.npz", tmp_path / "kept.npz")
    assert folder.config().dataset == "mine.npz"
    again = secagg(*options, cwd=tmp_path)
    assert again.returncode == 0, again.stderr


def test_resumed_run_shows_its_new_number_of_rounds_in_settings_and_report(tmp_path: Path) -> None:
    folder, settings = RunFolder(tmp_path / "run"), config(rounds=2, epsilon=math.inf)
    run(folder, settings)
    for rounds in (3, 4):
        folder.set_goal(rounds)
        text = (folder.path / "config.toml").read_text(encoding="utf-8")
        assert text.count("# Continued to round ") == 1
        assert text.startswith(f"# Continued to round {rounds} (goal.toml).")
    assert folder.config() == settings
    prepared = prepare(settings)
    report = RunReport.of(folder, prepared, run_training(prepared, folder, resume=True, observe=lambda *_: None))
    shown = {setting.name: setting.value for setting in report.settings}
    assert shown["rounds"] == "4 (begun with 2, which the noise is sized for)"
