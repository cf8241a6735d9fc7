"""Checks of a run's metrics: whole lines, numbered rounds, dropouts from the seed, and bounds that follow."""

import math

import msgspec

from dp.clipping.adaptive import AdaptiveClip
from secagg.aggregation.weighting import Weighting
from secagg.audit.run_folder.check import HOLDS, Unreadable, Verdict
from secagg.audit.run_folder.cohort import asking_steps, present_in
from secagg.audit.run_folder.evidence import Evidence
from secagg.audit.run_folder.plan import clip_of, parts_of
from secagg.runs.folder import METRICS
from secagg.simulation.failures import departing

REL: float = 1e-9
"""The relative tolerance of figures that are computed again."""


def check_whole(evidence: Evidence) -> Verdict:
    """Check that the metrics are there and that every line of them is whole and a round."""
    try:
        _ = evidence.records
    except Unreadable as error:
        return Verdict(found=error.found)
    if not (evidence.path / METRICS).is_file():
        return Verdict(found=f"There is no {METRICS}.")
    content = evidence.bytes_of(METRICS)
    if content and not content.endswith(b"\n"):
        return Verdict(found=f"The last line of {METRICS} is cut short.")
    # A field that is unknown, or that occurs twice, would show a reader something else than the audit has checked.
    if content != b"".join(msgspec.json.encode(record) + b"\n" for record in evidence.records):
        return Verdict(found=f"{METRICS} is not written as a run writes it, or has other fields.")
    return HOLDS


def check_rounds(evidence: Evidence) -> Verdict:
    """Check the numbers of the rounds."""
    numbers = [record.round for record in evidence.records]
    for place, number in enumerate(numbers, start=1):
        if number != place:
            return Verdict(found=f"Line {place} of {METRICS} is of round {number}.")
    if len(numbers) > evidence.goal:
        return Verdict(found=f"{METRICS} has {len(numbers)} rounds, and the run was to end with {evidence.goal}.")
    return HOLDS


def check_dropped(evidence: Evidence) -> Verdict:
    """Check that the clients that dropped out are those that the seed of the settings draws."""
    prepared = evidence.prepared
    protocol = prepared.mean.protocol
    for record in evidence.records:
        asked = evidence.asked(record.round)
        clients = set(asked)
        names = [client for found in record.dropped.values() for client in found]
        if len(set(names)) != len(names) or not clients.issuperset(names):
            return Verdict(
                found=f"Round {record.round}: a client is said to have dropped out twice, or is none of the cohort."
            )
        if prepared.mean.sample is not None:  # Nobody may drop out of a secret draw.
            if any(record.dropped.values()):
                return Verdict(found=f"Round {record.round}: a client is said to have dropped out of a secret draw.")
            continue
        drawn = prepared.devices.drops(record.round, asking_steps(protocol), prepared.config.dropping, clients=asked)
        if not prepared.config.private:
            drawn = departing(drawn, record.failed, protocol=protocol)
        if record.dropped != drawn:
            return Verdict(
                found=f"Round {record.round}: other clients dropped out than the seed of the settings draws."
            )
        if not clients.issuperset(record.failed):
            return Verdict(found=f"Round {record.round}: a client is said to have failed that is none of the cohort.")
    return HOLDS


def check_contributors(evidence: Evidence) -> Verdict:
    """Check how many clients contributed to each round."""
    prepared, shown = evidence.prepared, []
    least, sample = prepared.mean.minimum_contributors, prepared.mean.sample
    for record in evidence.records:
        if sample is not None:  # Its size is secret: the metrics state the expected number.
            if record.contributors != sample.expected:
                return Verdict(found=f"Round {record.round} states another number than is expected of its draw.")
            continue
        present = len(present_in(evidence.asked(record.round), record, evidence.refusing))
        if not record.contributors:
            if record.withheld is None:
                return Verdict(
                    found=f"Round {record.round} has no contributors, and no reason why it released nothing."
                )
            continue
        if record.withheld is not None:
            return Verdict(found=f"Round {record.round} has contributors, and a reason why it released nothing.")
        if not least <= record.contributors <= present:
            return Verdict(
                found=f"Round {record.round} has {record.contributors} contributors. At least {least} are needed, and "
                f"{present} clients were left when vectors were due."
            )
        if record.contributors < present:
            shown.append(record.round)
    if not shown:
        return HOLDS
    return Verdict(shown=f"In rounds {_listed(shown)}, the server left out clients that had sent a vector.")


def check_bounds(evidence: Evidence) -> Verdict:
    """Check the bounds on clipping and on rounding that the metrics state."""
    prepared = evidence.prepared
    encoding, parts = prepared.mean.encoding, parts_of(prepared)
    for record in evidence.records:
        clip = clip_of(prepared, record.clip_bound)
        first = prepared.clip.bound if isinstance(prepared.clip, AdaptiveClip) else None
        if (record.clip_bound is None) != (first is None) or (record.round == 1 and record.clip_bound != first):
            return Verdict(found=f"Round {record.round} has another clipping bound than its settings lead to.")
        if encoding.weighting is not Weighting.UNIFORM:
            continue
        expected = None
        if record.contributors and prepared.mean.sample is None and encoding.kept is None:
            expected = encoding.rounding_bound(contributors=record.contributors) * clip.unit / parts.factor
        if not close(record.rounding_bound, expected):
            return Verdict(found=f"Round {record.round} has another rounding bound than its contributors lead to.")
    return HOLDS


def close(found: float | None, expected: float | None, *, rel: float = REL) -> bool:
    """Return whether two figures are equal, up to a relative tolerance; None equals None only."""
    if found is None or expected is None:
        return found is expected
    return math.isclose(found, expected, rel_tol=rel, abs_tol=1e-12)


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers[:5])) + (" and others" if len(numbers) > 5 else "")
