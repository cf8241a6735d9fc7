"""A training run as a person sees it: live progress, and one table at the end."""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column, Table

from dp.report import rounded_up
from secagg.config import TrainingConfig, assumed_server, parse, protection, read_settings
from secagg.errors import ConfigurationError, DataWarning
from secagg.keyholders import warn_without_gmpy2
from secagg.prepare import Prepared, prepare
from secagg.records import RoundRecord
from secagg.run import Summary, run_training
from secagg.runfolder import RunFolder


def train_on_terminal(
    path: Path | None, given: dict[str, Any], *, out: Path | None, resume: bool, overwrite: bool, as_json: bool
) -> None:
    """Settings to finished run, with progress on standard error and the summary on standard output.

    Args:
        path: TOML file of settings, or None.
        given: Settings of the command line, which come before the file's.
        out: The run's folder; by default one named after the data set.
        resume: Go on with the run in the folder, with the settings that it began with.
        overwrite: Replace the run in the folder.
        as_json: Print the summary as JSON.
    """
    console = Console(stderr=True)
    if resume:
        if overwrite or path is not None or given:
            raise ConfigurationError("--resume goes on with the settings that the run began with; give --out alone")
        if out is None:
            raise ConfigurationError("--resume needs --out, the folder of the run to go on with")
        folder = RunFolder(out)
        folder.config()  # Refuses a folder without a run before a lock is left in it.
        with folder, _telling_how_to_go_on(folder, console):
            summary = _run(_prepared(folder.config(), console), folder, resume=True, console=console)
    else:
        config = parse({**(read_settings(path) if path else {}), **given})
        folder = RunFolder(out or Path("runs") / Path(config.dataset).stem)
        folder.check_free(overwrite=overwrite)
        prepared = _prepared(config, console)
        with folder, _telling_how_to_go_on(folder, console):
            folder.check_free(overwrite=overwrite)  # Again: now nobody else can begin a run here.
            folder.begin(prepared.config)
            summary = _run(prepared, folder, resume=False, console=console)
    if as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(summary)).decode() + "\n")
    else:
        Console().print(summary_table(summary, folder))


def _prepared(config: TrainingConfig, console: Console) -> Prepared:
    if config.committee is not None:
        warn_without_gmpy2()
    with console.status("loading data and model, planning protocol and noise"), _warnings_shown(console):
        return prepare(config)


