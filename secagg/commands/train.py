"""A training run as a person sees it: live progress, and one table at the end."""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shlex import quote
from typing import Any

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column, Table

from dp.accounting.guarantee import Claim
from dp.events import Trust
from dp.figures import in_full, rounded_up_within, used_in_percent
from secagg.aggregation.encoding import Encoding
from secagg.commands.progress import shows_bars
from secagg.commands.recording import check_new, recording, recording_line
from secagg.commands.round_lines import FailedClients, RoundLines
from secagg.errors import CheckpointError, ConfigurationError, DataWarning
from secagg.interruption import Interrupted, ending_at_once
from secagg.paths import escaped, expanded, is_archive
from secagg.privacy.clipping import model_parameters
from secagg.reports.wording import assumed_server, protection, rounding_in_words
from secagg.runs.choices import has_seed_committee
from secagg.runs.config import TrainingConfig
from secagg.runs.folder import RunFolder
from secagg.runs.goal import choose_goal, rounds_in_words
from secagg.runs.kept_ledgers import EarlierLedgers
from secagg.runs.parsing import parse, read_settings, with_whole_paths
from secagg.runs.prepare import Prepared, prepare
from secagg.runs.resuming import check_given_again
from secagg.runs.run import make_ledger, run_training
from secagg.runs.summary import Summary
from secagg.runs.tolerance import Cohort
from secagg.simulation.committee import warn_without_gmpy2
from secagg.training.cohorts import Draw
from secagg.training.records import RoundRecord
from secagg.transcripts.recorder import Recorder


def train_on_terminal(
    path: Path | None,
    given: dict[str, Any],
    *,
    out: Path | None,
    resume: bool,
    overwrite: bool,
    record: Path | None,
    as_json: bool,
) -> None:
    """Train from settings to the finished run, with progress on standard error and the summary on standard output.

    Args:
        path: TOML file of settings, or None.
        given: Settings of the command line, which override the file's.
        out: The run's folder; by default one named after the data set.
        resume: Resume the run in the folder, with the settings that it began with, or to another number of rounds.
        overwrite: Replace the run in the folder.
        record: A transcript of what the server sees: a new file, or one to add to if the run is resumed; or None.
        as_json: Print the summary as JSON.
    """
    console = Console(stderr=True)
    settings = {**(read_settings(path) if path else {}), **given}
    if resume:
        if overwrite:
            raise ConfigurationError(
                "--resume and --overwrite: expected at most one of them, found both. --resume continues a run, "
                "--overwrite replaces it."
            )
        folder, summary = _resumed(settings, _folder(out, settings), console, record=record)
    else:
        config = with_whole_paths(parse(settings))
        folder, summary = _begun(config, _folder(out, settings), console, overwrite=overwrite, record=record)
    if as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(summary)).decode() + "\n")
    else:
        Console().print(summary_table(summary, folder))
        if summary.ledger_head is not None:  # Not in the table, whose columns would break it.
            words = f"ledger head, to keep elsewhere:\n{summary.ledger_head}"
            Console().print(words, highlight=False, soft_wrap=True)


def _folder(out: Path | None, settings: dict[str, Any]) -> RunFolder:
    """Return the run's folder: the one that is named, or that of the data set."""
    if out is not None:
        return RunFolder(expanded(out))
    dataset = str(settings.get("dataset", TrainingConfig().dataset))
    return RunFolder(Path("runs") / Path(dataset).stem)


def _begun(
    config: TrainingConfig, folder: RunFolder, console: Console, *, overwrite: bool, record: Path | None
) -> tuple[RunFolder, Summary]:
    """Begin a run, and train to its end."""
    folder.check_free(overwrite=overwrite)
    check_new(record)
    with ending_at_once():  # Nothing has begun, and TensorFlow may be about to be imported.
        prepared = _prepared(config, console)
    with folder, _explain_resume(folder, console):
        folder.check_free(overwrite=overwrite)  # Again: now nobody else can begin a run here.
        with recording(record, resume=False) as recorder:
            folder.begin(prepared.config)
            return folder, _run(prepared, folder, resume=False, console=console, recorder=recorder)


