import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from dp.events import Trust
from dp.ledger.ledger import Ledger
from dp.version import SOFTWARE, VERSION
from protocols import Adversary
from secagg.commands.train import summary_table
from secagg.runs.config import TrainingConfig
from secagg.runs.folder import RunFolder
from secagg.runs.parsing import parse
from secagg.runs.prepare import prepare
from secagg.runs.run import run_training
from secagg.runs.summary import Summary
from tests.support.commands import SMALL, secagg, stopped

FILES = {
    "checkpoint.npz",
    "config.toml",
    "ledger.sqlite",
    "metrics.jsonl",
    "model.npz",
    "report.html",
    "run.lock",
    "summary.json",
    "weights",
}
LONG = ("train", *SMALL, "--rounds", "40", "--epsilon", "300", "--no-compare", "--out", "run")


def entries(folder: RunFolder) -> tuple[int, float]:
    """How many releases the ledger counts, and what they spent."""
    with Ledger.open(folder.ledger) as ledger:
        return len(ledger.entries()), ledger.spent().epsilon


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which a whole run was made, with comparison, by settings of a file and of options."""
    path = tmp_path_factory.mktemp("finished")
    (path / "settings.toml").write_text("rounds = 9\nepochs = 1\nmodel = 'numpy-softmax'\n")
    (path / "typo.toml").write_text("epocs = 1\n")
    found = secagg("train", "settings.toml", *SMALL, "--rounds", "2", "--epsilon", "60", "--out", "run", cwd=path)
    assert found.returncode == 0, found.stderr
    assert "Traceback" not in found.stderr
    (path / "stdout").write_text(found.stdout)
    (path / "stderr").write_text(found.stderr)
    return path


def test_train_leaves_everything_and_one_table(finished: Path) -> None:
    folder = RunFolder(finished / "run")
    assert {entry.name for entry in folder.path.iterdir()} == FILES | {"comparison.jsonl"}
    config = folder.config()
    assert (config.rounds, config.epochs, config.clients) == (2, 1, 16)
    table = (finished / "stdout").read_text()
    for heading in (
        "secure and private",
        "without noise",
        "plain FedAvg",
        "epsilon guaranteed",
        "dropped out",
        "the server, each round",
        "curious: it follows the protocol",
    ):
        assert table.count(heading) == 1
    assert "2 of 2 released a mean" in table
    assert "at least" in (finished / "stderr").read_text()
    assert "<html" in folder.report.read_text(encoding="utf-8")
    assert len(folder.metrics()) == 2
    assert len(folder.comparison()) == 4


def test_train_json_alone_is_on_standard_output(tmp_path: Path) -> None:
    found = secagg(
        "train", *SMALL, "--rounds", "1", "--epsilon", "60", "--no-compare", "--json", "--out", "a/b", cwd=tmp_path
    )
    assert found.returncode == 0
    summary = json.loads(found.stdout)
    unset = {"asked", "cap", "cohort", "draw", "stopped_because"}
    assert summary.keys() == set(Summary.__struct_fields__) - unset
    assert (summary["software"], summary["version"]) == (SOFTWARE, VERSION)
    assert summary == json.loads((tmp_path / "a" / "b" / "summary.json").read_text())
    assert {entry.name for entry in (tmp_path / "a" / "b").iterdir()} == FILES


@pytest.mark.parametrize(
    ("file", "least_lines", "after_s"),
    [
        ("config.toml", 0, 0.0),
        ("ledger.sqlite", 0, 0.002),
        pytest.param("metrics.jsonl", 1, 0.0, marks=pytest.mark.long),
        ("metrics.jsonl", 9, 0.013),
    ],
)
@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGKILL])
def test_train_stopped_anywhere_counts_every_release_and_goes_on(
    file: str, least_lines: int, after_s: float, by: signal.Signals, tmp_path: Path
) -> None:
    folder, marker = RunFolder(tmp_path / "run"), tmp_path / "run" / file
    found = stopped(
        *LONG, cwd=tmp_path, when=lambda: marker.exists() and lines(marker) >= least_lines, after_s=after_s, by=by
    )
    assert found.returncode == (130 if by is signal.SIGINT else -signal.SIGKILL), found.stderr
    assert "Traceback" not in found.stderr
    assert found.stdout == ""
    whole = len(folder.metrics())
    assert least_lines <= whole < 40
    if by is signal.SIGINT:
        assert f"interrupted after {whole} whole rounds. A round that had begun" in found.stderr
        assert "Go on with: secagg train --out run --resume" in found.stderr
    if whole:
        counted, spent = entries(folder)
        assert whole <= counted <= whole + 1
        assert spent <= 300
    summary = run_training(prepare(folder.config()), folder, resume=True, observe=lambda *_: None)
    counted, spent = entries(folder)
    assert len(folder.metrics()) == summary.rounds >= 39
    assert summary.stopped_early == (summary.rounds < 40)
    assert summary.rounds <= counted <= 40
    assert spent == summary.epsilon_spent
    assert spent <= 300


def test_train_killed_is_reported_on_and_resumed_by_the_command(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    path = folder.path / "metrics.jsonl"
    stopped(*LONG, cwd=tmp_path, when=lambda: lines(path) >= 5, after_s=0.005, by=signal.SIGKILL)
    counted, _ = entries(folder)
    report = secagg("budget", "report", "run/ledger.sqlite", "--json", cwd=tmp_path)
    assert report.returncode == 0, report.stderr
    assert 5 <= len(json.loads(report.stdout)["releases"]) == counted < 40
    found = secagg("train", "--out", "run", "--resume", "--json", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    summary = json.loads(found.stdout)
    assert summary["rounds"] == len(folder.metrics()) >= 39
    assert (tmp_path / "run" / "report.html").is_file()


def test_train_resumed_after_its_end_changes_nothing(finished: Path) -> None:
    folder = RunFolder(finished / "run")
    before = {name: (folder.path / name).read_bytes() for name in ("metrics.jsonl", "comparison.jsonl", "summary.json")}
    counted = entries(folder)
    found = secagg("train", "--out", "run", "--resume", "--json", cwd=finished)
    assert found.returncode == 0
    assert entries(folder) == counted
    assert {name: (folder.path / name).read_bytes() for name in before} == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--resume", "--out", "run", "--rounds", "3"), "expected at most the 2 that the budget allows, found 3"),
        (("--resume", "--out", "run", "--rounds", "1"), "expected at least the 2 that the run has made, found 1"),
        (("--resume", "--out", "run", "--rounds", "0"), "rounds: expected an integer from 1 to 100,000, found 0"),
        (
            ("--resume", "--out", "run", "--no-compare", "--epochs", "2", "--model", "numpy-softmax"),
            "settings that the run began with, found epochs = 2 instead of 1, compare = false instead of true. Leave",
        ),
        (
            ("--resume", "--out", "run", "--overwrite"),
            "expected at most one of them, found both",
        ),
        (("--resume", "--out", "run", "settings.toml"), "expected at most the 2 that the budget allows, found 9"),
        (("--resume", "--out", "run", "typo.toml"), "settings: expected dataset, "),
        (("--resume", "--out", "run", "typo.toml"), "did you mean epochs?"),
        (("--resume",), "runs/digits: expected a run to resume, found none. Name its folder with --out."),
        (("--resume", "--out", "nowhere"), "expected a run to resume, found none"),
        (("--out", "run"), "Continue it with --resume, or replace it with --overwrite"),
        (("--out", "."), "in it. Name another folder."),
        (("--out", ".", "--overwrite"), "in it. Name another folder."),
        (("--out", "settings.toml"), "expected a folder, found a file"),
        (("missing.toml",), "missing.toml: expected a file that can be read, found: No such file"),
        (("--epsilon", "-1"), "epsilon: expected a number from 1e-9 to 1e9, or inf, found -1"),
        (("--delta", "0.5"), "Use at most 0.003."),
        (
            ("--protocol", "rot13"),
            "protocol: expected one of lightsecagg, oneshot, paillier, plain, secagg, secagg-plus, seeds, found",
        ),
        (("--weighting", "heavy"), "weighting: expected one of uniform, weighted, found 'heavy'"),
        (("--dataset", "missing.npz"), "missing.npz"),
        (("--model", "numpy-softmax", "--modulus-bits", "4"), "found 4. Use 16 bits."),
        (("--model", "numpy-softmax", "--minimum-contributors", "299"), "minimum_contributors: expected at most 270"),
    ],
)
def test_train_refuses_in_one_line_and_writes_nothing(arguments: tuple[str, ...], message: str, finished: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*")}
    found = secagg("train", *arguments, cwd=finished)
    assert found.returncode == 2
    assert found.stdout == ""
    assert found.stderr.startswith("secagg: ")
    assert found.stderr.count("\n") == 1
    assert message in found.stderr
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*")} == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "--clients", "many"), "--clients"),
        (("train", "--epsilom", "1"), "--epsilom"),
        (("train", "--out"), "--out"),
        (("train", "a.toml", "b.toml"), "b.toml"),
        (("trane",), "trane"),
        (("budget", "report"), "LEDGERS"),
        (("budget", "repord"), "repord"),
    ],
)
def test_wrong_usage_is_explained_without_a_traceback(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    found = secagg(*arguments, cwd=tmp_path)
    assert found.returncode == 2
    assert found.stdout == ""
    assert "Error" in found.stderr
    assert message in found.stderr
    assert "Traceback" not in found.stderr
    assert not list(tmp_path.iterdir())


def test_train_beside_a_running_one_is_refused_and_harms_nothing(tmp_path: Path) -> None:
    """Every way to use the folder of a run that is not over, tried by processes of their own."""
    folder = RunFolder(tmp_path / "run")
    path, found = folder.path / "metrics.jsonl", list[subprocess.CompletedProcess[str]]()

    def tried() -> bool:
        if lines(path) >= 2:
            for options in (("--resume",), ("--overwrite", *LONG[1:-2])):
                found.append(secagg("train", *options, "--out", "run", cwd=tmp_path))
        return bool(found)

    longer = ("train", *SMALL, "--rounds", "1000", "--modulus-bits", "32", "--no-compare", "--out", "run")
    end = stopped(*longer, cwd=tmp_path, when=tried, after_s=0, by=signal.SIGINT)
    assert end.returncode == 130
    for process in found:
        assert process.returncode == 2
        assert "secagg: run: expected a folder that nobody uses, found another run in it. Wait" in process.stderr
        assert process.stderr.count("Traceback") == 0
    assert len(found) == 2
    counted, _ = entries(folder)
    assert len(folder.metrics()) <= counted <= len(folder.metrics()) + 1


@pytest.mark.parametrize("out", ["[/x]", "[red]", os.fsdecode(b"bytes-\xff")])
def test_train_into_a_folder_of_any_name(out: str, tmp_path: Path) -> None:
    found = secagg("train", *SMALL, "--rounds", "1", "--epsilon", "60", "--no-compare", "--out", out, cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert out.encode(errors="backslashreplace").decode() in found.stdout


def test_train_on_a_file_whose_name_is_no_text_is_one_line(tmp_path: Path) -> None:
    found = secagg("train", *SMALL[2:], "--dataset", os.fsdecode(b"\xff.npz"), "--out", "run", cwd=tmp_path)
    assert found.returncode == 2
    assert found.stderr.startswith("secagg: dataset: expected valid Unicode")
    assert found.stderr.count("\n") == 1


def test_summary_shows_names_of_stages_as_they_are() -> None:
    summary = Summary(
        dataset="[b]data[/b]",
        model="softmax",
        clients=3,
        protocol="plain",
        adversary=Adversary.CURIOUS,
        trust=Trust.DISTRIBUTED,
        unit="client",
        rounds=1,
        released=1,
        loss=1.0,
        accuracy=0.5,
        accuracy_before=0.1,
        compared={},
        epsilon_spent=None,
        epsilon_budget=None,
        delta=None,
        noise_multiplier=None,
        minimum_contributors=2,
        contributors=2.0,
        dropped={"[/x]": 1.0},
        sent_bytes=1.0,
        received_bytes=1.0,
        client_s=1.0,
        server_s=1.0,
        stopped_early=False,
        saved_model="model.npz",
    )
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(summary_table(summary, RunFolder(Path("[red]"))))
    text = console.export_text()
    assert "1.0 in [/x]" in text
    assert "[b]data[/b], 3 clients" in text
    assert "[red]" in text


def test_train_where_nothing_can_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    found = secagg("train", *SMALL, "--rounds", "1", "--epsilon", "60", "--out", "file/run", cwd=tmp_path)
    assert found.returncode == 2
    assert "Traceback" not in found.stderr
    assert "expected a file or folder that can be used, found: Not a directory. Check path" in found.stderr


def test_help_names_every_setting(tmp_path: Path) -> None:
    found = secagg("train", "--help", cwd=tmp_path)
    assert found.returncode == 0
    for name in TrainingConfig.__struct_fields__:
        assert f"--{name.replace('_', '-')}" in found.stdout


def test_train_against_a_malicious_server(tmp_path: Path) -> None:
    options = ("--rounds", "2", "--epsilon", "60", "--no-compare", "--adversary", "malicious", "--out", "run")
    found = secagg("train", *SMALL, *options, cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert "secure and private, malicious server" in found.stdout
    assert "malicious: it may do anything" in found.stdout
    assert "2 of 2 released a mean" in found.stdout
    refused = secagg("train", *SMALL, "--adversary", "malicious", "--protocol", "plain", "--out", "other", cwd=tmp_path)
    assert refused.returncode == 2
    assert refused.stderr.startswith(
        "secagg: protocol: expected one that protects from a malicious server, found plain. "
    )


def test_protocols_are_listed(tmp_path: Path) -> None:
    found = secagg("protocols", "--json", cwd=tmp_path)
    rows = {row["name"]: row for row in json.loads(found.stdout)}
    assert {"plain", "secagg", "secagg-plus"} <= rows.keys()
    assert rows["secagg"]["rounds"][0] == "advertise_keys"
    text = secagg("protocols", cwd=tmp_path)
    assert text.returncode == 0
    for row in rows.values():
        assert row["name"] in text.stdout
        assert row["about"].split()[0] in text.stdout


def test_budget_report_as_text_json_and_page(finished: Path, tmp_path: Path) -> None:
    ledger, page = str(finished / "run" / "ledger.sqlite"), tmp_path / "budget.html"
    text = secagg("budget", "report", ledger, cwd=tmp_path)
    assert text.returncode == 0
    assert "client" in text.stdout
    found = secagg("budget", "report", ledger, "--json", "--html", str(page), cwd=tmp_path)
    assert found.returncode == 0
    assert len(json.loads(found.stdout)["releases"]) == 2
    assert "<html" in page.read_text(encoding="utf-8")
    found = secagg("budget", "report", ledger, "--html", str(tmp_path / "no" / "page.html"), cwd=tmp_path)
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr.startswith("secagg: --html: expected a file that can be written, found ")


def test_budget_report_of_what_is_no_ledger_is_one_line(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "garbage").write_bytes(os.urandom(5000))
    (tmp_path / "empty").touch()
    sqlite3.connect(tmp_path / "other.sqlite").execute("CREATE TABLE t (x)").connection.close()
    whole = (finished / "run" / "ledger.sqlite").read_bytes()
    (tmp_path / "cut").write_bytes(whole[: len(whole) // 2])
    for name in ("garbage", "empty", "other.sqlite", "cut", "missing", "."):
        found = secagg("budget", "report", name, cwd=tmp_path)
        assert (found.returncode, found.stdout) == (2, ""), name
        assert found.stderr.startswith("secagg: "), name
        assert found.stderr.count("\n") == 1, name


def test_budget_report_of_a_ledger_in_use_is_given(finished: Path) -> None:
    path = finished / "run" / "ledger.sqlite"
    with Ledger.open(path):
        found = secagg("budget", "report", str(path), cwd=finished)
    assert (found.returncode, found.stderr) == (0, "")
    assert "differentially private" in found.stdout


def test_settings_of_a_run_run_it_again(finished: Path) -> None:
    config = RunFolder(finished / "run").config()
    given = parse(
        {"dataset": "breast-cancer", "model": "numpy-softmax", "clients": 16, "rounds": 2}
        | {"epochs": 1, "epsilon": 60.0, "delta": 0.01}
    )
    assert prepare(given).config == config
    assert prepare(config).config == config


def test_help_on_a_narrow_terminal_without_unicode_is_written_with_escapes() -> None:
    found = subprocess.run(
        [sys.executable, "-P", "-m", "secagg", "audit", "--help"],
        capture_output=True,
        env={**os.environ, "COLUMNS": "40", "PYTHONIOENCODING": "ascii"},
        check=False,
    )
    assert (found.returncode, found.stderr) == (0, b"")
    assert rb"\u2026" in found.stdout  # An ellipsis, for what the narrow table has no room for.


@pytest.mark.parametrize("arguments", [("--help",), ("train", "--help"), ("protocols",), ("protocols", "--json")])
def test_command_that_trains_nothing_loads_no_tensorflow(arguments: tuple[str, ...]) -> None:
    script = """
import sys
from secagg.cli import main
try:
    main()
finally:
    print(*sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
"""
    found = subprocess.run(
        [sys.executable, "-P", "-c", script, *arguments], capture_output=True, text=True, check=True
    ).stderr.splitlines()[-1]
    loaded = set(found.split())
    assert {"secagg", "protocols", "typer"} <= loaded
    assert loaded.isdisjoint({"tensorflow", "keras", "matplotlib", "jinja2", "phe"})