@contextmanager
def _warnings_shown(console: Console) -> Iterator[None]:
    """Show what the data are warned of in one line each, without the place in the code."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DataWarning)
        yield
    for one in caught:
        if issubclass(one.category, DataWarning):
            console.print(f"secagg: warning: {one.message}", highlight=False, markup=False, soft_wrap=True)
        else:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)


def _run(prepared: Prepared, folder: RunFolder, *, resume: bool, console: Console) -> Summary:
    """The run and its report."""
    console.print(_plan_line(prepared), highlight=False, markup=False, soft_wrap=True)
    with _Live(console, prepared.config) as live:
        summary = run_training(prepared, folder, resume=resume, observe=live.observe)
    _write_report(folder, prepared, summary, console)
    return summary


@contextmanager
def _telling_how_to_go_on(folder: RunFolder, console: Console) -> Iterator[None]:
    """Say, where a run is interrupted that has begun, what it has done and how to go on with it."""
    try:
        yield
    except KeyboardInterrupt:
        if folder.has_begun():
            done = folder.metrics()[-1].round if folder.metrics() else 0
            console.print(
                f"interrupted after {done} whole rounds; a round that had begun and was reserved counts as spent; "
                f"go on with: secagg train --out {folder.path} --resume",
                highlight=False,
                markup=False,
                soft_wrap=True,
            )
        raise


class _Live:
    """One bar for the run and one for each run to compare with."""

    def __init__(self, console: Console, config: TrainingConfig) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", table_column=Column(no_wrap=True)),
            BarColumn(bar_width=10),
            TextColumn("{task.completed:.0f}/{task.total:.0f}", table_column=Column(justify="right", no_wrap=True)),
            TextColumn("{task.fields[note]}", table_column=Column(no_wrap=True)),
            TimeElapsedColumn(),
            console=console,
        )
        name = protection(config.protocol, private=config.private, adversary=config.adversary)
        kinds: dict[str | None, str] = {None: name}
        if config.compare:
            kinds |= {"without noise": "without noise", "plain": "in the clear"}
        self._tasks: dict[str | None, TaskID] = {
            kind: self._progress.add_task(label, total=config.rounds, note="") for kind, label in kinds.items()
        }

    def __enter__(self) -> "_Live":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def observe(self, kind: str | None, record: RoundRecord) -> None:
        """Move a bar."""
        note = f"{record.accuracy:6.2%}"
        if record.epsilon is not None:
            note += f"  epsilon {record.epsilon:.2f}"
        if kind is None:
            note += f"  {record.contributors} in"
        self._progress.update(self._tasks[kind], completed=record.round, note=note)


def _plan_line(prepared: Prepared) -> str:
    config, mean = prepared.config, prepared.mean
    multiplier, plan = prepared.noise_multiplier, prepared.example_level
    noise = "no noise" if multiplier is None else f"noise {multiplier:.2f} x sensitivity"
    if plan is not None:
        noise += f" in each of {plan.steps} local steps on a fraction {plan.sampling_rate:.3g} of the examples"
    return (
        f"{config.dataset}: {config.clients} clients, {config.rounds} rounds, {mean.encoding.dimension} parameters in "
        f"{mean.encoding.length} coordinates of {mean.encoding.modulus_bits} bits, {mean.protocol}, at least "
        f"{mean.minimum_contributors} contributors, {noise}"
    )


def summary_table(summary: Summary, folder: RunFolder) -> Table:
    """The end of a run at a glance."""
    title = _shown(f"{summary.dataset}, {summary.clients} clients, {summary.protocol}")
    table = Table(title=title, show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="left", overflow="fold")
    called = protection(summary.protocol, private=summary.epsilon_spent is not None, adversary=summary.adversary)
    table.add_row(f"accuracy, {called}", f"{summary.accuracy:.2%}  (before: {summary.accuracy_before:.2%})")
    labels = {"without noise": "the same, without noise", "plain": "plain FedAvg, in the clear"}
    for kind, accuracy in summary.compared.items():
        table.add_row(f"accuracy, {labels.get(kind, kind)}", f"{accuracy:.2%}")
    if summary.epsilon_spent is not None and summary.epsilon_budget is not None:
        spent = f"{rounded_up(summary.epsilon_spent)} of {summary.epsilon_budget:g} at delta {summary.delta:g}"
        table.add_row(f"epsilon spent, {summary.unit} level", spent)
    if summary.ledger_head is not None:
        table.add_row("ledger head, to keep elsewhere", summary.ledger_head)
    table.add_row("server assumed", assumed_server(summary.protocol, summary.adversary, summary.trust))
    table.add_row("rounds", f"{summary.released} of {summary.rounds} released a mean")
    dropped = ", ".join(f"{count:.1f} in {_shown(name)}" for name, count in summary.dropped.items())
    table.add_row("vanished a round", f"{sum(summary.dropped.values()):.1f} clients: {dropped}")
    table.add_row(
        "contributors a round", f"{summary.contributors:.1f}; fewer than {summary.minimum_contributors} release nothing"
    )
    table.add_row(
        "a client, each round",
        f"{summary.sent_bytes:,.0f} bytes sent, {summary.received_bytes:,.0f} received, {summary.client_s:.4f} CPU s",
    )
    if summary.committee is not None:
        cost = summary.committee
        table.add_row(
            f"each of {cost.members} committee members, each round",
            f"{cost.sent_bytes:,.0f} bytes sent, {cost.received_bytes:,.0f} received, {cost.member_s:.4f} CPU s",
        )
    table.add_row("the server, each round", f"{summary.server_s:.3f} CPU s")
    if summary.stopped_early:
        table.add_row("stopped early", "the budget does not allow another release")
    table.add_row("model, ledger, report", _shown(str(folder.path)))
    return table


def _shown(text: str) -> str:
    """Text from elsewhere for a table: no markup, and writable where a path holds bytes that are no Unicode."""
    return escape(text.encode(errors="backslashreplace").decode())


def _write_report(folder: RunFolder, prepared: Prepared, summary: Summary, console: Console) -> None:
    from secagg.errors import MissingExtraError
    from secagg.report import RunReport

    try:
        page = RunReport.of(folder, prepared, summary).as_html()
    except MissingExtraError as error:
        console.print(f"no report.html: {error}", highlight=False, markup=False)
        return
    folder.save_report(page)
