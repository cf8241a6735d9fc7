"""Checks of a run's ledger as a whole: its chain, its budget, its clock, and the heads that are known of it."""

from dp.accounting.guarantee import Claim, Guarantee
from secagg.audit.run_folder.check import HOLDS, Unreadable, Untested, Verdict
from secagg.audit.run_folder.evidence import Evidence
from secagg.audit.run_folder.rounds import close
from secagg.runs.folder import METRICS
from secagg.runs.kept_ledgers import LEDGER


def check_present(evidence: Evidence) -> Verdict:
    """Check that there is a ledger if and only if there is noise."""
    private, there = evidence.config.private, evidence.folder.ledger.exists()
    if private == there:
        return HOLDS
    return Verdict(found=f"There is no {LEDGER}." if private else f"There is a {LEDGER}, and the run has no noise.")


def check_chain(evidence: Evidence) -> Verdict:
    """Check that the ledger can be read: its chain is whole and its records are those of a ledger."""
    if not evidence.folder.ledger.exists():
        raise Untested(f"There is no {LEDGER}.")
    try:
        _ = evidence.ledger
    except Unreadable as error:
        return Verdict(found=error.found)
    return HOLDS


def check_budget(evidence: Evidence) -> Verdict:
    """Check that the budget is that of the settings, and the population that of the data."""
    budget, prepared = evidence.ledger.budget, evidence.prepared
    terms = prepared.ledger_terms
    name = None if terms is None else terms.differing(budget, chosen=prepared.config.accounting is not None)
    if name is not None:
        return Verdict(found=f"The {name} of {LEDGER} is not that of the settings.")
    described = None if budget.description is None else budget.description.data_digest
    if described != prepared.data_digest:
        return Verdict(found=f"{LEDGER} names the digest of other training examples.")
    return HOLDS


def check_kept_head(evidence: Evidence) -> Verdict:
    """Check that a head that was kept elsewhere is in the chain."""
    ledger, head = evidence.ledger, evidence.head
    if head is None:
        raise Untested(
            "No head was given that was kept elsewhere. Without one, a ledger that was rebuilt is not noticed. Check "
            "one by `secagg budget verify FOLDER --head HEAD`."
        )
    if head.lower() not in (ledger.first_head, *ledger.heads):
        return Verdict(found=f"The head that was kept elsewhere is not in {LEDGER}: it was cut, rebuilt or replaced.")
    return HOLDS


def check_heads(evidence: Evidence) -> Verdict:
    """Check that the head of each round is that of the round's last record."""
    ledger = evidence.ledger
    for record in evidence.records:
        if record.ledger_head not in ledger.heads:
            return Verdict(found=f"The head of round {record.round} in {METRICS} is not in {LEDGER}.")
        reservation = ledger.last_of.get(record.round)
        if reservation is None or ledger.heads[ledger.position_of(reservation)] != record.ledger_head:
            return Verdict(found=f"The head of round {record.round} is not that of the last record of this round.")
    return HOLDS


def check_clock(evidence: Evidence) -> Verdict:
    """Check that time does not run backwards."""
    last = evidence.ledger.budget.time_s
    for place, record in enumerate(evidence.ledger.records, start=1):
        if record.time_s < last:
            return Verdict(found=f"Record {place} of {LEDGER} has an earlier time than the record before it.")
        last = record.time_s
    return HOLDS


def check_epsilons(evidence: Evidence) -> Verdict:
    """Check the guarantee that each round states, computed again from everything that was reserved up to it."""
    ledger, known = evidence.ledger, dict[str | None, Guarantee]()
    wanted = {record.ledger_head for record in evidence.records}
    if not wanted.issubset(ledger.heads):
        raise Untested("A head in the metrics is not in the ledger, see run.ledger.heads.")
    for head, account in zip((None, *ledger.heads), ledger.accounts(), strict=True):
        if head in wanted:
            known[head] = account.guarantee()
    for record in evidence.records:
        spent = known[record.ledger_head]
        if not close(record.epsilon, spent.epsilon):
            return Verdict(found=f"Round {record.round}: the epsilon in {METRICS} is not that of what was reserved.")
        if not close(record.used, spent.used):
            return Verdict(found=f"Round {record.round}: the used part in {METRICS} is not that of what was reserved.")
        if record.claim not in (spent.claim, None if spent.claim is Claim.SPENT else spent.claim):
            return Verdict(
                found=f"Round {record.round}: {METRICS} claims {record.claim}, and the ledger {spent.claim}."
            )
    return HOLDS


def check_no_epsilons(evidence: Evidence) -> Verdict:
    """Check that a run without noise states neither an epsilon nor a head."""
    if evidence.config.private:
        raise Untested("This check is for runs without noise, and this run has noise.")
    for record in evidence.records:
        if record.epsilon is not None or record.ledger_head is not None:
            return Verdict(found=f"Round {record.round} states an epsilon or a head, and the run has no noise.")
    return HOLDS


def check_within(evidence: Evidence) -> Verdict:
    """Check that everything that was reserved is within the budget."""
    ledger = evidence.ledger
    *_, account = ledger.accounts()
    spent = account.guarantee()
    if spent.epsilon > ledger.budget.epsilon * (1 + 1e-12):
        return Verdict(found=f"{LEDGER} has spent more than its budget.")
    return HOLDS
