"""Names with escape sequences and HTML, of a folder, a data set and an organisation, in what a whole run shows."""

import os
from pathlib import Path

import numpy as np
import pytest

from tests.support.commands import secagg

CLEAR = "\x1b[2J\x9b2J"
TAG = "<img src=x>"


@pytest.mark.skipif(os.name == "nt", reason="Windows refuses such names of files")
def test_names_of_files_control_no_terminal_and_no_page(tmp_path: Path) -> None:
    """The data set came with a name that clears the screen, and that would be a tag in a page."""
    x = np.random.default_rng(0).normal(size=(200, 6)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.int64)
    data, out = tmp_path / f"d{CLEAR}{TAG}.npz", f"run{CLEAR}{TAG}"
    with data.open("wb") as file:
        np.savez(file, x_train=x, y_train=y, x_test=x[:50], y_test=y[:50])
    options = ("--model", "numpy-softmax", "--clients", "16", "--rounds", "1", "--epsilon", "60", "--no-compare")
    found = secagg("train", "--dataset", data.name, *options, "--organisation", TAG, "--out", out, cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    shown = secagg("budget", "report", f"{out}/ledger.sqlite", cwd=tmp_path)
    assert shown.returncode == 0
    page = (tmp_path / out / "report.html").read_text(encoding="utf-8")
    assert TAG not in page
    for text in (found.stdout, found.stderr, shown.stdout, shown.stderr, page):
        assert "\x1b" not in text
        assert "\x9b" not in text
    assert r"\x1b[2J\x9b2J" in found.stdout
    again = secagg("train", "--out", out, "--resume", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "\x1b" not in again.stdout + again.stderr
