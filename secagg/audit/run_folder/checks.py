"""All checks of a run's folder, in the order in which they are reported."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dp.errors import DpError
from protocols.errors import ProtocolError
from secagg.audit.run_folder import (
    ledger_chain,
    noise,
    participation,
    recount,
    releases,
    results,
    rounds,
    settings,
    weights,
)
from secagg.audit.run_folder.check import RunCheck, Unreadable, Untested, Verdict
from secagg.audit.run_folder.evidence import Evidence, in_words
from secagg.checks import shown
from secagg.errors import ConfigurationError, SecaggError

_DOCUMENTED: Final = (SecaggError, DpError, ProtocolError, OSError)
"""What content that no run writes may raise within a check: a finding. Any other exception is an error of the check."""

RETRAINED: Final = ("run.noise.realised", "run.noise.none")
"""The checks that train all contributors of all rounds again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    id: str
    statement: str
    check: Callable[[Evidence], Verdict]


def _row(name: str, statement: str, check: Callable[[Evidence], Verdict]) -> _Row:
    return _Row(id=f"run.{name}", statement=statement, check=check)


def run_checks(
    folder: Path, *, head: str | None = None, retrain: bool = True, only: Collection[str] | None = None
) -> tuple[RunCheck, ...]:
    """Check everything in the folder of a finished run that follows from something else in it.

    The folder is only read: nothing in it is written or locked. Each check is exact, but for `run.noise.realised`,
    which has one attempt at level 1e-6, since a finished run cannot be run again.

    Args:
        folder: The folder.
        head: A head of its ledger that was kept elsewhere.
        retrain: Whether to train all contributors of all rounds again, for the checks of the realised noise.
        only: The ids of the checks to make, out of `CHECK_IDS`; None for all.

    Raises:
        CheckpointError: The path is not the folder of a run.
        ConfigurationError: There is no check of such an id.
        dp.errors.InvalidParameter: The head is not 64 hexadecimal digits.
    """
    unknown = sorted(set(only or ()) - set(CHECK_IDS))
    if unknown:
        raise ConfigurationError(f"checks: expected some of {', '.join(CHECK_IDS)}, found {shown(unknown[0])}.")
    evidence = Evidence(folder, head=head)
    return tuple(
        RunCheck(id=row.id, statement=row.statement, untested=_NOTRETRAINED)
        if row.id in RETRAINED and not retrain
        else _result(row, evidence)
        for row in _ROWS
        if only is None or row.id in only
    )


def _result(row: _Row, evidence: Evidence) -> RunCheck:
    found, untested, errored, verdict = "", "", "", Verdict()
    try:
        verdict = row.check(evidence)
        found = verdict.found
    except Unreadable as error:
        untested = f"{error.part} cannot be read, see {error.owner}."
    except Untested as error:
        untested = str(error)
    except _DOCUMENTED as error:
        found = in_words(error, evidence.path)
    except Exception as error:  # noqa: BLE001 - A folder may hold anything, and no check may end the audit.
        errored = type(error).__name__
    return RunCheck(
        id=row.id,
        statement=row.statement,
        found=found,
        untested=untested,
        errored=errored,
        shown=verdict.shown,
        test=verdict.test,
    )


_NOTRETRAINED: Final = "The contributors' updates were not trained again, as was asked for."

