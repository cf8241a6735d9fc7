"""The quick examples run as they stand."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def output(name: str) -> str:
    """What an example prints."""
    found = subprocess.run([sys.executable, str(EXAMPLES / name)], capture_output=True, text=True, check=True)
    assert found.stderr == ""
    return found.stdout


@pytest.mark.parametrize(
    "name", ["sum_with_dropouts.py", "malicious_server.py", "committee_opens.py", "own_transport.py"]
)
def test_example_runs_and_sums_over_who_is_left(name: str) -> None:
    assert "vectors are in the sum" in output(name)


def test_weighted_mean_differs_from_the_exact_one_by_less_than_its_bound() -> None:
    secure, exact = (
        [float(number) for number in found.split()] for found in re.findall(r"\[([^\]]*)\]", output("weighted_mean.py"))
    )
    assert secure == pytest.approx(exact, abs=6e-4)  # the bound is 4.5e-4; digits are cut


def test_means_of_named_arrays_keep_names_shapes_and_types() -> None:
    shown = output("state_dict.py")
    assert "linear.weight: shape (3, 5), float32" in shown
    assert "temperature: shape (), float32" in shown
    assert "['norm.num_batches_tracked'] stayed local" in shown
    assert all(float(error) < 1e-5 for error in re.findall(r"by ([0-9.e-]+)$", shown, re.MULTILINE))


def test_histogram_is_within_its_noise() -> None:
    shown = output("histogram.py")
    noisy, exact = ([float(n) for n in found.split()] for found in re.findall(r"counts \[([^\]]*)\]", shown))
    deviation = float(re.findall(r"deviation ([0-9.]+)", shown)[0])
    # 3.51 times the sensitivity is the least noise for epsilon 1; 197 of at least 175 honest shares are in the sum.
    assert 3.4 < deviation < 4.5
    assert sum(exact) == 197
    # Seven deviations for each of 16 counts: a false alarm in 4e10 runs.
    assert all(abs(left - right) < 7 * deviation for left, right in zip(noisy, exact, strict=True))
    assert "epsilon 1.000 at delta 0.0001 is spent" in shown


def test_private_sum_is_the_clipped_sum_with_noise() -> None:
    shown = output("private_sum.py")
    released, exact, cut = ([float(n) for n in found.split()] for found in re.findall(r"\[([^\]]*)\]", shown))
    deviation = float(re.findall(r"deviation ([0-9.]+)", shown)[0])
    differences = [abs(r - (e - c)) for r, e, c in zip(released, exact, cut, strict=True)]
    # Rounding towards zero takes at most 500 steps of 1/1000; seven deviations otherwise.
    assert max(differences) < 7 * deviation + 0.51
    assert "epsilon 0.500 at delta 0.0001 is spent" in shown


def test_own_protocol_is_found_once_it_is_installed(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLES / "own_protocol", tmp_path / "own_protocol")
    arguments = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--target", str(tmp_path / "site")]
    install = [sys.executable, "-m", "pip", "install", *arguments, str(tmp_path / "own_protocol")]
    subprocess.run(install, check=True, capture_output=True)
    paths = [str(tmp_path / "site"), str(EXAMPLES.parent)]
    settings = ["--protocol", "tally", "--model", "numpy-softmax", "--clients", "20", "--rounds", "1"]
    for command in (["protocols", "--json"], ["train", *settings, "--epsilon", "inf", "--no-compare", "--json"]):
        found = subprocess.run(
            [sys.executable, "-P", "-m", "secagg", *command],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        shown = json.loads(found.stdout)
        if command[0] == "protocols":
            (own,) = (row for row in shown if row["name"] == "tally")
            assert own["server"] == []
            assert own["rounds"] == ["register", "send"]
        else:
            assert shown["protocol"] == "tally"
            assert shown["contributors"] == 18
