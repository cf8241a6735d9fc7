"""The JSON form of a budget report, as types: the schema `dp/reporting/schemas/budget-report-2.json` is made from them.

An epsilon without a finite bound is the text "infinite"; null stands for a figure that does not apply. NaN never
occurs. The version changes when a field changes its meaning or goes away; fields may be added.
"""

import math
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from dp.accounting.guarantee import Guarantee
from dp.events import NeighbouringRelation, PrivacyUnit
from dp.ledger.records import Detail
from dp.reporting.assumptions import Assumption, State
from dp.reporting.checklist import facts
from dp.reporting.report import BudgetReport, ReportedRelease
from dp.version import SOFTWARE
from dp.version import VERSION as SOFTWARE_VERSION

VERSION: Final = 2

Figure = Annotated[
    float | Literal["infinite"], Meta(description='An epsilon, at least 0; "infinite" where no finite bound is known.')
]


class BudgetDocument(Struct, frozen=True, kw_only=True):
    """What may be spent in all, and on whom."""

    epsilon: float
    delta: float
    population: int
    unit: PrivacyUnit
    relation: NeighbouringRelation
    opened_s: Annotated[float, Meta(description="When the ledger was made, in seconds since 1970.")]


class BoundDocument(Struct, frozen=True, kw_only=True):
    """An upper bound on epsilon by one accountant."""

    accountant: Annotated[str, Meta(description="Its short name.")]
    epsilon: Figure
    method: Annotated[str, Meta(description="How it was computed.")]


class GuaranteeDocument(Struct, frozen=True, kw_only=True):
    """What a set of releases satisfies together."""

    epsilon: Figure
    delta: float
    relation: NeighbouringRelation
    unit: PrivacyUnit
    accountant: str
    pld_epsilon: Annotated[Figure | None, Meta(description="By privacy loss distributions; null where not computed.")]
    rdp_epsilon: Figure
    order: Annotated[float, Meta(description="The Renyi order that gave rdp_epsilon.")]
    order_at_edge: Annotated[
        bool, Meta(description="Whether that is an end of the grid: orders beyond it may give a smaller bound.")
    ]
    infinite_orders: Annotated[int, Meta(description="Orders of the grid without a finite bound.")]
    subsampling: Annotated[tuple[str, ...], Meta(description="The bounds on sampled releases that were used.")]
    bounds: Annotated[
        tuple[BoundDocument, ...], Meta(description="The bounds of all accountants; the smallest is epsilon.")
    ]


class RemainingDocument(Struct, frozen=True, kw_only=True):
    """What may still be spent."""

    epsilon: float
    releases: Annotated[int | None, Meta(description="Further releases like the last one that fit, at most 2**40.")]


class MechanismDocument(Struct, frozen=True, kw_only=True):
    """How often a mechanism was used."""

    mechanism: str
    releases: int


class ReleaseDocument(Struct, frozen=True, kw_only=True):
    """One release."""

    number: int
    label: str
    mechanism: str
    noise_multiplier: Annotated[float, Meta(description="Promised: standard deviation over L2 sensitivity.")]
    realised_noise_multiplier: Annotated[float | None, Meta(description="Of the noise in it; null if not recorded.")]
    excess: Annotated[float | None, Meta(description="Realised over promised noise, less 1; null if not recorded.")]
    sampling_rate: Annotated[float | None, Meta(description="Null if units are not sampled.")]
    epsilon_after: Annotated[
        Figure | None,
        Meta(
            description="Of all releases so far, by the accountants of the total; null if not computed. Of more than "
            "200 releases, 200 are accounted; with sampled Gaussian noise, of more than 40 at most 40."
        ),
    ]
    realised_epsilon_after: Annotated[Figure | None, Meta(description="The same at the noise realised.")]
    unamplified_epsilon_after: Annotated[
        Figure | None, Meta(description="The same without amplification; null, too, where nothing was sampled.")
    ]
    contributors: Annotated[int | None, Meta(description="Null while uncommitted, which counts as spent.")]
    details: dict[str, Detail]
    reserved_s: Annotated[float, Meta(description="When it was reserved, in seconds since 1970.")]


class AtDeltaDocument(Struct, frozen=True, kw_only=True):
    """The same releases, stated for another delta, by the accountants of the total."""

    delta: float
    epsilon: Figure
    unamplified: Annotated[Figure | None, Meta(description="Without amplification; null where nothing was sampled.")]


class ChecklistItem(Struct, frozen=True, kw_only=True):
    """One item of the checklist of arXiv 2303.00654, section 5.3, in words."""

    heading: str
    text: str


class AssumptionDocument(Struct, frozen=True, kw_only=True):
    """One thing that the guarantee rests on."""

    text: str
    verified: Annotated[bool, Meta(description="Whether it was checked and found true.")]
    how: str
    state: Annotated[State, Meta(description="Checked and found false, checked and found true, or only declared.")]


class NameDocument(Struct, frozen=True, kw_only=True):
    """The name of something that the ledger is about."""

    what: str
    name: str
    source: Annotated[
        str, Meta(description="The origin of the name: the ledger, or the person who asked for the report.")
    ]


