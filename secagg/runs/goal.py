"""How far a run goes: the rounds that it began with, or another number of rounds when it is resumed.

The noise stays what the run began with, sized for its first number of rounds. The ledger decides how many more rounds
the budget allows.
"""

from collections import Counter
from dataclasses import dataclass

from dp.accounting.guarantee import guarantee
from dp.events import PrivacyEvent
from dp.figures import in_full, rounded_up_within
from dp.ledger.ledger import Ledger
from dp.ledger.records import Budget
from dp.ledger.remaining import remaining
from secagg.errors import ConfigurationError
from secagg.runs.folder import RunFolder
from secagg.runs.prepare import Prepared


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """The round that a run ends with.

    Attributes:
        rounds: The number of rounds of the whole run.
        done: The number of rounds that it has made already.
        cost: What the rest will cost, in words; None without noise, or if nothing is left to do.
    """

    rounds: int
    done: int
    cost: str | None = None


def choose_goal(prepared: Prepared, folder: RunFolder, asked: int | None) -> Goal:
    """Return the last round of a run that is resumed.

    Args:
        prepared: The run.
        folder: The run's folder.
        asked: The number of rounds that is asked for; None to keep the run's goal.

    Raises:
        ConfigurationError: More rounds have been made, or the budget does not allow that many.
        CheckpointError, DpError: The folder or its ledger cannot be read.
    """
    config, done, before = prepared.config, folder.rounds_done(), folder.goal(prepared.config)
    if asked is None:
        return Goal(rounds=before, done=done)
    if asked < done and asked != config.rounds:
        raise ConfigurationError(f"rounds: expected at least the {done} that the run has made, found {asked}.")
    rounds, event = max(asked, done), prepared.event
    if event is None or rounds == done:
        return Goal(rounds=rounds, done=done)
    budget, events = _account(prepared, folder)
    spent, cost = (
        guarantee(
            events + Counter({event: more}), delta=budget.delta, relation=budget.relation, unit=budget.unit
        ).epsilon
        for more in (0, rounds - done)
    )
    allowed = done + remaining(events, event, budget=budget)
    whole = in_full(budget.epsilon)
    spent_shown, cost_shown = (
        rounded_up_within(figure, budget.epsilon) for figure in (spent, min(cost, budget.epsilon))
    )
    # A round that was interrupted is spent, so the rounds of the plan may be one too many: the run then ends early.
    if rounds > max(allowed, config.rounds):
        raise ConfigurationError(
            f"rounds: expected at most the {allowed} that the budget allows, found {rounds}: epsilon "
            f"{spent_shown} of {whole} is spent on {rounds_in_words(done)}, and the noise stays what it was. "
            f"Ask for at most {rounds_in_words(allowed)}. Another run on the same data has a budget of its own, and "
            "both costs add up (secagg budget report A B)."
        )
    return Goal(
        rounds=rounds,
        done=done,
        cost=(
            f"epsilon {spent_shown} of {whole} is spent, and at most "
            f"{cost_shown} will be; the budget allows {rounds_in_words(allowed)} in all"
        ),
    )


def rounds_in_words(count: int) -> str:
    """Return a number of rounds with its noun."""
    return "1 round" if count == 1 else f"{count} rounds"


def _account(prepared: Prepared, folder: RunFolder) -> tuple[Budget, Counter[PrivacyEvent]]:
    """The run's budget and what it has reserved."""
    if not folder.has_ledger():
        return folder.new_budget(prepared.config, population=prepared.population), Counter()
    with Ledger.open_to_read(folder.ledger) as ledger:
        return ledger.budget, Counter(entry.reservation.event for entry in ledger.entries())