def _resumed(
    settings: dict[str, Any], folder: RunFolder, console: Console, *, record: Path | None
) -> tuple[RunFolder, Summary]:
    """Resume a run, and train to its end, which may be another one than it began with."""
    if not folder.has_begun():  # Refused before a lock is left in the folder.
        raise CheckpointError(f"{folder.path}: expected a run to resume, found none. Name its folder with --out.")
    check_given_again(settings, folder.config())
    with folder, _explain_resume(folder, console):
        began = folder.config()
        asked = check_given_again(settings, began)
        prepared = _prepared(began, console)
        goal = choose_goal(prepared, folder, asked)
        if goal.cost is not None:
            _say(console, f"rounds {goal.done + 1} to {goal.rounds}: {goal.cost}")
        with recording(record, resume=True) as recorder:
            if goal.rounds != folder.goal(began):
                folder.set_goal(goal.rounds)
            return folder, _run(prepared, folder, resume=True, console=console, recorder=recorder)


def _prepared(config: TrainingConfig, console: Console) -> Prepared:
    if config.committee is not None and not has_seed_committee(config):
        warn_without_gmpy2()
    with console.status("loading data and model, planning protocol and noise"), _warnings_shown(console):
        return prepare(config)


@contextmanager
def _warnings_shown(console: Console) -> Iterator[None]:
    """Show each warning about the data in one line, without the place in the code."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DataWarning)
        yield
    for one in caught:
        if issubclass(one.category, DataWarning):
            console.print(f"secagg: warning: {escaped(one.message)}", highlight=False, markup=False, soft_wrap=True)
        else:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)


def _run(
    prepared: Prepared, folder: RunFolder, *, resume: bool, console: Console, recorder: Recorder | None = None
) -> Summary:
    """Make the run and its report, and return its summary."""
    rounds = folder.goal(prepared.config)
    _say(console, _plan_line(prepared, rounds))
    for warning in prepared.cohort.warnings:
        console.print(f"warning: {escaped(warning)}", style="yellow", highlight=False, markup=False, soft_wrap=True)
    if not resume:
        make_ledger(prepared, folder)
    earlier = _earlier_line(prepared, folder, rounds - folder.rounds_done())
    if earlier:
        _say(console, earlier)
    if recorder is not None:
        _say(console, recording_line(prepared, recorder))
    failed = FailedClients(lambda line: _say(console, line), secret=prepared.config.by_poisson)
    with _progress(prepared.config, folder, rounds, console) as progress:

        def observe(kind: str | None, record: RoundRecord) -> None:
            failed.observe(kind, record)
            progress.observe(kind, record)

        summary = run_training(prepared, folder, resume=resume, observe=observe, recorder=recorder)
    _write_report(folder, prepared, summary, console)
    if recorder is not None:
        _say(console, f"transcript head, to keep elsewhere: {recorder.head.hex()}")
    return summary


def _earlier_line(prepared: Prepared, folder: RunFolder, left: int) -> str:
    """Return what earlier runs in the folder cost together with this one, once it has ended."""
    planned = None if prepared.event is None else {prepared.event: left}
    return EarlierLedgers.of(folder.path, planned=planned).in_words(private=prepared.config.private)


def _progress(config: TrainingConfig, folder: RunFolder, rounds: int, console: Console) -> "_Live | RoundLines":
    if shows_bars(console):
        return _Live(console, config, rounds)
    earlier: list[tuple[str | None, RoundRecord]] = [(None, record) for record in folder.metrics()]
    earlier += [(line.kind, line.record) for line in folder.comparison()]
    return RoundLines(rounds, earlier, secret=config.by_poisson)


@contextmanager
def _explain_resume(folder: RunFolder, console: Console) -> Iterator[None]:
    """If a run is interrupted that has begun, say how far it came and how to resume it."""
    try:
        yield
    except (KeyboardInterrupt, Interrupted):
        if folder.has_begun():
            done = folder.metrics()[-1].round if folder.metrics() else 0
            with suppress(OSError):  # The terminal may be gone.
                _say(
                    console,
                    f"interrupted after {done} whole rounds. A round that had begun and was reserved counts as spent. "
                    f"Go on with: secagg train --out {quote(str(folder.path))} --resume",
                )
        raise


def _say(console: Console, line: str) -> None:
    console.print(escaped(line), highlight=False, markup=False, soft_wrap=True)


class _Live:
    """One bar for the run and one for each run to compare with."""

    def __init__(self, console: Console, config: TrainingConfig, rounds: int) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", table_column=Column(no_wrap=True)),
            BarColumn(bar_width=10),
            TextColumn("{task.completed:.0f}/{task.total:.0f}", table_column=Column(justify="right", no_wrap=True)),
            TextColumn("{task.fields[note]}", table_column=Column(no_wrap=True)),
            TimeElapsedColumn(),
            console=console,
        )
        self._budget, self._secret = config.epsilon, config.by_poisson
        name = protection(config.protocol, private=config.private, adversary=config.adversary)
        kinds: dict[str | None, str] = {None: name}
        if config.compare:
            kinds |= {"without noise": "without noise", "plain": "in the clear"}
        self._tasks: dict[str | None, TaskID] = {
            kind: self._progress.add_task(label, total=rounds, note="") for kind, label in kinds.items()
        }

    def __enter__(self) -> "_Live":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def observe(self, kind: str | None, record: RoundRecord) -> None:
        """Move a bar."""
        note = f"{record.accuracy:6.2%}"
        if record.used is not None:
            note += f"  {used_in_percent(record.used)} of epsilon {in_full(self._budget)}"
        elif record.epsilon is not None:
            note += f"  epsilon {rounded_up_within(record.epsilon, self._budget)}"
        if kind is None:
            note += f"  about {record.contributors} in" if self._secret else f"  {record.contributors} in"
        self._progress.update(self._tasks[kind], completed=record.round, note=note)


def _plan_line(prepared: Prepared, rounds: int) -> str:
    config, mean = prepared.config, prepared.mean
    multiplier, plan = prepared.noise_multiplier, prepared.example_level
    noise = "no noise" if multiplier is None else f"noise {multiplier:.2f} x sensitivity"
    if plan is not None:
        noise += f" in each of {plan.steps} local steps on a fraction {plan.sampling_rate:.3g} of the examples"
    if (factor := mean.rounding_factor) is not None:
        noise += f" ({rounding_in_words(factor)})"
    parameters = model_parameters(config.clipping, mean.encoding.shapes)
    exposed = "" if mean.protocol.protects else " (an insecure baseline: the server sees every update)"
    return (
        f"{config.dataset}: {config.clients} clients{_cohort_in_words(config)}, {rounds_in_words(rounds)}, "
        f"{parameters} parameters in {mean.encoding.length} coordinates of {mean.encoding.modulus_bits} bits"
        f"{_compression_in_words(mean.encoding)}, "
        f"{mean.protocol}{exposed}, at least {mean.minimum_contributors} contributors, {noise}; "
        f"withstands {prepared.cohort.in_words}"
    )


def _compression_in_words(encoding: Encoding) -> str:
    """Return how many of the rotated coordinates are sent; nothing if all are."""
    if encoding.kept is None:
        return ""
    return f" ({encoding.kept:,} of {encoding.block:,} in each block, a public random subset)"


def _cohort_in_words(config: TrainingConfig) -> str:
    """Return how many clients a round asks, and how often one client; nothing if a round asks all."""
    if config.cohort is None:
        return ""
    if config.by_poisson:
        return f", of whom a round asks about {config.cohort} by a secret draw"
    return f", of whom a round asks {config.cohort}, each in at most {rounds_in_words(config.participations)}"


def summary_table(summary: Summary, folder: RunFolder) -> Table:
    """Return the end of a run at a glance."""
    dataset = Path(summary.dataset).name if is_archive(summary.dataset) else summary.dataset
    title = _shown(f"{dataset}, {summary.clients} clients, {summary.protocol}")
    table = Table(title=title, show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="left", overflow="fold")
    called = protection(summary.protocol, private=summary.epsilon_spent is not None, adversary=summary.adversary)
    table.add_row(f"accuracy, {called}", f"{summary.accuracy:.2%}  (before: {summary.accuracy_before:.2%})")
    labels = {"without noise": "the same, without noise", "plain": "plain FedAvg, in the clear"}
    for kind, accuracy in summary.compared.items():
        table.add_row(f"accuracy, {labels.get(kind, kind)}", f"{accuracy:.2%}")
    if summary.epsilon_spent is not None and summary.epsilon_budget is not None and summary.delta is not None:
        spent = rounded_up_within(summary.epsilon_spent, summary.epsilon_budget)
        shown = f"{spent} of {in_full(summary.epsilon_budget)} at delta {in_full(summary.delta)}"
        if summary.used is not None:
            shown = (
                f"{spent} at delta {in_full(summary.delta)}, the budget; {used_in_percent(summary.used)} of it is used"
            )
        against = ", towards readers only" if summary.draw is Draw.POISSON else ""
        claimed = "spent" if summary.claim is Claim.SPENT else "guaranteed"
        table.add_row(f"epsilon {claimed}, {summary.unit} level", f"{shown}{against}")
    if summary.epsilon_spent is None:
        table.add_row("differential privacy", "none: no noise was added")
    trust = Trust.LOCAL if summary.unit == "example" else summary.trust
    noise_from = None if summary.epsilon_spent is None else trust
    table.add_row("server assumed", assumed_server(summary.protocol, summary.adversary, trust=noise_from))
    cohort = Cohort(
        clients=summary.clients if summary.cohort is None else summary.cohort,
        colluding=summary.colluding,
        noise_colluding=summary.noise_colluding,
        vanishing=summary.vanishing,
        secret=summary.draw is Draw.POISSON,
    )
    table.add_row("withstands", cohort.in_words, style="yellow" if cohort.warnings else None)
    if summary.draw is not None:
        table.add_row("asked a round", _asked(summary))
    table.add_row("rounds", f"{summary.released} of {summary.rounds} released a mean")
    if cohort.secret:
        table.add_row("clients a round, cost", "not recorded: they depend on who was drawn")
    else:
        _add_cost(table, summary)
    if summary.stopped_early:
        table.add_row("stopped early", summary.stopped_because)
    earlier = EarlierLedgers.of(folder.path).in_words(private=summary.epsilon_spent is not None)
    if earlier:
        table.add_row("earlier runs here", _shown(earlier))
    table.add_row("model, ledger, report", _shown(str(folder.path)))
    return table


def _add_cost(table: Table, summary: Summary) -> None:
    """Add the rows of who took part in a round, and of what it cost."""
    dropped = ", ".join(f"{count:.1f} in {_shown(name)}" for name, count in summary.dropped.items())
    table.add_row("dropped out a round", f"{sum(summary.dropped.values()):.1f} clients: {dropped}")
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


def _asked(summary: Summary) -> str:
    """Return how many clients a round asks, and in how many rounds clients were asked."""
    cohort, cap = f"{summary.cohort:,} of {summary.clients:,} clients", f", at most {_times(summary.cap)}"
    words = {
        Draw.IN_TURN: f"{cohort}, in turn{cap}",
        Draw.RANDOM: f"{cohort}, at random{cap}",
        Draw.POISSON: f"about {cohort}, drawn in secret",
    }[summary.draw or Draw.IN_TURN]
    if summary.asked is None:
        return words
    counts = summary.asked
    if counts.least == counts.most:
        return f"{words}; each client was asked {_times(counts.most)}"
    return f"{words}; a client was asked {counts.least} to {_times(counts.most)}, in the median {counts.median}"


def _times(count: int | None) -> str:
    return "1 time" if count == 1 else f"{count} times"


def _shown(text: str) -> str:
    """Text from elsewhere for a table: no markup, and nothing that could control a terminal."""
    return escape(escaped(text))


def _write_report(folder: RunFolder, prepared: Prepared, summary: Summary, console: Console) -> None:
    from secagg.errors import MissingExtraError
    from secagg.reports.report import RunReport

    try:
        page = RunReport.of(folder, prepared, summary).as_html()
    except MissingExtraError as error:
        console.print(f"no report.html: {escaped(error)}", highlight=False, markup=False)
        return
    folder.save_report(page)