class ReportDocument(Struct, frozen=True, kw_only=True):
    """What a privacy budget's ledger discloses."""

    schema: Literal["secagg-budget-report"]
    version: Literal[2]
    statement: str
    budget: BudgetDocument
    spent: Annotated[GuaranteeDocument, Meta(description="By the noise promised, which the ledger enforces.")]
    realised: Annotated[GuaranteeDocument, Meta(description="At the noise realised, where recorded; not enforced.")]
    without_amplification: Annotated[GuaranteeDocument | None, Meta(description="Null where nothing was sampled.")]
    continuous_epsilon: Annotated[
        Figure | None, Meta(description="With continuous Gaussian noise instead; null where all of it was.")
    ]
    remaining: RemainingDocument
    mechanisms: tuple[MechanismDocument, ...]
    uncommitted: tuple[int, ...]
    releases: tuple[ReleaseDocument, ...]
    epsilon_by_delta: tuple[AtDeltaDocument, ...]
    checklist: tuple[ChecklistItem, ...]
    assumptions: tuple[AssumptionDocument, ...]
    head: Annotated[str, Meta(description="Digest of the ledger's last record, hexadecimal.")]
    failed: Annotated[tuple[str, ...], Meta(description="What was found false; the guarantee then does not hold.")]
    colluders: Annotated[str, Meta(description="How many clients may collude with the server, in words.")]
    names: tuple[NameDocument, ...]
    ledger_software: Annotated[str | None, Meta(description="What made the ledger; null in ledgers of old versions.")]
    report_software: str


def document(report: BudgetReport) -> ReportDocument:
    """Return a report in its JSON form."""
    budget = report.budget
    return ReportDocument(
        schema="secagg-budget-report",
        version=VERSION,
        statement=report.statement,
        budget=BudgetDocument(
            epsilon=budget.epsilon,
            delta=budget.delta,
            population=budget.population,
            unit=budget.unit,
            relation=budget.relation,
            opened_s=budget.time_s,
        ),
        spent=_guarantee(report.spent),
        realised=_guarantee(report.realised),
        without_amplification=None if report.unamplified is None else _guarantee(report.unamplified),
        continuous_epsilon=_optional(report.continuous_epsilon),
        remaining=RemainingDocument(
            epsilon=max(0.0, budget.epsilon - report.spent.epsilon), releases=report.remaining_releases
        ),
        mechanisms=tuple(MechanismDocument(mechanism=words, releases=count) for words, count in report.mechanisms),
        uncommitted=report.uncommitted,
        releases=tuple(map(_release, report.releases)),
        epsilon_by_delta=tuple(
            AtDeltaDocument(delta=at.delta, epsilon=_figure(at.epsilon), unamplified=_optional(at.unamplified))
            for at in report.epsilon_by_delta
        ),
        checklist=tuple(ChecklistItem(heading=heading, text=text) for heading, text in facts(report)),
        assumptions=tuple(map(_assumption, report.assumptions)),
        head=report.head,
        failed=tuple(assumption.in_words for assumption in report.failed),
        colluders=report.colluders,
        names=tuple(NameDocument(what=what, name=name, source=source) for what, name, source in report.about.names),
        ledger_software=budget.software,
        report_software=f"{SOFTWARE} {SOFTWARE_VERSION}",
    )


def as_json(report: BudgetReport) -> str:
    """Return a report as JSON of the schema `dp/reporting/schemas/budget-report-2.json`."""
    return msgspec.json.format(msgspec.json.encode(document(report)), indent=2).decode()


def _guarantee(guarantee: Guarantee) -> GuaranteeDocument:
    return GuaranteeDocument(
        epsilon=_figure(guarantee.epsilon),
        delta=guarantee.delta,
        relation=guarantee.relation,
        unit=guarantee.unit,
        accountant=guarantee.accountant,
        pld_epsilon=_optional(guarantee.pld_epsilon),
        rdp_epsilon=_figure(guarantee.rdp_epsilon),
        order=guarantee.renyi.order,
        order_at_edge=guarantee.renyi.order_at_edge,
        infinite_orders=guarantee.renyi.infinite_orders,
        subsampling=guarantee.renyi.subsampling,
        bounds=tuple(
            BoundDocument(accountant=each.accountant, epsilon=_figure(each.epsilon), method=each.method)
            for each in guarantee.bounds
        ),
    )


def _release(release: ReportedRelease) -> ReleaseDocument:
    return ReleaseDocument(
        number=release.number,
        label=release.label,
        mechanism=release.mechanism,
        noise_multiplier=release.noise_multiplier,
        realised_noise_multiplier=release.realised_noise_multiplier,
        excess=release.excess,
        sampling_rate=release.sampling_rate,
        epsilon_after=_optional(release.epsilon_after),
        realised_epsilon_after=_optional(release.realised_epsilon_after),
        unamplified_epsilon_after=_optional(release.unamplified_epsilon_after),
        contributors=release.contributors,
        details=release.details,
        reserved_s=release.time_s,
    )


def _assumption(assumption: Assumption) -> AssumptionDocument:
    return AssumptionDocument(
        text=assumption.text, verified=assumption.verified, how=assumption.how, state=assumption.state
    )


def _optional(epsilon: float | None) -> float | Literal["infinite"] | None:
    return None if epsilon is None else _figure(epsilon)


def _figure(epsilon: float) -> float | Literal["infinite"]:
    return "infinite" if math.isinf(epsilon) else epsilon
