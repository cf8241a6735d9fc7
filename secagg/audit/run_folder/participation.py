"""Checks of who took part in a run with cohorts, by the audit's own count of the ledger's records."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from secagg.audit.account.participation import Asking
from secagg.audit.run_folder.check import HOLDS, Unreadable, Untested, Verdict
from secagg.audit.run_folder.draws import at_random, in_turn
from secagg.audit.run_folder.evidence import Evidence
from secagg.audit.run_folder.ledger_records import label_parts
from secagg.runs.config import TrainingConfig
from secagg.runs.folder import SUMMARY
from secagg.runs.kept_ledgers import LEDGER
from secagg.training.cohorts import Draw

_EVERYBODY: Final = "Every round asks all clients, so that the ledger names nobody."


def check_asked(evidence: Evidence) -> Verdict:
    """Check that each reservation asks the clients that the settings draw."""
    config = evidence.config
    try:
        askings = evidence.recount.askings
    except Unreadable as error:
        if error.owner != "run.ledger.asked":
            raise
        return Verdict(found=error.found)
    counts = np.zeros(config.clients, dtype=np.int64)
    for turn, asking in enumerate(askings):
        if (asking.clients is not None) != config.limited:
            names = "names nobody" if config.limited else "names clients, and every round asks all"
            return Verdict(found=f"Reservation {asking.number} of {LEDGER} {names}.")
        if asking.clients is None:
            continue
        if asking.clients and asking.clients[-1] >= config.clients:
            return Verdict(
                found=f"Reservation {asking.number} of {LEDGER} asks client {asking.clients[-1]}, who is not one of "
                f"the {config.clients} clients of the population."
            )
        if not config.by_poisson and asking.clients != _drawn(config, asking, counts, turn):
            return Verdict(
                found=f"Reservation {asking.number} of {LEDGER} asks other clients than the settings draw, given who "
                "was asked before."
            )
        counts[list(asking.clients)] += 1
    if not config.limited:
        raise Untested(_EVERYBODY)
    if config.by_poisson:
        return Verdict(shown="Clients are drawn in secret. So only their range was checked, and not who was drawn.")
    return HOLDS


def check_cap(evidence: Evidence) -> Verdict:
    """Check that no client was asked more often than the settings allow."""
    config, recount = evidence.config, evidence.recount
    if not config.limited:
        raise Untested(_EVERYBODY)
    if config.by_poisson:
        raise Untested("Clients that are drawn in secret have no cap.")
    return Verdict(found=recount.above_cap(config.participations))


def check_missing(evidence: Evidence) -> Verdict:
    """Check who is missing from each sum: they were asked, and those that dropped out are among them."""
    config, recount = evidence.config, evidence.recount
    if not config.limited:
        raise Untested(_EVERYBODY)
    found = recount.stranger()
    if found or config.by_poisson:  # Nobody may drop out of a secret draw, see run.metrics.dropped.
        return Verdict(found=found)
    last = {label_parts(asking.label)[0]: asking for asking in recount.askings}
    for record in evidence.records:
        asking = last.get(record.round)
        if asking is None or asking.missing is None:
            continue
        gone = {client for name, clients in record.dropped.items() if name in evidence.refusing for client in clients}
        present = sorted(gone - set(asking.missing))
        if present:
            return Verdict(
                found=f"Client {present[0]} dropped out of round {record.round}, and {LEDGER} counts it as a "
                "contributor."
            )
    return HOLDS


def check_counts(evidence: Evidence) -> Verdict:
    """Check in how many rounds the summary says that clients were asked."""
    config, recount, stated = evidence.config, evidence.recount, evidence.summary.asked
    if not config.limited or config.by_poisson:
        if stated is not None:
            return Verdict(found=f"{SUMMARY} states in how many rounds clients were asked, which nobody may know.")
        raise Untested(_EVERYBODY if not config.limited else "Clients are drawn in secret, so that no count is public.")
    counts = recount.counts()
    ordered = sorted(counts[client] for client in range(config.clients))
    expected = (ordered[0], ordered[len(ordered) // 2], ordered[-1])
    if stated is None or (stated.least, stated.median, stated.most) != expected:
        return Verdict(
            found=f"{SUMMARY} states other numbers of rounds than {expected[0]}, {expected[1]} and {expected[2]}, the "
            f"least, the median and the most that {LEDGER} counts."
        )
    return HOLDS


def _drawn(config: TrainingConfig, asking: Asking, counts: NDArray[Any], turn: int) -> tuple[int, ...]:
    if config.drawing is Draw.IN_TURN:
        return in_turn(clients=config.clients, cohort=config.asked, seed=config.seed, turn=turn)
    number = label_parts(asking.label)[0] or 1
    return at_random(
        counts,
        cohort=config.asked,
        cap=config.participations,
        wanted=max(1, config.rounds - number + 1),
        seed=config.seed,
        turn=turn,
    )