_ROWS: Final = (
    _row("settings.read", "The settings can be read.", settings.check_read),
    _row("settings.plan", "The settings can be planned again.", settings.check_plan),
    _row("settings.digest", "The checkpoint was written under these settings.", settings.check_digest),
    _row("metrics.whole", "Every line of the metrics is whole.", rounds.check_whole),
    _row(
        "metrics.rounds",
        "The rounds of the metrics are 1, 2 and so on, without a gap, and no more than the run was to make.",
        rounds.check_rounds,
    ),
    _row(
        "metrics.dropped",
        "The clients that dropped out are those that the seed of the settings draws, each once.",
        rounds.check_dropped,
    ),
    _row(
        "metrics.contributors",
        "Every round that released a mean has enough contributors, and no more than the clients that did not drop out.",
        rounds.check_contributors,
    ),
    _row(
        "metrics.bounds",
        "The clipping and rounding bounds in the metrics follow from the settings and the contributors.",
        rounds.check_bounds,
    ),
    _row("ledger.present", "There is a ledger if and only if the run has noise.", ledger_chain.check_present),
    _row(
        "ledger.chain",
        "The ledger's chain is whole, and its records are ones that a ledger writes.",
        ledger_chain.check_chain,
    ),
    _row(
        "ledger.budget",
        "The ledger's budget, population, unit and training examples are those of the settings.",
        ledger_chain.check_budget,
    ),
    _row("ledger.labels", "Every reservation is of a round of this run.", releases.check_labels),
    _row(
        "ledger.order",
        "Rounds were reserved in order, at most one beyond the metrics, and each commitment follows its reservation.",
        releases.check_order,
    ),
    _row("ledger.events", "Every reservation is of exactly the planned event.", releases.check_events),
    _row(
        "ledger.commitments",
        "A round has a commitment if and only if it has contributors.",
        releases.check_commitments,
    ),
    _row(
        "ledger.contributors",
        "The ledger and the metrics agree on the number of contributors of every round.",
        releases.check_contributors,
    ),
    _row(
        "ledger.realised",
        "Every commitment has the noise of its contributors, less those that may collude.",
        releases.check_realised,
    ),
    _row(
        "ledger.details",
        "Every commitment says who adds the noise, how many clients there are, and how many may collude.",
        releases.check_details,
    ),
    _row(
        "ledger.asked",
        "Every reservation asks the clients that the settings draw, or, if the draw is secret, clients of the "
        "population.",
        participation.check_asked,
    ),
    _row("ledger.cap", "No reservation asks a client more often than the cap allows.", participation.check_cap),
    _row(
        "ledger.missing",
        "Every client that is missing from a sum was asked, all others that were asked are contributors, and nobody "
        "who dropped out is one.",
        participation.check_missing,
    ),
    _row("ledger.clock", "The ledger's times do not run backwards.", ledger_chain.check_clock),
    _row(
        "ledger.heads",
        "The head of every round in the metrics is that of the round's last record in the ledger.",
        ledger_chain.check_heads,
    ),
    _row(
        "ledger.kept_head",
        "The head that was kept elsewhere is in the ledger's chain.",
        ledger_chain.check_kept_head,
    ),
    _row(
        "account.epsilons",
        "The epsilon of every round is that of everything that was reserved up to it.",
        ledger_chain.check_epsilons,
    ),
    _row("account.budget", "Everything that was reserved is within the budget.", ledger_chain.check_within),
    _row(
        "account.recount",
        "The worst client's releases, counted and priced by another formula, are within the budget, and the metrics "
        "and the summary state no less.",
        recount.check_recount,
    ),
    _row(
        "account.counts",
        "The summary states the least, the median and the most of how often the ledger's reservations ask a client.",
        participation.check_counts,
    ),
    _row("account.none", "A run without noise states neither an epsilon nor a head.", ledger_chain.check_no_epsilons),
    _row(
        "checkpoint.read",
        "The checkpoint can be read, and is of this model and these settings.",
        weights.check_checkpoint,
    ),
    _row("checkpoint.round", "The checkpoint stands at the last round of the metrics.", weights.check_round),
    _row("weights.kept", "There are complete weights of the start and of the end of every round.", weights.check_kept),
    _row("weights.start", "The run began with the weights that its settings lead to.", weights.check_start),
    _row("weights.last", "The checkpoint has the weights of the last round.", weights.check_last),
    _row("weights.withheld", "A round that released nothing left the weights as they were.", weights.check_withheld),
    _row(
        "weights.committed",
        "Every commitment names the weights that were kept after its round, and the next round's clip.",
        weights.check_committed,
    ),
    _row(
        "weights.velocity",
        "The checkpoint's velocity moved the weights last, and the last commitment names it.",
        weights.check_velocity,
    ),
    _row(
        "weights.measured",
        "The weights after every round, measured again, have the loss and the accuracy in the metrics.",
        weights.check_measured,
    ),
    _row("model.saved", "The saved model has the weights of the checkpoint.", weights.check_saved),
    _row("summary.read", "The summary and the comparison can be read.", results.check_summary_read),
    _row(
        "comparison.rounds",
        "The runs for comparison have all planned rounds, and there are such runs if and only if they were asked for.",
        results.check_comparison,
    ),
    _row(
        "summary.fields",
        "Every field of the summary that follows from the rest of the folder agrees with it.",
        results.check_summary,
    ),
    _row("report.present", "There is a report.", results.check_report_present),
    _row("report.text", "The report, made again, has the same text.", results.check_report_text),
    _row("report.drawings", "The report, made again, has the same drawings.", results.check_report_drawings),
    _row(
        "noise.realised",
        "The noise in the released means, over all rounds together, has the planned variance.",
        noise.check_noise,
    ),
    _row(
        "noise.none",
        "Without noise, every released mean is that of the contributors' updates, trained again, up to rounding.",
        noise.check_no_noise,
    ),
)

STATEMENTS: Final = {row.id: row.statement for row in _ROWS}
"""What each check states, by its id, in order."""
CHECK_IDS: Final = tuple(STATEMENTS)
"""The ids of all checks, in order."""
