"""How far a run goes: the rounds that it began with, or another number of rounds when it is resumed.

The noise stays what the run began with, sized for its first number of rounds. The ledger decides how many more rounds
the budget allows.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dp.accounting.guarantee import guarantee
from dp.events import PrivacyEvent
from dp.figures import in_full, rounded_up_within, used_in_percent
from dp.ledger.ledger import Ledger
from dp.ledger.participation import Accounting
from dp.ledger.records import Budget
from secagg.errors import ConfigurationError
from secagg.runs.folder import RunFolder
from secagg.runs.ledger_terms import LedgerTerms
from secagg.runs.prepare import Prepared
from secagg.training.cohorts import most_rounds
from secagg.training.drawing import Cohorts


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
        raise ConfigurationError(
            f"rounds: expected at least the {done} that the run has made, found {asked}. Leave it out, or ask for more "
            "rounds: what was released stays released."
        )
    rounds, terms = max(asked, done), prepared.ledger_terms
    if terms is None or rounds == done:
        return Goal(rounds=rounds, done=done)
    cost = _Cost.of(prepared, folder, terms, more=rounds - done)
    allowed = done + cost.allowed
    # A round that was interrupted is spent, so the rounds of the plan may be one too many: the run then ends early.
    if rounds > max(allowed, config.rounds):
        raise ConfigurationError(
            f"rounds: expected at most the {allowed} that {cost.limits}, found {rounds}: "
            f"{cost.spent} on {rounds_in_words(done)}, and the noise stays what it was. Ask for at most "
            f"{rounds_in_words(allowed)}. Another run on the same data has a budget of its own, and both costs add up "
            "(secagg budget report A B)."
        )
    return Goal(
        rounds=rounds,
        done=done,
        cost=f"{cost.spent}, and {cost.after}; {cost.limits} {rounds_in_words(allowed)} in all",
    )


def rounds_in_words(count: int) -> str:
    """Return a number of rounds with its noun."""
    return "1 round" if count == 1 else f"{count} rounds"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cost:
    """What a run has spent, in words, and how many more rounds are allowed.

    Attributes:
        allowed: The number of further rounds that the ledger admits.
        spent: What is spent.
        after: What will be spent in the end.
        limits: What allows rounds, with its verb: the budget, or the budget and the cap on participation.
    """

    allowed: int
    spent: str
    after: str
    limits: str

    @classmethod
    def of(cls, prepared: Prepared, folder: RunFolder, terms: LedgerTerms, *, more: int) -> "_Cost":
        """Read the account of a run that is about to make more rounds; the plan's where there is no ledger yet."""
        event, cohorts = prepared.event, prepared.cohorts
        if event is None:
            raise TypeError("event: expected one of a run with noise")
        if not folder.has_ledger():
            planned = prepared.config.rounds if cohorts is None or cohorts.feasible is None else cohorts.feasible
            return cls.in_words(terms.budget(), Counter(), event, used=0.0, more=more, allowed=planned, cohorts=cohorts)
        with Ledger.open_to_read(folder.ledger) as ledger:
            account, spent = Counter(entry.reservation.event for entry in ledger.entries()), ledger.spent()
            if cohorts is None or cohorts.cap is None:
                allowed = ledger.remaining(event)
            else:
                counts = ledger.rounds_by_client()
                cohorts.go_on(counts, turn=len(ledger.entries()))
                # One client stands for all that were asked as often: they have the same account.
                left = {count: ledger.remaining(event, participants=[at]) for count, at in _first_places(counts)}
                places = np.array([left[count] for count in counts.tolist()])
                allowed = most_rounds(places, cohort=cohorts.cohort, wanted=int(places.sum()) // cohorts.cohort)
                account = Counter({event: int(counts.max())})
            return cls.in_words(
                ledger.budget, account, event, used=spent.used, more=more, allowed=allowed, cohorts=cohorts
            )

    @classmethod
    def in_words(
        cls,
        budget: Budget,
        events: Counter[PrivacyEvent],
        event: PrivacyEvent,
        *,
        used: float | None,
        more: int,
        allowed: int,
        cohorts: Cohorts | None,
    ) -> "_Cost":
        """Return the cost of the worst client's events, now and after more rounds."""
        whole = in_full(budget.epsilon)
        limits = "the budget and the cap allow" if cohorts is not None and cohorts.cap else "the budget allows"
        if budget.accounting is not Accounting.FIXED:
            spent = f"{used_in_percent(used or 0.0)} of the budget of epsilon {whole} is used"
            after = f"epsilon {whole} is guaranteed, whatever part of it is used"
            return cls(allowed=allowed, spent=spent, after=after, limits=limits)
        # With cohorts, one client is in at most as many of the rounds as the cap leaves.
        most = more if cohorts is None or cohorts.cap is None else min(more, cohorts.cap - events[event])
        now, then = (
            guarantee(
                events + Counter({event: further}), delta=budget.delta, relation=budget.relation, unit=budget.unit
            ).epsilon
            for further in (0, most)
        )
        shown, cost = (rounded_up_within(each, budget.epsilon) for each in (now, min(then, budget.epsilon)))
        return cls(
            allowed=allowed,
            spent=f"epsilon {shown} of {whole} is spent",
            after=f"at most {cost} will be",
            limits=limits,
        )


def _first_places(counts: NDArray[np.uint32]) -> list[tuple[int, int]]:
    """Return each count with the first client that has it."""
    values, places = np.unique(counts, return_index=True)
    return list(zip(values.tolist(), places.tolist(), strict=True))
