"""Checks of a run's ledger round by round: what was reserved, what was committed, and with which noise."""

from dp.events import Trust
from dp.ledger.records import (
    CLIENTS_DETAIL,
    NOISE_COLLUDING_DETAIL,
    SUM_COLLUDING_DETAIL,
    TRUST_DETAIL,
    UPDATES_HIDDEN_DETAIL,
    Commitment,
    Detail,
)
from secagg.audit.run_folder.check import HOLDS, Untested, Verdict
from secagg.audit.run_folder.evidence import Evidence
from secagg.audit.run_folder.ledger_records import label_parts
from secagg.engines.server.preflight import label_of
from secagg.runs.kept_ledgers import LEDGER
from secagg.runs.prepare import Prepared
from secagg.runs.run import run_name


def check_labels(evidence: Evidence) -> Verdict:
    """Check that each reservation names a round of this run."""
    name = run_name(evidence.config)
    for reservation in evidence.ledger.reservations:
        number, _ = label_parts(reservation.label)
        if number is None or reservation.label != label_of(number, name):
            return Verdict(found=f"Reservation {reservation.number} of {LEDGER} is not of a round of this run.")
    return HOLDS


def check_order(evidence: Evidence) -> Verdict:
    """Check that rounds were reserved in order, and that each commitment follows its own reservation."""
    last, reserved, repeated = 0, 0, list[int]()
    for record in evidence.ledger.records:
        if isinstance(record, Commitment):
            if record.number != reserved:
                return Verdict(found=f"The commitment of reservation {record.number} does not follow it directly.")
            continue
        number, reserved = label_parts(record.label)[0] or 0, record.number
        if number not in (last, last + 1):
            return Verdict(found=f"Reservation {record.number} is of round {number}, after one of round {last}.")
        if number == last:
            repeated.append(number)
        last = number
    made = len(evidence.records)
    if last not in (made, made + 1):
        return Verdict(found=f"{LEDGER} ends with round {last}, and the metrics with round {made}.")
    if not repeated:
        return HOLDS
    again = ", ".join(map(str, sorted(set(repeated))))
    return Verdict(
        shown=f"Rounds that were reserved more than once, as after an interruption: {again}. The ledger counts each "
        "reservation. Only the last result of such a round is in the folder."
    )


def check_events(evidence: Evidence) -> Verdict:
    """Check that each reservation is of the planned event."""
    planned = evidence.prepared.event
    for reservation in evidence.ledger.reservations:
        if reservation.event != planned:
            return Verdict(found=f"Reservation {reservation.number} of {LEDGER} is not of the planned event.")
    return HOLDS


def check_commitments(evidence: Evidence) -> Verdict:
    """Check that a round has a commitment if and only if it has contributors."""
    for record in evidence.records:
        commitment = evidence.ledger.commitment_of(record.round)
        if bool(record.contributors) != (commitment is not None):
            has = "a commitment and no contributors" if commitment else "contributors and no commitment"
            return Verdict(found=f"Round {record.round} has {has}.")
    return HOLDS


def check_contributors(evidence: Evidence) -> Verdict:
    """Check that ledger and metrics have the same number of contributors."""
    if evidence.prepared.mean.sample is not None:
        raise Untested("Clients were drawn in secret. The metrics state the expected number.")
    for record in evidence.records:
        commitment = evidence.ledger.commitment_of(record.round)
        if commitment is not None and commitment.contributors != record.contributors:
            return Verdict(found=f"Round {record.round} has another number of contributors in {LEDGER}.")
    return HOLDS


def check_realised(evidence: Evidence) -> Verdict:
    """Check that each commitment has the noise of its contributors less those that may collude."""
    prepared, ledger = evidence.prepared, evidence.ledger
    for number, commitment in ledger.commitments.items():
        local = None if prepared.example_level is None else prepared.example_level.event
        try:
            expected = local or prepared.mean.realised(commitment.contributors)
        except ValueError:
            return Verdict(
                found=f"The commitment of reservation {number} has a number of contributors that no sum has."
            )
        if commitment.realised != expected:
            return Verdict(found=f"The commitment of reservation {number} has other noise than its contributors give.")
    return HOLDS


def check_details(evidence: Evidence) -> Verdict:
    """Check that each commitment says who adds the noise, and how many clients there are and may collude."""
    expected, sample = _details(evidence.prepared), evidence.prepared.mean.sample
    for number, commitment in evidence.ledger.commitments.items():
        if sample is not None:  # A session of fewer clients than are expected is filled up.
            drawn = evidence.recount.askings[number - 1].clients or ()
            expected[CLIENTS_DETAIL] = max(sample.expected, len(drawn))
        for name, value in expected.items():
            if commitment.details.get(name) != value:
                return Verdict(found=f"The commitment of reservation {number} has another {name} than the settings.")
    return HOLDS


def _details(prepared: Prepared) -> dict[str, Detail | None]:
    target = prepared.mean.target
    return {
        TRUST_DETAIL: str(Trust.LOCAL if target is None else target.trust),
        CLIENTS_DETAIL: len(prepared.mean.clients),
        UPDATES_HIDDEN_DETAIL: "yes" if prepared.mean.protocol.protects else "no",
        NOISE_COLLUDING_DETAIL: None if target is None else target.colluding,
        SUM_COLLUDING_DETAIL: prepared.cohort.colluding,
    }
