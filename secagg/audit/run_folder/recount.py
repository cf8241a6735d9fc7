"""Check of what a run states that it has spent: the ledger's records, counted and priced by other code."""

from dp.accounting.guarantee import Claim
from secagg.audit.account.participation import Recount
from secagg.audit.account.worst_client import TOLERANCE, Unpriced, costs
from secagg.audit.run_folder.check import HOLDS, Untested, Verdict
from secagg.audit.run_folder.evidence import Evidence
from secagg.audit.run_folder.ledger_records import label_parts
from secagg.runs.folder import METRICS, SUMMARY
from secagg.runs.kept_ledgers import LEDGER


def check_recount(evidence: Evidence) -> Verdict:
    """Check that the worst client's releases are within the budget, and that no less is stated."""
    events, recount = evidence.reserved, evidence.recount
    try:
        spent = costs(recount, events)
    except Unpriced as error:
        raise Untested(f"No other formula gives the cost of these releases. {error}") from None
    except (ArithmeticError, ValueError, RuntimeError):  # Of scipy's solver; run.ledger.events finds such events.
        raise Untested("The ledger's budget or noise is beyond the range of the other formula.") from None
    whole = spent[-1]
    limit = 1.0 if recount.filtered else recount.epsilon
    if whole is not None and whole > limit * (1 + TOLERANCE):
        what = f"{whole:.6g} times the budget" if recount.filtered else f"epsilon {whole:.6g} of {limit:g}"
        return Verdict(found=f"The reservations of {LEDGER} charge the worst client {what}.")
    made = {label_parts(asking.label)[0]: place for place, asking in enumerate(recount.askings, start=1)}
    for record in evidence.records:
        cost = spent[made[record.round]] if record.round in made else None
        found = _too_little(recount, record.epsilon, record.used, record.claim, cost)
        if found:
            return Verdict(found=f"Round {record.round} in {METRICS} {found}.")
    summary = evidence.summary
    found = _too_little(recount, summary.epsilon_spent, summary.used, summary.claim, whole)
    return Verdict(found=f"{SUMMARY} {found}.") if found else HOLDS


def _too_little(
    recount: Recount, epsilon: float | None, part: float | None, claim: Claim | None, cost: float | None
) -> str:
    """Return which figure is too small for what was reserved; empty if none is."""
    if recount.claims_budget:
        if claim is not Claim.BUDGET or epsilon is None or epsilon < recount.epsilon:
            return f"claims less than the budget of epsilon {recount.epsilon:g}, and nothing less is guaranteed"
        if recount.filtered and cost is not None and (part is None or part < cost * (1 - TOLERANCE)):
            return f"states that {part} of the budget is used, and the worst client's releases use {cost:.6g}"
    elif cost is not None and (epsilon is None or epsilon < cost * (1 - TOLERANCE)):
        return f"states epsilon {epsilon}, and the worst client's releases cost at least {cost:.6g}"
    return ""
