"""The README's Python runs as it stands, and its links, commands and figures are right."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import secagg

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
COMMANDS = re.findall(r"^ +(secagg .*)$", TEXT, re.MULTILINE)
TARGETS = sorted(set(re.findall(r"make ([a-z-]+)(?=`|  )", TEXT)))
LINKS = sorted({link for link in re.findall(r"\]\(([^)#]+)[^)]*\)", TEXT) if "://" not in link})


def said(code: str, folder: Path) -> list[str]:
    """Return the lines that a block prints if it runs in a folder."""
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def options(words: list[str]) -> set[str]:
    """Return the options that the help of a command shows."""
    shown = secagg(*words, "--help", cwd=ROOT)
    assert shown.returncode == 0, shown.stderr
    return set(re.findall(r"--[a-z0-9-]+", shown.stdout))


def figures(name: str) -> Any:
    """Return what a benchmark has measured."""
    return json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text(encoding="utf-8"))


def row(start: str) -> str:
    """Return the row of a table that begins with these words."""
    (found,) = (line for line in TEXT.splitlines() if line.startswith(f"| {start} |"))
    return found


@pytest.mark.parametrize("code", BLOCKS, ids=range(len(BLOCKS)))
def test_readme_code_runs(code: str, tmp_path: Path) -> None:
    """Every block runs; a second run finds the ledger of the first one and releases nothing more."""
    first = said(code, tmp_path)
    if "Ledger" in code:
        assert len(first) == 11
        assert said(code, tmp_path) == first[-1:] == ["epsilon 8.00 of 8 is spent"]
    else:
        assert first[0].startswith("97 of 100 vectors are in the sum")
        assert re.findall(r"(\d+):", first[1]) == ["3", "7", "8", "9"]


def test_readme_has_two_examples_and_six_commands() -> None:
    assert len(BLOCKS) == 2
    assert [command.split(" --")[0] for command in COMMANDS] == [
        "secagg budget plan",
        "secagg train",
        "secagg budget report runs/digits",
        "secagg budget verify runs/digits",
        "secagg audit runs/digits",
        "secagg audit",
    ]


@pytest.mark.parametrize("command", COMMANDS, ids=range(len(COMMANDS)))
def test_readme_commands_have_the_options_that_they_are_shown_with(command: str) -> None:
    words = [word for word in command.split(" --")[0].split()[1:] if "/" not in word]
    assert set(re.findall(r"--[a-z0-9-]+", command)) <= options(words)


def test_readme_table_of_options_is_of_options_that_train_has() -> None:
    named = set(re.findall(r"--[a-z0-9-]+", "".join(re.findall(r"^\| (`--.*?`) \|", TEXT, re.MULTILINE))))
    assert len(named) == 13
    assert named <= options(["train"])


@pytest.mark.parametrize("link", LINKS)
def test_readme_links_to_what_is_there(link: str) -> None:
    assert (ROOT / link).exists()


@pytest.mark.parametrize("target", TARGETS)
def test_readme_names_targets_of_the_makefile(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


def test_readme_accuracies_are_those_measured() -> None:
    spreads = figures("accuracy")["spreads"]
    means = [f"{100 * spread['mean']:.1f}%" for spread in spreads]
    ranges = [f"{100 * spread['least']:.1f}% to {100 * spread['most']:.1f}%" for spread in spreads]
    assert row("mean") == f"| mean | {' | '.join(means)} |"
    assert row("lowest to highest") == f"| lowest to highest | {' | '.join(ranges)} |"


@pytest.mark.parametrize("protocol", ["plain", "secagg", "secagg-plus"])
def test_readme_costs_of_masks_are_those_measured(protocol: str) -> None:
    (case,) = (
        case
        for case in figures("cost")["cases"]
        if (case["protocol"], case["clients"], case["length"]) == (protocol, 100, 10**6)
    )
    sizes = f"{1e3 * case['client_s']:.1f} ms | {case['sent_bytes'] / 1e3:,.0f} kB | {case['server_s']:.2f} s"
    assert any(f"| `{protocol}` |" in line and sizes in line for line in TEXT.splitlines())


def test_readme_costs_of_other_protocols_are_those_measured() -> None:
    coded, oneshot, paillier = figures("lightsecagg")["wholes"][0], figures("oneshot"), figures("paillier")
    each = {entry["work"]: entry["ours_us"] for entry in paillier["rows"]}
    for protocol, sizes in {
        "lightsecagg": f"{1e3 * coded['client_s']:.0f} ms | {coded['sent_bytes'] / 1e3:,.0f} kB | "
        f"{coded['server_s']:.2f} s |",
        "oneshot": f"{oneshot['message_ms']:.0f} ms | {1e3 * oneshot['bytes_per_value']:,.0f} kB | "
        f"{oneshot['server_ms']:.0f} ms for each client; a committee member {oneshot['member_s']['50000']:.1f} s |",
        "paillier": f"{each['encrypt, 512-bit exponents']:.1f} s | {1e3 * paillier['bytes_per_value']:,.0f} kB | "
        f"{1e3 * each['add']:.0f} ms for each client |",
    }.items():
        assert any(f"| `{protocol}` |" in line and sizes in line for line in TEXT.splitlines()), protocol
