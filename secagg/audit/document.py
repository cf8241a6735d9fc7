"""The JSON form of an audit, as types: the schema `secagg/audit/schemas/audit-1.json` is made from them.

Numbers are finite or null. The version changes when a field changes its meaning or goes away; fields may be added.
"""

import inspect
import math
import sys
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from dp.version import SOFTWARE, VERSION
from secagg.audit.attack import Layer, Level
from secagg.audit.audit import Audit, Outcome
from secagg.audit.claims import Parameter
from secagg.audit.epsilon.rows import EpsilonRow
from secagg.audit.finding import Attempt, Finding, Verdict


class TargetDocument(Struct, frozen=True, kw_only=True):
    """What was audited."""

    kind: str
    name: str
    subjects: tuple[str, ...]


class ClaimDocument(Struct, frozen=True, kw_only=True):
    """A claim that subjects of the target make."""

    id: Annotated[str, Meta(description="The id in the table of claims of the threat model, or the third party's own.")]
    text: str
    subjects: Annotated[tuple[str, ...], Meta(description="The names of the subjects that make the claim.")]
    parameters: Annotated[
        dict[str, dict[str, Parameter]], Meta(description="The parameters of the claim, by the name of the subject.")
    ]
    verdict: Verdict


class AttemptDocument(Struct, frozen=True, kw_only=True):
    """One attempt of a check."""

    seed: Annotated[str, Meta(description="The seed of the attempt, 64 hexadecimal digits.")]
    value: float | None
    p_value: Annotated[float | None, Meta(description="Null for an exact check.")]
    rejects: bool
    cpu_s: float


class FindingDocument(Struct, frozen=True, kw_only=True):
    """What one check found about one subject."""

    attack: Annotated[str, Meta(description="The id of the check.")]
    title: str
    layer: Layer
    claims: tuple[str, ...]
    subject: str
    verdict: Verdict
    statistic: str
    value: float | None
    threshold: float | None
    trials: int
    alpha: Annotated[float, Meta(description="The chance of a false rejection, at most; 0 for an exact check.")]
    power: Annotated[str | None, Meta(description="What is rejected with 99% probability; null if exact or not known.")]
    attempts: tuple[AttemptDocument, ...]
    cpu_s: float
    evidence: str
    figures: Annotated[dict[str, float | None], Meta(description="Further measured numbers, by name.")]


class EpsilonDocument(Struct, frozen=True, kw_only=True):
    """A lower bound on epsilon that was measured, and what it is compared with."""

    subject: str
    unit: str
    relation: str
    delta: float
    ledger: Annotated[float | None, Meta(description="The upper bound that the ledger counts, or null.")]
    exact: Annotated[float | None, Meta(description="The exact epsilon of noise and sensitivity; null if not known.")]
    lower_bound: float
    confidence: float
    method: str
    trials: int
    rests_on: Annotated[str, Meta(description="What the bound assumes, and what the attack is given.")]


class UntestedDocument(Struct, frozen=True, kw_only=True):
    """Something that the audit did not test."""

    subject: Annotated[str, Meta(description="The name of the subject; empty for the target as a whole.")]
    attack: Annotated[str, Meta(description="The id of a check or of a claim, or the kind of the target.")]
    why: str


class AuditDocument(Struct, frozen=True, kw_only=True):
    """An audit: what was tested, at which error rate, and what was found."""

    schema: Literal["secagg-audit/1"]
    version: Annotated[str, Meta(description="The software that made the audit.")]
    level: Level
    master_seed: Annotated[str, Meta(description="64 hexadecimal digits; --seed takes them to repeat the audit.")]
    started: Annotated[str, Meta(description="UTC, ISO 8601.")]
    cpu_s: float
    target: TargetDocument
    claims: tuple[ClaimDocument, ...]
    findings: tuple[FindingDocument, ...]
    not_tested: tuple[UntestedDocument, ...]
    epsilon: tuple[EpsilonDocument, ...]
    statistical_checks: int
    chance_of_any_false_rejection: Annotated[
        float, Meta(description="The chance that an audit of correct subjects rejects anything, at most.")
    ]
    verdict: Outcome
    exit: Annotated[int, Meta(description="The exit code: 0 not rejected, 3 rejected, 4 incomplete.")]


