"""The realised noise of a finished run, with the powers that its test states."""

import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from secagg.audit.run_folder.check import RunCheck
from secagg.audit.run_folder.checks import run_checks
from secagg.audit.run_folder.noise import LEVEL, power, variance_test
from tests.support.finished_runs import arrays_edited, copied_run, finish, with_metrics

DIGITS: dict[str, Any] = {"dataset": "digits", "clients": 12, "rounds": 1}


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finish(tmp_path_factory.mktemp("noisy") / "run", **DIGITS)


@pytest.fixture(scope="module")
def exact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run without noise: its contributors and their updates in round 1 are the same."""
    return finish(tmp_path_factory.mktemp("exact") / "run", **DIGITS | {"epsilon": math.inf})


def only(run: Path, name: str) -> RunCheck:
    (found,) = run_checks(run, only=[name])
    return found


def mixed(noisy: Path, exact: Path, target: Path, share: float) -> Path:
    """A copy of the run whose first mean has noise of this share of its standard deviation."""
    run = copied_run(noisy, target)
    with np.load(exact / "weights" / "0001.npz") as other:

        def edit(arrays: dict[str, Any]) -> None:
            arrays.update({name: share * array + (1 - share) * other[name] for name, array in arrays.items()})

        arrays_edited(run / "weights" / "0001.npz", edit)
    return run


@pytest.mark.parametrize(("share", "caught"), [(0.5, True), (0.7, True), (1.0, False), (1.5, True)])
def test_noise_of_another_size_is_rejected(
    share: float, caught: bool, noisy: Path, exact: Path, tmp_path: Path
) -> None:
    """The mean is mixed with the same mean without noise, which leaves a share of its noise."""
    found = only(mixed(noisy, exact, tmp_path / "run", share), "run.noise.realised")
    assert found.test is not None
    assert found.rejected == caught == (found.test.p_value < LEVEL)
    assert (found.test.coordinates, found.test.rounds) == (650, 1)
    assert abs(found.test.ratio / share**2 - 1) < 6 * math.sqrt(2 / 650)
    assert "One attempt at level 1e-06" in found.found + found.shown


def test_noise_in_a_run_without_noise_is_rejected(exact: Path, tmp_path: Path) -> None:
    assert not only(exact, "run.noise.none").rejected
    run = copied_run(exact, tmp_path / "run")
    arrays_edited(run / "weights" / "0001.npz", lambda arrays: arrays["weights_1"].__iadd__(1e-3))
    assert only(run, "run.noise.none").rejected


def test_noise_of_no_released_round_is_not_tested(noisy: Path, tmp_path: Path) -> None:
    run = copied_run(noisy, tmp_path / "run")
    (run / "metrics.jsonl").write_bytes(b"")
    assert "No round has released a mean" in only(run, "run.noise.realised").untested


def test_noise_is_not_tested_without_the_weights_before_it(noisy: Path, tmp_path: Path) -> None:
    run = copied_run(noisy, tmp_path / "run")
    shutil.rmtree(run / "weights")
    assert only(run, "run.noise.realised").untested == "weights/0000.npz cannot be read, see run.weights.kept."


def test_noise_has_the_power_that_is_stated() -> None:
    """The figures of one round, and of four rounds, of a run on digits."""
    assert power(0.8, 650) == pytest.approx(0.9986, abs=1e-4)
    assert power(0.9, 650) == pytest.approx(0.0951, abs=1e-4)
    assert power(0.9, 4 * 650) == pytest.approx(0.9956, abs=1e-4)
    assert power(1.0, 650) == pytest.approx(LEVEL, rel=1e-6)
    test = variance_test(np.ones(650), rounds=1)
    assert power(test.detects, 650) == pytest.approx(0.99, abs=1e-9)
    assert (test.ratio, test.level) == (1.0, LEVEL)


def test_noise_is_tested_on_both_sides() -> None:
    for scale in (0.75, 1.3):
        assert variance_test(np.full(650, scale), rounds=1).p_value < LEVEL
    for scale in (0.97, 1.03):
        assert variance_test(np.full(650, scale), rounds=1).p_value > 0.01


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_noise_that_is_no_number_is_rejected(value: float) -> None:
    assert variance_test(np.array([1.0, value]), rounds=1).p_value == 0.0


def test_noise_of_a_round_whose_contributors_are_not_known_is_said_not_to_be_tested(
    finished: Path, tmp_path: Path
) -> None:
    """A round that names one contributor fewer could have had any noise."""
    run = copied_run(finished, tmp_path / "run")
    with_metrics(lambda lines: lines[1].update(contributors=lines[1]["contributors"] - 1))(run, run)
    found = only(run, "run.noise.realised")
    assert not found.rejected
    assert "The first is round 2." in found.untested