def document(audit: Audit) -> AuditDocument:
    """Return an audit in its JSON form."""
    return AuditDocument(
        schema="secagg-audit/1",
        version=f"{SOFTWARE} {VERSION}",
        level=audit.level,
        master_seed=audit.master_seed.hex(),
        started=datetime.fromtimestamp(audit.started_s, UTC).isoformat(timespec="seconds"),
        cpu_s=round(audit.cpu_s, 3),
        target=TargetDocument(
            kind=audit.target.kind,
            name=audit.target.name,
            subjects=tuple(subject.name for subject in audit.target.subjects),
        ),
        claims=_claims(audit),
        findings=tuple(map(_finding, audit.findings)),
        not_tested=tuple(
            UntestedDocument(subject=each.subject, attack=each.what, why=each.why) for each in audit.untested
        ),
        epsilon=tuple(_epsilon(subject, row) for subject, row in audit.epsilon),
        statistical_checks=audit.statistical_checks,
        chance_of_any_false_rejection=audit.chance_of_any_false_rejection,
        verdict=audit.outcome,
        exit=audit.exit_code,
    )


def as_json(audit: Audit) -> str:
    """Return an audit as JSON of the schema `secagg/audit/schemas/audit-1.json`."""
    return msgspec.json.format(msgspec.json.encode(document(audit)), indent=2).decode()


def finding_as_json(finding: Finding) -> str:
    """Return one finding as JSON in one line."""
    return msgspec.json.encode(_finding(finding)).decode()


def schema() -> str:
    """Return the JSON Schema (2020-12) of `as_json`; `python -m secagg.audit.document` prints it."""
    found: dict[str, Any] = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    found |= msgspec.json.schema(AuditDocument)
    for definition in found["$defs"].values():  # Python 3.13 strips a docstring's indentation, 3.12 does not.
        if "description" in definition:
            definition["description"] = inspect.cleandoc(definition["description"])
    return msgspec.json.format(msgspec.json.encode(found), indent=2).decode() + "\n"


def _claims(audit: Audit) -> tuple[ClaimDocument, ...]:
    found = []
    for claim in audit.claims:
        makers = [
            (subject.name, own) for subject in audit.target.subjects for own in subject.claims if own.id == claim.id
        ]
        found.append(
            ClaimDocument(
                id=claim.id,
                text=claim.text,
                subjects=tuple(name for name, _ in makers),
                parameters={name: dict(own.parameters) for name, own in makers if own.parameters},
                verdict=audit.verdict_on(claim.id),
            )
        )
    return tuple(found)


def _finding(finding: Finding) -> FindingDocument:
    return FindingDocument(
        attack=finding.attack,
        title=finding.title,
        layer=finding.layer,
        claims=finding.claims,
        subject=finding.subject,
        verdict=finding.verdict,
        statistic=finding.statistic,
        value=_finite(finding.value),
        threshold=_finite(finding.threshold),
        trials=finding.trials,
        alpha=finding.alpha,
        power=finding.power,
        attempts=tuple(map(_attempt, finding.attempts)),
        cpu_s=round(finding.cpu_s, 3),
        evidence=finding.evidence,
        figures={name: _finite(value) for name, value in finding.figures},
    )


def _epsilon(subject: str, row: EpsilonRow) -> EpsilonDocument:
    return EpsilonDocument(
        subject=subject,
        unit=row.unit,
        relation=row.relation,
        delta=row.delta,
        ledger=_finite(row.ledger),
        exact=_finite(row.exact),
        lower_bound=row.lower_bound,
        confidence=row.confidence,
        method=row.method,
        trials=row.trials,
        rests_on=row.rests_on,
    )


def _attempt(attempt: Attempt) -> AttemptDocument:
    return AttemptDocument(
        seed=attempt.seed,
        value=_finite(attempt.value),
        p_value=_finite(attempt.p_value),
        rejects=attempt.rejects,
        cpu_s=round(attempt.cpu_s, 3),
    )


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


if __name__ == "__main__":
    sys.stdout.write(schema())
